package rollout

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func target(cluster, revision string) kronvoyv1alpha1.Target {
	return kronvoyv1alpha1.Target{
		ObjectMeta: metav1.ObjectMeta{Namespace: cluster, Name: "shop"},
		Spec:       kronvoyv1alpha1.TargetSpec{Revision: revision},
	}
}

func leaving(t kronvoyv1alpha1.Target) kronvoyv1alpha1.Target {
	now := metav1.Now()
	t.DeletionTimestamp = &now
	return t
}

func TestDecide(t *testing.T) {
	type outcome struct{ Create, Update, Remove []string }
	cases := map[string]struct {
		decision    Decision
		targets     []kronvoyv1alpha1.Target
		unreachable []string
		// distribution owns the instance now.
		distribution string
		want         outcome
	}{
		"a new placement creates a target on every cluster": {
			decision: Decision{Decided: true, Clusters: []string{"a", "b"}},
			want:     outcome{Create: []string{"a", "b"}},
		},
		"a new revision moves all clusters at once": {
			decision: Decision{Decided: true, Clusters: []string{"a", "b"}},
			targets:  []kronvoyv1alpha1.Target{target("a", "r1"), target("b", "r2")},
			want:     outcome{Update: []string{"a"}},
		},
		"a new owner is named on all clusters": {
			decision: Decision{Decided: true, Clusters: []string{"a", "b"}}, distribution: "calm",
			targets: []kronvoyv1alpha1.Target{target("a", "r2"), target("b", "r2")},
			want:    outcome{Update: []string{"a", "b"}},
		},
		"a cluster that left the placement loses the instance": {
			decision: Decision{Decided: true, Clusters: []string{"b"}},
			targets:  []kronvoyv1alpha1.Target{target("a", "r2"), target("b", "r2")},
			want:     outcome{Remove: []string{"a"}},
		},
		"one that cannot be reached keeps it": {
			decision:    Decision{Decided: true, Clusters: []string{"b"}},
			targets:     []kronvoyv1alpha1.Target{target("a", "r2"), target("b", "r2")},
			unreachable: []string{"a"},
		},
		"a decision that became empty removes nothing": {
			decision: Decision{Decided: true},
			targets:  []kronvoyv1alpha1.Target{target("a", "r2")},
		},
		"nothing is concluded from a decision that is not there": {
			decision: Decision{Reason: kronvoyv1alpha1.ReasonPlacementNotFound},
			targets:  []kronvoyv1alpha1.Target{target("a", "r1")},
			want:     outcome{Update: []string{"a"}},
		},
		"a target on its way out is neither moved nor made again": {
			decision: Decision{Decided: true, Clusters: []string{"a"}},
			targets:  []kronvoyv1alpha1.Target{leaving(target("a", "r1"))},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := decide(tc.decision, tc.targets, wanted{revision: "r2", distribution: tc.distribution}, func(c string) bool { return slices.Contains(tc.unreachable, c) })
			got := outcome{Create: p.create}
			for _, u := range p.update {
				got.Update = append(got.Update, u.Namespace)
			}
			for _, r := range p.remove {
				got.Remove = append(got.Remove, r.Namespace)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}
