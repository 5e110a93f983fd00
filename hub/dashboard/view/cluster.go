package view

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/convert"
)

// Pair is one row of facts.
type Pair struct{ Key, Value string }

// pairs of a map, those with some prefix or suffix first.
func pairs(all map[string]string) []Pair {
	out := make([]Pair, 0, len(all))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		out = append(out, Pair{key, all[key]})
	}
	return out
}

// Condition is a row of conditions.
type Condition struct {
	Type, Status, Reason, Message string
	Since                         time.Time
}

func conditionsOf(list []metav1.Condition) []Condition {
	out := make([]Condition, 0, len(list))
	for _, c := range list {
		out = append(out, Condition{c.Type, string(c.Status), c.Reason, c.Message, c.LastTransitionTime.Time})
	}
	return out
}

// Cluster is the page of one cluster.
type Cluster struct {
	Tile       Tile
	Kubernetes string
	// Talos and Nodes are claims that people ask for first.
	Talos, Nodes     string
	Upgrading        bool
	Features         string
	Labels, Claims   []Pair
	Capacity         []Resource
	Taints           []string
	Conditions       []Condition
	Frozen           string
	LeaseRenewed     time.Time
	LeaseUnknown     string
	Workloads        bool // may be seen
	Instances        []InstanceRow
	Works            []WorkRow
	WorksUnknown     string
	Events           []Event
	EventsUnknown    string
	LeaseDuration    int32
	AcceptanceNeeded bool
}

// Resource is what a cluster has of something.
type Resource struct{ Name, Allocatable, Capacity string }

// InstanceRow is an instance on a cluster.
type InstanceRow struct {
	// Address of its page.
	Address, Namespace, Kind, Name string
	State                          State
	Revision, Message              string
	Since                          time.Time
	Drift                          int32
	Removal                        string
	// Distribution owns it; Rollout is how far its newest revision has come, where
	// that is known.
	Distribution string
	Rollout      *ListedRollout
}

// WorkRow is a ManifestWork.
type WorkRow struct {
	Name, Instance, Applied, Available string
	Manifests                          int
}

// Event is one of the API's events.
type Event struct {
	Time                      time.Time
	Type, Reason, About, Text string
	Count                     int32
}

// The claims that the page names; docs/claims.md has them all.
const (
	claimTalos     = "versions.talos.dev"
	claimUpgrading = "upgrading.talos.dev"
	claimNodes     = "nodes.kronvoy.io/total"
	claimReady     = "nodes.kronvoy.io/ready"
)

// NewCluster is the page of a cluster, as far as the ManagedCluster tells.
func NewCluster(c *clusterv1.ManagedCluster, tile Tile) Cluster {
	claims := convert.Claims(c)
	page := Cluster{
		Tile: tile, Kubernetes: c.Status.Version.Kubernetes, Talos: claims[claimTalos], Upgrading: claims[claimUpgrading] == "true",
		Features: strings.ReplaceAll(claims[kronvoyv1alpha1.ClaimFeatures], ",", ", "), Labels: pairs(c.Labels), Claims: pairs(claims), Conditions: conditionsOf(c.Status.Conditions),
		LeaseDuration: c.Spec.LeaseDurationSeconds, AcceptanceNeeded: !c.Spec.HubAcceptsClient,
	}
	if total := claims[claimNodes]; total != "" {
		page.Nodes = claims[claimReady] + " of " + total + " ready"
	}
	graph := convert.GraphCluster(c)
	for _, name := range slices.Sorted(maps.Keys(graph.Capacity)) {
		page.Capacity = append(page.Capacity, Resource{name, graph.Allocatable[name], graph.Capacity[name]})
	}
	for _, taint := range c.Spec.Taints {
		text := taint.Key
		if taint.Value != "" {
			text += "=" + taint.Value
		}
		page.Taints = append(page.Taints, text+" ("+string(taint.Effect)+")")
	}
	if kronvoyv1alpha1.Suspended(c.Annotations[kronvoyv1alpha1.AnnotationReconcile]) {
		page.Frozen = cmp.Or(c.Annotations[kronvoyv1alpha1.AnnotationReconcileReason], "no reason is given")
	}
	return page
}

// InstanceRows are the Targets of a cluster, the worst first.
func InstanceRows(targets []kronvoyv1alpha1.Target) []InstanceRow {
	rows := make([]InstanceRow, 0, len(targets))
	for i := range targets {
		t := &targets[i]
		ref := t.Spec.Instance
		row := InstanceRow{
			Address: Address(ref), Namespace: ref.Namespace, Kind: ref.Kind, Name: ref.Name, State: ofTarget(t),
			Since: sinceOf(t), Revision: t.Status.Revision, Message: cmp.Or(t.Status.Message, t.Status.Suspended), Drift: t.Status.Drift.Objects,
			Distribution: t.Spec.Distribution,
		}
		if t.Spec.Removal != nil {
			row.Removal = cmp.Or(t.Spec.Removal.Held, "leaving since "+t.Spec.Removal.Since.UTC().Format(time.RFC3339))
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b InstanceRow) int {
		return cmp.Or(a.State.rank()-b.State.rank(), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return rows
}

// Address is that of an instance's page.
func Address(ref kronvoyv1alpha1.InstanceReference) string {
	gv, _ := schema.ParseGroupVersion(ref.APIVersion)
	parts := []string{gv.Group, gv.Version, ref.Kind, cmp.Or(ref.Namespace, "-"), ref.Name}
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return "/instances/" + strings.Join(parts, "/")
}
