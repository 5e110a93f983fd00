package rollout

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	clocktesting "k8s.io/utils/clock/testing"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
)

// stage is a hub without an API server: what is stored is in a fake client, and
// the test plays hub/target and the clusters.
type stage struct {
	t     testing.TB
	c     client.Client
	clock *clocktesting.FakeClock
	mover *Mover
	unit  Unit
	// lives is how many more writes the mover makes before it dies; negative is
	// for ever.
	lives int
	// behaves says what a text is on a cluster, by "<text>" or "<text> <cluster>".
	behaves map[string]kronvoyv1alpha1.TargetState
	// texts by revision.
	texts map[string]string
	// graph is the hash of the definition, and mark what tells its texts from those
	// of other releases of Kronvoy.
	graph, mark string
	// log of what was decided.
	log []string
}

var errDied = errors.New("the hub died")

const hubNamespace = "kronvoy-system"

// newStage has clusters eu-1, eu-2, us-1, us-2 in two regions, and a Distribution
// with a strategy.
func newStage(t testing.TB, scope kronvoyv1alpha1.RolloutScope, change ...func(*kronvoyv1alpha1.RolloutStrategy)) *stage {
	t.Helper()
	s := &stage{t: t, graph: "v1-0123456789abcdef", clock: clocktesting.NewFakeClock(noon), lives: -1, behaves: map[string]kronvoyv1alpha1.TargetState{}, texts: map[string]string{}}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{kronvoyv1alpha1.AddToScheme, clusterv1.Install, clusterv1beta1.Install, appsv1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	scheme.AddKnownTypeWithName(shopKind.GVK(), &unstructured.Unstructured{})
	byInstance := func(o client.Object) []string { return []string{o.GetLabels()[kronvoyv1alpha1.LabelInstance]} }
	s.c = fake.NewClientBuilder().WithScheme(scheme).
		WithIndex(&kronvoyv1alpha1.Target{}, index.Child, index.Children).
		WithIndex(&kronvoyv1alpha1.Target{}, index.Instance, byInstance).
		WithIndex(&appsv1.ControllerRevision{}, index.Instance, byInstance).
		WithStatusSubresource(&kronvoyv1alpha1.Target{}, &kronvoyv1alpha1.Rollout{}, &kronvoyv1alpha1.ApprovalRequest{}).
		Build()
	concurrency := intstr.FromInt32(1)
	strategy := &kronvoyv1alpha1.RolloutStrategy{
		Scope: scope, GroupBy: &kronvoyv1alpha1.RolloutGroupBy{Label: "region", Order: []string{"us", "eu"}}, MaxConcurrency: &concurrency,
		MinSuccessTime: &metav1.Duration{Duration: time.Minute}, ProgressDeadline: &metav1.Duration{Duration: 10 * time.Minute},
	}
	for _, change := range change {
		change(strategy)
	}
	s.put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: hubNamespace}})
	for _, name := range []string{"eu-1", "eu-2", "us-1", "us-2"} {
		s.put(managedCluster(name))
	}
	s.put(placement("all"), page("all", "all", 0, 0, "", "eu-1", "eu-2", "us-1", "us-2"))
	s.put(&kronvoyv1alpha1.Distribution{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "calm", UID: "calm"},
		Spec: kronvoyv1alpha1.DistributionSpec{
			Instances: kronvoyv1alpha1.InstanceSelector{APIVersion: "kro.run/v1alpha1", Kind: "Shop"},
			Placement: &kronvoyv1alpha1.DistributionPlacement{Refs: []kronvoyv1alpha1.PlacementReference{{Name: "all"}}},
			Rollout:   strategy,
		},
	})
	s.define()
	s.restart()
	s.unit = Unit{Distribution: types.NamespacedName{Namespace: namespace, Name: "calm"}}
	if scope == kronvoyv1alpha1.ScopeInstance {
		s.unit = Unit{Instance: shopKind}
	}
	return s
}

// define stores the revision of the definition.
func (s *stage) define() {
	s.t.Helper()
	spec, err := json.Marshal(map[string]any{
		"schema": map[string]any{"apiVersion": "v1alpha1", "kind": "Shop", "spec": map[string]any{"text": "string"}},
		"resources": []any{map[string]any{"id": "settings", "template": map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "settings"},
			"data": map[string]any{"tier": "${cluster.labels.?tier.orValue('none')}", "text": "${schema.spec.text}"},
		}}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	stored, err := revision.Definition{Name: "shop", Hash: s.graph, Spec: spec}.Object(hubNamespace, 1, metav1.OwnerReference{})
	if err != nil {
		s.t.Fatal(err)
	}
	stored.OwnerReferences = nil
	s.put(stored)
}

var shopKind = kinds.Request{Group: "kro.run", Version: "v1alpha1", Kind: "Shop", Namespace: namespace, Name: "web"}

func managedCluster(name string) *clusterv1.ManagedCluster {
	region, _, _ := strings.Cut(name, "-")
	return &clusterv1.ManagedCluster{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"region": region}},
		Spec:       clusterv1.ManagedClusterSpec{HubAcceptsClient: true},
		Status:     clusterv1.ManagedClusterStatus{Conditions: []metav1.Condition{{Type: clusterv1.ManagedClusterConditionAvailable, Status: metav1.ConditionTrue}}},
	}
}

func (s *stage) put(objects ...client.Object) {
	s.t.Helper()
	for _, obj := range objects {
		if err := s.c.Create(s.t.Context(), obj); err != nil {
			s.t.Fatal(err)
		}
	}
}

// restart ends the mover and starts one that knows nothing.
func (s *stage) restart() {
	s.t.Helper()
	mortal := func() error {
		if s.lives == 0 {
			return errDied
		}
		if s.lives > 0 {
			s.lives--
		}
		return nil
	}
	c := interceptor.NewClient(s.c.(client.WithWatch), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if err := mortal(); err != nil {
				return err
			}
			return c.Create(ctx, obj, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if err := mortal(); err != nil {
				return err
			}
			return c.Patch(ctx, obj, patch, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			if err := mortal(); err != nil {
				return err
			}
			return c.Delete(ctx, obj, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			if err := mortal(); err != nil {
				return err
			}
			return c.SubResource(sub).Patch(ctx, obj, patch, opts...)
		},
	})
	s.mover = &Mover{
		Gatherer: Gatherer{
			Cached: c, Namespaces: s.c, Namespace: hubNamespace, Placer: Placer{Reader: s.c, HubNamespace: hubNamespace},
			Store: definition.NewStore(s.c, hubNamespace, builtin.Resolver()), Clock: s.clock,
		},
		Client: c, Reader: s.c,
	}
}

// instance makes or changes an instance, as people do, and its revision, as
// hub/instance does.
func (s *stage) instance(name, text string) {
	s.t.Helper()
	s.store(s.edit(name, text), nil, text)
}

// store makes what an instance is now its newest revision, whose objects say text.
func (s *stage) store(obj *unstructured.Unstructured, overrides []kronvoyv1alpha1.Override, text string) {
	s.t.Helper()
	spec, _ := obj.Object["spec"].(map[string]any)
	state := revision.Instance{Definition: revision.DefinitionName("shop", s.graph), DefinitionHash: s.graph, Spec: spec, Overrides: overrides}
	identity := work.IdentityOfInstance(obj)
	var list appsv1.ControllerRevisionList
	if err := s.c.List(s.t.Context(), &list, client.MatchingFields{index.Instance: identity.Hash()}); err != nil {
		s.t.Fatal(err)
	}
	number, newest := int64(1), revision.Newest(list.Items)
	if newest != nil {
		number = newest.Revision + 1
	}
	owner := *metav1.NewControllerRef(obj, shopKind.GVK())
	stored, err := state.Object(namespace, identity, number, owner)
	if err != nil {
		s.t.Fatal(err)
	}
	s.texts[stored.Name] = text + s.mark
	if newest != nil && !revision.OfThisRelease(newest) && strings.TrimRight(s.texts[newest.Name], "+") == text {
		revision.Inherit(stored, newest)
	}
	for i := range list.Items {
		if list.Items[i].Name == stored.Name {
			revision.Renew(&list.Items[i], number, owner)
			if err := s.c.Update(s.t.Context(), &list.Items[i]); err != nil {
				s.t.Fatal(err)
			}
			return
		}
	}
	s.put(stored)
}

// edit makes or changes an instance.
func (s *stage) edit(name, text string) *unstructured.Unstructured {
	s.t.Helper()
	obj := kinds.Object(shopKind.GVK())
	err := s.c.Get(s.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, obj)
	obj.Object["spec"] = map[string]any{"text": text}
	if err == nil {
		if err := s.c.Update(s.t.Context(), obj); err != nil {
			s.t.Fatal(err)
		}
		return obj
	}
	obj.SetNamespace(namespace)
	obj.SetName(name)
	obj.SetUID(types.UID(name))
	s.put(obj)
	return obj
}

func (s *stage) targets() []kronvoyv1alpha1.Target {
	s.t.Helper()
	var list kronvoyv1alpha1.TargetList
	if err := s.c.List(s.t.Context(), &list); err != nil {
		s.t.Fatal(err)
	}
	slices.SortFunc(list.Items, func(a, b kronvoyv1alpha1.Target) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return list.Items
}

// report plays hub/target: it tells of each assignment what its text is there.
func (s *stage) report() (changed bool) {
	s.t.Helper()
	now := metav1.NewTime(s.clock.Now())
	all := s.targets()
	for i := range all {
		t := &all[i]
		text := s.texts[t.Spec.Revision]
		state := cmp.Or(s.behaves[text+" "+t.Namespace], s.behaves[text], kronvoyv1alpha1.TargetReady)
		if stamp(t.Status.AssignedAt) == stamp(t.Spec.AssignedAt) && t.Status.State == state {
			continue
		}
		changed = true
		t.Status.ObservedGeneration, t.Status.AssignedAt, t.Status.Revision = 1, t.Spec.AssignedAt, t.Spec.Revision
		t.Status.State, t.Status.Health = state, kronvoyv1alpha1.Healthy
		t.Status.Message = "it is " + string(state)
		t.Status.Clocks = kronvoyv1alpha1.Clocks{StateSince: &now, HealthSince: &now, WritableSince: &metav1.Time{Time: noon}}
		if err := s.c.Status().Update(s.t.Context(), t); err != nil {
			s.t.Fatal(err)
		}
	}
	return changed
}

// look is one reconciliation, and when there is another without an event; zero for
// never.
func (s *stage) look() time.Duration {
	s.t.Helper()
	result, err := s.mover.Reconcile(s.t.Context(), s.unit)
	if errors.Is(err, errDied) {
		s.lives = -1
		s.restart()
		return index.Later().RequeueAfter
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return result.RequeueAfter
}

// run goes on until nothing is to be waited for.
func (s *stage) run() {
	s.t.Helper()
	for range 500 {
		wait := s.look()
		s.note()
		switch reported := s.report(); {
		case reported:
		case wait == 0:
			return
		case wait > index.Later().RequeueAfter:
			s.clock.Step(wait)
		}
	}
	s.t.Fatalf("it never comes to rest:\n%s", strings.Join(s.log, "\n"))
}

// note what each cluster has, if that is new.
func (s *stage) note() {
	s.t.Helper()
	var parts []string
	for _, t := range s.targets() {
		mark := ""
		if t.Spec.PassedAt == nil {
			mark = "*"
		}
		parts = append(parts, t.Namespace+"="+s.texts[t.Spec.Revision]+mark)
	}
	line := strings.Join(parts, " ")
	if len(s.log) == 0 || s.log[len(s.log)-1] != line {
		s.log = append(s.log, line)
	}
}

// decide makes others the clusters of the Placement.
func (s *stage) decide(clusters ...string) {
	s.t.Helper()
	wanted := page("all", "all", 0, 0, "", clusters...)
	var stored clusterv1beta1.PlacementDecision
	if err := s.c.Get(s.t.Context(), client.ObjectKeyFromObject(wanted), &stored); err != nil {
		s.t.Fatal(err)
	}
	stored.Status = wanted.Status
	if err := s.c.Update(s.t.Context(), &stored); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) rollout() *kronvoyv1alpha1.Rollout {
	s.t.Helper()
	var list kronvoyv1alpha1.RolloutList
	if err := s.c.List(s.t.Context(), &list); err != nil || len(list.Items) != 1 {
		s.t.Fatalf("%d rollouts, %v", len(list.Items), err)
	}
	return &list.Items[0]
}

// order changes the spec of the Rollout, as people do.
func (s *stage) order(change func(*kronvoyv1alpha1.RolloutSpec)) {
	s.t.Helper()
	r := s.rollout()
	change(&r.Spec)
	if err := s.c.Update(s.t.Context(), r); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) questions() []kronvoyv1alpha1.ApprovalRequest {
	s.t.Helper()
	var list kronvoyv1alpha1.ApprovalRequestList
	if err := s.c.List(s.t.Context(), &list); err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

func (s *stage) answer(decision kronvoyv1alpha1.ApprovalDecision) {
	s.t.Helper()
	open := s.questions()
	if len(open) != 1 {
		s.t.Fatalf("%d questions", len(open))
	}
	open[0].Status = kronvoyv1alpha1.ApprovalRequestStatus{Decision: decision, DecidedBy: "alice"}
	if err := s.c.Status().Update(s.t.Context(), &open[0]); err != nil {
		s.t.Fatal(err)
	}
}

// is compares the end with what is expected.
func (s *stage) is(phase kronvoyv1alpha1.RolloutPhase, have string) {
	s.t.Helper()
	r := s.rollout()
	if got := s.log[len(s.log)-1]; r.Status.Phase != phase || got != have {
		s.t.Errorf("it is %s (%s) with %s; want %s with %s\n%s", r.Status.Phase, r.Status.Message, got, phase, have, strings.Join(s.log, "\n"))
	}
}

// went compares all that clusters had since the last time.
func (s *stage) went(want ...string) {
	s.t.Helper()
	if !slices.Equal(s.log, want) {
		s.t.Errorf("clusters had\n%s\nwant\n%s", strings.Join(s.log, "\n"), strings.Join(want, "\n"))
	}
	s.log = nil
}

func rolledBack(r *kronvoyv1alpha1.RolloutStrategy) { r.OnFailure = kronvoyv1alpha1.OnFailureRollback }

func asking(r *kronvoyv1alpha1.RolloutStrategy) {
	r.Approval = &kronvoyv1alpha1.RolloutApproval{BeforeGroups: []string{"eu"}}
}

func TestARolloutGoesGroupByGroup(t *testing.T) {
	for _, scope := range []kronvoyv1alpha1.RolloutScope{kronvoyv1alpha1.ScopeDistribution, kronvoyv1alpha1.ScopeInstance} {
		t.Run(string(scope), func(t *testing.T) {
			s := newStage(t, scope)
			s.instance("web", "one")
			s.run()
			s.went("",
				"us-1=one*", "us-1=one us-2=one*",
				"eu-1=one* us-1=one us-2=one", "eu-1=one eu-2=one* us-1=one us-2=one", "eu-1=one eu-2=one us-1=one us-2=one")
			s.instance("web", "two")
			s.run()
			s.is("Succeeded", "eu-1=two eu-2=two us-1=two us-2=two")
			s.went(
				"eu-1=one eu-2=one us-1=one us-2=one", "eu-1=one eu-2=one us-1=two* us-2=one", "eu-1=one eu-2=one us-1=two us-2=two*",
				"eu-1=two* eu-2=one us-1=two us-2=two", "eu-1=two eu-2=two* us-1=two us-2=two", "eu-1=two eu-2=two us-1=two us-2=two")
			if r := s.rollout(); r.Status.Counts.Ready != 4 || len(r.Status.Groups) != 2 || r.Status.Groups[0].Name != "us" || len(r.Status.Clusters) != 0 {
				t.Errorf("its status is %+v", r.Status)
			}
		})
	}
}

func TestARolloutThatFailsGoesBackAndIsNotTriedAgain(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution, rolledBack)
	s.instance("web", "one")
	s.run()
	s.behaves["bad eu-1"] = kronvoyv1alpha1.TargetFailed
	s.instance("web", "bad")
	s.run()
	s.is("RolledBack", "eu-1=one eu-2=one us-1=one us-2=one")
	s.instance("web", "two")
	s.run()
	s.is("Succeeded", "eu-1=two eu-2=two us-1=two us-2=two")
	// Whoever wants it anew gets it tried anew.
	s.log = nil
	s.instance("web", "bad")
	s.run()
	s.is("RolledBack", "eu-1=two eu-2=two us-1=two us-2=two")
	if !slices.Contains(s.log, "eu-1=bad* eu-2=two us-1=bad us-2=bad") {
		t.Errorf("it was not tried again:\n%s", strings.Join(s.log, "\n"))
	}
	s.behaves = map[string]kronvoyv1alpha1.TargetState{}
	s.order(func(spec *kronvoyv1alpha1.RolloutSpec) {
		// By a clock that is wrong.
		spec.Retry = &kronvoyv1alpha1.RolloutOrder{At: metav1.NewTime(noon.Add(-24 * time.Hour)), By: "alice"}
	})
	s.run()
	s.is("Succeeded", "eu-1=bad eu-2=bad us-1=bad us-2=bad")
}

func TestAGroupWaitsForApproval(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution, asking)
	s.instance("web", "one")
	s.run()
	s.is("WaitingForApproval", "us-1=one us-2=one")
	first := s.questions()[0]
	if first.Spec.Group != "eu" || first.Spec.Action != kronvoyv1alpha1.ApprovalEnterGroup || first.Spec.Distribution != "calm" || first.Spec.ClusterCount != 2 ||
		s.rollout().Status.ApprovalRequest != first.Name {
		t.Errorf("people are asked %+v", first.Spec)
	}
	// Another revision is another question.
	s.instance("web", "two")
	s.run()
	s.is("WaitingForApproval", "us-1=two us-2=two")
	if second := s.questions(); len(second) != 1 || second[0].Name == first.Name {
		t.Errorf("people are asked %d questions", len(second))
	}
	s.answer(kronvoyv1alpha1.Rejected)
	s.run()
	s.is("Paused", "us-1=two us-2=two")
	s.instance("web", "three")
	s.run()
	s.answer(kronvoyv1alpha1.Approved)
	s.run()
	s.is("Succeeded", "eu-1=three eu-2=three us-1=three us-2=three")
	if left := s.questions(); len(left) != 0 {
		t.Errorf("%d questions are left", len(left))
	}
}

// Who changes what an instance is and where it runs at once may be seen before the
// revision of that is stored.
func TestAClusterJoinsWithTheRevisionThatIsWantedThen(t *testing.T) {
	overrides := []kronvoyv1alpha1.Override{{Spec: &runtime.RawExtension{Raw: []byte(`{"text":"two"}`)}}}
	tests := map[string]struct {
		change    func(*stage) *unstructured.Unstructured
		overrides []kronvoyv1alpha1.Override
	}{
		"another spec": {change: func(s *stage) *unstructured.Unstructured { return s.edit("web", "two") }},
		"other overrides": {overrides: overrides, change: func(s *stage) *unstructured.Unstructured {
			s.distribution("calm", func(d *kronvoyv1alpha1.Distribution) { d.Spec.Overrides = overrides })
			return s.edit("web", "one")
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, kronvoyv1alpha1.ScopeDistribution, asking)
			s.decide("us-1")
			s.instance("web", "one")
			s.run()
			s.is("Succeeded", "us-1=one")

			s.decide("eu-1", "us-1")
			changed := test.change(s)
			for range 5 {
				s.look()
				s.note()
			}
			s.is("Succeeded", "us-1=one")
			if asked := s.questions(); len(asked) > 0 {
				t.Errorf("people are asked %+v", asked[0].Spec)
			}

			s.store(changed, test.overrides, "two")
			s.run()
			s.is("WaitingForApproval", "us-1=two")
			s.answer(kronvoyv1alpha1.Approved)
			s.run()
			s.is("Succeeded", "eu-1=two us-1=two")
		})
	}
}

func TestARolloutDoesNotSucceedWhileItIsNotKnownWhereToRun(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution, asking)
	s.instance("web", "one")
	s.run()
	s.is("WaitingForApproval", "us-1=one us-2=one")
	decided := page("all", "all", 0, 0, "", "eu-1", "eu-2", "us-1", "us-2")
	if err := s.c.Delete(t.Context(), decided); err != nil {
		t.Fatal(err)
	}
	s.run()
	s.is("Progressing", "us-1=one us-2=one")
	if got := s.rollout().Status.Message; !strings.Contains(got, "Placement all has no decision yet") {
		t.Errorf("its message is %q", got)
	}
	s.put(decided)
	s.run()
	s.is("WaitingForApproval", "us-1=one us-2=one")
}

func TestPeoplePauseAndUndo(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution)
	s.instance("web", "one")
	s.run()
	one := s.targets()[0].Spec.Revision
	s.order(func(spec *kronvoyv1alpha1.RolloutSpec) {
		spec.Paused = &kronvoyv1alpha1.RolloutOrder{At: metav1.NewTime(noon), By: "alice", Reason: "holidays"}
	})
	s.instance("web", "two")
	s.run()
	s.is("Paused", "eu-1=one eu-2=one us-1=one us-2=one")
	if got := s.rollout().Status.Message; got != "paused by alice: holidays" {
		t.Errorf("it says %q", got)
	}
	s.order(func(spec *kronvoyv1alpha1.RolloutSpec) { spec.Paused = nil })
	s.run()
	s.is("Succeeded", "eu-1=two eu-2=two us-1=two us-2=two")
	two := s.targets()[0].Spec.Revision
	s.order(func(spec *kronvoyv1alpha1.RolloutSpec) {
		spec.Undo = &kronvoyv1alpha1.RolloutUndo{
			RolloutOrder: kronvoyv1alpha1.RolloutOrder{At: metav1.NewTime(noon), By: "alice"}, Instances: []kronvoyv1alpha1.RolloutPin{{Name: "web", From: two, To: one}},
		}
	})
	s.run()
	s.is("RolledBack", "eu-1=one eu-2=one us-1=one us-2=one")
	// An undo counts for what it was about.
	s.instance("web", "three")
	s.run()
	s.is("Succeeded", "eu-1=three eu-2=three us-1=three us-2=three")
}

func TestInstancesOfADistributionMoveTogether(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution)
	s.instance("api", "one")
	s.instance("web", "one")
	s.run()
	s.log = nil
	s.instance("api", "two")
	s.instance("web", "two")
	s.run()
	s.is("Succeeded", "eu-1=two eu-1=two eu-2=two eu-2=two us-1=two us-1=two us-2=two us-2=two")
	for _, line := range s.log {
		if strings.Count(line, "us-1=two") == 1 {
			t.Errorf("one instance moved without the other: %s", line)
		}
	}
}

func TestOtherInputsMoveAsARevisionDoes(t *testing.T) {
	tiers := func(s *stage) string {
		var out []string
		for _, target := range s.targets() {
			var values struct{ Labels map[string]string }
			if target.Spec.Inputs == nil {
				s.t.Fatalf("cluster %s has no inputs", target.Namespace)
			}
			if err := json.Unmarshal(target.Spec.Inputs.Values.Raw, &values); err != nil {
				s.t.Fatal(err)
			}
			out = append(out, target.Namespace+"="+values.Labels["tier"])
		}
		return strings.Join(out, " ")
	}
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution)
	s.instance("web", "one")
	s.run()
	s.log = nil
	for _, name := range []string{"eu-1", "us-1", "us-2"} {
		c := managedCluster(name)
		c.Labels["tier"] = "gold"
		c.ResourceVersion = ""
		if err := s.c.Patch(t.Context(), c, client.MergeFrom(managedCluster(name))); err != nil {
			t.Fatal(err)
		}
	}
	for s.look() == index.Later().RequeueAfter {
	}
	if got := tiers(s); got != "eu-1= eu-2= us-1=gold us-2=" {
		t.Errorf("at first clusters have %s", got)
	}
	s.run()
	if got := tiers(s); got != "eu-1=gold eu-2= us-1=gold us-2=gold" {
		t.Errorf("in the end clusters have %s", got)
	}
	s.is("Succeeded", "eu-1=one eu-2=one us-1=one us-2=one")
	for _, line := range s.log {
		if strings.Count(line, "*") > 1 {
			t.Errorf("more moved at a time than may: %s", line)
		}
	}
}

func TestWhatIsThereIsAdoptedAsItIs(t *testing.T) {
	s := newStage(t, kronvoyv1alpha1.ScopeDistribution)
	s.strategy(nil)
	s.instance("web", "one")
	s.unit = Unit{Instance: shopKind}
	s.run()
	s.went("eu-1=one* eu-2=one* us-1=one* us-2=one*")
	for _, target := range s.targets() {
		if target.Spec.Inputs != nil || target.Spec.AssignedAt == nil {
			t.Errorf("without a strategy a target is %+v", target.Spec)
		}
	}
	s.strategy(&kronvoyv1alpha1.RolloutStrategy{})
	s.unit = Unit{Distribution: types.NamespacedName{Namespace: namespace, Name: "calm"}}
	s.run()
	s.is("Succeeded", "eu-1=one eu-2=one us-1=one us-2=one")
	s.strategy(nil)
	s.run()
	var list kronvoyv1alpha1.RolloutList
	if err := s.c.List(t.Context(), &list); err != nil || len(list.Items) != 0 {
		t.Errorf("%d rollouts are left, %v", len(list.Items), err)
	}
}

// strategy changes that of the Distribution.
func (s *stage) strategy(r *kronvoyv1alpha1.RolloutStrategy) {
	s.t.Helper()
	var d kronvoyv1alpha1.Distribution
	if err := s.c.Get(s.t.Context(), client.ObjectKey{Namespace: namespace, Name: "calm"}, &d); err != nil {
		s.t.Fatal(err)
	}
	d.Spec.Rollout = r
	if err := s.c.Update(s.t.Context(), &d); err != nil {
		s.t.Fatal(err)
	}
}

// A hub that dies at any write goes on where it was, and no cluster moves before
// its turn.
func TestAHubThatDiesAtAnyWriteGoesOn(t *testing.T) {
	perform := func(t *testing.T, lives int) (log []string, survived bool) {
		s := newStage(t, kronvoyv1alpha1.ScopeDistribution, rolledBack, asking)
		s.instance("web", "one")
		s.run()
		s.answer(kronvoyv1alpha1.Approved)
		s.run()
		s.log = nil
		s.lives = lives
		s.instance("web", "two")
		s.behaves["two eu-2"] = kronvoyv1alpha1.TargetFailed
		s.run()
		s.answer(kronvoyv1alpha1.Approved)
		s.run()
		s.is("RolledBack", "eu-1=one eu-2=one us-1=one us-2=one")
		return s.log, lives >= 0 && s.lives >= 0
	}
	for lives := 0; ; lives++ {
		log, survived := perform(t, lives)
		if survived {
			if lives < 20 {
				t.Errorf("it wrote %d times only", lives)
			}
			return
		}
		for _, line := range log {
			if strings.Contains(line, "one*") {
				break // it goes back
			}
			early := strings.Contains(line, "eu-1=two") && !strings.Contains(line, "us-1=two us-2=two")
			if strings.Count(line, "two*") > 1 || early {
				t.Errorf("after %d writes it died, and what moved was not to move yet: %s", lives, line)
			}
		}
	}
}
