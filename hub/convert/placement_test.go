package convert

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"
	"sigs.k8s.io/yaml"

	"github.com/kronvoy/kronvoy/internal/golden"
	"github.com/kronvoy/kronvoy/placement"
)

// A file of testdata/placements is a topic, with cases in order.
type placementCase struct {
	// Name is a sentence.
	Name string `json:"name"`
	// Unlike says why OCM's own scheduler decides otherwise.
	Unlike string `json:"unlike,omitempty"`
	// Spec of the Placement.
	Spec clusterv1beta1.PlacementSpec `json:"spec"`
	// Sets that there are, beside global and default; Bound are the ones that the
	// namespace is bound to, global without any.
	Sets  map[string]metav1.LabelSelector `json:"sets,omitempty"`
	Bound []string                        `json:"bound,omitempty"`
	// Clusters by name.
	Clusters map[string]*placementCluster `json:"clusters"`
	// Previous decision.
	Previous []string `json:"previous,omitempty"`
	// Want is written by -update.
	Want placementWant `json:"want"`
}

type placementCluster struct {
	Labels      map[string]string           `json:"labels,omitempty"`
	Claims      map[string]string           `json:"claims,omitempty"`
	Taints      []clusterv1.Taint           `json:"taints,omitempty"`
	Allocatable clusterv1.ResourceList      `json:"allocatable,omitempty"`
	Capacity    clusterv1.ResourceList      `json:"capacity,omitempty"`
	Version     string                      `json:"version,omitempty"`
	Scores      map[string]map[string]int64 `json:"scores,omitempty"`
	// Expired scores are not valid any more.
	Expired  bool `json:"expired,omitempty"`
	Placed   int  `json:"placed,omitempty"`
	Denied   bool `json:"denied,omitempty"`
	Deleting bool `json:"deleting,omitempty"`
}

type placementWant struct {
	Error     string   `json:"error,omitempty"`
	Undecided string   `json:"undecided,omitempty"`
	Selected  []string `json:"selected,omitempty"`
	// Groups are given where there are several, or an order of their own.
	Groups []string `json:"groups,omitempty"`
	// Why not the others.
	Others map[string]string `json:"others,omitempty"`
	// Scores of the clusters, where the case is about them.
	Scores map[string]string `json:"scores,omitempty"`
	// RecheckAfter is how long after noon.
	RecheckAfter string `json:"recheckAfter,omitempty"`
}

// noon is when all cases are decided.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func placementCases(t *testing.T) map[string][]placementCase {
	t.Helper()
	files, err := filepath.Glob("testdata/placements/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	out := map[string][]placementCase{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var cases []placementCase
		if err := yaml.UnmarshalStrict(text, &cases); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[file] = cases
	}
	return out
}

// managed is the cluster as the API has it.
func (c *placementCluster) managed(name string) *clusterv1.ManagedCluster {
	out := &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: c.Labels}}
	out.Spec.HubAcceptsClient = !c.Denied
	if c.Deleting {
		out.DeletionTimestamp = &metav1.Time{Time: noon}
	}
	out.Spec.Taints = c.Taints
	out.Status.Allocatable, out.Status.Capacity = c.Allocatable, c.Capacity
	out.Status.Version.Kubernetes = c.Version
	for _, claim := range slices.Sorted(maps.Keys(c.Claims)) {
		out.Status.ClusterClaims = append(out.Status.ClusterClaims, clusterv1.ManagedClusterClaim{Name: claim, Value: c.Claims[claim]})
	}
	return out
}

func (c *placementCluster) input(t *testing.T, name string) placement.Cluster {
	t.Helper()
	managed := c.managed(name)
	out := PlacementCluster(managed)
	out.Placed = c.Placed
	out.Scores = map[string]placement.AddOnScores{}
	for addOn, values := range c.Scores {
		scores := placement.AddOnScores{Values: values}
		if c.Expired {
			scores.ValidUntil = noon.Add(-time.Minute)
		}
		out.Scores[addOn] = scores
	}
	var err error
	if out.Object, err = PlacementObject(managed); err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *placementCase) sets() (bindings []clusterv1beta2.ManagedClusterSetBinding, sets []clusterv1beta2.ManagedClusterSet) {
	set := func(name string, selector clusterv1beta2.ManagedClusterSelector) {
		sets = append(sets, clusterv1beta2.ManagedClusterSet{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: clusterv1beta2.ManagedClusterSetSpec{ClusterSelector: selector},
		})
	}
	set("global", clusterv1beta2.ManagedClusterSelector{SelectorType: clusterv1beta2.LabelSelector, LabelSelector: &metav1.LabelSelector{}})
	for _, name := range slices.Sorted(maps.Keys(p.Sets)) {
		selector := p.Sets[name]
		if len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
			set(name, clusterv1beta2.ManagedClusterSelector{SelectorType: clusterv1beta2.ExclusiveClusterSetLabel})
			continue
		}
		set(name, clusterv1beta2.ManagedClusterSelector{SelectorType: clusterv1beta2.LabelSelector, LabelSelector: &selector})
	}
	bound := p.Bound
	if bound == nil {
		bound = []string{"global"}
	}
	for _, name := range bound {
		bindings = append(bindings, clusterv1beta2.ManagedClusterSetBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: clusterv1beta2.ManagedClusterSetBindingSpec{ClusterSet: name},
		})
	}
	return bindings, sets
}

func (p *placementCase) decide(t *testing.T) placementWant {
	t.Helper()
	bindings, sets := p.sets()
	policy, err := Policy(&clusterv1beta1.Placement{Spec: p.Spec}, bindings, sets)
	if err != nil {
		return placementWant{Error: err.Error()}
	}
	clusters := make([]placement.Cluster, 0, len(p.Clusters))
	for name, c := range p.Clusters {
		clusters = append(clusters, c.input(t, name))
	}
	decision := placement.Select(policy, clusters, p.Previous, noon)
	if decision.Undecided != "" {
		return placementWant{Undecided: decision.Undecided}
	}
	want := placementWant{Selected: decision.Clusters, Others: map[string]string{}, Scores: map[string]string{}}
	scored := len(p.Spec.PrioritizerPolicy.Configurations) > 0 || p.Spec.PrioritizerPolicy.Mode != ""
	for _, reason := range decision.Reasons {
		if reason.Code != placement.Selected { // also those that are selected all the same
			want.Others[reason.Cluster] = strings.TrimSuffix(fmt.Sprintf("%s: %s", reason.Code, reason.Message), ": ")
		}
		if reason.Rank > 0 && scored {
			var parts []string
			for _, s := range reason.Scores {
				parts = append(parts, fmt.Sprintf("%s %d × %d", s.Name, s.Score, s.Weight))
			}
			want.Scores[reason.Cluster] = fmt.Sprintf("rank %d, %d = %s", reason.Rank, reason.Score, strings.Join(parts, " + "))
		}
	}
	if len(decision.Groups) > 1 || decision.Groups[0].Name != "" || p.Spec.SortBy != "" {
		for _, group := range decision.Groups {
			want.Groups = append(want.Groups, strings.TrimSpace(group.Name+": "+strings.Join(group.Clusters, " ")))
		}
	}
	if !decision.RecheckAt.IsZero() {
		want.RecheckAfter = decision.RecheckAt.Sub(noon).String()
	}
	return want
}

func TestPlacements(t *testing.T) {
	count, names := 0, map[string]bool{}
	for file, cases := range placementCases(t) {
		changed := false
		for i := range cases {
			c := &cases[i]
			if names[c.Name] {
				t.Errorf("%s: there are two cases %q", file, c.Name)
			}
			names[c.Name] = true
			count++
			t.Run(c.Name, func(t *testing.T) {
				got := c.decide(t)
				if golden.Updating() {
					changed = changed || !cmp.Equal(c.Want, got, nothing)
					c.Want = got
					return
				}
				if diff := cmp.Diff(c.Want, got, nothing); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
		if changed {
			writeCases(t, file, cases)
		}
	}
	if count < 80 {
		t.Errorf("%d cases are fewer than there were", count)
	}
}

// nothing makes empty and missing the same, as they are in YAML.
var nothing = cmp.Options{
	cmp.Transformer("list", func(l []string) []string { return append([]string{}, l...) }),
	cmp.Transformer("map", func(m map[string]string) map[string]string {
		out := map[string]string{}
		maps.Copy(out, m)
		return out
	}),
}

// writeCases replaces what is wanted in a file, and leaves the rest as it is.
func writeCases(t *testing.T, file string, cases []placementCase) {
	t.Helper()
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for i, part := range strings.Split("\n"+strings.TrimPrefix(string(old), "\n"), "\n- name:") {
		if i == 0 {
			out.WriteString(strings.TrimPrefix(part, "\n"))
			continue
		}
		head, _, _ := strings.Cut("- name:"+part, "\n  want:")
		want, err := yaml.Marshal(map[string]any{"want": cases[i-1].Want})
		if err != nil {
			t.Fatal(err)
		}
		if out.Len() > 0 {
			out.WriteString("\n")
		}
		out.WriteString(strings.TrimRight(head, "\n") + "\n")
		for line := range strings.Lines(string(want)) {
			out.WriteString("  " + line)
		}
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The order of clusters and of the previous decision is nothing to go by, and
// what is decided stays decided.
func TestPlacementsAreSteady(t *testing.T) {
	for _, cases := range placementCases(t) {
		for i := range cases {
			c := cases[i]
			t.Run(c.Name, func(t *testing.T) {
				first := c.decide(t)
				if first.Error+first.Undecided != "" {
					return
				}
				slices.Reverse(c.Previous)
				// Maps give another order each time.
				if diff := cmp.Diff(first, c.decide(t)); diff != "" {
					t.Fatalf("in another order (-first +then):\n%s", diff)
				}
				unsteady := slices.ContainsFunc(c.Spec.PrioritizerPolicy.Configurations, func(p clusterv1beta1.PrioritizerConfig) bool {
					return p.ScoreCoordinate.BuiltIn == string(placement.Steady) && p.Weight < 0
				})
				if c.Previous = first.Selected; !unsteady {
					if diff := cmp.Diff(first.Selected, c.decide(t).Selected); diff != "" {
						t.Errorf("a second look decides otherwise (-first +then):\n%s", diff)
					}
				}
			})
		}
	}
}

func TestPlacementClusterIsWhatTheAPISays(t *testing.T) {
	c := (&placementCluster{
		Labels: map[string]string{"a": "b"}, Claims: map[string]string{"c": "d"},
		Taints:      []clusterv1.Taint{{Key: "k", Value: "v", Effect: clusterv1.TaintEffectNoSelect, TimeAdded: metav1.Time{Time: noon}}},
		Allocatable: clusterv1.ResourceList{clusterv1.ResourceCPU: resource.MustParse("1500m")},
	}).managed("one")
	want := placement.Cluster{
		Name: "one", Labels: map[string]string{"a": "b"}, Claims: map[string]string{"c": "d"}, Accepted: true,
		Taints:      []placement.Taint{{Key: "k", Value: "v", Effect: placement.NoSelect, Added: noon}},
		Allocatable: map[string]float64{"cpu": 1.5},
	}
	if diff := cmp.Diff(want, PlacementCluster(c)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
