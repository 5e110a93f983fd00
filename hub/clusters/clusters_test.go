package clusters

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	hubevents "github.com/kronvoy/kronvoy/hub/events"
)

const (
	unreachable = clusterv1.ManagedClusterTaintUnreachable
	unavailable = clusterv1.ManagedClusterTaintUnavailable
)

// world is a hub that looks at one cluster with a lease of 10 seconds.
type world struct {
	*testing.T
	client client.Client
	clock  *clocktesting.FakeClock
	r      *Reconciler
	events *events.FakeRecorder
}

func newWorld(t *testing.T, change func(*clusterv1.ManagedCluster)) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clusterv1.Install, coordinationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := &clusterv1.ManagedCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "c1"},
		Spec:       clusterv1.ManagedClusterSpec{HubAcceptsClient: true, LeaseDurationSeconds: 10},
	}
	if change != nil {
		change(c)
	}
	w := &world{
		T: t, clock: clocktesting.NewFakeClock(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)),
		client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(c).WithStatusSubresource(c).Build(),
	}
	w.restartHub()
	return w
}

func (w *world) restartHub() {
	w.events = events.NewFakeRecorder(100)
	w.r = &Reconciler{Client: w.client, Clock: w.clock, Events: hubevents.NewRecorder(w.events, w.client.Scheme(), w.clock)}
}

// tells compares the reasons of the events since the last time.
func (w *world) tells(want ...string) {
	w.Helper()
	var got []string
	for len(w.events.Events) > 0 {
		got = append(got, strings.Join(strings.Fields(<-w.events.Events)[:2], " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Errorf("events (-want +got):\n%s", diff)
	}
}

// reconcile looks until nothing is left to do.
func (w *world) reconcile() ctrl.Result {
	w.Helper()
	result, err := w.r.Reconcile(w.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: "c1"}})
	if err != nil {
		w.Fatal(err)
	}
	return result
}

func (w *world) cluster() *clusterv1.ManagedCluster {
	w.Helper()
	c := &clusterv1.ManagedCluster{}
	if err := w.client.Get(w.Context(), client.ObjectKey{Name: "c1"}, c); err != nil {
		w.Fatal(err)
	}
	return c
}

// renew is what an agent does whose clock is off by skew.
func (w *world) renew(skew time.Duration) {
	w.Helper()
	now := metav1.NewMicroTime(w.clock.Now().Add(skew))
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "c1", Name: LeaseName}}
	err := w.client.Get(w.Context(), client.ObjectKeyFromObject(lease), lease)
	lease.Spec.RenewTime = &now
	if err == nil {
		err = w.client.Update(w.Context(), lease)
	} else {
		err = w.client.Create(w.Context(), lease)
	}
	if err != nil {
		w.Fatal(err)
	}
}

// say is what an agent does that probed its API server.
func (w *world) say(status metav1.ConditionStatus) {
	w.Helper()
	c := w.cluster()
	apimeta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{
		Type: clusterv1.ManagedClusterConditionAvailable, Status: status, Reason: "TheAgentSaysSo",
	})
	if err := w.client.Status().Update(w.Context(), c); err != nil {
		w.Fatal(err)
	}
}

// is compares availability, as status/reason, and the keys of the taints.
func (w *world) is(availability string, keys ...string) {
	w.Helper()
	c := w.cluster()
	got := ""
	if available := apimeta.FindStatusCondition(c.Status.Conditions, clusterv1.ManagedClusterConditionAvailable); available != nil {
		got = fmt.Sprintf("%s/%s", available.Status, available.Reason)
	}
	if got != availability {
		w.Errorf("availability is %q, want %q", got, availability)
	}
	var found []string
	for _, taint := range c.Spec.Taints {
		found = append(found, taint.Key)
	}
	if diff := cmp.Diff(keys, found); diff != "" {
		w.Errorf("taints: -want +got:\n%s", diff)
	}
}

const (
	yes     = "True/TheAgentSaysSo"
	no      = "False/TheAgentSaysSo"
	stopped = "Unknown/ManagedClusterLeaseUpdateStopped"
)

func TestHubAndAgentDoNotFightOverAvailability(t *testing.T) {
	w := newWorld(t, nil)
	w.reconcile()
	w.is("", unreachable)

	w.renew(0)
	w.reconcile()
	w.is("", unreachable) // the agent has said nothing yet, and the hub says nothing in its place
	w.say(metav1.ConditionTrue)
	w.reconcile()
	w.is(yes)

	w.say(metav1.ConditionFalse)
	w.reconcile()
	w.is(no, unavailable)
	for range 10 {
		w.clock.Step(10 * time.Second)
		w.renew(0)
		w.reconcile()
	}
	w.is(no, unavailable) // a lease says nothing of the API server

	w.clock.Step(49 * time.Second)
	if next := w.reconcile().RequeueAfter; next != time.Second {
		t.Errorf("the hub looks again in %s", next)
	}
	w.is(no, unavailable)
	w.clock.Step(time.Second)
	w.reconcile()
	w.is(stopped, unreachable)

	w.say(metav1.ConditionTrue) // by an agent whose lease the hub does not see
	w.reconcile()
	w.is(stopped, unreachable)
	w.renew(0)
	w.reconcile()
	w.is(stopped, unreachable) // until the agent has looked
	w.say(metav1.ConditionFalse)
	w.reconcile()
	w.is(no, unavailable)
	w.say(metav1.ConditionTrue)
	w.reconcile()
	w.is(yes)
}

func TestAnEventIsOfAChangeOfAvailability(t *testing.T) {
	w := newWorld(t, nil)
	w.reconcile()
	w.renew(0)
	w.reconcile()
	w.tells() // it has not joined yet
	w.say(metav1.ConditionTrue)
	w.reconcile()
	w.tells("Normal Available")
	for range 5 {
		w.clock.Step(20 * time.Second)
		w.renew(0)
		w.reconcile()
	}
	w.tells()
	w.say(metav1.ConditionFalse)
	w.reconcile()
	w.tells("Warning Unavailable")
	w.clock.Step(time.Minute)
	w.reconcile()
	w.tells("Warning Unreachable")
	w.restartHub()
	for range 5 {
		w.clock.Step(time.Minute)
		w.reconcile()
	}
	w.tells()
	w.renew(0)
	w.say(metav1.ConditionTrue)
	w.reconcile()
	w.tells("Normal Available")
}

func TestAHubThatStartsGivesTheWholeGrace(t *testing.T) {
	w := newWorld(t, nil)
	w.renew(-24 * time.Hour)
	w.say(metav1.ConditionTrue)
	w.reconcile()
	w.clock.Step(40 * time.Second)
	w.restartHub()
	w.reconcile()
	w.clock.Step(40 * time.Second)
	w.reconcile()
	w.is(yes)
	w.clock.Step(10 * time.Second)
	w.reconcile()
	w.is(stopped, unreachable)
}

func TestOtherTaintsStayAndGetATime(t *testing.T) {
	since := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	mine := []clusterv1.Taint{
		{Key: "gpu", Value: "true", Effect: clusterv1.TaintEffectNoSelectIfNew},
		{Key: unreachable, Effect: clusterv1.TaintEffectPreferNoSelect, TimeAdded: since},
		{Key: "old", Effect: clusterv1.TaintEffectNoSelect, TimeAdded: since},
	}
	w := newWorld(t, func(c *clusterv1.ManagedCluster) { c.Spec.Taints = mine })
	w.renew(0)
	w.say(metav1.ConditionFalse)
	added := metav1.NewTime(w.clock.Now())
	w.reconcile()
	w.clock.Step(time.Hour)
	w.reconcile()
	want := append([]clusterv1.Taint{}, mine...)
	want[0].TimeAdded = added
	check := func(want []clusterv1.Taint) {
		t.Helper()
		if diff := cmp.Diff(want, w.cluster().Spec.Taints, cmp.Comparer(func(a, b metav1.Time) bool { return a.Equal(&b) })); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	check(append(append([]clusterv1.Taint{}, want...), clusterv1.Taint{Key: unreachable, Effect: clusterv1.TaintEffectNoSelect, TimeAdded: metav1.NewTime(w.clock.Now())}))
	w.renew(0)
	w.reconcile()
	w.say(metav1.ConditionTrue)
	w.reconcile()
	check(want)
}

func TestAClusterThatIsNotAcceptedGetsTimesAlone(t *testing.T) {
	w := newWorld(t, func(c *clusterv1.ManagedCluster) {
		c.Spec.HubAcceptsClient = false
		c.Spec.Taints = []clusterv1.Taint{{Key: "gpu", Effect: clusterv1.TaintEffectNoSelect}}
	})
	w.reconcile()
	w.is("", "gpu")
	if w.cluster().Spec.Taints[0].TimeAdded.IsZero() {
		t.Error("the taint has no time")
	}
}

func TestClocks(t *testing.T) {
	for name, test := range map[string]struct {
		skew        time.Duration
		annotations map[string]string
		want        string
	}{
		"they agree":               {want: "True/ManagedClusterClockSynced"},
		"a little behind":          {skew: -50 * time.Second, want: "True/ManagedClusterClockSynced"},
		"far behind":               {skew: -51 * time.Second, want: "False/ManagedClusterClockOutOfSync"},
		"far ahead":                {skew: 24 * time.Hour, want: "False/ManagedClusterClockOutOfSync"},
		"far ahead, and unchecked": {skew: 24 * time.Hour, annotations: map[string]string{skipClockCheck: ""}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *clusterv1.ManagedCluster) { c.Annotations = test.annotations })
			clocks := func() string {
				synced := apimeta.FindStatusCondition(w.cluster().Status.Conditions, clusterv1.ManagedClusterConditionClockSynced)
				if synced == nil {
					return ""
				}
				return fmt.Sprintf("%s/%s", synced.Status, synced.Reason)
			}
			w.renew(test.skew)
			w.say(metav1.ConditionTrue)
			w.reconcile()
			if got := clocks(); got != "" {
				t.Errorf("a lease of unknown age is judged: %s", got)
			}
			w.clock.Step(10 * time.Second)
			w.renew(test.skew)
			w.reconcile()
			w.clock.Step(30 * time.Second)
			w.reconcile()
			if got := clocks(); got != test.want {
				t.Errorf("clocks are %q, want %q", got, test.want)
			}
			w.is(yes) // whatever time the agent writes, it is alive
			c := w.cluster()
			c.Annotations = map[string]string{skipClockCheck: ""}
			if err := w.client.Update(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			w.reconcile()
			if got := clocks(); got != "" {
				t.Errorf("unchecked clocks are %s", got)
			}
		})
	}
}

func TestNothingIsWrittenThatIsSoAlready(t *testing.T) {
	w := newWorld(t, nil)
	w.renew(0)
	w.say(metav1.ConditionTrue)
	w.reconcile()
	w.renew(0)
	w.reconcile()
	version := w.cluster().ResourceVersion
	for range 20 {
		w.clock.Step(10 * time.Second)
		w.renew(0)
		w.reconcile()
	}
	if got := w.cluster().ResourceVersion; got != version {
		t.Errorf("the cluster was written: version %s, then %s", version, got)
	}
}
