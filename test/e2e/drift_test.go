//go:build integration

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/probe"
)

// promptly is how soon drift is put right when a watch tells of it; anything
// that only looks now and then would take longer.
const promptly = 5 * time.Second

const drifting = `
schema:
  spec: {}
resources:
- id: settings
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}"}
    data: {color: blue}
- id: web
  template:
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: "${schema.metadata.name}"}
    spec:
      replicas: 2
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec: {containers: [{name: web, image: "registry.k8s.io/pause:3.10"}]}`

func TestDriftIsPutRightAndReportedWithWho(t *testing.T) {
	s := begin(t, "drift")
	defer s.end()
	s.define("Drifting", drifting)
	cases := map[string]struct {
		resource, path string
		kubectl        []string
		editor         string
		wanted, set    any
		who            string
	}{
		"kubectl scale of a Deployment": {
			resource: "deployments.apps", path: "spec.replicas", wanted: int64(2), set: int64(7), who: "kubectl (scale)",
			kubectl: []string{"scale", "deployment/scaled", "--replicas=7"},
		},
		"kubectl edit of a Deployment": {
			resource: "deployments.apps", path: "spec.replicas", wanted: int64(2), set: int64(5), who: "kubectl-edit",
			kubectl: []string{"edit", "deployment/edited"}, editor: "sed -i s/replicas:.2/replicas:\\ 5/",
		},
		"kubectl edit of a ConfigMap": {
			resource: "configmaps", path: "data.color", wanted: "blue", set: "red", who: "kubectl-edit",
			kubectl: []string{"edit", "configmap/recolored"}, editor: "sed -i s/color:.blue/color:\\ red/",
		},
	}
	for what, tc := range cases {
		t.Run(what, func(t *testing.T) {
			_, name, _ := strings.Cut(tc.kubectl[1], "/")
			s.create("Drifting", name, usEast, "")
			s.ready("Drifting", name, 1)
			uid := s.on(usEast, tc.resource, name).GetUID()
			seen := s.spokes[usEast].Record(t, s.ns, tc.resource)
			t.Setenv("KUBE_EDITOR", tc.editor)
			if out, err := s.spokes[usEast].Kubectl(t, append([]string{"-n", s.ns}, tc.kubectl...)...); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}

			var changed, corrected probe.Event
			probe.Eventually(t, "the change and its correction", func() error {
				changed, corrected = probe.Event{}, probe.Event{}
				for _, event := range seen.Events(t) {
					switch value := event.At(tc.path); {
					case event.GetName() != name:
					case value == tc.set:
						changed = event
					case value == tc.wanted && changed.Object != nil && corrected.Object == nil:
						corrected = event
					}
				}
				if corrected.Object == nil {
					return fmt.Errorf("seen so far: %s", seen.Summary(t))
				}
				return nil
			})
			if took := corrected.Seen.Sub(changed.Seen); took > promptly {
				t.Errorf("it took %s", took)
			}
			if corrected.GetUID() != uid {
				t.Error("the object was replaced")
			}
			s.finding(usEast, "Drifting", name, func(f *probe.Object) error {
				detail := f.List("details")[0]
				got := fmt.Sprint(f.Text("action"), f.Text("resource"), detail.Text("path"), detail.Text("desired"), detail.Text("observed"), detail.Text("manager"))
				want := fmt.Sprint("Corrected", strings.Split(tc.resource, ".")[0], tc.path, asJSON(tc.wanted), asJSON(tc.set), tc.who)
				if got != want {
					return fmt.Errorf("the report says %s, want %s", got, want)
				}
				return nil
			})
			probe.Eventually(t, "Target and instance to tell", func() error {
				target := s.target(usEast, "Drifting", name)
				if last := target.Text("status.drift.last"); !strings.Contains(last, tc.path) || !strings.Contains(last, "by "+tc.who) {
					return fmt.Errorf("the Target says %v", target.At("status.drift"))
				}
				if n := target.Int("status.drift.corrections"); n != 1 {
					return fmt.Errorf("the Target counts %d corrections", n)
				}
				if row := fleetRow(s.instance("Drifting", name), usEast); !strings.Contains(row.Text("drift"), tc.path) {
					return fmt.Errorf("the instance says %v", row)
				}
				return nil
			})
			s.ready("Drifting", name, 1)
		})
	}
}

func asJSON(value any) string {
	if text, ok := value.(string); ok {
		return `"` + text + `"`
	}
	return fmt.Sprint(value)
}

// finding waits until the newest finding about an instance is as it should be.
func (s *scene) finding(cluster, kind, name string, check func(*probe.Object) error) {
	s.Helper()
	probe.Eventually(s, "the drift to be reported", func() error {
		report := s.report(cluster, kind, name)
		findings := report.List("status.findings")
		if len(findings) == 0 {
			return fmt.Errorf("the report is %v", report.At("status"))
		}
		return check(findings[0])
	})
}

func TestAnObjectDeletedByHandComesBack(t *testing.T) {
	s := begin(t, "deleted")
	defer s.end()
	s.define("Deleted", chain)
	s.create("Deleted", "one", euWest, "")
	s.ready("Deleted", "one", 1)
	before := s.on(euWest, "configmaps", "one-first")
	s.spokes[euWest].Delete(t, "configmaps", s.ns+"/one-first")

	after := s.appears(euWest, "configmaps", "one-first")
	if after.GetUID() == before.GetUID() {
		t.Error("it was never deleted")
	}
	s.finding(euWest, "Deleted", "one", func(f *probe.Object) error {
		if f.Text("name") != "one-first" || f.At("missing") != true || f.Text("action") != "Corrected" {
			return fmt.Errorf("the finding is %v", f)
		}
		return nil
	})
	// What depends on it has its value of it.
	s.holds(euWest, "configmaps", "one-second", "data.before", string(after.GetUID()))
	s.ready("Deleted", "one", 1)
}

func TestAWorkEditedByHandOnTheHubIsRepaired(t *testing.T) {
	s := begin(t, "edited")
	defer s.end()
	s.define("Edited", drifting)
	const works = "manifestworks.work.open-cluster-management.io"
	cases := map[string]struct {
		edit func(work *probe.Object)
		// replaced is true where the edit tells the agent to delete the objects.
		replaced bool
	}{
		"a manifest says something else": {edit: func(work *probe.Object) {
			work.List("spec.workload.manifests")[0].Object["data"] = map[string]any{"color": "red"}
		}},
		"the policies are gone": {edit: func(work *probe.Object) {
			annotate(work, "kronvoy.io/manifest-policies", nil)
		}},
		"the hash is another one": {edit: func(work *probe.Object) {
			annotate(work, "kronvoy.io/hash", "forged")
		}},
		"readiness has another rule": {edit: func(work *probe.Object) {
			work.List("spec.manifestConfigs")[0].Object["conditionRules"] = []any{map[string]any{
				"type": "CEL", "condition": "Ready", "celExpressions": []any{"true"}}}
		}},
		"objects are to be left behind": {edit: func(work *probe.Object) {
			work.At("spec").(map[string]any)["deleteOption"] = map[string]any{"propagationPolicy": "Orphan"}
		}},
		"a manifest is missing": {replaced: true, edit: func(work *probe.Object) {
			spec := work.At("spec").(map[string]any)
			manifests := work.At("spec.workload.manifests").([]any)
			spec["workload"] = map[string]any{"manifests": manifests[1:]}
		}},
	}
	i := 0
	for what, tc := range cases {
		i++
		name := fmt.Sprintf("edited-%d", i)
		t.Run(what, func(t *testing.T) {
			s.create("Edited", name, euWest, "")
			s.ready("Edited", name, 1)
			before := s.works(euWest, "Edited", name)[0]
			settings := s.on(euWest, "configmaps", name)
			edited := &probe.Object{Unstructured: before.DeepCopy()}
			tc.edit(edited)
			text, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": edited.At("metadata.annotations")}, "spec": edited.At("spec")})
			if err != nil {
				t.Fatal(err)
			}
			after := s.hub.Patch(t, works, before.GetNamespace()+"/"+before.GetName(), string(text))
			if after.GetResourceVersion() == before.GetResourceVersion() {
				t.Fatal("the edit changed nothing")
			}
			probe.Eventually(t, "the work to be repaired", func() error {
				now := s.works(euWest, "Edited", name)[0]
				if diff := cmp.Diff(before.At("spec"), now.At("spec")); diff != "" {
					return errors.New(diff)
				}
				if diff := cmp.Diff(unmarked(before), unmarked(now)); diff != "" {
					return errors.New(diff)
				}
				return nil
			})
			probe.Eventually(t, "the object to be as it was", func() error {
				now := s.on(euWest, "configmaps", name)
				if now == nil || now.GetDeletionTimestamp() != nil || now.Text("data.color") != "blue" || now.GetUID() != settings.GetUID() && !tc.replaced {
					return fmt.Errorf("it is %v", now)
				}
				return nil
			})
			s.ready("Edited", name, 1)
		})
	}
}

// annotate sets an annotation; nil takes it off.
func annotate(work *probe.Object, name string, value any) {
	work.At("metadata.annotations").(map[string]any)[name] = value
}

// unmarked are a work's annotations without the mark that something left it,
// and the hash, which depends on it.
func unmarked(work *probe.Object) map[string]string {
	marks := work.GetAnnotations()
	delete(marks, "kronvoy.io/shrunk")
	delete(marks, "kronvoy.io/hash")
	return marks
}

// policy overrides one field and adds another on every ConfigMap in a
// namespace, as a spoke's own admission does.
const policy = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: %[1]s}
spec:
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], resources: [configmaps], operations: [CREATE, UPDATE]}]
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: 'Object{metadata: Object.metadata{annotations: {"example.com/seen": "yes"}}, data: {"color": "grey"}}'
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: %[1]s}
spec: {policyName: %[1]s}`

func TestAMutatingAdmissionPolicyOnTheSpokeIsNoDrift(t *testing.T) {
	s := begin(t, "mutated")
	defer s.end()
	spoke := s.spokes[euWest]
	spoke.Apply(t, `{apiVersion: v1, kind: Namespace, metadata: {name: mutated}}`)
	spoke.Apply(t, fmt.Sprintf(policy, s.ns))
	defer spoke.Delete(t, "mutatingadmissionpolicies.admissionregistration.k8s.io", s.ns)
	defer spoke.Delete(t, "mutatingadmissionpolicybindings.admissionregistration.k8s.io", s.ns)
	probe.Eventually(t, "the policy to be in force", func() error {
		spoke.Apply(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: probe, namespace: mutated, labels: {at: "`+fmt.Sprint(time.Now().UnixNano())+`"}}}`)
		if got := s.on(euWest, "configmaps", "probe").Text("data.color"); got != "grey" {
			return fmt.Errorf("color is %q", got)
		}
		return nil
	})
	s.define("Mutated", drifting)
	s.create("Mutated", "one", euWest, "")
	s.ready("Mutated", "one", 1)
	if got := s.on(euWest, "configmaps", "one"); got.Text("data.color") != "grey" || got.GetAnnotations()["example.com/seen"] != "yes" {
		t.Fatalf("the policy did nothing: %v", got)
	}
	s.audit.Quiet(t, 2*time.Second)
	begin := time.Now()
	// Something else changes the object: the agent looks at it again.
	spoke.Patch(t, "configmaps", "mutated/one", `{metadata: {labels: {touched: "yes"}}}`)
	s.finding(euWest, "Mutated", "one", func(f *probe.Object) error {
		if f.Text("action") != "MutatedOnAdmission" || f.List("details")[0].Text("path") != "data.color" {
			return fmt.Errorf("the finding is %v", f)
		}
		return nil
	})
	s.audit.Quiet(t, 2*time.Second)

	report := s.report(euWest, "Mutated", "one")
	if n, corrections := report.Int("status.findingCount"), report.Int("status.corrections"); n != 0 || corrections != 0 {
		t.Errorf("the report counts %d objects that differ and %d corrections: %v", n, corrections, report.At("status"))
	}
	if got := s.instance("Mutated", "one").Condition("Drifted"); got.Status != "False" {
		t.Errorf("Drifted is %v", got)
	}
	if writes := s.audit.Since(t, begin); len(writes) > 0 {
		t.Errorf("something was written about it:%s", probe.Lines(writes))
	}
}
