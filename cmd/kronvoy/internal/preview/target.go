package preview

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/nested"
	"github.com/kronvoy/kronvoy/hub/plan"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/fields"
)

// planned is what an instance should have on a cluster: first by what is known
// now, and last when all that comes of it is applied and ready.
type planned struct {
	in          plan.Input
	blocked     string
	first, last plan.Plan
}

// plan runs what hub/target runs for a Target.
func (s *simulation) plan(target *kronvoyv1alpha1.Target) (*planned, error) {
	gathered, err := s.gatherer.Gather(s.ctx, target)
	if err != nil {
		return nil, err
	}
	t := &planned{in: gathered.Input}
	key := client.ObjectKeyFromObject(target)
	s.memory.mu.RLock()
	t.in.Observed = s.expected[key]
	s.memory.mu.RUnlock()
	if s.Live == nil && (t.in.Cluster == nil || len(t.in.Cluster.Status.ClusterClaims) == 0) {
		// Nobody describes a cluster that is in a file alone.
		t.in.Described, t.in.Agent.Reports = true, true
	}
	switch {
	case gathered.Missing:
		t.blocked = fmt.Sprintf("namespace %s is not on the hub", t.in.Identity.Namespace)
	case gathered.Blocked != "":
		t.blocked = gathered.Blocked
	case gathered.Frozen != "":
		t.blocked = gathered.Frozen
	case !t.in.Described:
		t.blocked = "the cluster's agent has not described the cluster yet: nothing is shipped before"
	}
	if t.blocked != "" {
		return t, nil
	}
	t.first = plan.Evaluate(t.in)
	if err := s.build(&t.in, &t.first); err != nil {
		return nil, err
	}
	if t.blocked = t.first.Blocked; t.blocked != "" {
		return t, nil
	}
	t.last = t.first.Foresee(t.in)
	if err := s.build(&t.in, &t.last); err != nil {
		return nil, err
	}
	if t.blocked = t.last.Blocked; t.blocked != "" || s.Live != nil {
		return t, nil
	}
	s.memory.mu.Lock()
	s.expected[key] = t.last.Bindings.Observed
	s.memory.mu.Unlock()
	for _, w := range append(slices.Clone(t.last.Works.Works), t.last.Works.Donors...) {
		if err := s.memory.put(w); err != nil {
			return nil, err
		}
	}
	told := target.DeepCopy()
	// What is in files alone has been there for long.
	told.Spec.AssignedAt, told.Spec.PassedAt = &metav1.MicroTime{Time: s.Now}, &metav1.MicroTime{Time: s.Now}
	told.Status.Nodes, told.Status.Revision, told.Status.State = nil, told.Spec.Revision, kronvoyv1alpha1.TargetProgressing
	if t.last.Evaluation.Ready {
		told.Status.State = kronvoyv1alpha1.TargetReady
	}
	for _, n := range t.last.Evaluation.Nodes {
		node := kronvoyv1alpha1.NodeStatus{ID: n.ID, State: string(n.State)}
		if n.Issue != nil {
			node.Message = n.Issue.Error()
		}
		told.Status.Nodes = append(told.Status.Nodes, node)
	}
	return t, s.memory.put(told)
}

func (s *simulation) build(in *plan.Input, p *plan.Plan) error {
	if p.Blocked != "" {
		return nil
	}
	if p.Wants != nil {
		for _, id := range p.Wants.Nodes() {
			if node := in.Graph.Node(id); s.generated(node.GVK.GroupKind()) == nil {
				p.Wants.Refuse(id, fmt.Sprintf("definition %s, which generates %s, does not exist", node.Definition, node.GVK.Kind))
			}
		}
		if err := s.gatherer.Look(s.ctx, in, p.Wants.References()); err != nil {
			return err
		}
	}
	p.Build(*in)
	return nil
}

// shippedGraph is the graph that works were made with; it says which of their
// values are those of Secrets. Where it is not kept any more the present one does.
func (s *simulation) shippedGraph(in plan.Input) *graph.Graph {
	stored := &appsv1.ControllerRevision{}
	key := client.ObjectKey{Namespace: cmp.Or(in.Identity.Namespace, s.HubNamespace), Name: in.Works[0].Annotations[kronvoyv1alpha1.AnnotationRevision]}
	if key.Name == "" || s.memory.Get(s.ctx, key, stored) != nil {
		return in.Graph
	}
	before, err := revision.ParseInstance(stored)
	if err != nil {
		return in.Graph
	}
	g, err := s.store.Shown(s.ctx, before.Definition)
	if err != nil {
		return in.Graph
	}
	return g
}

// compare adds the resources that change.
func (t *planned) compare(row *Cluster, old *graph.Graph) error {
	before, err := work.Contents(t.in.Works, t.in.Agent)
	if err != nil {
		return err
	}
	now, err := t.contents(t.first.Works)
	if err != nil {
		return err
	}
	end, err := t.contents(t.last.Works)
	if err != nil {
		return err
	}
	t.compareExecutor(row)
	all := maps.Clone(before)
	maps.Copy(all, end)
	for _, m := range sorted(all) {
		if m.ReadOnly {
			continue
		}
		was, existed := before[m.ID]
		is, wanted := end[m.ID]
		r, err := resourceOf(m)
		if err != nil {
			return err
		}
		switch {
		case !existed:
			r.Action = Created
		case !wanted:
			r.Action = Deleted
			if was.Policy.Deletion == kronvoyv1alpha1.DeletionOrphan {
				r.Action = Orphaned
			}
		default:
			r.Action = Changed
			a, err := sideOf(old, was)
			if err != nil {
				return err
			}
			b, err := sideOf(t.in.Graph, is)
			if err != nil {
				return err
			}
			if r.Fields = append(fields.Compare(a, b), policies(was.Policy, is.Policy)...); len(r.Fields) == 0 {
				continue
			}
		}
		if soon, there := now[m.ID]; wanted && (!there || string(soon.Raw) != string(is.Raw)) {
			r.After = t.waitsOf(r.Node)
		}
		row.Resources = append(row.Resources, r)
	}
	return nil
}

// contents of the works without what leaves.
func (t *planned) contents(p work.Plan) (map[workv1.ResourceIdentifier]work.Shipped, error) {
	contents, err := work.Contents(append(slices.Clone(p.Works), p.Donors...), t.in.Agent)
	for _, id := range p.Leaving {
		delete(contents, id)
	}
	return contents, err
}

// waitsOf is what a node waits for now.
func (t *planned) waitsOf(node string) []string {
	for _, result := range t.first.Evaluation.Nodes {
		if result.ID == node {
			return paths(result.WaitsFor)
		}
	}
	return nil
}

func paths(waits []graph.Wait) []string {
	out := make([]string, 0, len(waits))
	for _, w := range waits {
		if !slices.Contains(out, w.Path) {
			out = append(out, w.Path)
		}
	}
	return out
}

func (t *planned) compareExecutor(row *Cluster) {
	if len(t.in.Works) == 0 {
		return
	}
	a, b := executor(t.in.Works[0].Spec.Executor), executor(t.last.Executor)
	if a != b {
		row.Settings = append(row.Settings, Field{Path: "serviceAccount", Old: &Value{Of: a}, New: &Value{Of: b}})
	}
}

func executor(e *workv1.ManifestWorkExecutor) string {
	if e == nil || e.Subject.ServiceAccount == nil {
		return "the agent's own"
	}
	return e.Subject.ServiceAccount.Namespace + "/" + e.Subject.ServiceAccount.Name
}

// policies are what changes of those of an object.
func policies(old, changed kronvoyv1alpha1.ManifestPolicy) []Field {
	var differ []Field
	for _, p := range []struct{ name, old, changed string }{
		{"drift", string(old.Drift), string(changed.Drift)},
		{"takeover", string(old.Takeover), string(changed.Takeover)},
		{"deletion", string(old.Deletion), string(changed.Deletion)},
		{"fields", fmt.Sprint(old.Fields), fmt.Sprint(changed.Fields)},
	} {
		if p.old != p.changed {
			differ = append(differ, Field{Path: "policies: " + p.name, Old: &Value{Of: cmp.Or(p.old, "default")}, New: &Value{Of: cmp.Or(p.changed, "default")}})
		}
	}
	return differ
}

// waits adds the nodes that cannot be rendered, and that would be news.
func (s *simulation) waits(row *Cluster, t *planned, target *kronvoyv1alpha1.Target) {
	known := map[string]kronvoyv1alpha1.NodeStatus{}
	for _, n := range target.Status.Nodes {
		known[n.ID] = n
	}
	for _, n := range t.last.Evaluation.Nodes {
		was := known[n.ID]
		switch n.State {
		case graph.Pending, graph.Held:
			if was.State != string(n.State) || row.Change != "" {
				row.Waits = append(row.Waits, Wait{Node: n.ID, For: paths(n.WaitsFor)})
			}
		case graph.Failed:
			message := t.last.Feedback.Failures[n.ID]
			if n.Issue != nil {
				message = n.Issue.Error()
			}
			if was.State != string(n.State) || was.Message != message {
				row.Failures = append(row.Failures, Failure{Node: n.ID, Message: message})
			}
		}
	}
	for _, large := range t.last.Works.TooLarge {
		if target.Status.Message != large.Error() {
			row.Failures = append(row.Failures, Failure{Node: large.Node, Message: large.Error()})
		}
	}
	if s.lacksNamespace(row, t) {
		row.Resources = append([]Resource{{Action: Created, APIVersion: "v1", Kind: "Namespace", Name: t.in.Identity.Namespace}}, row.Resources...)
	}
}

// lacksNamespace says whether the instance's namespace has to be made on the
// cluster, and takes it for made from then on.
func (s *simulation) lacksNamespace(row *Cluster, t *planned) bool {
	if row.Change != Joins || len(row.Resources) == 0 || !t.last.NeedsNamespace(t.in) {
		return false
	}
	w := &workv1.ManifestWork{ObjectMeta: metav1.ObjectMeta{Namespace: row.Name, Name: work.NamespaceWorkName(t.in.Identity.Namespace)}}
	if err := s.memory.Get(s.ctx, client.ObjectKeyFromObject(w), &workv1.ManifestWork{}); !apierrors.IsNotFound(err) {
		return false
	}
	return s.memory.put(w) == nil
}

// cascade goes on with the instances that the hub makes for resources.
func (s *simulation) cascade(row *Cluster, p *placing, t *planned, target *kronvoyv1alpha1.Target) error {
	if t.last.Nested == nil {
		return nil
	}
	parent := &kronvoyv1alpha1.Target{}
	if err := s.memory.Get(s.ctx, client.ObjectKeyFromObject(target), parent); err != nil {
		return err
	}
	parent = parent.DeepCopy()
	parent.Status.Children = t.last.Nested.Children
	if err := s.memory.put(parent); err != nil {
		return err
	}
	for _, w := range t.last.Nested.Apply {
		r := Resource{Action: Created, APIVersion: w.APIVersion, Kind: w.Kind, Namespace: w.Namespace, Name: w.Name, Node: w.Node, OnHub: true}
		live := map[string]any{}
		if found := t.in.Live[nested.KeyOf(w.ChildReference)]; found != nil {
			r.Action, live = Changed, found.Object
			r.Fields = fields.Compare(sideOfObject(t.in.Graph, w.Node, common(live, w.Object)), sideOfObject(t.in.Graph, w.Node, w.Object))
		}
		if now := t.waitsOf(w.Node); t.first.Nested == nil || !slices.ContainsFunc(t.first.Nested.Apply, func(f nested.Write) bool { return f.Name == w.Name && f.Node == w.Node }) {
			r.After = now
		}
		merged, _ := merge(live, w.Object).(map[string]any)
		child := &unstructured.Unstructured{Object: merged}
		if err := s.memory.put(child); err != nil {
			return err
		}
		if r.Action == Created || len(r.Fields) > 0 {
			row.Resources = append(row.Resources, r)
		}
		p.mu.Lock()
		concernOne(p.below, work.IdentityOfInstance(child)).add(row.Name)
		p.mu.Unlock()
	}
	for _, l := range t.last.Nested.Leaving {
		row.Resources = append(row.Resources, Resource{
			Action: Deleted, APIVersion: l.APIVersion, Kind: l.Kind, Namespace: l.Namespace, Name: l.Name, Node: l.Node, OnHub: true,
		})
	}
	return nil
}

// common is as much of an object as another one says something about.
func common(object, other map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range other {
		found, there := object[key]
		if !there {
			continue
		}
		inner, isObject := found.(map[string]any)
		outer, alsoObject := value.(map[string]any)
		if isObject && alsoObject {
			found = common(inner, outer)
		}
		out[key] = found
	}
	return out
}

// sorted are manifests in the order of their waves.
func sorted(contents map[workv1.ResourceIdentifier]work.Shipped) []work.Shipped {
	return slices.SortedFunc(maps.Values(contents), func(a, b work.Shipped) int {
		return cmp.Or(
			cmp.Compare(a.Policy.Wave, b.Policy.Wave), cmp.Compare(a.Policy.Node, b.Policy.Node), cmp.Compare(a.Policy.Index, b.Policy.Index),
			cmp.Compare(a.ID.Group, b.ID.Group), cmp.Compare(a.ID.Resource, b.ID.Resource),
			cmp.Compare(a.ID.Namespace, b.ID.Namespace), cmp.Compare(a.ID.Name, b.ID.Name),
		)
	})
}

func decode(m work.Shipped) (map[string]any, error) {
	var object map[string]any
	if err := utiljson.Unmarshal(m.Raw, &object); err != nil {
		return nil, fmt.Errorf("reading the manifest of %s %s/%s: %w", m.ID.Resource, m.ID.Namespace, m.ID.Name, err)
	}
	return object, nil
}

func resourceOf(m work.Shipped) (Resource, error) {
	object, err := decode(m)
	if err != nil {
		return Resource{}, err
	}
	u := unstructured.Unstructured{Object: object}
	return Resource{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName(), Node: m.Policy.Node}, nil
}

func sideOf(g *graph.Graph, m work.Shipped) (fields.Side, error) {
	object, err := decode(m)
	return sideOfObject(g, m.Policy.Node, object), err
}

// sideOfObject leaves out the hash of the manifest, which follows from the rest,
// and hides what must not be shown.
func sideOfObject(g *graph.Graph, node string, object map[string]any) fields.Side {
	object = merge(object, map[string]any{"metadata": map[string]any{"annotations": map[string]any{kronvoyv1alpha1.AnnotationHash: nil}}}).(map[string]any)
	return fields.Of(g, node, object)
}
