package view_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/dashboard/view"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func cluster(name, region string, available metav1.ConditionStatus) *clusterv1.ManagedCluster {
	c := &clusterv1.ManagedCluster{}
	c.Name, c.Labels, c.Spec.HubAcceptsClient = name, map[string]string{"region": region}, true
	c.Status.ClusterClaims = []clusterv1.ManagedClusterClaim{{Name: "version.talos.dev", Value: "v1.12.4"}}
	if available != "" {
		c.Status.Conditions = []metav1.Condition{{Type: clusterv1.ManagedClusterConditionAvailable, Status: available}}
	}
	return c
}

func target(state kronvoyv1alpha1.TargetState, drift int32) kronvoyv1alpha1.Target {
	return kronvoyv1alpha1.Target{Status: kronvoyv1alpha1.TargetStatus{State: state, Drift: kronvoyv1alpha1.DriftSummary{Objects: drift}}}
}

func driftedSince(since time.Time) kronvoyv1alpha1.Target {
	t, at := target(kronvoyv1alpha1.TargetReady, 1), metav1.NewTime(since)
	t.Status.Clocks.DriftSince = &at
	return t
}

func TestATileShowsTheWorstOfItsCluster(t *testing.T) {
	for name, test := range map[string]struct {
		cluster *clusterv1.ManagedCluster
		targets []kronvoyv1alpha1.Target
		want    view.Tile
	}{
		"nothing runs there": {
			cluster: cluster("a", "eu", metav1.ConditionTrue),
			want:    view.Tile{State: view.Idle},
		},
		"one of two failed": {
			cluster: cluster("a", "eu", metav1.ConditionTrue),
			targets: []kronvoyv1alpha1.Target{target(kronvoyv1alpha1.TargetReady, 0), target(kronvoyv1alpha1.TargetFailed, 0)},
			want:    view.Tile{State: view.Failed, Instances: 2, Troubled: 1},
		},
		"an agent that is silent says nothing of what runs there": {
			cluster: cluster("a", "eu", metav1.ConditionUnknown),
			targets: []kronvoyv1alpha1.Target{target(kronvoyv1alpha1.TargetFailed, 0)},
			want:    view.Tile{State: view.Unreachable, Instances: 1, Troubled: 1},
		},
		"a cluster that was never heard of": {
			cluster: cluster("a", "eu", ""),
			want:    view.Tile{State: view.Joining},
		},
		"drift counts from where it has lasted for longest": {
			cluster: cluster("a", "eu", metav1.ConditionTrue),
			targets: []kronvoyv1alpha1.Target{target(kronvoyv1alpha1.TargetReady, 0), driftedSince(noon), driftedSince(noon.Add(-time.Hour))},
			want:    view.Tile{State: view.Drifted, Instances: 3, Troubled: 2, DriftedObjects: 2, DriftSince: noon.Add(-time.Hour)},
		},
		"an instance that is not shipped yet": {
			cluster: cluster("a", "eu", metav1.ConditionTrue),
			targets: []kronvoyv1alpha1.Target{target("", 0)},
			want:    view.Tile{State: view.Pending, Instances: 1, Troubled: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.Name, test.want.Labels = "a", map[string]string{"region": "eu"}
			test.want.Claims = map[string]string{"version.talos.dev": "v1.12.4"}
			got := view.NewTile(test.cluster, test.targets)
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreUnexported(view.Tile{})); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestABareTileTellsNothingOfWhatRuns(t *testing.T) {
	tile := view.NewTile(cluster("a", "eu", metav1.ConditionTrue), []kronvoyv1alpha1.Target{target(kronvoyv1alpha1.TargetFailed, 3), driftedSince(noon)}).Bare()
	want := view.Tile{Name: "a", State: view.Unknown, Labels: map[string]string{"region": "eu"}, Claims: map[string]string{"version.talos.dev": "v1.12.4"}}
	if diff := cmp.Diff(want, tile, cmpopts.IgnoreUnexported(view.Tile{})); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestTheFleetIsFilteredAndGrouped(t *testing.T) {
	tiles := []view.Tile{
		{Name: "us-1", Labels: map[string]string{"region": "us", "env": "prod"}, State: view.Ready},
		{Name: "eu-2", Labels: map[string]string{"region": "eu", "env": "test"}, State: view.Drifted, DriftedObjects: 1, DriftSince: noon},
		{Name: "eu-1", Labels: map[string]string{"region": "eu", "env": "prod"}, State: view.Failed, DriftedObjects: 2, DriftSince: noon.Add(-time.Hour)},
		{Name: "lost", Claims: map[string]string{"version.talos.dev": "v1.12.4"}, State: view.Unreachable},
	}
	for query, want := range map[string]struct {
		groups   map[string][]string
		order    []string
		counters view.Counters
		drift    []string
	}{
		"": {
			groups: map[string][]string{"eu": {"eu-1", "eu-2"}, "us": {"us-1"}, "": {"lost"}}, order: []string{"eu", "us", ""},
			counters: view.Counters{view.Ready: 1, view.Drifted: 1, view.Failed: 1, view.Unreachable: 1}, drift: []string{"eu-1", "eu-2"},
		},
		"state=failed&label=region=eu": {
			groups: map[string][]string{"eu": {"eu-1"}}, order: []string{"eu"},
			counters: view.Counters{view.Drifted: 1, view.Failed: 1}, drift: []string{"eu-1"},
		},
		"group=env&label=env": {
			groups: map[string][]string{"prod": {"eu-1", "us-1"}, "test": {"eu-2"}}, order: []string{"prod", "test"},
			counters: view.Counters{view.Ready: 1, view.Drifted: 1, view.Failed: 1}, drift: []string{"eu-1", "eu-2"},
		},
		"claim=version.talos.dev=v1.12.4&state=nonsense": {
			groups: map[string][]string{"": {"lost"}}, order: []string{""}, counters: view.Counters{view.Unreachable: 1},
		},
		"text=PROD": {
			groups: map[string][]string{"eu": {"eu-1"}, "us": {"us-1"}}, order: []string{"eu", "us"},
			counters: view.Counters{view.Ready: 1, view.Failed: 1}, drift: []string{"eu-1"},
		},
	} {
		t.Run(query, func(t *testing.T) {
			values, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			page := view.NewFleet(tiles, view.ParseFilter(values))
			var order, drift []string
			groups := map[string][]string{}
			for _, group := range page.Groups {
				order = append(order, group.Name)
				for _, tile := range group.Tiles {
					groups[group.Name] = append(groups[group.Name], tile.Name)
				}
			}
			for _, d := range page.Drift {
				drift = append(drift, d.Name)
			}
			if diff := cmp.Diff([]any{want.groups, want.order, want.counters, want.drift}, []any{groups, order, page.Counters, drift}); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if again := view.ParseFilter(mustQuery(t, page.Filter.Query())); again != page.Filter {
				t.Errorf("the filter %+v is kept in the address as %+v", page.Filter, again)
			}
		})
	}
}

func mustQuery(t *testing.T, text string) url.Values {
	t.Helper()
	values, err := url.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	return values
}
