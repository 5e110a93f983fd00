// Package tree reads what belongs to an instance on a hub, and prints it as a
// tree: revisions, rollout, clusters, nodes by wave, works and their objects. It
// reads works of the clusters that it shows alone, for they hold whole manifests.
package tree

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/view"
	"github.com/kronvoy/kronvoy/hub/nested"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
)

// Shown is how many clusters a tree has if nobody asks for more: the worst.
const Shown = 10

// Tree is all that belongs to an instance.
type Tree struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Namespace  string      `json:"namespace,omitempty"`
	Name       string      `json:"name"`
	State      string      `json:"state,omitempty"`
	Message    string      `json:"message,omitempty"`
	Created    metav1.Time `json:"created,omitzero"`
	Revisions  []Revision  `json:"revisions,omitempty"`
	Rollout    *Rollout    `json:"rollout,omitempty"`
	// Total clusters that have it, States how many of them are in which.
	Total  int            `json:"total"`
	States map[string]int `json:"states,omitempty"`
	// Clusters, the worst first; Omitted are the states of those that are left out.
	Clusters []Cluster      `json:"clusters,omitempty"`
	Omitted  map[string]int `json:"omitted,omitempty"`
}

// Revision of the instance.
type Revision struct {
	Name    string      `json:"name"`
	Number  int64       `json:"number"`
	Created metav1.Time `json:"created,omitzero"`
	Newest  bool        `json:"newest,omitempty"`
	// Good is the one that rollouts go back to.
	Good bool `json:"good,omitempty"`
	// Clusters that are to have it.
	Clusters int `json:"clusters"`
}

// Rollout in which the instance moves.
type Rollout struct {
	Name    string `json:"name"`
	Phase   string `json:"phase,omitempty"`
	Group   string `json:"group,omitempty"`
	Message string `json:"message,omitempty"`
}

// Cluster is the instance on one cluster.
type Cluster struct {
	Name  string      `json:"name"`
	State string      `json:"state,omitempty"`
	Since metav1.Time `json:"since,omitzero"`
	// Health is by what objects say of themselves, whatever State is.
	Health string `json:"health,omitempty"`
	// Revision that it has, and Wanted the one that it is to have.
	Revision string `json:"revision,omitempty"`
	Wanted   string `json:"wanted,omitempty"`
	// Leaving clusters are in the instance's placement no more.
	Leaving bool `json:"leaving,omitempty"`
	// Drift is how many objects differ from what was applied.
	Drift   int32  `json:"drift,omitempty"`
	Message string `json:"message,omitempty"`
	Nodes   []Node `json:"nodes,omitempty"`
}

// Node of the graph. Those of a wave wait for those of the wave before.
type Node struct {
	ID       string   `json:"id"`
	Wave     int      `json:"wave"`
	State    string   `json:"state,omitempty"`
	Health   string   `json:"health,omitempty"`
	WaitsFor []string `json:"waitsFor,omitempty"`
	Message  string   `json:"message,omitempty"`
	Objects  []Object `json:"objects,omitempty"`
	// Instances that the hub made for the node.
	Instances []Tree `json:"instances,omitempty"`
}

// Object in a work.
type Object struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Work that it is in, in the cluster's namespace.
	Work string `json:"work"`
	// ReadOnly objects are looked at, and somebody else's.
	ReadOnly bool `json:"readOnly,omitempty"`
	// State is Applied, Available, Failed, or empty while nothing is reported; Since
	// when.
	State   string      `json:"state,omitempty"`
	Since   metav1.Time `json:"since,omitzero"`
	Message string      `json:"message,omitempty"`
	// Drift are the findings about it, and who they say has changed it.
	Drift   int      `json:"drift,omitempty"`
	Changed []string `json:"changedBy,omitempty"`
}

// Options say what is shown.
type Options struct {
	// Cluster limits it to one; empty for all.
	Cluster string
	// All clusters are shown, and not the worst alone.
	All bool
	// HubNamespace holds revisions of instances without a namespace.
	HubNamespace string
	Progress     func(string)
}

// Of reads the tree of the instance that a reference names.
func Of(ctx context.Context, c client.Client, namespace, reference string, opts Options) (Tree, error) {
	instance, err := view.Find(ctx, c, namespace, reference)
	if err != nil {
		return Tree{}, err
	}
	if opts.Progress == nil {
		opts.Progress = func(string) {}
	}
	t, err := reader{c, opts}.instance(ctx, instance, 0)
	if err == nil && opts.Cluster != "" && len(t.Clusters) == 0 {
		return Tree{}, fmt.Errorf("%s is not on cluster %s: \"kronvoy explain instance %s -n %s --cluster %s\" says why", reference, opts.Cluster, reference, namespace, opts.Cluster)
	}
	return t, err
}

type reader struct {
	client.Client
	Options
}

func (r reader) instance(ctx context.Context, instance *unstructured.Unstructured, depth int) (Tree, error) {
	identity, says := work.IdentityOfInstance(instance), view.Of(instance)
	t := Tree{
		APIVersion: instance.GetAPIVersion(), Kind: instance.GetKind(), Namespace: instance.GetNamespace(), Name: instance.GetName(),
		State: says.State, Message: says.Message, Created: instance.GetCreationTimestamp(),
	}
	targets, err := view.Targets(ctx, r, instance)
	if err != nil {
		return t, err
	}
	if err := r.revisions(ctx, &t, instance, identity, targets); err != nil {
		return t, err
	}
	if err := r.rollout(ctx, &t, identity, targets); err != nil {
		return t, err
	}
	t.Total = len(targets)
	slices.SortStableFunc(targets, func(a, b kronvoyv1alpha1.Target) int {
		return cmp.Or(cmp.Compare(severity(&b), severity(&a)), cmp.Compare(a.Namespace, b.Namespace))
	})
	t.States = states(targets)
	show := targets
	switch {
	case r.Cluster != "":
		show = slices.DeleteFunc(slices.Clone(targets), func(of kronvoyv1alpha1.Target) bool { return of.Namespace != r.Cluster })
	case !r.All && len(targets) > Shown:
		show = targets[:Shown]
		t.Omitted = states(targets[Shown:])
	}
	for i := range show {
		r.Progress(fmt.Sprintf("reading cluster %d of %d", i+1, len(show)))
		cluster, err := r.cluster(ctx, identity, &show[i], depth)
		if err != nil {
			return t, err
		}
		t.Clusters = append(t.Clusters, cluster)
	}
	return t, nil
}

func states(targets []kronvoyv1alpha1.Target) map[string]int {
	out := map[string]int{}
	for i := range targets {
		out[stateOf(&targets[i])]++
	}
	return out
}

func stateOf(t *kronvoyv1alpha1.Target) string {
	return cmp.Or(string(t.Status.State), string(kronvoyv1alpha1.TargetPending))
}

// severity orders Targets: what is broken, what nobody knows, what is under way,
// what differs, and what is as it should be.
func severity(t *kronvoyv1alpha1.Target) int {
	switch {
	case t.Status.State == kronvoyv1alpha1.TargetFailed:
		return 6
	case t.Status.Health == kronvoyv1alpha1.HealthFailed:
		return 5
	case t.Status.State == kronvoyv1alpha1.TargetUnreachable:
		return 4
	case t.Status.State != kronvoyv1alpha1.TargetReady:
		return 3
	case t.Status.Drift.Objects > 0:
		return 2
	case t.Status.Health != kronvoyv1alpha1.Healthy && t.Status.Health != "":
		return 1
	}
	return 0
}

func (r reader) revisions(ctx context.Context, t *Tree, instance *unstructured.Unstructured, identity work.Identity, targets []kronvoyv1alpha1.Target) error {
	var list appsv1.ControllerRevisionList
	err := r.List(ctx, &list, client.InNamespace(rollout.RevisionNamespace(instance, r.HubNamespace)), client.MatchingLabels{kronvoyv1alpha1.LabelInstance: identity.Hash()})
	if err != nil {
		return fmt.Errorf("listing revisions: %w", err)
	}
	wanted := map[string]int{}
	for i := range targets {
		wanted[targets[i].Spec.Revision]++
	}
	own := revision.Own(list.Items, instance)
	newest := revision.Newest(own)
	good := rollout.Good(own, newest)
	for i := range own {
		t.Revisions = append(t.Revisions, Revision{
			Name: own[i].Name, Number: own[i].Revision, Created: own[i].CreationTimestamp, Newest: own[i].Name == newest.Name,
			Good: own[i].Name == good, Clusters: wanted[own[i].Name],
		})
	}
	slices.SortFunc(t.Revisions, func(a, b Revision) int { return cmp.Compare(b.Number, a.Number) })
	return nil
}

// rollout is that of the Distribution that the Targets name, or the instance's own.
func (r reader) rollout(ctx context.Context, t *Tree, identity work.Identity, targets []kronvoyv1alpha1.Target) error {
	if t.Namespace == "" || len(targets) == 0 || targets[0].Spec.Distribution == "" {
		return nil
	}
	for _, name := range []string{identity.TargetName(), targets[0].Spec.Distribution} {
		found := &kronvoyv1alpha1.Rollout{}
		err := r.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: name}, found)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading Rollout %s: %w", name, err)
		}
		if err == nil {
			t.Rollout = &Rollout{Name: name, Phase: string(found.Status.Phase), Group: found.Status.Group, Message: found.Status.Message}
			return nil
		}
	}
	return nil
}

func (r reader) cluster(ctx context.Context, identity work.Identity, of *kronvoyv1alpha1.Target, depth int) (Cluster, error) {
	status := &of.Status
	c := Cluster{
		Name: of.Namespace, State: stateOf(of), Health: string(status.Health), Revision: status.Revision, Wanted: of.Spec.Revision,
		Leaving: of.Spec.Removal != nil, Drift: status.Drift.Objects, Message: cmp.Or(status.Suspended, status.Message),
	}
	if since := status.Since(); since != nil {
		c.Since = *since
	}
	if of.Spec.Removal != nil && of.Spec.Removal.Held != "" {
		c.Message = of.Spec.Removal.Held
	}
	b := branch{nodes: map[string]*Node{}}
	for _, n := range status.Nodes {
		b.nodes[n.ID] = &Node{ID: n.ID, State: n.State, Health: string(n.Health), WaitsFor: n.WaitsFor, Message: cmp.Or(n.Message, n.HealthMessage)}
	}
	if err := r.works(ctx, identity, of.Namespace, &b); err != nil {
		return c, err
	}
	for _, child := range status.Children {
		if err := r.child(ctx, of.Namespace, child, &b, depth); err != nil {
			return c, err
		}
	}
	for _, n := range b.nodes {
		slices.SortFunc(n.Objects, func(a, b Object) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
		c.Nodes = append(c.Nodes, *n)
	}
	slices.SortFunc(c.Nodes, func(a, b Node) int { return cmp.Or(cmp.Compare(a.Wave, b.Wave), cmp.Compare(a.ID, b.ID)) })
	return c, nil
}

// branch is one cluster's part in the making.
type branch struct{ nodes map[string]*Node }

func (b *branch) node(id string, wave int) *Node {
	n, known := b.nodes[id]
	if !known {
		n = &Node{ID: id}
		b.nodes[id] = n
	}
	n.Wave = max(n.Wave, wave)
	return n
}

// works adds what was shipped, and what agents say of it.
func (r reader) works(ctx context.Context, identity work.Identity, cluster string, b *branch) error {
	of := []client.ListOption{client.InNamespace(cluster), client.MatchingLabels{kronvoyv1alpha1.LabelInstance: identity.Hash()}}
	var works workv1.ManifestWorkList
	if err := r.List(ctx, &works, of...); err != nil {
		return fmt.Errorf("listing works of cluster %s: %w", cluster, err)
	}
	var reports kronvoyv1alpha1.WorkReportList
	if err := r.List(ctx, &reports, of...); err != nil {
		return fmt.Errorf("listing reports of cluster %s: %w", cluster, err)
	}
	for i := range works.Items {
		w := &works.Items[i]
		contents, err := work.Contents([]*workv1.ManifestWork{w}, work.Capabilities{Reports: len(reports.Items) > 0})
		if err != nil {
			return fmt.Errorf("work %s/%s: %w", cluster, w.Name, err)
		}
		for id, m := range contents {
			o := Object{Group: id.Group, Namespace: id.Namespace, Name: id.Name, Work: w.Name, ReadOnly: m.ReadOnly}
			object := &unstructured.Unstructured{}
			if err := object.UnmarshalJSON(m.Raw); err != nil {
				return fmt.Errorf("work %s/%s: reading %s: %w", cluster, w.Name, id.Name, err)
			}
			o.Kind = object.GetKind()
			o.says(w, id)
			o.differs(reports.Items, w.Name, id)
			n := b.node(cmp.Or(m.Policy.Node, "-"), m.Policy.Wave)
			n.Objects = append(n.Objects, o)
		}
	}
	return nil
}

// says is what the agent reports of the object.
func (o *Object) says(w *workv1.ManifestWork, id workv1.ResourceIdentifier) {
	for _, m := range w.Status.ResourceStatus.Manifests {
		meta := m.ResourceMeta
		if meta.Group != id.Group || meta.Resource != id.Resource || meta.Namespace != id.Namespace || meta.Name != id.Name {
			continue
		}
		for _, kind := range []string{workv1.WorkApplied, workv1.WorkAvailable} {
			found := apimeta.FindStatusCondition(m.Conditions, kind)
			if found == nil {
				continue
			}
			o.State, o.Since, o.Message = kind, found.LastTransitionTime, ""
			if found.Status != metav1.ConditionTrue {
				o.State, o.Message = "Not"+kind, found.Message
				return
			}
		}
	}
}

// differs counts what others changed of the object.
func (o *Object) differs(reports []kronvoyv1alpha1.WorkReport, name string, id workv1.ResourceIdentifier) {
	for i := range reports {
		if reports[i].Name != name {
			continue
		}
		for _, f := range reports[i].Status.Findings {
			if f.Group != id.Group || f.Resource != id.Resource || f.Namespace != id.Namespace || f.Name != id.Name {
				continue
			}
			o.Drift++
			for _, d := range f.Details {
				if d.Manager != "" && !slices.Contains(o.Changed, d.Manager) {
					o.Changed = append(o.Changed, d.Manager)
				}
			}
		}
	}
	slices.Sort(o.Changed)
}

// child adds an instance that the hub made for a node, as far as it is for this
// cluster.
func (r reader) child(ctx context.Context, cluster string, ref kronvoyv1alpha1.ChildReference, b *branch, depth int) error {
	n := b.node(ref.Node, int(ref.Wave))
	found := &unstructured.Unstructured{}
	found.SetAPIVersion(ref.APIVersion)
	found.SetKind(ref.Kind)
	err := r.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, found)
	gone := apierrors.IsNotFound(err)
	if err != nil && !gone {
		return fmt.Errorf("reading %s %s/%s: %w", ref.Kind, ref.Namespace, ref.Name, err)
	}
	if gone || depth >= nested.MaxDepth {
		n.Instances = append(n.Instances, Tree{APIVersion: ref.APIVersion, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name})
		return nil
	}
	r.Cluster = cluster
	t, err := r.instance(ctx, found, depth+1)
	n.Instances = append(n.Instances, t)
	return err
}

// title is how people name an instance.
func (t *Tree) title() string {
	name := t.Name
	if t.Namespace != "" {
		name = t.Namespace + "/" + t.Name
	}
	return strings.ToLower(t.Kind) + " " + name
}

func age(now time.Time, t metav1.Time) string {
	if t.IsZero() {
		return ""
	}
	return human(now.Sub(t.Time))
}
