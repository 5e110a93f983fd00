//go:build integration

package e2e

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

// agentOf sees a cluster with the identity that its agent has there.
func (s *scene) agentOf(on *probe.Cluster, kubeconfig string) *probe.Cluster {
	s.Helper()
	return on.As(s, filepath.Join(s.stack.Fleet.Dir(), kubeconfig))
}

// identityOf opens the hub as a cluster's agent does, with what it keeps in its
// Secret.
func (s *scene) identityOf(cluster string) *probe.Cluster {
	s.Helper()
	path, err := s.stack.Identity(s.Context(), s.stack.Fleet.Cluster(cluster))
	if err != nil {
		s.Fatal(err)
	}
	return s.hub.As(s, path)
}

// may asks the API server; the answer is the last line.
func may(t *testing.T, who *probe.Cluster, question []string) bool {
	t.Helper()
	out, _ := who.Kubectl(t, append([]string{"auth", "can-i"}, question...)...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	switch answer := lines[len(lines)-1]; {
	case answer == "yes":
		return true
	case answer != "no" && !strings.HasPrefix(answer, "no - "):
		t.Fatalf("kubectl auth can-i %s: %s", strings.Join(question, " "), out)
	}
	return false
}

func TestAnAgentsIdentityOnTheHubReachesItsOwnClusterOnly(t *testing.T) {
	s := begin(t, "rights")
	defer s.end()
	s.define("Righteous", chain)
	s.create("Righteous", "one", everywhere, "")
	s.ready("Righteous", "one", 3)
	agent := s.identityOf(euWest)
	const (
		works    = "manifestworks.work.open-cluster-management.io"
		reports  = "workreports.kronvoy.io"
		targets  = "targets.kronvoy.io"
		clusters = "managedclusters.cluster.open-cluster-management.io"
	)
	allowed := [][]string{
		{"list", works, "-n", euWest}, {"watch", works, "-n", euWest}, {"patch", works, "--subresource=status", "-n", euWest},
		{"list", reports, "-n", euWest}, {"patch", reports, "--subresource=status", "-n", euWest},
		{"get", clusters + "/" + euWest}, {"patch", clusters + "/" + euWest, "--subresource=status"},
		{"patch", "leases.coordination.k8s.io/managed-cluster-lease", "-n", euWest},
	}
	denied := [][]string{
		{"list", works, "-n", usEast}, {"get", works, "-n", usEast}, {"patch", works, "--subresource=status", "-n", usEast}, {"list", works, "-A"},
		{"create", works, "-n", euWest}, {"delete", works, "-n", euWest},
		{"list", reports, "-n", usEast}, {"create", reports, "-n", euWest}, {"patch", reports, "-n", euWest}, {"delete", reports, "-n", euWest},
		{"list", targets, "-n", euWest}, {"get", targets, "-n", euWest}, {"create", targets, "-n", euWest},
		{"get", clusters + "/" + usEast}, {"list", clusters}, {"patch", clusters + "/" + euWest}, {"update", clusters + "/" + euWest}, {"create", clusters}, {"delete", clusters + "/" + euWest},
		{"patch", clusters + "/" + usEast, "--subresource=status"},
		{"patch", "leases.coordination.k8s.io/another", "-n", euWest}, {"list", "leases.coordination.k8s.io", "-n", usEast},
		{"get", "secrets", "-n", euWest}, {"list", "secrets", "-A"}, {"get", "configmaps", "-n", "kronvoy-system"},
		{"list", "resourcegraphdefinitions.kro.run"}, {"list", probe.Resource("Righteous"), "-n", s.ns}, {"list", "controllerrevisions.apps", "-n", s.ns},
		{"create", "rolebindings.rbac.authorization.k8s.io", "-n", euWest}, {"create", "pods", "-n", euWest}, {"create", "serviceaccounts", "--subresource=token", "-n", "kronvoy-system"},
		{"list", "placements.cluster.open-cluster-management.io", "-A"}, {"list", "namespaces"}, {"impersonate", "users"},
	}
	for _, question := range allowed {
		probe.Eventually(t, "its rights", func() error {
			if !may(t, agent, question) {
				return fmt.Errorf("it may not %s", strings.Join(question, " "))
			}
			return nil
		})
	}
	for _, question := range denied {
		if may(t, agent, question) {
			t.Errorf("it may %s", strings.Join(question, " "))
		}
	}
}

func TestAnAgentCannotRelabelItsClusterThroughTheStatus(t *testing.T) {
	s := begin(t, "relabel")
	defer s.end()
	agent := s.identityOf(euWest)
	probe.Eventually(t, "its rights", func() error {
		out, err := agent.Kubectl(t, "get", "managedcluster", euWest)
		if err != nil {
			return errors.New(out)
		}
		return nil
	})
	agent.Patch(t, "managedclusters.cluster.open-cluster-management.io/status", euWest, `{metadata: {labels: {size: forged}}, spec: {taints: [{key: forged, effect: NoSelect}]}}`)
	cluster := s.hub.Get(t, "managedclusters.cluster.open-cluster-management.io", euWest)
	if cluster.GetLabels()["size"] != "large" || cluster.At("spec.taints") != nil {
		t.Errorf("the cluster now has %v and %v", cluster.GetLabels(), cluster.At("spec"))
	}
}

func TestAnAgentOnItsSpokeIsNoAdministrator(t *testing.T) {
	s := begin(t, "spokerights")
	defer s.end()
	agent := s.agentOf(s.spokes[euWest], euWest+"-agent.kubeconfig")
	for _, question := range [][]string{
		{"create", "clusterrolebindings.rbac.authorization.k8s.io"}, {"escalate", "clusterroles.rbac.authorization.k8s.io"}, {"bind", "clusterroles.rbac.authorization.k8s.io"},
		{"create", "mutatingadmissionpolicies.admissionregistration.k8s.io"}, {"create", "nodes"}, {"delete", "nodes"}, {"create", "serviceaccounts", "--subresource=token", "-n", "kube-system"},
		{"create", "pods", "--subresource=exec", "-n", "default"}, {"impersonate", "users"},
	} {
		if may(t, agent, question) {
			t.Errorf("it may %s", strings.Join(question, " "))
		}
	}
}
