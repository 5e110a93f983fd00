package apply

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/live"
)

// kinds is a cluster that serves these.
type kinds map[string]bool // kind: namespaced

func (k kinds) Resource(gvk schema.GroupVersionKind) (schema.GroupVersionResource, bool, error) {
	namespaced, served := k[gvk.Kind]
	if !served {
		return schema.GroupVersionResource{}, false, &apimeta.NoKindMatchError{GroupKind: gvk.GroupKind(), SearchedVersions: []string{gvk.Version}}
	}
	plural, _ := apimeta.UnsafeGuessKindToResource(gvk)
	return plural, namespaced, nil
}

var served = kinds{"ConfigMap": true, "Namespace": false, "Deployment": true}

func manifestWork(annotations map[string]string, manifests ...string) *workv1.ManifestWork {
	work := &workv1.ManifestWork{ObjectMeta: metav1.ObjectMeta{Name: "one", Annotations: annotations}}
	for _, manifest := range manifests {
		work.Spec.Workload.Manifests = append(work.Spec.Workload.Manifests, workv1.Manifest{RawExtension: runtime.RawExtension{Raw: []byte(manifest)}})
	}
	return work
}

func TestWhatIsWrongWithAManifestIsItsOwnProblem(t *testing.T) {
	const fine = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"fine","namespace":"a"}}`
	tests := map[string]struct {
		manifest, reason, message string
	}{
		"fine":                {manifest: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"x","namespace":"ignored"}}`},
		"no-json":             {`{`, kronvoyv1alpha1.ReasonInvalidManifest, "reading manifest 0: unexpected end of JSON input"},
		"no-kind":             {`{"apiVersion":"v1"}`, kronvoyv1alpha1.ReasonInvalidManifest, "manifest 0 has no apiVersion or no kind"},
		"no-name":             {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"generateName":"x-"}}`, kronvoyv1alpha1.ReasonInvalidManifest, "manifest 0, a ConfigMap, has no metadata.name"},
		"no-namespace":        {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"}}`, kronvoyv1alpha1.ReasonInvalidManifest, "manifest 0, ConfigMap x, has no metadata.namespace"},
		"an-unknown-kind":     {`{"apiVersion":"e.com/v1","kind":"Widget","metadata":{"name":"x"}}`, kronvoyv1alpha1.ReasonNoSuchKind, `looking up e.com/v1, Kind=Widget: no matches for kind "Widget" in version "e.com/v1"`},
		"the-same-once-more":  {fine, "", ""},
		"an-ill-typed-object": {`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":7}}`, kronvoyv1alpha1.ReasonInvalidManifest, "reading manifest 0: json: cannot unmarshal number into Go struct field .metadata.name of type string"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := NewWork(manifestWork(nil, tt.manifest, fine), served)
			message := ""
			if w.Items[0].Problem != nil {
				message = w.Items[0].Problem.Error()
			}
			if w.Items[0].Reason != tt.reason || message != tt.message {
				t.Errorf("%s: %s", w.Items[0].Reason, message)
			}
			if duplicate := tt.manifest == fine; (w.Items[1].Problem != nil) != duplicate {
				t.Errorf("the other manifest: %v", w.Items[1].Problem)
			}
		})
	}
}

func TestConfigsAndPoliciesOfAManifest(t *testing.T) {
	const manifest = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"a"}}`
	id := workv1.ResourceIdentifier{Resource: "configmaps", Namespace: "a", Name: "x"}
	any := workv1.ResourceIdentifier{Resource: "configmaps", Namespace: "*", Name: "*"}
	ssa := func(force bool) *workv1.UpdateStrategy {
		return &workv1.UpdateStrategy{Type: workv1.UpdateStrategyTypeServerSideApply, ServerSideApply: &workv1.ServerSideApplyConfig{Force: force, FieldManager: "work-agent-x"}}
	}
	type got struct {
		Strategy workv1.UpdateStrategyType
		Manager  string
		Adopt    Adoption
		Orphan   bool
	}
	tests := map[string]struct {
		configs  []workv1.ManifestConfigOption
		policies string
		option   *workv1.DeleteOption
		want     got
	}{
		"no-config-is-ocms-update":          {want: got{Strategy: workv1.UpdateStrategyTypeUpdate, Manager: "work-agent", Adopt: AdoptAlways}},
		"server-side-apply-merges":          {configs: []workv1.ManifestConfigOption{{ResourceIdentifier: id, UpdateStrategy: ssa(false)}}, want: got{workv1.UpdateStrategyTypeServerSideApply, "work-agent-x", AdoptMerge, false}},
		"forced-it-takes":                   {configs: []workv1.ManifestConfigOption{{ResourceIdentifier: any, UpdateStrategy: ssa(true)}}, want: got{workv1.UpdateStrategyTypeServerSideApply, "work-agent-x", AdoptAlways, false}},
		"the-first-that-sets-a-field-wins":  {configs: []workv1.ManifestConfigOption{{ResourceIdentifier: any}, {ResourceIdentifier: id, UpdateStrategy: ssa(false)}, {ResourceIdentifier: any, UpdateStrategy: ssa(true)}}, want: got{workv1.UpdateStrategyTypeServerSideApply, "work-agent-x", AdoptMerge, false}},
		"another-object's-config":           {configs: []workv1.ManifestConfigOption{{ResourceIdentifier: workv1.ResourceIdentifier{Resource: "configmaps", Namespace: "a", Name: "y"}, UpdateStrategy: ssa(false)}}, want: got{Strategy: workv1.UpdateStrategyTypeUpdate, Manager: "work-agent", Adopt: AdoptAlways}},
		"a-policy-without-takeover":         {configs: []workv1.ManifestConfigOption{{ResourceIdentifier: id, UpdateStrategy: ssa(false)}}, policies: `[{"node":"a"}]`, want: got{workv1.UpdateStrategyTypeServerSideApply, "work-agent-x", AdoptIfNoDiff, false}},
		"a-policy":                          {configs: []workv1.ManifestConfigOption{{ResourceIdentifier: id, UpdateStrategy: ssa(false)}}, policies: `[{"node":"a","takeover":"Never","deletion":"Orphan"}]`, want: got{workv1.UpdateStrategyTypeServerSideApply, "work-agent-x", AdoptNever, true}},
		"the-work-orphans-all":              {option: &workv1.DeleteOption{PropagationPolicy: workv1.DeletePropagationPolicyTypeOrphan}, want: got{workv1.UpdateStrategyTypeUpdate, "work-agent", AdoptAlways, true}},
		"the-work-orphans-this":             {option: &workv1.DeleteOption{PropagationPolicy: workv1.DeletePropagationPolicyTypeSelectivelyOrphan, SelectivelyOrphan: &workv1.SelectivelyOrphan{OrphaningRules: []workv1.OrphaningRule{{Resource: "configmaps", Namespace: "a", Name: "x"}}}}, want: got{workv1.UpdateStrategyTypeUpdate, "work-agent", AdoptAlways, true}},
		"the-work-orphans-something-else":   {option: &workv1.DeleteOption{PropagationPolicy: workv1.DeletePropagationPolicyTypeSelectivelyOrphan, SelectivelyOrphan: &workv1.SelectivelyOrphan{OrphaningRules: []workv1.OrphaningRule{{Resource: "configmaps", Namespace: "a", Name: "y"}}}}, want: got{workv1.UpdateStrategyTypeUpdate, "work-agent", AdoptAlways, false}},
		"read-only-is-never-applied-at-all": {configs: []workv1.ManifestConfigOption{{ResourceIdentifier: id, UpdateStrategy: &workv1.UpdateStrategy{Type: workv1.UpdateStrategyTypeReadOnly}}}, want: got{workv1.UpdateStrategyTypeReadOnly, "work-agent", AdoptAlways, false}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			annotations := map[string]string{}
			if tt.policies != "" {
				annotations[kronvoyv1alpha1.AnnotationManifestPolicies] = tt.policies
			}
			work := manifestWork(annotations, manifest)
			work.Spec.ManifestConfigs, work.Spec.DeleteOption = tt.configs, tt.option
			item := NewWork(work, served).Items[0]
			if item.Problem != nil {
				t.Fatal(item.Problem)
			}
			if diff := cmp.Diff(tt.want, got{item.Strategy, item.Manager, item.Adopt, item.Orphan}); diff != "" {
				t.Errorf("item (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNothingIsAppliedUnderPoliciesThatCannotBeRead(t *testing.T) {
	const manifest = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"a"}}`
	for name, annotations := range map[string]map[string]string{
		"no-json":           {kronvoyv1alpha1.AnnotationManifestPolicies: `[`},
		"too-few":           {kronvoyv1alpha1.AnnotationManifestPolicies: `[]`},
		"no-observe-json":   {kronvoyv1alpha1.AnnotationObserve: `{"fields":1}`},
		"a-bad-path":        {kronvoyv1alpha1.AnnotationManifestPolicies: `[{"fields":[{"paths":["a["],"drift":"Report"}]}]`},
		"a-later-policy":    {kronvoyv1alpha1.AnnotationManifestPolicies: `[{"drift":"Prevent"}]`},
		"a-later-one-below": {kronvoyv1alpha1.AnnotationManifestPolicies: `[{"fields":[{"paths":["a"],"drift":"Prevent"}]}]`},
	} {
		t.Run(name, func(t *testing.T) {
			item := NewWork(manifestWork(annotations, manifest), served).Items[0]
			if item.Reason != kronvoyv1alpha1.ReasonInvalidPolicy {
				t.Errorf("%s: %v", item.Reason, item.Problem)
			}
		})
	}
}

func TestTheBodyCarriesOurMarksAndNobodyElses(t *testing.T) {
	item := newItem(0, []byte(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"x","namespace":"a","uid":"u","resourceVersion":"7",
		"creationTimestamp":null,"managedFields":[],"labels":{"app":"web"},
		"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}","kronvoy.io/hash":"h1-x"}},
		"stringData":{"password":"p"},"data":{"user":"dQ=="},"status":{"x":1}}`), kinds{"Secret": true})
	r := &run{owner: ownerReference("hub-one", types.UID("owner"))}
	got, err := r.body(item, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"apiVersion": "v1", "kind": "Secret", "data": map[string]any{"user": "dQ==", "password": "cA=="},
		"metadata": map[string]any{
			"name": "x", "namespace": "a",
			"labels":      map[string]any{"app": "web", "kronvoy.io/managed": "true"},
			"annotations": map[string]any{"kronvoy.io/hash": "h1-x"},
			"ownerReferences": []any{map[string]any{
				"apiVersion": "work.open-cluster-management.io/v1", "kind": "AppliedManifestWork", "name": "hub-one", "uid": "owner",
			}},
		},
	}
	if diff := cmp.Diff(want, got.Object); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	item.Orphan = true
	if got, _ := r.body(item, nil, nil); len(got.GetOwnerReferences()) > 0 {
		t.Error("an orphan has an owner")
	}
}

func TestManifestsAreAppliedInTheOrderOfNeed(t *testing.T) {
	var items []*Item
	for _, kind := range []string{"/Deployment", "rbac.authorization.k8s.io/Role", "apiextensions.k8s.io/CustomResourceDefinition", "/Namespace", "/ConfigMap"} {
		gvk := schema.ParseGroupKind(kind)
		var item Item
		for i := range kind {
			if kind[i] == '/' {
				gvk = schema.GroupKind{Group: kind[:i], Kind: kind[i+1:]}
			}
		}
		item.GVK = gvk.WithVersion("v1")
		items = append(items, &item)
	}
	var got []string
	for _, item := range inOrder(items) {
		got = append(got, item.GVK.Kind)
	}
	if diff := cmp.Diff([]string{"Namespace", "CustomResourceDefinition", "Role", "Deployment", "ConfigMap"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestWhatFailedBeforeComesLast(t *testing.T) {
	r := &run{st: &workState{objects: map[live.Key]*objectState{}}}
	var items []*Item
	for _, name := range []string{"bad", "good", "worse", "new"} {
		item := &Item{Key: live.Key{Name: name}}
		items = append(items, item)
		if name != "new" {
			r.st.objects[item.Key] = &objectState{}
		}
		if name == "bad" || name == "worse" {
			r.st.objects[item.Key].failure = &failure{}
		}
	}
	var got []string
	for _, item := range r.failedLast(items) {
		got = append(got, item.Key.Name)
	}
	if diff := cmp.Diff([]string{"good", "new", "bad", "worse"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestErrorsBecomeReasonsAndMessages(t *testing.T) {
	item := newItem(0, []byte(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"a"}}`), served)
	kind := schema.GroupKind{Group: "apps", Kind: "Deployment"}
	conflict := apierrors.NewApplyConflict([]metav1.StatusCause{
		{Type: metav1.CauseTypeFieldManagerConflict, Field: ".spec.replicas", Message: `conflict with "hpa" using apps/v1`},
		{Type: metav1.CauseTypeFieldManagerConflict, Field: ".spec.paused", Message: `conflict with "hpa" using apps/v1`},
		{Type: metav1.CauseTypeFieldManagerConflict, Field: ".metadata.labels.x", Message: `conflict with "kubectl"`},
	}, "conflicts")
	immutable := apierrors.NewInvalid(kind, "web", field.ErrorList{field.Invalid(field.NewPath("spec", "selector"), "x", "field is immutable")})
	tests := map[string]struct {
		err             error
		reason, message string
		passing         bool
	}{
		"conflict":  {err: conflict, reason: kronvoyv1alpha1.ReasonApplyConflict, message: `Deployment a/web: "hpa" using apps/v1 owns spec.paused, spec.replicas; "kubectl" owns metadata.labels.x`},
		"immutable": {err: immutable, reason: kronvoyv1alpha1.ReasonImmutableField, message: `Deployment a/web: the manifest changes spec.selector, which cannot change; delete the object or undo the change: Deployment.apps "web" is invalid: spec.selector: Invalid value: "x": field is immutable`},
		"set-once": {
			err:     apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, "web", field.ErrorList{field.Invalid(field.NewPath("spec", "clusterIPs").Index(0), "x", "may not change once set")}),
			reason:  kronvoyv1alpha1.ReasonImmutableField,
			message: `Deployment a/web: the manifest changes spec.clusterIPs[0], which cannot change; delete the object or undo the change: Service "web" is invalid: spec.clusterIPs[0]: Invalid value: "x": may not change once set`,
		},
		"invalid":   {err: apierrors.NewInvalid(kind, "web", nil), reason: workv1.AppliedManifestFailed, message: `Deployment a/web: Deployment.apps "web" is invalid`},
		"forbidden": {err: apierrors.NewForbidden(schema.GroupResource{Resource: "deployments"}, "web", errors.New("no")), reason: kronvoyv1alpha1.ReasonForbidden, message: `Deployment a/web: deployments "web" is forbidden: no`},
		"no-namespace": {
			err: apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "a"), reason: workv1.AppliedManifestFailed,
			message: `Deployment a/web: namespaces "a" not found`, passing: true,
		},
		"a-lost-connection": {err: fmt.Errorf("EOF"), reason: workv1.AppliedManifestFailed, message: "Deployment a/web: EOF", passing: true},
		"too-many":          {err: apierrors.NewTooManyRequests("slow down", 1), reason: workv1.AppliedManifestFailed, message: "Deployment a/web: slow down", passing: true},
		"a-refusal":         {err: &refusal{item: item, policy: AdoptNever}, reason: kronvoyv1alpha1.ReasonTakeoverRefused, message: "Deployment a/web: the object exists and is not ours, takeover policy Never"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			reason, message := explain(item, tt.err)
			if reason != tt.reason || message != tt.message {
				t.Errorf("%s: %s", reason, message)
			}
			if got := passing(tt.err); got != tt.passing {
				t.Errorf("passing: %t", got)
			}
		})
	}
}

func TestAFightIsBackedOff(t *testing.T) {
	now := time.Unix(0, 0)
	var f fight
	var waits []time.Duration
	for range 6 {
		waits = append(waits, f.wait(now))
		f.corrected(now)
	}
	want := []time.Duration{0, 0, 0, time.Second, 2 * time.Second, 4 * time.Second}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	if got := f.wait(now.Add(fightOver)); got != 0 {
		t.Errorf("after a quiet time the wait is %s", got)
	}
}

func TestAFightGoesOnAfterARestart(t *testing.T) {
	now := time.Unix(1000, 0)
	var f fight
	for range 6 {
		f.corrected(now)
		now = now.Add(time.Second)
	}
	next := stamp(now.Add(f.wait(now)))
	var after fight
	after.recall(&kronvoyv1alpha1.Finding{FirstSeen: stamp(f.since), Count: int64(f.count), NextCorrection: &next})
	if diff := cmp.Diff(f, after, cmp.AllowUnexported(fight{})); diff != "" {
		t.Errorf("the fight (-before +after):\n%s", diff)
	}
	var none fight
	none.recall(&kronvoyv1alpha1.Finding{Count: 9})
	if none != (fight{}) {
		t.Errorf("a finding that is no fight gives %v", none)
	}
}

func TestKindsSurviveTheAnnotation(t *testing.T) {
	want := map[schema.GroupVersionResource]bool{
		{Version: "v1", Resource: "configmaps"}:                                   true,
		{Group: "apps", Version: "v1", Resource: "deployments"}:                   true,
		{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"}: true,
	}
	text := formatKinds(want)
	if text != "configmaps.v1.,deployments.v1.apps,gateways.v1.gateway.networking.k8s.io" {
		t.Errorf("written as %q", text)
	}
	if diff := cmp.Diff(want, parseKinds(text)); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	if got := parseKinds(""); len(got) > 0 {
		t.Errorf("nothing is read as %v", got)
	}
}

func TestAnObjectInAnotherVersionIsTheSame(t *testing.T) {
	inv := newInventory(&workv1.AppliedManifestWork{})
	old := live.Key{Resource: schema.GroupVersionResource{Group: "e.com", Version: "v1", Resource: "widgets"}, Name: "x"}
	fresh := old
	fresh.Resource.Version = "v2"
	inv.note(old, "u", time.Unix(1, 0))
	inv.note(fresh, "u", time.Unix(2, 0))
	if diff := cmp.Diff(map[live.Key]types.UID{fresh: "u"}, inv.objects); diff != "" {
		t.Errorf("inventory (-want +got):\n%s", diff)
	}
	if !inv.changed.Equal(time.Unix(2, 0)) {
		t.Errorf("changed since %s", inv.changed)
	}
}
