//go:build integration

package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// auditPolicy notes every request of the hub, reads too.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["system:serviceaccount:kronvoy-system:kronvoy-hub"]
- level: None
`

// auditArgs turn that on for the hub's API server.
func (w *world) auditArgs() ([]string, error) {
	policy := filepath.Join(w.dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, fmt.Errorf("writing the audit policy: %w", err)
	}
	return []string{"--audit-policy-file=" + policy, "--audit-log-path=" + w.auditLog(), "--audit-log-mode=blocking", "--audit-log-maxsize=1000"}, nil
}

func (w *world) auditLog() string { return filepath.Join(w.dir, "hub.audit.log") }

// right is one verb on one resource of a group.
type right struct{ group, resource, verb string }

func (r right) String() string { return r.verb + " " + r.resource + "." + r.group }

// unseen are kinds that no request of the hub shows, with the reason why it has
// rights on them all the same.
var unseen = map[string]string{
	"managedclusters/accept.register.open-cluster-management.io":             "admission asks for it when a token is accepted",
	"managedclustersets/join.cluster.open-cluster-management.io":             "admission asks for it when a token's labels name a set",
	"managedclusters/clientcertificates.register.open-cluster-management.io": "RBAC asks for it when the hub grants it to a cluster",
	"signers.certificates.k8s.io":                                            "admission asks for it when a certificate is approved",
	"*/finalizers.kro.run":                                                   "admission plugin OwnerReferencesPermissionEnforcement, where it is on",
	"distributions/finalizers.kronvoy.io":                                    "the same",
	"manifestworks/finalizers.work.open-cluster-management.io":               "the same",
	"managedclusters/finalizers.cluster.open-cluster-management.io":          "the same",
	"placements/finalizers.cluster.open-cluster-management.io":               "the same",
	"rollouts/status.kronvoy.io":                                             "no Distribution rolls during the attacks",
	"serviceaccounts.":                                                       "no token is made during the attacks",
	"subjectaccessreviews.authorization.k8s.io":                              "no certificate is renewed during the attacks",
}

// TestTheHubHasNoRightsOnKindsThatItDoesNotTouch reads in the audit log what the
// hub asked for, and compares that with what config/hub grants it. Verbs that were
// not used are shown for review: some are for rare moments.
func TestTheHubHasNoRightsOnKindsThatItDoesNotTouch(t *testing.T) {
	w := shared.Get(t)
	used := w.used(t)
	var verbs []string
	for r, role := range w.granted(t) {
		on := func(u right) bool {
			return u.group == r.group && (u.resource == r.resource || r.resource == "*" && !strings.Contains(u.resource, "/"))
		}
		_, known := unseen[r.resource+"."+r.group]
		switch {
		case known:
		case !slices.ContainsFunc(used, on):
			t.Errorf("%s grants %s, and no request is about that kind: take it away, or say in this test why it is there", role, r)
		case !slices.ContainsFunc(used, func(u right) bool { return on(u) && u.verb == r.verb }):
			verbs = append(verbs, r.String())
		}
	}
	slices.Sort(verbs)
	t.Logf("granted, and not used during the attacks:\n  %s", strings.Join(verbs, "\n  "))
}

func (w *world) used(t *testing.T) []right {
	t.Helper()
	log, err := os.ReadFile(w.auditLog())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[right]bool{}
	for line := range bytes.Lines(log) {
		var event struct {
			Verb      string `json:"verb"`
			ObjectRef *struct {
				Group       string `json:"apiGroup"`
				Resource    string `json:"resource"`
				Subresource string `json:"subresource"`
			} `json:"objectRef"`
		}
		if json.Unmarshal(line, &event) != nil || event.ObjectRef == nil {
			continue // the last line is being written; others are about no resource
		}
		resource := event.ObjectRef.Resource
		if event.ObjectRef.Subresource != "" {
			resource += "/" + event.ObjectRef.Subresource
		}
		seen[right{event.ObjectRef.Group, resource, event.Verb}] = true
	}
	var all []right
	for r := range seen {
		all = append(all, r)
	}
	return all
}

// granted are the hub's rights on its own cluster, by the file that grants them.
func (w *world) granted(t *testing.T) map[right]string {
	t.Helper()
	text, err := os.ReadFile(w.stack.Config("hub", "rbac.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[right]string{}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			t.Fatal(err)
		}
		if role.Kind != "ClusterRole" || role.Labels["rbac.kronvoy.io/aggregate-to-hub"] != "true" {
			continue
		}
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						all[right{group, resource, verb}] = "ClusterRole " + role.Name
					}
				}
			}
		}
	}
	return all
}
