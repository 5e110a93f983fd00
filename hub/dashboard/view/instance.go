package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pmezard/go-difflib/difflib"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/yaml"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/status"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/fields"
)

// Instance is the page of one instance.
type Instance struct {
	Kind, Namespace, Name string
	State, Revision       string
	Suspended             bool
	Counters              []Pair
	Aggregates            []Pair
	Conditions            []Condition
	// Rows are the clusters that the viewer may see; Hidden is how many more the
	// instance tells of.
	Rows   []ClusterRow
	Hidden int64
	// Graph is nil where GraphUnknown says why.
	Graph        *Graph
	GraphUnknown string
	Node         *NodeDetail
	Cluster      *ClusterDetail
	// Rollout is how far its newest revision has come; nil where nothing rolls, or the
	// viewer may not see it.
	Rollout *ListedRollout
	// RolloutName is the name of that rollout, as the instance tells it.
	RolloutName string
	// Address of the page itself.
	Address string
}

// ClusterRow is one cluster of an instance.
type ClusterRow struct {
	Name, Revision, Message string
	State                   State
	Health                  string
	Since                   time.Time
	Drift                   string
}

// NodeDetail is a node on all clusters.
type NodeDetail struct {
	ID, Kind     string
	Dependencies []string
	// ReadyWhen are the author's conditions, over the object; all must hold.
	ReadyWhen     []string
	Rows          []NodeRow
	ValuesUnknown string
}

// NodeRow is a node on one cluster.
type NodeRow struct {
	Cluster  string
	State    State
	Health   string
	WaitsFor []string
	Message  string
	Values   string
	// ReadyWhen says whether the author's conditions hold, as the agent judges them;
	// empty where it has not.
	ReadyWhen string
}

// ClusterDetail is an instance on one cluster.
type ClusterDetail struct {
	Row        ClusterRow
	Values     string
	Conditions []Condition
	Nodes      []NodeRow
	Manifests  []Manifest
	Unknown    string // why there are no manifests
	// Others are clusters that can be compared with, and Revisions those of the
	// instance, newest first. Against is what is compared with, and AgainstUnknown why
	// that is not known.
	Others, Revisions       []string
	Against, AgainstUnknown string
	Diff                    []Line
	Same                    bool
}

// AgainstRevision is the revision that is compared with; empty for a cluster.
func (d *ClusterDetail) AgainstRevision() string {
	name, _ := strings.CutPrefix(d.Against, RevisionMark)
	if name == d.Against {
		return ""
	}
	return name
}

// RevisionMark tells revisions from clusters, which have no such name.
const RevisionMark = "@"

// Manifest is an object as it is shipped, with values of Secrets masked.
type Manifest struct {
	Node, Title, YAML string
	// compared is YAML without what follows from the rest.
	compared string
}

// Line is one of a diff: Op is "+", "-", " ", or "@" for what is left out.
type Line struct{ Op, Text string }

// NewInstance is the page, as far as the instance itself tells.
func NewInstance(o *unstructured.Unstructured) Instance {
	page := Instance{Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()}
	page.Address = Address(kronvoyv1alpha1.InstanceReference{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName()})
	page.Suspended = kronvoyv1alpha1.Suspended(o.GetAnnotations()[kronvoyv1alpha1.AnnotationInstanceReconcile])
	all, _, _ := unstructured.NestedMap(o.Object, "status")
	page.State, _, _ = unstructured.NestedString(all, "state")
	page.Conditions = rawConditions(all, "conditions")
	fleet, _, _ := unstructured.NestedMap(all, status.FleetFieldIn(all))
	page.Revision, _, _ = unstructured.NestedString(fleet, "revision")
	page.Conditions = append(page.Conditions, rawConditions(fleet, "conditions")...)
	for _, key := range []string{"placed", "updated", "ready", "progressing", "failed", "drifted", "unreachable", "healthy", "unhealthy"} {
		if n, found, _ := unstructured.NestedInt64(fleet, key); found {
			page.Counters = append(page.Counters, Pair{key, fmt.Sprint(n)})
		}
	}
	page.RolloutName, _, _ = unstructured.NestedString(fleet, "rollout", "name")
	aggregates, _, _ := unstructured.NestedMap(fleet, "aggregates")
	for _, key := range slices.Sorted(maps.Keys(aggregates)) {
		page.Aggregates = append(page.Aggregates, Pair{key, inline(aggregates[key])})
	}
	placed, _, _ := unstructured.NestedInt64(fleet, "placed")
	page.Hidden = placed
	return page
}

func rawConditions(object map[string]any, field string) []Condition {
	list, _, _ := unstructured.NestedSlice(object, field)
	var out []Condition
	for _, entry := range list {
		c, isObject := entry.(map[string]any)
		if !isObject {
			continue
		}
		text := func(key string) string { value, _, _ := unstructured.NestedString(c, key); return value }
		since, _ := time.Parse(time.RFC3339, text("lastTransitionTime"))
		out = append(out, Condition{text("type"), text("status"), text("reason"), text("message"), since})
	}
	return out
}

func inline(value any) string {
	if text, is := value.(string); is {
		return text
	}
	text, err := utiljson.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// SetTargets adds the clusters that may be seen, the worst first.
func (i *Instance) SetTargets(targets []kronvoyv1alpha1.Target) {
	for n := range targets {
		i.Rows = append(i.Rows, clusterRow(&targets[n]))
	}
	slices.SortFunc(i.Rows, func(a, b ClusterRow) int { return cmp.Or(a.State.rank()-b.State.rank(), cmp.Compare(a.Name, b.Name)) })
	i.Hidden = max(0, i.Hidden-int64(len(i.Rows)))
}

func clusterRow(t *kronvoyv1alpha1.Target) ClusterRow {
	return ClusterRow{
		Name: t.Namespace, Since: sinceOf(t), Revision: t.Status.Revision, State: ofTarget(t), Health: string(t.Status.Health), Drift: t.Status.Drift.Last,
		Message: cmp.Or(t.Status.Message, t.Status.Suspended, t.Status.Ineffective),
	}
}

// NodeStates are the states of all nodes, by node and then by cluster.
func NodeStates(targets []kronvoyv1alpha1.Target) map[string]map[string]State {
	out := map[string]map[string]State{}
	for i := range targets {
		for _, n := range targets[i].Status.Nodes {
			if out[n.ID] == nil {
				out[n.ID] = map[string]State{}
			}
			out[n.ID][targets[i].Namespace] = OfNode(n.State)
		}
	}
	return out
}

// NewNodeDetail is a node on the clusters of some Targets. Values are what came
// back, by cluster.
func NewNodeDetail(g *graph.Graph, id string, targets []kronvoyv1alpha1.Target, feedback map[string]work.Feedback) *NodeDetail {
	node := g.Node(id)
	if node == nil {
		return nil
	}
	detail := &NodeDetail{ID: id, Kind: node.GVK.Kind, Dependencies: node.Dependencies, ReadyWhen: node.ReadyRules}
	for i := range targets {
		for _, n := range targets[i].Status.Nodes {
			if n.ID == id {
				row := nodeRow(targets[i].Namespace, n)
				told := feedback[targets[i].Namespace]
				row.Values, row.ReadyWhen = observed(g, id, told), verdicts(told.Observed[id].Objects)
				detail.Rows = append(detail.Rows, row)
			}
		}
	}
	slices.SortFunc(detail.Rows, func(a, b NodeRow) int {
		return cmp.Or(a.State.rank()-b.State.rank(), cmp.Compare(a.Cluster, b.Cluster))
	})
	return detail
}

func nodeRow(cluster string, n kronvoyv1alpha1.NodeStatus) NodeRow {
	return NodeRow{Cluster: cluster, State: OfNode(n.State), Health: string(n.Health), WaitsFor: n.WaitsFor, Message: cmp.Or(n.Message, n.HealthMessage)}
}

// verdicts sums up what the agent says of the readyWhen of a node's objects.
func verdicts(objects []graph.ObservedObject) string {
	judged, hold, failed := 0, 0, 0
	for _, o := range objects {
		switch {
		case o.Verdict == nil:
			continue
		case o.Verdict.Err != "":
			failed++
		case o.Verdict.Ready:
			hold++
		}
		judged++
	}
	switch {
	case judged == 0:
		return ""
	case failed > 0:
		return "cannot be judged"
	case hold == judged:
		return "holds"
	case judged == 1:
		return "does not hold"
	}
	return fmt.Sprintf("holds for %d of %d", hold, judged)
}

// observed are the values of a node that came back, with those of Secrets
// masked.
func observed(g *graph.Graph, id string, f work.Feedback) string {
	var out []string
	for _, o := range f.Observed[id].Objects {
		out = append(out, toYAML(fields.Hide(g, id, o.Object)))
	}
	return strings.Join(out, "---\n")
}

func toYAML(value any) string {
	text, err := yaml.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Manifests are what is shipped to a cluster, in the graph's order, with values
// of Secrets masked. A manifest of a node that the graph does not have any more
// is named alone: nobody knows what of it is secret.
func Manifests(g *graph.Graph, works []*workv1.ManifestWork) ([]Manifest, error) {
	byNode := map[string][]Manifest{}
	for _, w := range works {
		policies, err := kronvoyv1alpha1.ParseManifestPolicies(w.Annotations)
		if err != nil {
			return nil, fmt.Errorf("work %s: %w", w.Name, err)
		}
		for i, shipped := range w.Spec.Workload.Manifests {
			var object map[string]any
			if err := utiljson.Unmarshal(shipped.Raw, &object); err != nil {
				return nil, fmt.Errorf("manifest %d of work %s: %w", i, w.Name, err)
			}
			node := ""
			if i < len(policies) {
				node = policies[i].Node
			}
			byNode[node] = append(byNode[node], manifest(g, node, object))
		}
	}
	return inOrder(g, byNode), nil
}

// Contents are the objects that would be on a cluster, as Manifests has them.
func Contents(g *graph.Graph, contents map[workv1.ResourceIdentifier]work.Shipped) ([]Manifest, error) {
	byNode := map[string][]Manifest{}
	for _, m := range contents {
		var object map[string]any
		if err := utiljson.Unmarshal(m.Raw, &object); err != nil {
			return nil, fmt.Errorf("manifest of %s %s/%s: %w", m.ID.Resource, m.ID.Namespace, m.ID.Name, err)
		}
		byNode[m.Policy.Node] = append(byNode[m.Policy.Node], manifest(g, m.Policy.Node, object))
	}
	return inOrder(g, byNode), nil
}

func manifest(g *graph.Graph, node string, object map[string]any) Manifest {
	m := Manifest{Node: node, Title: title(object), YAML: "# it is of no resource of this revision\n"}
	m.compared = m.YAML
	if g.Node(node) == nil {
		return m
	}
	shown := fields.Hide(g, node, object)
	m.YAML = toYAML(shown)
	u := unstructured.Unstructured{Object: runtime.DeepCopyJSON(shown)}
	annotations := u.GetAnnotations()
	if delete(annotations, kronvoyv1alpha1.AnnotationHash); len(annotations) == 0 {
		annotations = nil
	}
	u.SetAnnotations(annotations)
	m.compared = toYAML(u.Object)
	return m
}

// inOrder are manifests in the order of the graph, and those of other nodes last.
func inOrder(g *graph.Graph, byNode map[string][]Manifest) []Manifest {
	for _, list := range byNode {
		slices.SortFunc(list, func(a, b Manifest) int { return cmp.Compare(a.Title, b.Title) })
	}
	var out []Manifest
	for _, n := range g.Nodes() {
		out = append(out, byNode[n.ID]...)
		delete(byNode, n.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(byNode)) {
		out = append(out, byNode[id]...)
	}
	return out
}

func title(object map[string]any) string {
	u := unstructured.Unstructured{Object: object}
	name := u.GetName()
	if u.GetNamespace() != "" {
		name = u.GetNamespace() + "/" + name
	}
	return u.GetKind() + " " + name
}

// NewClusterDetail is an instance on one cluster.
func NewClusterDetail(t *kronvoyv1alpha1.Target) *ClusterDetail {
	d := &ClusterDetail{Row: clusterRow(t)}
	if t.Status.Values != nil {
		var values any
		if err := utiljson.Unmarshal(t.Status.Values.Raw, &values); err == nil {
			d.Values = toYAML(values)
		}
	}
	for _, c := range t.Status.Conditions {
		d.Conditions = append(d.Conditions, Condition{Type: c.Type, Status: string(c.Status), Reason: c.Reason, Message: c.Message})
	}
	for _, n := range t.Status.Nodes {
		row := nodeRow(n.ID, n)
		d.Nodes = append(d.Nodes, row)
	}
	return d
}

// Text is all manifests as one, to be compared.
func Text(manifests []Manifest) string {
	var out strings.Builder
	for _, m := range manifests {
		fmt.Fprintf(&out, "# %s: %s\n%s---\n", m.Node, m.Title, m.compared)
	}
	return out.String()
}

// maxDiff bounds how many lines are compared: the time grows with their square.
const maxDiff = 5000

// Diff compares two texts line by line.
func Diff(a, b string) []Line {
	if a == b {
		return nil
	}
	before, after := strings.Split(a, "\n"), strings.Split(b, "\n")
	if len(before)+len(after) > maxDiff {
		return []Line{{"@", fmt.Sprintf("They differ, and are too long to be compared here: %d and %d lines.", len(before), len(after))}}
	}
	var out []Line
	for _, group := range difflib.NewMatcher(before, after).GetGroupedOpCodes(3) {
		out = append(out, Line{"@", fmt.Sprintf("line %d", group[0].I1+1)})
		for _, op := range group {
			if op.Tag == 'e' {
				out = appendLines(out, " ", before[op.I1:op.I2])
				continue
			}
			out = appendLines(out, "-", before[op.I1:op.I2])
			out = appendLines(out, "+", after[op.J1:op.J2])
		}
	}
	return out
}

func appendLines(out []Line, op string, lines []string) []Line {
	for _, line := range lines {
		out = append(out, Line{op, line})
	}
	return out
}

// Listed is an instance in the list of all.
type Listed struct {
	Address, Kind, Namespace, Name, State, Message string
	Placed, Ready, Failed, Drifted, Unreachable    int64
}

// NewListed is its row.
func NewListed(o *unstructured.Unstructured) Listed {
	page := NewInstance(o)
	row := Listed{Address: page.Address, Kind: page.Kind, Namespace: page.Namespace, Name: page.Name, State: page.State}
	all, _, _ := unstructured.NestedMap(o.Object, "status")
	fleet, _, _ := unstructured.NestedMap(all, status.FleetFieldIn(all))
	for key, to := range map[string]*int64{"placed": &row.Placed, "ready": &row.Ready, "failed": &row.Failed, "drifted": &row.Drifted, "unreachable": &row.Unreachable} {
		*to, _, _ = unstructured.NestedInt64(fleet, key)
	}
	for _, c := range page.Conditions {
		if c.Status == "False" && row.Message == "" {
			row.Message = c.Message
		}
	}
	return row
}
