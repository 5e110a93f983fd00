package view

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// works of two clusters: on one of them an object cannot be applied, and what the
// agent of the other one said is of an older generation.
func works() []workv1.ManifestWork {
	manifests := workv1.ManifestsTemplate{Manifests: []workv1.Manifest{
		{RawExtension: runtime.RawExtension{Raw: []byte(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"key","namespace":"shop"},"stringData":{"key":"hunter2"}}`)}},
		{RawExtension: runtime.RawExtension{Raw: []byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}`)}},
	}}
	told := func(status metav1.ConditionStatus, generation int64, message string) []metav1.Condition {
		return []metav1.Condition{{Type: "Applied", Status: status, ObservedGeneration: generation, Message: message, LastTransitionTime: metav1.NewTime(now.Add(-time.Minute))}}
	}
	work := func(cluster string, conditions []metav1.Condition, of ...[]metav1.Condition) workv1.ManifestWork {
		w := workv1.ManifestWork{
			ObjectMeta: metav1.ObjectMeta{Namespace: cluster, Name: "shop-12-0", Generation: 2, Annotations: map[string]string{kronvoyv1alpha1.AnnotationInstance: "WebApp.kro.run/shop/shop"}},
			Spec:       workv1.ManifestWorkSpec{Workload: manifests}, Status: workv1.ManifestWorkStatus{Conditions: conditions},
		}
		for i, c := range of {
			w.Status.ResourceStatus.Manifests = append(w.Status.ResourceStatus.Manifests, workv1.ManifestCondition{ResourceMeta: workv1.ManifestResourceMeta{Ordinal: int32(i)}, Conditions: c})
		}
		return w
	}
	ok := told(metav1.ConditionTrue, 2, "fine")
	return []workv1.ManifestWork{
		work("eu-west", ok, ok, ok),
		work("old", told(metav1.ConditionTrue, 1, "fine"), told(metav1.ConditionTrue, 1, "fine")),
		work("us-east", told(metav1.ConditionFalse, 2, "1 of 2 failed"), told(metav1.ConditionFalse, 2, "secrets is forbidden"), ok),
	}
}

func TestAListing(t *testing.T) {
	gone := cluster("ap-south", metav1.ConditionFalse)
	gone.Status.Conditions[0].Message, gone.Status.Conditions[0].LastTransitionTime = "the lease has ended", metav1.NewTime(now.Add(-3*time.Hour))
	fine := cluster("eu-west", metav1.ConditionTrue)
	fine.Labels, fine.Status.Version.Kubernetes = map[string]string{"region": "eu", "tier": "gold"}, "v1.36.3"
	fine.Annotations = map[string]string{kronvoyv1alpha1.AnnotationReconcile: "suspended", kronvoyv1alpha1.AnnotationReconcileReason: "inventory"}
	clusters := func() Listing {
		return clusterListing([]clusterv1.ManagedCluster{gone, fine, {ObjectMeta: metav1.ObjectMeta{Name: "new"}}}, map[string]*Placed{"eu-west": {Total: 3, Ready: 2, Failed: 1, Drifted: 1}})
	}
	brief := func() Listing {
		return clusterListing([]clusterv1.ManagedCluster{gone, fine, {ObjectMeta: metav1.ObjectMeta{Name: "new"}}}, nil)
	}
	tests := map[string]struct {
		list   func() Listing
		format string
	}{
		"of clusters":                                            {list: brief, format: "table"},
		"of clusters with what runs on them":                     {list: clusters, format: "json"},
		"of clusters is wide with labels":                        {list: clusters, format: "wide"},
		"of clusters by name":                                    {list: clusters, format: "name"},
		"of works has names of objects and no secrets":           {list: func() Listing { return workListing(works(), "") }, format: "wide"},
		"of works as YAML tells of each object":                  {list: func() Listing { return workListing(works()[2:], "shop") }, format: "yaml"},
		"of works of a namespace leaves out those of other ones": {list: func() Listing { return workListing(works(), "other") }, format: "table"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := tc.list().Write(&out, tc.format, Look{Now: now}); err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(out.Bytes(), []byte("hunter2")) {
				t.Error("a secret is shown")
			}
			compare(t, out.String())
		})
	}
}

func TestABriefListOfClustersReadsNoTargets(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := errors.Join(kronvoyv1alpha1.AddToScheme(scheme), clusterv1.Install(scheme)); err != nil {
		t.Fatal(err)
	}
	target := targets()[0]
	target.Name = "shop-12"
	managed := cluster(target.Namespace, metav1.ConditionTrue)
	read := 0
	c := interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).WithObjects(&target, &managed).Build(), interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if _, is := list.(*kronvoyv1alpha1.TargetList); is {
				read++
			}
			return c.List(ctx, list, options...)
		},
	})
	for want, scope := range []Scope{{Brief: true}, {}} {
		list, err := ListClusters(t.Context(), c, scope)
		if err != nil || len(list.Items) != 1 || read != want {
			t.Fatalf("%d clusters, Targets are read %d times, want %d: %v", len(list.Items), read, want, err)
		}
		if counted := list.Items[0].(ClusterItem).Instances; (counted != nil) != (want == 1) {
			t.Errorf("what runs there is counted: %+v", counted)
		}
	}
}

func TestTargetsAreListedTheMostUrgentFirstOfOneNamespace(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := kronvoyv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var objects []client.Object
	for i, target := range targets() {
		target.Name, target.Spec.Revision = "shop-12", "shop-7f"
		target.Spec.Instance = kronvoyv1alpha1.InstanceReference{APIVersion: "kro.run/v1alpha1", Kind: "WebApp", Namespace: "shop", Name: "shop"}
		if i == 2 {
			target.Spec.Instance.Namespace = "other"
		}
		objects = append(objects, &target)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	list, err := ListTargets(t.Context(), c, Scope{Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := list.Write(&out, "table", Look{Now: now}); err != nil {
		t.Fatal(err)
	}
	compare(t, out.String())
}

func TestValues(t *testing.T) {
	target := func(cluster, inputs, values string) kronvoyv1alpha1.Target {
		return kronvoyv1alpha1.Target{
			ObjectMeta: metav1.ObjectMeta{Namespace: cluster},
			Spec:       kronvoyv1alpha1.TargetSpec{Inputs: &kronvoyv1alpha1.TargetInputs{Values: runtime.RawExtension{Raw: []byte(inputs)}}},
			Status:     kronvoyv1alpha1.TargetStatus{Revision: "shop-7f", Values: &runtime.RawExtension{Raw: []byte(values)}},
		}
	}
	all := []kronvoyv1alpha1.Target{
		target("ap-south", `{"labels":{"size":"small","example.org/tier":"gold"}}`, `{"host":"a.example.org","ports":[80,443]}`),
		target("eu-west", `{"labels":{"size":"large","example.org/tier":"gold"}}`, `{"host":"b.example.org","ports":[80,443]}`),
		target("us-east", `{"labels":{"size":"large","example.org/tier":"gold"}}`, `{"ports":[80,443]}`),
	}
	tests := map[string]struct {
		targets []kronvoyv1alpha1.Target
		look    Look
	}{
		"of one cluster are all shown":                      {targets: all[:1]},
		"of several clusters are shown where they differ":   {targets: all},
		"of several clusters are all shown in a wide table": {targets: all, look: Look{Wide: true}},
		"that nothing has":                                  {targets: []kronvoyv1alpha1.Target{{ObjectMeta: metav1.ObjectMeta{Namespace: "bare"}}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var values []Values
			for i := range tc.targets {
				v, err := ValuesOf(&tc.targets[i])
				if err != nil {
					t.Fatal(err)
				}
				if v.Cluster == "ap-south" {
					v.Values = append(v.Values, Value{From: FromOverride, Path: "spec.replicas", Value: 1, Before: 3, Override: "spec.overrides[0]"})
				}
				values = append(values, v)
			}
			var out bytes.Buffer
			if err := WriteValues(&out, values, tc.look); err != nil {
				t.Fatal(err)
			}
			compare(t, out.String())
		})
	}
}

func TestEventsAreInTheOrderInWhichThingsHappenedLast(t *testing.T) {
	event := func(uid, kind, namespace, note string, minutes int) eventsv1.Event {
		return eventsv1.Event{
			ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}, EventTime: metav1.NewMicroTime(now.Add(time.Duration(minutes) * time.Minute)),
			Regarding: corev1.ObjectReference{APIVersion: "kronvoy.io/v1alpha1", Kind: kind, Namespace: namespace, Name: "shop"}, Type: "Normal", Reason: "Changed", Note: note,
		}
	}
	series := event("1", "Rollout", "shop", "often\x1b[2J", -60)
	series.Type, series.Series = "Warning", &eventsv1.EventSeries{Count: 7, LastObservedTime: metav1.NewMicroTime(now)}
	pod := event("4", "Pod", "shop", "none of ours", -1)
	pod.Regarding.APIVersion = "v1"
	found := []eventsv1.Event{series, event("2", "Target", "shop", "later", -1), event("3", "Distribution", "shop", "first", -30), pod, event("5", "Rollout", "other", "elsewhere", 0)}
	var out bytes.Buffer
	if err := WriteEvents(&out, inOrder(found, Ours("shop")), Look{}); err != nil {
		t.Fatal(err)
	}
	compare(t, out.String())
}

func TestAWaitEnds(t *testing.T) {
	ready := `
kind: WebApp
metadata: {generation: 2}
status:
  state: ACTIVE
  conditions: [{type: Ready, status: "True", observedGeneration: 2}, {type: Placed, status: "False", observedGeneration: 1}]
  fleet: {placed: 2, ready: 2, updated: 2}`
	tests := map[string]struct {
		goal, object   string
		reached, never bool
	}{
		"when an instance is ready":                           {goal: "ready", object: ready, reached: true},
		"not by what was said of an older generation":         {goal: "ready", object: strings.Replace(ready, "generation: 2", "generation: 3", 1)},
		"when all clusters have the newest revision":          {goal: "rolledout", object: ready, reached: true},
		"without success when its rollout is paused":          {goal: "rolledout", object: strings.Replace(ready, "placed: 2", "rollout: {phase: Paused}, placed: 2", 1), never: true},
		"when a rollout has succeeded":                        {goal: "ready", object: "{kind: Rollout, status: {phase: Succeeded}}", reached: true},
		"without success when a rollout asks":                 {goal: "ready", object: "{kind: Rollout, status: {phase: WaitingForApproval}}", never: true},
		"not while a rollout moves":                           {goal: "rolledout", object: "{kind: Rollout, status: {phase: RollingBack}}"},
		"not by a condition of an older generation":           {goal: "condition=Placed=False", object: ready},
		"when a condition is what it should be":               {goal: "condition=Ready", object: ready, reached: true},
		"without success when a definition cannot be used":    {goal: "ready", object: "{kind: ResourceGraphDefinition, metadata: {generation: 1}, status: {conditions: [{type: GraphAccepted, status: \"False\", observedGeneration: 1}]}}", never: true},
		"when a cluster reports":                              {goal: "ready", object: "{kind: ManagedCluster, status: {conditions: [{type: ManagedClusterConditionAvailable, status: \"True\"}]}}", reached: true},
		"not while a distribution is accepted but unresolved": {goal: "ready", object: "{kind: Distribution, status: {conditions: [{type: Accepted, status: \"True\"}]}}"},
		"not while a deletion is under way":                   {goal: "deleted", object: "{kind: WebApp, metadata: {finalizers: [a]}}"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			goal, err := ParseGoal(tc.goal)
			if err != nil {
				t.Fatal(err)
			}
			obj := instance(t, tc.object)
			got := goal.Judge(&obj)
			if got.Reached != tc.reached || got.Never != tc.never {
				t.Errorf("got %+v", got)
			}
		})
	}
	for _, text := range []string{"", "Ready", "condition", "condition=", "ready=True"} {
		if _, err := ParseGoal(text); err == nil {
			t.Errorf("--for %q is taken", text)
		}
	}
}
