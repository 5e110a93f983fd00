package rollout

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

var (
	noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	shop = work.Identity{Group: "kro.run", Version: "v1alpha1", Kind: "Shop", Namespace: "team", Name: "shop"}
)

func target(cluster, revision string, change ...func(*kronvoyv1alpha1.Target)) kronvoyv1alpha1.Target {
	t := kronvoyv1alpha1.Target{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster, Name: "shop"},
		Spec:       kronvoyv1alpha1.TargetSpec{Revision: revision},
	}
	for _, change := range change {
		change(&t)
	}
	return t
}

func deleting(t *kronvoyv1alpha1.Target) { t.DeletionTimestamp = &metav1.Time{Time: noon} }

// left marks a Target as one that left an hour ago.
func left(change ...func(*kronvoyv1alpha1.TargetRemoval)) func(*kronvoyv1alpha1.Target) {
	return func(t *kronvoyv1alpha1.Target) {
		t.Spec.Removal = &kronvoyv1alpha1.TargetRemoval{Since: metav1.NewTime(noon.Add(-time.Hour)), Policy: kronvoyv1alpha1.RemovalDelete}
		for _, change := range change {
			change(t.Spec.Removal)
		}
	}
}

func orphaning(r *kronvoyv1alpha1.TargetRemoval) { r.Policy = kronvoyv1alpha1.RemovalOrphan }

// approved is by the question about these clusters.
func approved(clusters ...string) func(*kronvoyv1alpha1.TargetRemoval) {
	return func(r *kronvoyv1alpha1.TargetRemoval) { r.Approved = hashOf(clusters...) }
}

func on(clusters ...string) Decision { return Decision{Decided: true, Clusters: clusters} }

// five Targets, those named first changed.
func five(change ...func(*kronvoyv1alpha1.Target)) []kronvoyv1alpha1.Target {
	var all []kronvoyv1alpha1.Target
	for i, cluster := range []string{"a", "b", "c", "d", "e"} {
		t := target(cluster, "r2")
		if i < len(change) && change[i] != nil {
			change[i](&t)
		}
		all = append(all, t)
	}
	return all
}

// hashOf is the plan hash of the question whether to delete the instance on
// clusters, all of which leave.
func hashOf(clusters ...string) string {
	f := facts{decision: on(), now: noon, unreachable: func(string) bool { return false }}
	for _, cluster := range clusters {
		f.targets = append(f.targets, target(cluster, "r2", left()))
	}
	return decide(f).ask.Spec.PlanHash
}

// asked is the question about clusters, with its answer.
func asked(decision kronvoyv1alpha1.ApprovalDecision, clusters ...string) kronvoyv1alpha1.ApprovalRequest {
	reference := shop.Reference()
	hash := hashOf(clusters...)
	request := kronvoyv1alpha1.ApprovalRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: asksAbout(shop, "team", metav1.OwnerReference{}, nil).name(&rollout.Question{PlanHash: hash})},
		Spec: kronvoyv1alpha1.ApprovalRequestSpec{
			Action: kronvoyv1alpha1.ApprovalRemove, Instance: &reference, PlanHash: hash, ClusterCount: int32(len(clusters)), Clusters: clusters,
			Message: "as it was when it was asked",
		},
	}
	if request.Status.Decision = decision; decision != "" {
		request.Status.DecidedBy = "alice"
	}
	return request
}

func TestDecide(t *testing.T) {
	type outcome struct {
		Update, Remove, Settled, Ask []string
		// Marks of those to be updated; nil where one goes.
		Marks   map[string]*kronvoyv1alpha1.TargetRemoval
		Recheck time.Time
	}
	justNow := &kronvoyv1alpha1.TargetRemoval{Since: metav1.NewTime(noon), Policy: kronvoyv1alpha1.RemovalDelete}
	mark := func(change ...func(*kronvoyv1alpha1.TargetRemoval)) *kronvoyv1alpha1.TargetRemoval {
		t := target("", "", left(change...))
		return t.Spec.Removal
	}
	needed := func(r *kronvoyv1alpha1.TargetRemoval) {
		r.Held = "more clusters leave than may without being asked for, so somebody has to approve it"
	}
	rejected := func(r *kronvoyv1alpha1.TargetRemoval) { r.Held = "alice rejected its removal" }
	about := func(clusters ...string) string { return asked("", clusters...).Name }
	cases := map[string]struct {
		decision    Decision
		targets     []kronvoyv1alpha1.Target
		unreachable []string
		removal     *kronvoyv1alpha1.Removal
		requests    []kronvoyv1alpha1.ApprovalRequest
		want        outcome
	}{
		"a new owner is named on all clusters": {
			decision: on("a", "b"), removal: &kronvoyv1alpha1.Removal{},
			targets: []kronvoyv1alpha1.Target{target("a", "r2"), target("b", "r2")},
			want:    outcome{Update: []string{"a", "b"}},
		},
		"nothing is concluded from a decision that is not there": {
			decision: Decision{Reason: kronvoyv1alpha1.ReasonPlacementNotFound},
			targets:  []kronvoyv1alpha1.Target{target("a", "r1")},
			requests: []kronvoyv1alpha1.ApprovalRequest{asked("", "a")},
		},
		"a target on its way out is left alone": {
			decision: on("a"),
			targets:  []kronvoyv1alpha1.Target{target("a", "r1", deleting)},
		},
		"that a cluster left is stored before it loses the instance": {
			decision: on("b", "c", "d", "e"), targets: five(),
			want: outcome{Update: []string{"a"}, Marks: map[string]*kronvoyv1alpha1.TargetRemoval{"a": justNow}, Recheck: noon.Add(time.Minute)},
		},
		"when the grace period is over it loses it": {
			decision: on("b", "c", "d", "e"), targets: five(left()),
			want: outcome{Remove: []string{"a"}},
		},
		"one that comes back keeps it": {
			decision: on("a", "b", "c", "d", "e"), targets: five(left()),
			want: outcome{Update: []string{"a"}, Marks: map[string]*kronvoyv1alpha1.TargetRemoval{"a": nil}},
		},
		"what a removal does is stored before it begins": {
			decision: on("b", "c", "d", "e"), targets: five(left()), removal: &kronvoyv1alpha1.Removal{Policy: kronvoyv1alpha1.RemovalOrphan},
			want: outcome{Update: []string{"a", "b", "c", "d", "e"}, Marks: map[string]*kronvoyv1alpha1.TargetRemoval{"a": mark(orphaning)}},
		},
		"one that cannot be reached keeps it, and says so": {
			decision: on("b", "c", "d", "e"), targets: five(left()), unreachable: []string{"a"},
			want: outcome{Update: []string{"a"}, Marks: map[string]*kronvoyv1alpha1.TargetRemoval{"a": mark(func(r *kronvoyv1alpha1.TargetRemoval) {
				r.Held = "it left its placement and cannot be reached: what is there stays until it can"
			})}},
		},
		"too many are asked for": {
			decision: on("c", "d", "e"), targets: five(left(), left()),
			want: outcome{
				Update: []string{"a", "b"}, Marks: map[string]*kronvoyv1alpha1.TargetRemoval{"a": mark(needed), "b": mark(needed)}, Ask: []string{about("a", "b")},
			},
		},
		"a question is put once": {
			decision: on("c", "d", "e"), targets: five(left(needed), left(needed)), requests: []kronvoyv1alpha1.ApprovalRequest{asked("", "a", "b")},
		},
		"another question takes its place": {
			decision: on("d", "e"), targets: five(left(needed), left(needed), left(needed)), requests: []kronvoyv1alpha1.ApprovalRequest{asked(kronvoyv1alpha1.Approved, "a", "b")},
			want: outcome{Settled: []string{about("a", "b")}, Ask: []string{about("a", "b", "c")}},
		},
		"a rejection stands": {
			decision: on("c", "d", "e"), targets: five(left(needed), left(needed)), requests: []kronvoyv1alpha1.ApprovalRequest{asked(kronvoyv1alpha1.Rejected, "a", "b")},
			want: outcome{
				Update: []string{"a", "b"}, Marks: map[string]*kronvoyv1alpha1.TargetRemoval{"a": mark(rejected), "b": mark(rejected)},
			},
		},
		"a question without an occasion goes": {
			decision: on("a", "b", "c", "d", "e"), targets: five(), requests: []kronvoyv1alpha1.ApprovalRequest{asked("", "a", "b")},
			want: outcome{Settled: []string{about("a", "b")}},
		},
		"an approval is stored with all that it is for": {
			decision: on("c", "d", "e"), targets: five(left(needed), left(needed)), requests: []kronvoyv1alpha1.ApprovalRequest{asked(kronvoyv1alpha1.Approved, "a", "b")},
			want: outcome{Update: []string{"a", "b"}, Marks: map[string]*kronvoyv1alpha1.TargetRemoval{
				"a": mark(approved("a", "b")), "b": mark(approved("a", "b")),
			}},
		},
		"then they go one after the other, and the question is settled": {
			decision: on("c", "d", "e"), targets: five(left(approved("a", "b")), left(approved("a", "b"))), requests: []kronvoyv1alpha1.ApprovalRequest{asked(kronvoyv1alpha1.Approved, "a", "b")},
			want: outcome{
				Remove: []string{"a"}, Update: []string{"b"}, Settled: []string{about("a", "b")},
				Marks: map[string]*kronvoyv1alpha1.TargetRemoval{"b": mark(approved("a", "b"), func(r *kronvoyv1alpha1.TargetRemoval) { r.Held = "it waits until others are gone" })},
			},
		},
		"a Distribution may ask for everything": {
			decision: on("b", "c", "d", "e"), targets: five(left(needed)), removal: &kronvoyv1alpha1.Removal{MaxPercent: ptr.To[int32](0)},
			want: outcome{Update: []string{"a", "b", "c", "d", "e"}, Marks: map[string]*kronvoyv1alpha1.TargetRemoval{"a": mark(needed)}, Ask: []string{about("a")}},
		},
		"a Distribution may give more time": {
			decision: on("b", "c", "d", "e"), targets: five(left()), removal: &kronvoyv1alpha1.Removal{GracePeriod: &metav1.Duration{Duration: 2 * time.Hour}},
			want: outcome{Update: []string{"a", "b", "c", "d", "e"}, Marks: map[string]*kronvoyv1alpha1.TargetRemoval{"a": mark()}, Recheck: noon.Add(time.Hour)},
		},
		"a Distribution may remove what cannot be reached": {
			decision: on("b", "c", "d", "e"), targets: owned(five(left())), removal: &kronvoyv1alpha1.Removal{OnUnreachable: kronvoyv1alpha1.UnreachableRemove},
			unreachable: []string{"a"},
			want:        outcome{Remove: []string{"a"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := facts{
				identity: shop, namespace: "team", decision: tc.decision, targets: tc.targets, requests: tc.requests, grace: time.Minute, now: noon,
				unreachable: func(c string) bool { return slices.Contains(tc.unreachable, c) },
			}
			if tc.removal != nil {
				f.owner = &kronvoyv1alpha1.Distribution{ObjectMeta: metav1.ObjectMeta{Name: "calm"}, Spec: kronvoyv1alpha1.DistributionSpec{Removal: *tc.removal}}
			}
			p := decide(f)
			got := outcome{Recheck: p.recheck}
			for _, m := range p.update {
				got.Update = append(got.Update, m.to.Namespace)
				if m.from.Spec.Removal != nil || m.to.Spec.Removal != nil {
					if got.Marks == nil {
						got.Marks = map[string]*kronvoyv1alpha1.TargetRemoval{}
					}
					got.Marks[m.to.Namespace] = m.to.Spec.Removal
				}
			}
			for _, r := range p.remove {
				got.Remove = append(got.Remove, r.Namespace)
			}
			for _, r := range p.settled {
				got.Settled = append(got.Settled, r.Name)
			}
			if p.ask != nil {
				got.Ask = append(got.Ask, p.ask.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

func owned(targets []kronvoyv1alpha1.Target) []kronvoyv1alpha1.Target {
	for i := range targets {
		targets[i].Spec.Distribution = "calm"
	}
	return targets
}

func TestAQuestionIsBoundedAndItsNameCanBeTyped(t *testing.T) {
	identity := shop
	identity.Name = "a-name-that-is-as-long-as-names-of-objects.can-be-and-then-some-more-of-it"
	f := facts{identity: identity, namespace: "team", decision: on(), now: noon, unreachable: func(string) bool { return false }}
	for i := range 300 {
		f.targets = append(f.targets, target(string(rune('a'+i/26))+string(rune('a'+i%26)), "r2", left()))
	}
	ask := decide(f).ask
	if ask.Spec.ClusterCount != 300 || len(ask.Spec.Clusters) != maxClusters || len(ask.Spec.Message) > 1024 {
		t.Errorf("it names %d of %d clusters in a message of %d bytes", len(ask.Spec.Clusters), ask.Spec.ClusterCount, len(ask.Spec.Message))
	}
	if want := "a-name-that-is-as-long-as-names-of-objec-"; len(ask.Name) != len(want)+8 || ask.Name[:len(want)] != want {
		t.Errorf("its name is %s", ask.Name)
	}
}
