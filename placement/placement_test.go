package placement

import (
	"math/rand"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"
)

func selector(t *testing.T, text string) labels.Selector {
	t.Helper()
	s, err := labels.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func cluster(name string, keyValues ...string) Cluster {
	c := Cluster{Name: name, Labels: map[string]string{}, Accepted: true}
	for i := 0; i+1 < len(keyValues); i += 2 {
		c.Labels[keyValues[i]] = keyValues[i+1]
	}
	return c
}

func TestSelect(t *testing.T) {
	everything := []Set{{Name: "global", Selector: labels.Everything()}}
	two := int32(2)
	none := int32(0)
	fleet := []Cluster{
		cluster("us-east", "region", "us", "size", "large"),
		cluster("eu-west", "region", "eu", "size", "small"),
		cluster("ap-south", "region", "ap", "size", "small"),
	}
	cases := map[string]struct {
		policy   Policy
		clusters []Cluster
		previous []string
		want     Decision
	}{
		"all clusters of a bound set, by name": {
			policy:   Policy{Sets: everything},
			clusters: fleet,
			want: Decision{
				Clusters: []string{"ap-south", "eu-west", "us-east"},
				Reasons:  []Reason{{"ap-south", Selected, ""}, {"eu-west", Selected, ""}, {"us-east", Selected, ""}},
			},
		},
		"without a bound set nothing is selected": {
			clusters: fleet[:1],
			want: Decision{
				Reasons: []Reason{{"us-east", NotInClusterSet, "no cluster set is bound to the placement's namespace"}},
			},
		},
		"predicates are alternatives": {
			policy: Policy{Sets: everything, Predicates: []Predicate{
				{Labels: selector(t, "region=eu")}, {Labels: selector(t, "size=large")},
			}},
			clusters: fleet,
			want: Decision{
				Clusters: []string{"eu-west", "us-east"},
				Reasons: []Reason{
					{"ap-south", LabelsDiffer, "labels do not match region=eu or size=large"},
					{"eu-west", Selected, ""}, {"us-east", Selected, ""},
				},
			},
		},
		"a limited decision keeps what it had": {
			policy:   Policy{Sets: everything, NumberOfClusters: &two},
			clusters: fleet,
			previous: []string{"us-east", "gone"},
			want: Decision{
				Clusters: []string{"ap-south", "us-east"},
				Reasons: []Reason{
					{"ap-south", Selected, ""}, {"eu-west", NumberReached, "numberOfClusters is 2"}, {"us-east", Selected, ""},
				},
			},
		},
		"zero clusters are zero clusters": {
			policy:   Policy{Sets: everything, NumberOfClusters: &none},
			clusters: fleet[:1],
			want: Decision{
				Clusters: []string{},
				Reasons:  []Reason{{"us-east", NumberReached, "numberOfClusters is 0"}},
			},
		},
		"clusters that were not accepted or are leaving are never selected": {
			policy:   Policy{Sets: everything},
			clusters: []Cluster{{Name: "new"}, {Name: "old", Accepted: true, Deleting: true}},
			want: Decision{Reasons: []Reason{
				{"new", NotAccepted, "spec.hubAcceptsClient is false"}, {"old", Deleting, "the cluster is being deleted"},
			}},
		},
		"a cluster outside of the bound sets": {
			policy:   Policy{Sets: []Set{{Name: "prod", Selector: selector(t, "env=prod")}}},
			clusters: []Cluster{cluster("dev-1", "env", "dev")},
			want:     Decision{Reasons: []Reason{{"dev-1", NotInClusterSet, "not in the bound cluster sets prod"}}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Select(tc.policy, tc.clusters, tc.previous)); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

func TestClaims(t *testing.T) {
	everything := []Set{{Name: "global", Selector: labels.Everything()}}
	fleet := []Cluster{cluster("a", "region", "eu"), cluster("b", "region", "eu"), cluster("c", "region", "us")}
	fleet[0].Claims = map[string]string{"version.talos.dev": "v1.13.3", "upgrading.talos.dev": "false"}
	fleet[1].Claims = map[string]string{"version.talos.dev": "v1.12.4", "upgrading.talos.dev": "true", "nodes.talos.dev/total": "3"}
	for name, test := range map[string]struct {
		predicates []Predicate
		want       []Reason
		rests      bool
	}{
		"labels and claims are ANDed, and the reason says which differ": {
			predicates: []Predicate{{Labels: selector(t, "region=eu"), Claims: selector(t, "upgrading.talos.dev notin (true)")}},
			want: []Reason{
				{"a", Selected, ""},
				{"b", ClaimsDiffer, "the cluster's own claims do not match region=eu and claims upgrading.talos.dev notin (true)"},
				{"c", LabelsDiffer, "labels do not match region=eu and claims upgrading.talos.dev notin (true)"},
			},
			rests: true,
		},
		"a claim that exists": {
			predicates: []Predicate{{Claims: selector(t, "nodes.talos.dev/total")}, {Labels: selector(t, "region=us"), Claims: labels.Everything()}},
			want: []Reason{
				{"a", ClaimsDiffer, "the cluster's own claims do not match claims nodes.talos.dev/total or region=us"},
				{"b", Selected, ""},
				{"c", Selected, ""},
			},
			rests: true,
		},
		"labels alone rest on no claims": {
			predicates: []Predicate{{Labels: selector(t, "region in (eu,us)"), Claims: labels.Everything()}},
			want:       []Reason{{"a", Selected, ""}, {"b", Selected, ""}, {"c", Selected, ""}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			policy := Policy{Sets: everything, Predicates: test.predicates}
			if diff := cmp.Diff(test.want, Select(policy, fleet, nil).Reasons); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if got := policy.RestsOnClaims(); got != test.rests {
				t.Errorf("RestsOnClaims is %t", got)
			}
		})
	}
}

func TestAnOutageTakesNothingAway(t *testing.T) {
	two := int32(2)
	policy := Policy{Sets: []Set{{Name: "global", Selector: labels.Everything()}}, NumberOfClusters: &two}
	fleet := []Cluster{cluster("a"), cluster("b"), cluster("c")}
	before := Select(policy, fleet, []string{"b", "c"})
	fleet[1].Outage, fleet[0].Outage = "unreachable", "unavailable"
	got := Select(policy, fleet, before.Clusters)
	want := Decision{Clusters: []string{"b", "c"}, Reasons: []Reason{
		{"a", NumberReached, "numberOfClusters is 2"},
		{"b", SelectedInOutage, "the cluster is unreachable: what runs there stays, and nothing new arrives"},
		{"c", Selected, ""},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSelectDoesNotDependOnTheOrderOfItsInputs(t *testing.T) {
	three := int32(3)
	policy := Policy{Sets: []Set{{Name: "global", Selector: labels.Everything()}}, NumberOfClusters: &three}
	clusters := []Cluster{cluster("a"), cluster("b"), cluster("c"), cluster("d"), cluster("e")}
	previous := []string{"e", "c"}
	want := Select(policy, clusters, previous)
	random := rand.New(rand.NewSource(1))
	for range 100 {
		shuffled, before := slices.Clone(clusters), slices.Clone(previous)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		random.Shuffle(len(before), func(i, j int) { before[i], before[j] = before[j], before[i] })
		if diff := cmp.Diff(want, Select(policy, shuffled, before)); diff != "" {
			t.Fatalf("order changed the decision (-want +got):\n%s", diff)
		}
	}
	if again := Select(policy, clusters, want.Clusters); !slices.Equal(again.Clusters, want.Clusters) {
		t.Errorf("deciding again moved clusters: %v, then %v", want.Clusters, again.Clusters)
	}
}
