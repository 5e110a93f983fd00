// Package view reads what the hub says about a fleet and prints it for people:
// which clusters are out of line, why, since when, and who did it. What it makes
// of objects is pure; gather.go reads them.
package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/status"
)

// Fleet is what the hub knows of all of its clusters and instances.
type Fleet struct {
	// Hub is nil where it is not known whether it runs.
	Hub *Hub `json:"hub,omitempty"`
	// Clusters counts the clusters; nil if they may not be read.
	Clusters *Clusters `json:"clusters,omitempty"`
	// Placed counts instances on clusters.
	Placed    Placed     `json:"placed"`
	Instances []Instance `json:"instances"`
	// Questions are what the hub asks and nobody has answered.
	Questions []Question `json:"questions,omitempty"`
	// Unseen says what could not be read, and why.
	Unseen []string `json:"unseen,omitempty"`
}

// Clusters count clusters by what they are by themselves.
type Clusters struct {
	Total       int `json:"total"`
	Available   int `json:"available"`
	Unreachable int `json:"unreachable"`
	// Joining clusters are not accepted, or have not reported yet.
	Joining int `json:"joining"`
}

// Placed counts instances on clusters by their state.
type Placed struct {
	Total       int64 `json:"total"`
	Ready       int64 `json:"ready"`
	Progressing int64 `json:"progressing"`
	Failed      int64 `json:"failed"`
	Unreachable int64 `json:"unreachable"`
	Drifted     int64 `json:"drifted"`
	Unhealthy   int64 `json:"unhealthy"`
}

// Question is something that the hub asks people.
type Question struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Message   string    `json:"message"`
	Asked     time.Time `json:"asked"`
}

// Instance is one instance as the hub sums it up.
type Instance struct {
	// Hub is as in a Fleet; of one among others nothing is said of it.
	Hub       *Hub   `json:"hub,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	State     string `json:"state"`
	Revision  string `json:"revision,omitempty"`
	Message   string `json:"message,omitempty"`
	Placed    int64  `json:"placed"`
	Ready     int64  `json:"ready"`
	Drifted   int64  `json:"drifted"`
	Failed    int64  `json:"failed"`
	// Progressing and Unreachable count clusters, too.
	Progressing int64 `json:"progressing"`
	Unreachable int64 `json:"unreachable"`
	// Unhealthy is on how many clusters objects are not healthy, or not yet,
	// whether or not they are ready.
	Unhealthy int64    `json:"unhealthy"`
	Rollout   *Rollout `json:"rollout,omitempty"`
	// Clusters are all, or the worst that the hub names.
	Clusters []Cluster `json:"clusters,omitempty"`
}

// Rollout is how far a change has come.
type Rollout struct {
	Name    string `json:"name"`
	Phase   string `json:"phase"`
	Group   string `json:"group,omitempty"`
	Message string `json:"message,omitempty"`
}

// Cluster is one cluster's row of an instance.
type Cluster struct {
	Name   string `json:"name"`
	Region string `json:"region,omitempty"`
	// Group of the rollout that the cluster is in.
	Group    string `json:"group,omitempty"`
	State    string `json:"state"`
	Revision string `json:"revision,omitempty"`
	Ready    string `json:"ready,omitempty"`
	Health   string `json:"health,omitempty"`
	Message  string `json:"message,omitempty"`
	// Suspended says why nothing is written there.
	Suspended string `json:"suspended,omitempty"`
	// Held says why the instance is still there although the cluster has left.
	Held string `json:"held,omitempty"`
	// Drifted objects differ now, and Drift is the newest finding: what was
	// changed, and by whom.
	Drifted int64          `json:"drifted,omitempty"`
	Drift   string         `json:"drift,omitempty"`
	Since   string         `json:"since,omitempty"`
	Values  map[string]any `json:"values,omitempty"`
	Nodes   []Node         `json:"nodes,omitempty"`
}

// Node is a node that is not ready on a cluster, or not healthy.
type Node struct {
	ID       string   `json:"id"`
	State    string   `json:"state"`
	Health   string   `json:"health,omitempty"`
	WaitsFor []string `json:"waitsFor,omitempty"`
	Message  string   `json:"message,omitempty"`
}

// Reference names an instance as commands take it.
func (i Instance) Reference() string { return strings.ToLower(i.Kind) + "/" + i.Name }

// AllReady is true when every cluster has the newest revision and is ready, and
// there is a hub to say so.
func (i Instance) AllReady() bool {
	return !i.Hub.Dead() && i.State == status.Active && i.Placed > 0 && i.Ready == i.Placed
}

// AllReady is true when all instances are, and there is a hub to say so.
func (f Fleet) AllReady() bool {
	return !f.Hub.Dead() && !slices.ContainsFunc(f.Instances, func(i Instance) bool { return !i.AllReady() })
}

// Why says in a sentence what is out of line on a cluster, and who did it.
func (c Cluster) Why() string {
	drift := ""
	if c.Drifted > 0 {
		drift = c.Drift
	}
	return cmp.Or(c.Suspended, c.Held, c.Message, c.node(), drift)
}

// node says what is wrong with one, or else what one waits for.
func (c Cluster) node() string {
	waits := ""
	for _, n := range c.Nodes {
		if n.Message != "" {
			return n.ID + ": " + n.Message
		}
		if waits == "" && len(n.WaitsFor) > 0 {
			waits = n.ID + " waits for " + strings.Join(n.WaitsFor, ", ")
		}
	}
	return waits
}

// urgencies order what is out of line, the most urgent first.
var urgencies = []kronvoyv1alpha1.TargetState{
	kronvoyv1alpha1.TargetFailed, kronvoyv1alpha1.TargetUnreachable, driftedState, unhealthyState, heldState, suspendedState,
	kronvoyv1alpha1.TargetPending, kronvoyv1alpha1.TargetProgressing, kronvoyv1alpha1.TargetDeleting, kronvoyv1alpha1.TargetReady,
}

// What is out of line although it is ready.
const (
	driftedState   kronvoyv1alpha1.TargetState = "Drifted"
	unhealthyState kronvoyv1alpha1.TargetState = "Unhealthy"
	heldState      kronvoyv1alpha1.TargetState = "Held"
	suspendedState kronvoyv1alpha1.TargetState = "Suspended"
)

// Standing is the state in one word that says also what is out of line with a
// cluster that is ready.
func (c Cluster) Standing() string {
	if c.State != string(kronvoyv1alpha1.TargetReady) {
		return c.State
	}
	switch {
	case c.Drifted > 0:
		return string(driftedState)
	case c.Health == string(kronvoyv1alpha1.HealthFailed) || c.Health == string(kronvoyv1alpha1.HealthProgressing):
		return string(unhealthyState)
	case c.Held != "":
		return string(heldState)
	case c.Suspended != "":
		return string(suspendedState)
	}
	return c.State
}

// urgency is less for what is more urgent.
func (c Cluster) urgency() int {
	if i := slices.Index(urgencies, kronvoyv1alpha1.TargetState(c.Standing())); i >= 0 {
		return i
	}
	return slices.Index(urgencies, kronvoyv1alpha1.TargetPending)
}

// OutOfLine says whether a cluster is to be looked at.
func (c Cluster) OutOfLine() bool { return c.urgency() < len(urgencies)-1 }

// compare puts the most urgent first, and of those the one that is so for longest.
func (c Cluster) compare(other Cluster) int {
	return cmp.Or(cmp.Compare(c.urgency(), other.urgency()), cmp.Compare(c.Since, other.Since), cmp.Compare(c.Name, other.Name))
}

// unnamed is how many clusters are not ready that the hub does not name.
func (i Instance) unnamed() int {
	n := int(i.Placed - i.Ready)
	for _, c := range i.Clusters {
		if c.State != string(kronvoyv1alpha1.TargetReady) {
			n--
		}
	}
	return max(n, 0)
}

// Worst is the most urgent of the clusters that are known; nil if none is out of
// line.
func (i Instance) Worst() *Cluster {
	var worst *Cluster
	for n := range i.Clusters {
		if c := &i.Clusters[n]; c.OutOfLine() && (worst == nil || c.compare(*worst) < 0) {
			worst = c
		}
	}
	return worst
}

// Objects are what a fleet is seen by.
type Objects struct {
	// Clusters are nil if they may not be read.
	Clusters  []clusterv1.ManagedCluster
	Instances []unstructured.Unstructured
	Rollouts  []kronvoyv1alpha1.Rollout
	Questions []kronvoyv1alpha1.ApprovalRequest
	Unseen    []string
}

// NewFleet sums a fleet up. Instances with something out of line come first.
func NewFleet(objects Objects) Fleet {
	fleet := Fleet{Instances: make([]Instance, 0, len(objects.Instances)), Unseen: objects.Unseen}
	if objects.Clusters != nil {
		fleet.Clusters = &Clusters{Total: len(objects.Clusters)}
		for i := range objects.Clusters {
			switch available := apimeta.FindStatusCondition(objects.Clusters[i].Status.Conditions, clusterv1.ManagedClusterConditionAvailable); {
			case !objects.Clusters[i].Spec.HubAcceptsClient || available == nil:
				fleet.Clusters.Joining++
			case available.Status == metav1.ConditionTrue:
				fleet.Clusters.Available++
			default:
				fleet.Clusters.Unreachable++
			}
		}
	}
	for i := range objects.Instances {
		instance := read(&objects.Instances[i])
		instance.addRollout(objects.Rollouts)
		fleet.Instances = append(fleet.Instances, instance)
		fleet.Placed.Total += instance.Placed
		fleet.Placed.Ready += instance.Ready
		fleet.Placed.Progressing += instance.Progressing
		fleet.Placed.Failed += instance.Failed
		fleet.Placed.Unreachable += instance.Unreachable
		fleet.Placed.Drifted += instance.Drifted
		fleet.Placed.Unhealthy += instance.Unhealthy
	}
	slices.SortStableFunc(fleet.Instances, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(a.urgency(), b.urgency()), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Reference(), b.Reference()))
	})
	for i := range objects.Questions {
		if q := &objects.Questions[i]; q.Status.Decision == "" {
			fleet.Questions = append(fleet.Questions, Question{Namespace: q.Namespace, Name: q.Name, Message: q.Spec.Message, Asked: q.CreationTimestamp.Time})
		}
	}
	slices.SortFunc(fleet.Questions, func(a, b Question) int {
		return cmp.Or(a.Asked.Compare(b.Asked), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return fleet
}

// urgency is that of the worst cluster; of an instance that is not ready although
// all of its clusters are, it is that of one that is not yet.
func (i Instance) urgency() int {
	if worst := i.Worst(); worst != nil {
		return worst.urgency()
	}
	switch {
	case i.State == status.Error:
		return 0
	case i.AllReady():
		return len(urgencies)
	}
	return slices.Index(urgencies, kronvoyv1alpha1.TargetPending)
}

// addRollout takes the message from the Rollout itself, and where it has clusters
// stand.
func (i *Instance) addRollout(rollouts []kronvoyv1alpha1.Rollout) {
	if i.Rollout == nil {
		return
	}
	n := slices.IndexFunc(rollouts, func(r kronvoyv1alpha1.Rollout) bool { return r.Namespace == i.Namespace && r.Name == i.Rollout.Name })
	if n < 0 {
		return
	}
	s := &rollouts[n].Status
	i.Rollout.Phase, i.Rollout.Group, i.Rollout.Message = string(s.Phase), s.Group, s.Message
	groups := map[string]string{}
	for _, c := range s.Clusters {
		groups[c.Name] = c.Group
	}
	for n := range i.Clusters {
		i.Clusters[n].Group = cmp.Or(i.Clusters[n].Group, groups[i.Clusters[n].Name])
	}
}

// Of is what an instance says of itself.
func Of(obj *unstructured.Unstructured) Instance { return read(obj) }

// read takes an instance's status apart. A status that is not there yet reads
// as a state of "-".
func read(obj *unstructured.Unstructured) Instance {
	instance := Instance{Kind: obj.GetKind(), Namespace: obj.GetNamespace(), Name: obj.GetName()}
	content, _ := obj.Object["status"].(map[string]any)
	instance.State = cmp.Or(text(content, "state"), "-")
	field := status.FleetFieldIn(content)
	fleet, _ := content[field].(map[string]any)
	instance.Revision = text(fleet, "revision")
	instance.Placed, instance.Ready = number(fleet, "placed"), number(fleet, "ready")
	instance.Drifted, instance.Failed, instance.Unhealthy = number(fleet, "drifted"), number(fleet, "failed"), number(fleet, "unhealthy")
	instance.Progressing, instance.Unreachable = number(fleet, "progressing"), number(fleet, "unreachable")
	if content != nil {
		instance.Message = status.Fault(content, field)
	}
	if instance.Message == "" && instance.Unhealthy > 0 {
		instance.Message = fmt.Sprintf("ready, but not healthy on %d of %d clusters", instance.Unhealthy, instance.Placed)
	}
	if rollout, is := fleet["rollout"].(map[string]any); is {
		instance.Rollout = &Rollout{Name: text(rollout, "name"), Phase: text(rollout, "phase"), Group: text(rollout, "group")}
	}
	rows, _ := fleet["clusters"].([]any)
	for _, r := range rows {
		row, _ := r.(map[string]any)
		values, _ := row["values"].(map[string]any)
		instance.Clusters = append(instance.Clusters, Cluster{
			Name: text(row, "name"), Region: text(row, "region"), State: text(row, "state"), Revision: text(row, "revision"),
			Ready: text(row, "ready"), Message: text(row, "message"), Since: text(row, "since"), Values: values,
			Drift: text(row, "drift"), Drifted: number(row, "drifted"),
			Suspended: text(row, "suspended"), Held: text(row, "held"), Health: text(row, "health"),
			Nodes: nodes(row),
		})
	}
	return instance
}

func nodes(row map[string]any) []Node {
	listed, _ := row["nodes"].([]any)
	var out []Node
	for _, n := range listed {
		node, _ := n.(map[string]any)
		waits, _ := node["waitsFor"].([]any)
		read := Node{ID: text(node, "id"), State: text(node, "state"), Health: text(node, "health"), Message: text(node, "message")}
		for _, wait := range waits {
			if path, ok := wait.(string); ok {
				read.WaitsFor = append(read.WaitsFor, path)
			}
		}
		out = append(out, read)
	}
	return out
}

// addTargets puts all clusters in the place of those that the hub names: what a
// Target says is of the same kind, and newer.
func (i *Instance) addTargets(targets []kronvoyv1alpha1.Target) {
	named := map[string]Cluster{}
	for _, c := range i.Clusters {
		named[c.Name] = c
	}
	i.Clusters = make([]Cluster, 0, len(targets))
	for n := range targets {
		i.Clusters = append(i.Clusters, ofTarget(&targets[n], named[targets[n].Namespace]))
	}
	slices.SortFunc(i.Clusters, func(a, b Cluster) int { return cmp.Compare(a.Name, b.Name) })
}

func ofTarget(t *kronvoyv1alpha1.Target, named Cluster) Cluster {
	s := &t.Status
	row := Cluster{
		Name: t.Namespace, Region: named.Region, Ready: named.Ready, Values: named.Values,
		State: string(cmp.Or(s.State, kronvoyv1alpha1.TargetPending)), Revision: s.Revision, Message: cmp.Or(s.Message, named.Message),
		Drift: s.Drift.Last, Drifted: int64(s.Drift.Objects), Suspended: s.Suspended, Health: string(s.Health),
	}
	if since := s.Since(); since != nil {
		row.Since = since.UTC().Format(time.RFC3339)
	}
	if t.Spec.Removal != nil && t.DeletionTimestamp == nil {
		row.Held = t.Spec.Removal.Held
	}
	ready := 0
	for _, node := range s.Nodes {
		sick := node.Health == kronvoyv1alpha1.HealthProgressing || node.Health == kronvoyv1alpha1.HealthFailed
		settled := node.State == "Ready" || node.State == "Excluded"
		if settled {
			ready++
		}
		if settled && !sick {
			continue
		}
		n := Node{ID: node.ID, State: node.State, WaitsFor: node.WaitsFor, Message: node.Message}
		if sick {
			n.Health, n.Message = string(node.Health), cmp.Or(n.Message, node.HealthMessage)
		}
		row.Nodes = append(row.Nodes, n)
	}
	row.Ready = fmt.Sprintf("%d/%d", ready, len(s.Nodes))
	return row
}

// addLabels says which region and which group of the rollout clusters are in.
func (i *Instance) addLabels(labels map[string]map[string]string, groupBy string) {
	for n := range i.Clusters {
		c := &i.Clusters[n]
		c.Region = cmp.Or(c.Region, labels[c.Name]["region"])
		if groupBy != "" {
			c.Group = labels[c.Name][groupBy]
		}
	}
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

func number(m map[string]any, key string) int64 {
	n, _ := m[key].(int64)
	return n
}
