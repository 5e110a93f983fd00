package metrics

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// stores are caches that hold what a test put there, by Go type.
type stores map[string]toolscache.Store

func (s stores) put(objects ...client.Object) {
	for _, obj := range objects {
		name := fmt.Sprintf("%T", obj)
		if s[name] == nil {
			s[name] = toolscache.NewStore(toolscache.MetaNamespaceKeyFunc)
		}
		_ = s[name].Add(obj)
	}
}

type informer struct {
	cache.Informer
	store toolscache.Store
}

func (i informer) GetStore() toolscache.Store { return i.store }

func (s stores) GetInformer(_ context.Context, obj client.Object, _ ...cache.InformerGetOption) (cache.Informer, error) {
	store := s[fmt.Sprintf("%T", obj)]
	if store == nil {
		store = toolscache.NewStore(toolscache.MetaNamespaceKeyFunc)
	}
	return informer{store: store}, nil
}

var webApp = schema.GroupVersionKind{Group: "kro.run", Version: "v1alpha1", Kind: "WebApp"}

func newState(s stores, clock *clocktesting.FakePassiveClock, instances int) *State {
	state := &State{
		Caches: s, Kinds: func(do func(schema.GroupVersionKind)) { do(webApp) },
		Sizes: Sizes{Graphs: func() int { return 2 }, Schemas: func() int { return 7 }},
		Clock: clock, Version: "v1", Instances: instances,
	}
	state.describe()
	return state
}

func target(cluster, instance string, state kronvoyv1alpha1.TargetState, change func(*kronvoyv1alpha1.Target)) *kronvoyv1alpha1.Target {
	t := &kronvoyv1alpha1.Target{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster, Name: "webapp-" + instance},
		Spec: kronvoyv1alpha1.TargetSpec{Instance: kronvoyv1alpha1.InstanceReference{
			APIVersion: "kro.run/v1alpha1", Kind: "WebApp", Namespace: "shop", Name: instance,
		}},
		Status: kronvoyv1alpha1.TargetStatus{State: state, Health: kronvoyv1alpha1.Healthy},
	}
	if change != nil {
		change(t)
	}
	return t
}

func instance(name, ready string) *unstructured.Unstructured {
	obj := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": []any{
		map[string]any{"type": "Placed", "status": "True"}, map[string]any{"type": "Ready", "status": ready},
	}}}}
	obj.SetGroupVersionKind(webApp)
	obj.SetNamespace("shop")
	obj.SetName(name)
	return obj
}

func TestARolloutIsOverdueWhenNothingSaysWhyItStands(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(d)} }
	waits := func(group, state, reason string) func(*kronvoyv1alpha1.Rollout) {
		return func(r *kronvoyv1alpha1.Rollout) {
			r.Status.Group = "eu"
			r.Status.Clusters = []kronvoyv1alpha1.RolloutCluster{{Name: "one", Group: group, State: state, Reason: reason}}
		}
	}
	for name, tc := range map[string]struct {
		change        func(*kronvoyv1alpha1.Rollout)
		want, stopped float64
	}{
		"nothing has moved for three hours":        {want: 10800},
		"it soaks for two hours more":              {change: func(r *kronvoyv1alpha1.Rollout) { r.Status.NextAt = at(2 * time.Hour) }},
		"the hub did not look when it should have": {change: func(r *kronvoyv1alpha1.Rollout) { r.Status.NextAt = at(-time.Hour) }, want: 3600},
		"a cluster of its group is in maintenance": {change: waits("eu", "Held", "Maintenance")},
		"a cluster under way was frozen":           {change: waits("eu", "InFlight", "Suspended")},
		"a later group's is in maintenance":        {change: waits("us", "Held", "Maintenance"), want: 10800},
		"nobody waits for the one that is frozen":  {change: waits("eu", "Skipped", "Suspended"), want: 10800},
		"it waits for one that is out of reach":    {change: waits("eu", "Held", "Unreachable"), want: 10800},
		"it waits for people":                      {change: func(r *kronvoyv1alpha1.Rollout) { r.Status.Phase = kronvoyv1alpha1.RolloutWaitingForApproval }},
		"it stopped by itself":                     {change: func(r *kronvoyv1alpha1.Rollout) { r.Status.Phase = kronvoyv1alpha1.RolloutPaused }, stopped: 1},
		"it failed":                                {change: func(r *kronvoyv1alpha1.Rollout) { r.Status.Phase = kronvoyv1alpha1.RolloutFailed }, stopped: 1},
		"somebody paused it": {change: func(r *kronvoyv1alpha1.Rollout) {
			r.Spec.Paused, r.Status.Phase = &kronvoyv1alpha1.RolloutOrder{}, kronvoyv1alpha1.RolloutPaused
		}},
		"all its clusters are frozen": {change: func(r *kronvoyv1alpha1.Rollout) {
			r.Status.Phase, r.Status.Counts = kronvoyv1alpha1.RolloutPaused, kronvoyv1alpha1.RolloutCounts{Total: 2, Skipped: 2}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &kronvoyv1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop"}, Status: kronvoyv1alpha1.RolloutStatus{
				Phase: kronvoyv1alpha1.RolloutProgressing, StartedAt: &metav1.MicroTime{Time: now.Add(-3 * time.Hour)},
			}}
			if tc.change != nil {
				tc.change(r)
			}
			s := stores{}
			s.put(r)
			overdue, stopped := 0.0, 0.0
			for line := range strings.Lines(exposed(t, newState(s, clocktesting.NewFakePassiveClock(now), 0))) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
				n, err := strconv.ParseFloat(value, 64)
				switch {
				case strings.HasPrefix(name, "kronvoy_rollout_overdue_seconds{"):
					overdue = n
				case strings.HasPrefix(name, "kronvoy_rollouts_stopped{"):
					stopped = n
				default:
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if overdue != tc.want || stopped != tc.stopped {
				t.Errorf("overdue for %v seconds, want %v; %v stopped, want %v", overdue, tc.want, stopped, tc.stopped)
			}
		})
	}
}

func TestTheStateOfTheFleetIsCounted(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *metav1.MicroTime { return &metav1.MicroTime{Time: now.Add(-d)} }
	s := stores{}
	s.put(
		&krov1alpha1.ResourceGraphDefinition{ObjectMeta: metav1.ObjectMeta{Name: "webapp"}, Status: krov1alpha1.ResourceGraphDefinitionStatus{State: krov1alpha1.Active}},
		instance("a", "True"), instance("b", "False"), instance("c", "nonsense"),
		target("one", "a", kronvoyv1alpha1.TargetReady, func(t *kronvoyv1alpha1.Target) {
			t.Spec.Distribution, t.Spec.AssignedAt, t.Spec.PassedAt = "shop", ago(50*time.Minute), ago(20*time.Minute)
		}),
		target("two", "a", kronvoyv1alpha1.TargetFailed, func(t *kronvoyv1alpha1.Target) {
			t.Status.Drift.Objects, t.Status.Suspended = 3, "frozen"
		}),
		target("one", "b", kronvoyv1alpha1.TargetPending, func(t *kronvoyv1alpha1.Target) {
			t.Spec.Removal = &kronvoyv1alpha1.TargetRemoval{Held: "too many"}
		}),
		&clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: "one"}, Spec: clusterv1.ManagedClusterSpec{HubAcceptsClient: true}, Status: clusterv1.ManagedClusterStatus{
			Conditions:    []metav1.Condition{{Type: clusterv1.ManagedClusterConditionAvailable, Status: metav1.ConditionTrue}},
			ClusterClaims: []clusterv1.ManagedClusterClaim{{Name: kronvoyv1alpha1.ClaimFeatures}},
		}},
		&clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: "two", Annotations: map[string]string{kronvoyv1alpha1.AnnotationMaintenance: "a new rack"}}, Spec: clusterv1.ManagedClusterSpec{HubAcceptsClient: true}, Status: clusterv1.ManagedClusterStatus{
			Conditions: []metav1.Condition{{Type: clusterv1.ManagedClusterConditionAvailable, Status: metav1.ConditionUnknown}},
			Version:    clusterv1.ManagedClusterVersion{Kubernetes: "v1.36.3"},
		}},
		&clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: "three"}},
		&kronvoyv1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop"}, Status: kronvoyv1alpha1.RolloutStatus{
			Phase: kronvoyv1alpha1.RolloutProgressing, StartedAt: ago(time.Hour),
		}},
		&kronvoyv1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "done"}, Status: kronvoyv1alpha1.RolloutStatus{
			Phase: kronvoyv1alpha1.RolloutSucceeded, StartedAt: ago(24 * time.Hour),
		}},
		&kronvoyv1alpha1.ApprovalRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "q", CreationTimestamp: metav1.NewTime(now.Add(-10 * time.Minute))},
			Spec: kronvoyv1alpha1.ApprovalRequestSpec{Action: kronvoyv1alpha1.ApprovalRemove}},
		&kronvoyv1alpha1.ApprovalRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "answered", CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))},
			Spec: kronvoyv1alpha1.ApprovalRequestSpec{Action: kronvoyv1alpha1.ApprovalRemove}, Status: kronvoyv1alpha1.ApprovalRequestStatus{Decision: kronvoyv1alpha1.Approved}},
	)
	clock := clocktesting.NewFakePassiveClock(now)
	state := newState(s, clock, 1)
	want := `
kronvoy_approval_oldest_age_seconds{action="EnterGroup"} 0
kronvoy_approval_oldest_age_seconds{action="Remove"} 600
kronvoy_approvals_waiting{action="EnterGroup"} 0
kronvoy_approvals_waiting{action="Remove"} 1
kronvoy_build_info{version="v1"} 1
kronvoy_clusters{agent="kronvoy",available="True",quiet="false"} 1
kronvoy_clusters{agent="ocm",available="Unknown",quiet="true"} 1
kronvoy_clusters_joining 1
kronvoy_definitions{state="Active"} 1
kronvoy_drifted_objects{kind="WebApp.kro.run",quiet="false"} 0
kronvoy_drifted_objects{kind="WebApp.kro.run",quiet="true"} 3
kronvoy_graphs 2
kronvoy_instance_clusters{kind="WebApp.kro.run",name="a",namespace="shop",state="Failed"} 1
kronvoy_instance_clusters{kind="WebApp.kro.run",name="a",namespace="shop",state="Ready"} 1
kronvoy_instances{kind="WebApp.kro.run",ready="False"} 1
kronvoy_instances{kind="WebApp.kro.run",ready="True"} 1
kronvoy_instances{kind="WebApp.kro.run",ready="Unknown"} 1
kronvoy_rollout_age_seconds{phase="Progressing"} 3600
kronvoy_rollout_overdue_seconds{phase="Progressing"} 1200
kronvoy_rollout_step_age_seconds{phase="Progressing"} 1200
kronvoy_rollouts{phase="Paused"} 0
kronvoy_rollouts{phase="Progressing"} 1
kronvoy_rollouts{phase="RollingBack"} 0
kronvoy_rollouts{phase="Succeeded"} 1
kronvoy_rollouts{phase="WaitingForApproval"} 0
kronvoy_schemas 7
kronvoy_targets{health="Healthy",kind="WebApp.kro.run",quiet="false",state="Pending"} 1
kronvoy_targets{health="Healthy",kind="WebApp.kro.run",quiet="false",state="Ready"} 1
kronvoy_targets{health="Healthy",kind="WebApp.kro.run",quiet="true",state="Failed"} 1
kronvoy_targets_drifted{kind="WebApp.kro.run",quiet="false"} 0
kronvoy_targets_drifted{kind="WebApp.kro.run",quiet="true"} 1
kronvoy_targets_leaving{kind="WebApp.kro.run"} 1
kronvoy_targets_removal_held{kind="WebApp.kro.run"} 1
kronvoy_targets_suspended{kind="WebApp.kro.run"} 1
`
	if got := exposed(t, state); got != strings.TrimSpace(want) {
		t.Errorf("collected:\n%s\nwant:\n%s", got, strings.TrimSpace(want))
	}

	s.put(target("three", "a", kronvoyv1alpha1.TargetReady, nil))
	clock.SetTime(now.Add(fresh - time.Second))
	if got := exposed(t, state); got != strings.TrimSpace(want) {
		t.Errorf("counted again a moment later:\n%s", got)
	}
	clock.SetTime(now.Add(fresh))
	if got := testutil.CollectAndCount(state, "kronvoy_targets"); got != 3 {
		t.Errorf("%d series of kronvoy_targets, want 3", got)
	}
	if got := exposed(t, state); !strings.Contains(got, `kronvoy_targets{health="Healthy",kind="WebApp.kro.run",quiet="false",state="Ready"} 2`) {
		t.Errorf("the new target is not counted:\n%s", got)
	}
}

// exposed is what a collector exposes, without what is said about it.
func exposed(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var raw strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&raw, family); err != nil {
			t.Fatal(err)
		}
	}
	var lines []string
	for line := range strings.Lines(raw.String()) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

func TestNamesOfMetricsAreAsPrometheusWantsThem(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m := New(registry)
	m.Evaluated(webApp.GroupKind(), Complete, 120, time.Millisecond)
	m.WorkWritten(Create, nil)
	m.Told(time.Second)
	m.Corrected(webApp.GroupKind(), 1, 3)
	m.Held(Target, Pace)
	m.LookedUp(true, nil)
	m.Compiled(true, time.Second)
	m.Moved(webApp.GroupKind(), true)
	s := stores{}
	s.put(target("one", "a", kronvoyv1alpha1.TargetReady, nil), instance("a", "True"))
	registry.MustRegister(newState(s, clocktesting.NewFakePassiveClock(time.Time{}), 1))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestNothingIsCountedWithoutMetrics(t *testing.T) {
	var m *Metrics
	if n := testing.AllocsPerRun(100, func() {
		m.Evaluated(webApp.GroupKind(), Complete, 120, time.Millisecond)
		m.WorkWritten(Create, nil)
		m.Held(Target, Pace)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEvaluated(b *testing.B) {
	m := New(nil)
	b.ReportAllocs()
	for b.Loop() {
		m.Evaluated(webApp.GroupKind(), Complete, 120, time.Millisecond)
	}
}

func BenchmarkAScrapeOf20000Targets(b *testing.B) {
	s := stores{}
	for cluster := range 2000 {
		for i := range 10 {
			s.put(target(fmt.Sprintf("cluster-%d", cluster), fmt.Sprintf("app-%d", i), kronvoyv1alpha1.TargetReady, nil))
		}
	}
	state := newState(s, clocktesting.NewFakePassiveClock(time.Time{}), 0)
	b.ReportAllocs()
	for b.Loop() {
		state.count(time.Time{})
	}
}
