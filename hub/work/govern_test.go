package work

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/policy"
)

// governed is what all works say of the objects' drift and deletion, by name.
func (w *world) governed() map[string]string {
	said := map[string]string{}
	for _, x := range w.works {
		policies, err := kronvoyv1alpha1.ParseManifestPolicies(x.Annotations)
		if err != nil {
			w.t.Fatal(err)
		}
		for i, p := range policies {
			text := string(p.Drift) + "/" + string(p.Deletion)
			for _, field := range p.Fields {
				text += " " + strings.Join(field.Paths, ",") + "=" + string(field.Drift)
			}
			said[x.Spec.ManifestConfigs[i].ResourceIdentifier.Name] = text
		}
	}
	return said
}

// accounts are the names of the service accounts that the works act as, in
// order; empty for the agent itself.
func (w *world) accounts() []string {
	var names []string
	for _, x := range w.works {
		name := ""
		if x.Spec.Executor != nil {
			name = x.Spec.Executor.Subject.ServiceAccount.Name
		}
		names = append(names, name)
	}
	return names
}

func executor(name string) *workv1.ManifestWorkExecutor {
	return &workv1.ManifestWorkExecutor{Subject: workv1.ManifestWorkExecutorSubject{
		Type: workv1.ExecutorSubjectTypeServiceAccount, ServiceAccount: &workv1.ManifestWorkSubjectServiceAccount{Namespace: "shop", Name: name},
	}}
}

var orphans = policy.Policies{
	{Nodes: []string{"b"}, Paths: []string{"data"}, Drift: kronvoyv1alpha1.DriftIgnore},
	{Drift: kronvoyv1alpha1.DriftReport, Deletion: kronvoyv1alpha1.DeletionOrphan},
}

func TestPoliciesReachAllManifestsAtOnceAndAreNoNewRevision(t *testing.T) {
	w := chained(t)
	want(t, "without a Distribution", map[string]string{"a": "/", "b": "/", "c": "/"}, w.governed())
	before := w.works[0].Generation
	// b and c are held, so that they stay as they were shipped.
	w.mute, w.unready = true, map[string]bool{"a": true}
	w.answer()
	w.policies = orphans
	w.step(false)
	want(t, "the state of c", graph.Held, w.last.Nodes[2].State)
	want(t, "policies", map[string]string{"a": "Report/Orphan", "b": "Report/Orphan data=Ignore", "c": "Report/Orphan"}, w.governed())
	want(t, "revision", "r1", w.works[0].Annotations[kronvoyv1alpha1.AnnotationRevision])
	want(t, "another hash", true, w.works[0].Generation > before)
	w.policies = nil
	w.step(false)
	want(t, "without them again", map[string]string{"a": "/", "b": "/", "c": "/"}, w.governed())
}

func TestAnExternalReferenceTakesNoPolicies(t *testing.T) {
	w := newWorld(t, compile(t, graph.NodeSource{ID: "a", External: &graph.ExternalSource{APIVersion: "v1", Kind: "ConfigMap", Name: "a"}}, graph.NodeSource{ID: "b", Template: configMap("b", "x")}))
	w.policies = orphans
	w.step(false)
	want(t, "policies", map[string]string{"a": "/", "b": "Report/Orphan data=Ignore"}, w.governed())
	restated, err := Restate(w.works, w.policies, kronvoys)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "works to restate", 0, len(restated.Works))
}

func TestAnOrphanKeepsAllElseAsItWasShipped(t *testing.T) {
	w := chained(t)
	w.policies = policy.Policies{{Paths: []string{"data"}, Drift: kronvoyv1alpha1.DriftIgnore}, {Drift: kronvoyv1alpha1.DriftReport}}
	w.step(false)
	want(t, "policies", map[string]string{"a": "Report/ data=Ignore", "b": "Report/ data=Ignore", "c": "Report/ data=Ignore"}, w.governed())
	orphan, err := Orphan(w.works, kronvoys)
	if err != nil {
		t.Fatal(err)
	}
	w.write(orphan)
	want(t, "policies", map[string]string{"a": "Report/Orphan data=Ignore", "b": "Report/Orphan data=Ignore", "c": "Report/Orphan data=Ignore"}, w.governed())
	if again, err := Orphan(w.works, kronvoys); err != nil || len(again.Works) > 0 {
		t.Errorf("the same again would be written: %v", err)
	}
}

func TestTeardownKeepsTheExecutorAndBeginsWithThePoliciesAsTheyAre(t *testing.T) {
	w := chained(t)
	want(t, "executors", []string{""}, w.accounts())
	w.executor = executor("deployer")
	w.step(false)
	want(t, "executors", []string{"deployer"}, w.accounts())
	restated, err := Restate(w.works, orphans, kronvoys)
	if err != nil {
		t.Fatal(err)
	}
	w.write(restated)
	want(t, "policies", map[string]string{"a": "Report/Orphan", "b": "Report/Orphan data=Ignore", "c": "Report/Orphan"}, w.governed())
	if again, err := Restate(w.works, orphans, kronvoys); err != nil || len(again.Works) > 0 {
		t.Errorf("the same again would be written: %v", err)
	}
	want(t, "the hash is that of the work", HashOf(w.works[0]), w.works[0].Annotations[kronvoyv1alpha1.AnnotationHash])
	w.executor, w.policies = nil, nil
	w.answer()
	w.step(true)
	want(t, "what is left", map[string]string{"a": "Report/Orphan", "b": "Report/Orphan data=Ignore"}, w.governed())
	want(t, "executors", []string{"deployer"}, w.accounts())
}

func TestADeletionThatIsRefusedSaysWhy(t *testing.T) {
	w := chained(t)
	w.stuck["c"] = true
	w.step(true)
	for _, report := range w.reports {
		for i := range report.Status.Deleting {
			report.Status.Deleting[i].Message = "shop:deployer cannot delete"
		}
	}
	plan := w.step(true)
	want(t, "withheld", "ConfigMap shop/c is still being deleted: shop:deployer cannot delete", plan.Withheld)
}

func TestTheEndOfTheLastWorkIsWaitedForWithWhatTheAgentSays(t *testing.T) {
	w := chained(t)
	last := w.works[0].DeepCopy()
	last.DeletionTimestamp = &metav1.Time{}
	last.Status.Conditions = []metav1.Condition{{Type: workv1.WorkDeleting, Status: "True", Message: "shop:deployer cannot delete"}}
	plan, err := Build(Input{Identity: shop, Cluster: "c1", Previous: []*workv1.ManifestWork{last}, Reports: w.reports, Capabilities: Capabilities{Reports: true}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "remaining", 3, plan.Remaining)
	want(t, "withheld", "work "+last.Name+" is still being deleted: shop:deployer cannot delete", plan.Withheld)
}

func TestPoliciesFitIntoAnAnnotation(t *testing.T) {
	var paths []string
	for range 16 {
		paths = append(paths, strings.Repeat("x", 250))
	}
	var manifests []manifest
	for range 100 {
		manifests = append(manifests, manifest{chunk: -1, policy: kronvoyv1alpha1.ManifestPolicy{Node: "a", Fields: []kronvoyv1alpha1.FieldPolicy{{Paths: paths}}}})
	}
	chunks, total := pack(manifests, nil), 0
	for _, chunk := range chunks {
		total += len(chunk)
		w := assemble(Input{Identity: shop, Capabilities: kronvoys}, 0, chunk, nil)
		if size := len(w.Annotations[kronvoyv1alpha1.AnnotationManifestPolicies]); size > maxPolicyBytes+len(chunk)+2 {
			t.Errorf("an annotation has %d bytes", size)
		}
	}
	want(t, "manifests", 100, total)
	want(t, "in several works", true, len(chunks) > 1)
}
