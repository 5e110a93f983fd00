// Package explain says why the hub decides as it does. It runs the functions that
// the hub runs, on what the hub has, on files, or on files laid over what the hub
// has.
package explain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/placement"
)

// Objects are all that a Placement's decision depends on.
type Objects struct {
	Placements []clusterv1beta1.Placement
	Bindings   []clusterv1beta2.ManagedClusterSetBinding
	Sets       []clusterv1beta2.ManagedClusterSet
	Clusters   []clusterv1.ManagedCluster
	Decisions  []clusterv1beta1.PlacementDecision
	Scores     []clusterv1alpha1.AddOnPlacementScore
}

// Gather reads them from the hub. Scores of add-ons are left out where the hub
// does not know the kind.
func Gather(ctx context.Context, c client.Reader) (Objects, error) {
	var (
		placements clusterv1beta1.PlacementList
		bindings   clusterv1beta2.ManagedClusterSetBindingList
		sets       clusterv1beta2.ManagedClusterSetList
		clusters   clusterv1.ManagedClusterList
		decisions  clusterv1beta1.PlacementDecisionList
		scores     clusterv1alpha1.AddOnPlacementScoreList
	)
	for _, list := range []client.ObjectList{&placements, &bindings, &sets, &clusters, &decisions, &scores} {
		err := c.List(ctx, list)
		if list == &scores && apimeta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return Objects{}, fmt.Errorf("reading what the decision depends on: %w", err)
		}
	}
	return Objects{placements.Items, bindings.Items, sets.Items, clusters.Items, decisions.Items, scores.Items}, nil
}

// Over lays o over what is below it: an object replaces the one of the same name.
func (o Objects) Over(below Objects) Objects {
	return Objects{
		Placements: over(o.Placements, below.Placements, func(p *clusterv1beta1.Placement) *metav1.ObjectMeta { return &p.ObjectMeta }),
		Bindings:   over(o.Bindings, below.Bindings, func(b *clusterv1beta2.ManagedClusterSetBinding) *metav1.ObjectMeta { return &b.ObjectMeta }),
		Sets:       over(o.Sets, below.Sets, func(s *clusterv1beta2.ManagedClusterSet) *metav1.ObjectMeta { return &s.ObjectMeta }),
		Clusters:   over(o.Clusters, below.Clusters, func(c *clusterv1.ManagedCluster) *metav1.ObjectMeta { return &c.ObjectMeta }),
		Decisions:  over(o.Decisions, below.Decisions, func(d *clusterv1beta1.PlacementDecision) *metav1.ObjectMeta { return &d.ObjectMeta }),
		Scores:     over(o.Scores, below.Scores, func(s *clusterv1alpha1.AddOnPlacementScore) *metav1.ObjectMeta { return &s.ObjectMeta }),
	}
}

func over[T any](above, below []T, meta func(*T) *metav1.ObjectMeta) []T {
	out := slices.Clone(above)
	for i := range below {
		of := meta(&below[i])
		if !slices.ContainsFunc(above, func(o T) bool { return meta(&o).Namespace == of.Namespace && meta(&o).Name == of.Name }) {
			out = append(out, below[i])
		}
	}
	return out
}

// Placement is a decision with a reason for every cluster.
type Placement struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Misconfigured and Undecided say why there is no decision.
	Misconfigured string `json:"misconfigured,omitempty"`
	Undecided     string `json:"undecided,omitempty"`
	// RestsOnClaims is whether it may depend on what clusters say of themselves.
	RestsOnClaims bool `json:"restsOnClaims,omitempty"`
	// Selected is the number of clusters.
	Selected int `json:"selected"`
	// RecheckAt is when the decision may become another one by time alone.
	RecheckAt *time.Time `json:"recheckAt,omitempty"`
	// Groups are the selected clusters, as the hub writes them.
	Groups []placement.Group `json:"-"`
	// Clusters that may be selected come first, by rank; the others by name.
	Clusters []Cluster `json:"clusters"`
}

// Cluster is one cluster's part in a decision.
type Cluster struct {
	Name     string `json:"name"`
	Selected bool   `json:"selected"`
	// Was says whether the decision that stands has it.
	Was     bool   `json:"was"`
	Group   string `json:"group,omitempty"`
	Rank    int    `json:"rank,omitempty"`
	Score   int64  `json:"score"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
	// Scores by prioritizer.
	Scores []Score `json:"scores,omitempty"`
}

// Score is what one prioritizer gives a cluster.
type Score struct {
	Prioritizer string `json:"prioritizer"`
	Score       int64  `json:"score"`
	Weight      int32  `json:"weight"`
}

// Of decides a Placement as the hub would, at a time.
func (o Objects) Of(namespace, name string, now time.Time) (Placement, error) {
	i := slices.IndexFunc(o.Placements, func(p clusterv1beta1.Placement) bool { return p.Namespace == namespace && p.Name == name })
	if i < 0 {
		return Placement{}, fmt.Errorf("there is no Placement %s in namespace %s", name, namespace)
	}
	p := &o.Placements[i]
	bindings := slices.DeleteFunc(slices.Clone(o.Bindings), func(b clusterv1beta2.ManagedClusterSetBinding) bool { return b.Namespace != namespace })
	policy, err := convert.Policy(p, bindings, o.Sets)
	out := Placement{Namespace: namespace, Name: name, RestsOnClaims: policy.RestsOnClaims()}
	if err != nil {
		out.Misconfigured = err.Error()
		return out, nil //nolint:nilerr // it is what is explained
	}
	clusters, err := o.clusters(p)
	if err != nil {
		return out, err
	}
	own, _ := convert.Decisions(p, o.Decisions)
	previous := convert.Decided(own)
	decision := placement.Select(policy, clusters, previous, now)
	out.Groups = decision.Groups
	out.Undecided, out.Selected = decision.Undecided, len(decision.Clusters)
	if !decision.RecheckAt.IsZero() {
		out.RecheckAt = &decision.RecheckAt
	}
	groups := map[string]string{}
	for _, group := range decision.Groups {
		for _, cluster := range group.Clusters {
			groups[cluster] = group.Name
		}
	}
	for _, reason := range decision.Reasons {
		c := Cluster{
			Name: reason.Cluster, Selected: reason.Selected(), Was: slices.Contains(previous, reason.Cluster), Group: groups[reason.Cluster],
			Rank: reason.Rank, Score: reason.Score, Reason: string(reason.Code), Message: reason.Message,
		}
		for _, s := range reason.Scores {
			c.Scores = append(c.Scores, Score{Prioritizer: s.Name, Score: s.Score, Weight: s.Weight})
		}
		out.Clusters = append(out.Clusters, c)
	}
	slices.SortStableFunc(out.Clusters, func(a, b Cluster) int { return last(a.Rank) - last(b.Rank) })
	return out, nil
}

// last puts what has no rank behind what has one.
func last(rank int) int {
	if rank == 0 {
		return 1 << 30
	}
	return rank
}

func (o Objects) clusters(p *clusterv1beta1.Placement) ([]placement.Cluster, error) {
	_, placed := convert.Decisions(p, o.Decisions)
	scores := map[string]map[string]placement.AddOnScores{}
	for i := range o.Scores {
		s := &o.Scores[i]
		if scores[s.Namespace] == nil {
			scores[s.Namespace] = map[string]placement.AddOnScores{}
		}
		scores[s.Namespace][s.Name] = convert.PlacementScores(s)
	}
	out := make([]placement.Cluster, len(o.Clusters))
	var errs []error
	for i := range o.Clusters {
		c := &o.Clusters[i]
		out[i] = convert.PlacementCluster(c)
		out[i].Placed, out[i].Scores = placed[c.Name], scores[c.Name]
		var err error
		out[i].Object, err = convert.PlacementObject(c)
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}
