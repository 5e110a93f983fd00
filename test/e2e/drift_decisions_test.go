//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/kronvoy/kronvoy/test/probe"
)

const decided = `
schema:
  spec:
    size: string | default="large"
resources:
- id: settings
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}"}
    data: {color: blue, size: "${schema.spec.size}"}`

// person is a kubeconfig for somebody with a ClusterRole on the hub.
func (s *scene) person(name, role string) string {
	s.Helper()
	s.hub.Apply(s, fmt.Sprintf(`
apiVersion: v1
kind: ServiceAccount
metadata: {name: %[1]s, namespace: %[2]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[2]s-%[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[3]s}
subjects: [{kind: ServiceAccount, name: %[1]s, namespace: %[2]s}]`, name, s.ns, role))
	token, err := s.hub.Kubectl(s, "create", "token", name, "-n", s.ns)
	if err != nil {
		s.Fatalf("%v\n%s", err, token)
	}
	config, err := clientcmd.LoadFromFile(s.hub.Kubeconfig)
	if err != nil {
		s.Fatal(err)
	}
	config.AuthInfos = map[string]*api.AuthInfo{"person": {Token: strings.TrimSpace(token)}}
	config.Contexts[config.CurrentContext].AuthInfo = "person"
	file := filepath.Join(s.TempDir(), name+".kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		s.Fatal(err)
	}
	return file
}

// openID waits for the ID of an open finding.
func (s *scene) openID(cluster, kind, name string) string {
	s.Helper()
	id := ""
	probe.Eventually(s, "an open finding about "+name+" on "+cluster, func() error {
		for _, f := range s.report(cluster, kind, name).List("status.findings") {
			if f.Text("action") == "Reported" || f.Text("action") == "Conflict" {
				id = f.Text("id")
				return nil
			}
		}
		return fmt.Errorf("the report is %v", s.report(cluster, kind, name).At("status"))
	})
	return id
}

// edit changes a ConfigMap with kubectl edit.
func (s *scene) edit(cluster, name, sed string) {
	s.Helper()
	s.Setenv("KUBE_EDITOR", "sed -i "+sed)
	if out, err := s.spokes[cluster].Kubectl(s, "-n", s.ns, "edit", "configmap/"+name); err != nil {
		s.Fatalf("%v\n%s", err, out)
	}
}

func TestDriftIsAcceptedAndCorrectedOnOneClusterByThoseWhoMay(t *testing.T) {
	s := begin(t, "decided")
	defer s.end()
	s.define("Decided", decided)
	s.hub.Apply(t, fmt.Sprintf(`
apiVersion: kronvoy.io/v1alpha1
kind: Distribution
metadata: {name: reporting, namespace: %s}
spec:
  instances: {apiVersion: kro.run/v1alpha1, kind: Decided}
  policies: [{drift: Report}]`, s.ns))
	s.create("Decided", "one", everywhere, "")
	s.ready("Decided", "one", 3)
	reader, operator := s.person("reader", "kronvoy-drift-reader"), s.person("operator", "kronvoy-drift-operator")

	s.edit(usEast, "one", "s/color:.blue/color:\\ red/")
	s.edit(euWest, "one", "s/color:.blue/color:\\ red/")
	east, west := s.openID(usEast, "Decided", "one"), s.openID(euWest, "Decided", "one")

	out, err := s.tryKronvoy(reader, "drift", "list", "-n", s.ns, "--exit-code", "-o", "wide")
	if err == nil || !strings.Contains(out, "exit status 2") || !strings.Contains(out, east) || !strings.Contains(out, west) || !strings.Contains(out, "data.color") {
		t.Errorf("list: %v\n%s", err, out)
	}
	since := s.differsSince(euWest, "Decided", "one")
	if since == "" {
		t.Error("the hub does not say since when it differs")
	}
	if out := s.kronvoy("drift", "show", east); !strings.Contains(out, `"blue"`) || !strings.Contains(out, `"red"`) || !strings.Contains(out, "kubectl-edit") {
		t.Errorf("show:\n%s", out)
	}
	if out, err := s.tryKronvoy(reader, "drift", "accept", east); err == nil || !strings.Contains(out, "ClusterRole kronvoy-drift-operator") {
		t.Errorf("a reader may decide: %v\n%s", err, out)
	}

	// Accepted on one cluster: it stays there, over a new manifest and a restart of
	// the hub, and other fields are kept.
	if out, err := s.tryKronvoy(operator, "drift", "accept", east, "--reason", "load test"); err != nil {
		t.Fatalf("accept: %v\n%s", err, out)
	}
	if out, err := s.tryKronvoy(operator, "drift", "accept", east); err != nil {
		t.Errorf("accept, once more: %v\n%s", err, out)
	}
	var accepted []struct{ ID, Cluster, By, Reason string }
	if err := json.Unmarshal([]byte(s.kronvoy("drift", "list", "-n", s.ns, "--accepted", "-o", "json")), &accepted); err != nil {
		t.Fatal(err)
	}
	want := "system:serviceaccount:" + s.ns + ":operator"
	if len(accepted) != 1 || accepted[0].ID != east || accepted[0].Cluster != usEast || accepted[0].By != want || accepted[0].Reason != "load test" {
		t.Errorf("what is accepted is %+v", accepted)
	}
	if out := s.kronvoy("drift", "list", "-n", s.ns); strings.Contains(out, east) || !strings.Contains(out, west) {
		t.Errorf("list after accept:\n%s", out)
	}
	if err := s.stack.Hub.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.create("Decided", "one", everywhere, "size: small")
	s.holds(usEast, "configmaps", "one", "data.size", "small")
	s.holds(usEast, "configmaps", "one", "data.color", "red")
	if after := s.differsSince(euWest, "Decided", "one"); after != since {
		t.Errorf("it differs since %s, and for a hub that starts anew since %q", since, after)
	}

	// Put right on the other one, once.
	if out, err := s.tryKronvoy(operator, "drift", "correct", west); err != nil {
		t.Fatalf("correct: %v\n%s", err, out)
	}
	s.holds(euWest, "configmaps", "one", "data.color", "blue")
	s.holds(usEast, "configmaps", "one", "data.color", "red")
	s.edit(euWest, "one", "s/color:.blue/color:\\ green/")
	if again := s.openID(euWest, "Decided", "one"); again == west {
		t.Error("a new difference has the ID of the one that was put right")
	}
	s.holds(euWest, "configmaps", "one", "data.color", "green")

	// All of it is put right, and the acceptance taken back.
	if out, err := s.tryKronvoy(operator, "drift", "correct", "decided/one", "-n", s.ns); err == nil || !strings.Contains(out, "give --yes") {
		t.Errorf("many were decided without --yes: %v\n%s", err, out)
	}
	if out, err := s.tryKronvoy(operator, "drift", "correct", "decided/one", "-n", s.ns, "--yes"); err != nil {
		t.Errorf("correct all: %v\n%s", err, out)
	}
	s.holds(euWest, "configmaps", "one", "data.color", "blue")
	s.holds(usEast, "configmaps", "one", "data.color", "red")
	if out, err := s.tryKronvoy(operator, "drift", "correct", east); err != nil {
		t.Errorf("correct of what is accepted: %v\n%s", err, out)
	}
	s.holds(usEast, "configmaps", "one", "data.color", "blue")
	for _, cluster := range []string{usEast, euWest} {
		if left, kept := s.target(cluster, "Decided", "one").GetAnnotations()["kronvoy.io/drift-decisions"]; kept {
			t.Errorf("decisions are left on %s: %s", cluster, left)
		}
	}
	s.ready("Decided", "one", 3)
	probe.Eventually(t, "an end of what differed", func() error {
		if left := s.target(euWest, "Decided", "one").Text("status.clocks.driftSince"); left != "" {
			return fmt.Errorf("it still differs since %s", left)
		}
		return nil
	})
}

// differsSince waits until the hub says that something differs, and gives since
// when it does by the hub's clock.
func (s *scene) differsSince(cluster, kind, name string) string {
	s.Helper()
	since := ""
	probe.Eventually(s, "the hub to know of drift on "+cluster, func() error {
		target := s.target(cluster, kind, name)
		if target.Int("status.drift.objects") == 0 {
			return fmt.Errorf("the Target says %v", target.At("status.drift"))
		}
		since = target.Text("status.clocks.driftSince")
		return nil
	})
	return since
}
