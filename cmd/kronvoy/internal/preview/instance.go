package preview

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-multierror"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/nested"
	"github.com/kronvoy/kronvoy/hub/override"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
	placementrollout "github.com/kronvoy/kronvoy/placement/rollout"
)

// instances says what becomes of the instances that are concerned, and of those
// that the hub makes for their resources, in turn.
func (s *simulation) instances(concerned map[work.Identity]*scope, result *Result) error {
	seen := map[work.Identity]int{}
	for depth := 0; len(concerned) > 0 && depth <= nested.MaxDepth; depth++ {
		below := map[work.Identity]*scope{}
		for _, identity := range sortedIdentities(concerned) {
			s.Progress(fmt.Sprintf("evaluating %s %s/%s", identity.Kind, identity.Namespace, identity.Name))
			found, err := s.instance(identity, concerned[identity], below)
			if err != nil {
				return fmt.Errorf("%s %s/%s: %w", identity.Kind, identity.Namespace, identity.Name, err)
			}
			if at, twice := seen[identity]; twice {
				result.Instances[at] = found
				continue
			}
			seen[identity] = len(result.Instances)
			result.Instances = append(result.Instances, found)
		}
		concerned = below
	}
	result.Instances = slices.DeleteFunc(result.Instances, func(i Instance) bool { return len(i.Issues)+len(i.Clusters) == 0 && i.Message == "" })
	return nil
}

// instance says what becomes of one instance. What the hub would store for it is
// put into memory.
func (s *simulation) instance(identity work.Identity, concerned *scope, below map[work.Identity]*scope) (Instance, error) {
	ref := identity.Reference()
	out := Instance{APIVersion: ref.APIVersion, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}
	if err := s.loadOne(identity); err != nil {
		return out, err
	}
	live := &unstructured.Unstructured{}
	live.SetAPIVersion(ref.APIVersion)
	live.SetKind(ref.Kind)
	if err := s.memory.Get(s.ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, live); err != nil {
		return out, client.IgnoreNotFound(err)
	}
	targets, err := index.Targets(s.ctx, s.memory, identity)
	if err != nil {
		return out, err
	}
	rgd := s.generated(live.GroupVersionKind().GroupKind())
	if rgd == nil {
		return out, fmt.Errorf("no definition generates %s", ref.Kind)
	}
	if rollout.Suspended(live) {
		out.Message = "it is suspended: nothing changes until it goes on"
		return out, nil
	}
	served, ok, err := s.serving(rgd.Name)
	if err != nil {
		return out, err
	}
	if !ok {
		out.Message = fmt.Sprintf("definition %s serves nothing", rgd.Name)
		return out, nil
	}
	object := served.graph.Default(live.Object)
	if issues := served.graph.ValidateInstance(object); len(issues) > 0 {
		out.Issues = texts(issues)
		return out, nil
	}
	instance := &unstructured.Unstructured{Object: object}
	if err := s.memory.put(instance); err != nil {
		return out, err
	}
	owner, err := rollout.Owner(s.ctx, s.memory, instance, targets)
	if err != nil {
		return out, err
	}
	if err := s.loadParent(instance); err != nil {
		return out, err
	}
	decision, err := s.placer.Decide(s.ctx, instance, owner)
	if err != nil {
		return out, err
	}
	out.PlacedBy, out.Message = decision.By.String(), decision.Message
	if owner != nil {
		out.Distribution = owner.Name
	}
	overrides, err := policy.Overrides(owner)
	if err == nil {
		_, err = override.Compile(served.graph, overrides)
	}
	var invalid *policy.InvalidError
	if errors.As(err, &invalid) {
		// The message would say the same again.
		out.Message, out.Issues = "", []string{fmt.Sprintf("Distribution %s: %s", owner.Name, invalid.Error())}
		return out, nil
	}
	if err != nil {
		return out, err
	}
	spec, _ := object["spec"].(map[string]any)
	wanted := revision.Instance{Definition: served.revision, DefinitionHash: served.graph.Hash(), Spec: spec, Overrides: overrides}
	stored, err := s.storeInstance(instance, wanted)
	if err != nil {
		return out, err
	}
	s.rolls(instance, owner)
	return out, s.clusters(&out, &placing{
		identity: identity, instance: instance, owner: owner, revision: stored.Name, decision: decision, targets: targets,
		concerned: concerned, below: below,
	})
}

// placing is one instance and where it is to be.
type placing struct {
	identity  work.Identity
	instance  *unstructured.Unstructured
	owner     *kronvoyv1alpha1.Distribution
	revision  string
	decision  rollout.Decision
	targets   []kronvoyv1alpha1.Target
	concerned *scope
	// below are nested instances that are concerned next.
	mu    sync.Mutex
	below map[work.Identity]*scope
}

// clusters says what becomes of an instance on each cluster that is concerned.
func (s *simulation) clusters(out *Instance, p *placing) error {
	existing := map[string]*kronvoyv1alpha1.Target{}
	for i := range p.targets {
		existing[p.targets[i].Namespace] = &p.targets[i]
	}
	placed := set(p.decision.Clusters)
	names := set(slices.Collect(maps.Keys(existing)))
	if p.decision.Decided {
		maps.Copy(names, placed)
	}
	leaving := map[string]Cluster{}
	if p.decision.Decided {
		var err error
		if leaving, err = s.leaving(p); err != nil {
			return err
		}
	}
	var todo []func() (Cluster, error)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if s.Cluster != "" && name != s.Cluster || !p.concerned.has(name) {
			continue
		}
		target := existing[name]
		if target != nil && target.DeletionTimestamp != nil {
			continue
		}
		row, leaves := leaving[name]
		if leaves && target.Spec.Removal != nil {
			// It was on its way out before.
			continue
		}
		if leaves && !row.Held {
			todo = append(todo, func() (Cluster, error) { return s.leave(row, p, target) })
			continue
		}
		// One that is held is kept up to date: it may come back.
		row.Name = name
		if target == nil {
			row.Change = Joins
			place := p.decision.Places[name]
			row.Reason, row.Message = s.why(rollout.RevisionNamespace(p.instance, s.HubNamespace), place.Placement, name)
			target = &kronvoyv1alpha1.Target{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: name, Name: p.identity.TargetName(), Labels: map[string]string{kronvoyv1alpha1.LabelInstance: p.identity.Hash()},
				},
				Spec: kronvoyv1alpha1.TargetSpec{Instance: p.identity.Reference()},
			}
		}
		s.note(client.ObjectKeyFromObject(target), existing[name])
		target = target.DeepCopy()
		target.Spec.Revision, target.Spec.Distribution = p.revision, out.Distribution
		// In the end clusters are what they are by then, not what a rollout assigned.
		target.Spec.Inputs = nil
		if err := s.memory.put(target); err != nil {
			return err
		}
		todo = append(todo, func() (Cluster, error) { return s.target(row, p, target) })
	}
	rows, err := parallel(todo)
	for _, row := range rows {
		if !row.empty() {
			out.Clusters = append(out.Clusters, row)
		}
	}
	return err
}

// parallel calls functions, as many at a time as there are processors, and keeps
// their order.
func parallel(todo []func() (Cluster, error)) ([]Cluster, error) {
	rows := make([]Cluster, len(todo))
	failed := make([]error, len(todo))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, do := range todo {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			rows[i], failed[i] = do()
		})
	}
	wg.Wait()
	var errs *multierror.Error
	for _, err := range failed {
		if err != nil {
			errs = multierror.Append(errs, err)
		}
	}
	return rows, errs.ErrorOrNil()
}

// leaving are the clusters that are in the instance's placement no more, with
// what the rules of removal say of each.
func (s *simulation) leaving(p *placing) (map[string]Cluster, error) {
	requests, err := index.ApprovalRequests(s.ctx, s.memory, rollout.RevisionNamespace(p.instance, s.HubNamespace), p.identity)
	if err != nil {
		return nil, err
	}
	departure := rollout.Departure{
		Decision: p.decision, Targets: p.targets, Owner: p.owner, Requests: requests, Grace: s.GracePeriod, Now: s.Now,
		Unreachable: func(name string) bool {
			cluster := &clusterv1.ManagedCluster{}
			err := s.memory.Get(s.ctx, client.ObjectKey{Name: name}, cluster)
			return err != nil || !cluster.Spec.HubAcceptsClient || clusters.Unreachable(cluster)
		},
	}
	plan, rules := departure.Plan()
	out := map[string]Cluster{}
	for _, cluster := range plan.Remove {
		out[cluster] = Cluster{Name: cluster, Change: Leaves}
	}
	for _, w := range plan.Waiting {
		row := Cluster{Name: w.Cluster, Change: Leaves, Reason: string(w.Reason), Message: w.Message}
		switch w.Reason {
		case placementrollout.NeedsApproval:
			row.Held = !slices.Contains(plan.Approve, w.Cluster)
		case placementrollout.ApprovalRejected, placementrollout.ClusterUnreachable, placementrollout.PlacementUndecided:
			row.Held = true
		case placementrollout.InGracePeriod:
			if row.Message = ""; rules.GracePeriod > 0 {
				row.Message = fmt.Sprintf("removed after %s", rules.GracePeriod.Round(time.Second))
			}
		}
		out[w.Cluster] = row
	}
	for name, row := range out {
		if why, message := s.whyNot(p, name); why != "" && row.Reason != string(placementrollout.NeedsApproval) {
			row.Reason = why
			row.Message = strings.Join(slices.DeleteFunc([]string{message, row.Message}, func(s string) bool { return s == "" }), "; ")
		}
		out[name] = row
	}
	return out, nil
}

// placementsOf are the names of the Placements that say where an instance runs.
func (s *simulation) placementsOf(p *placing) []string {
	switch {
	case p.owner == nil || p.owner.Spec.Placement == nil:
		return []string{p.instance.GetLabels()[kronvoyv1alpha1.LabelPlacement]}
	case p.owner.Spec.Placement.ClusterSelector != nil:
		return []string{policy.PlacementName(p.owner.Name)}
	}
	var names []string
	for _, ref := range p.owner.Spec.Placement.Refs {
		names = append(names, ref.Name)
	}
	return names
}

// whyNot says why an instance's Placement does not select a cluster; of several
// the first that was decided anew.
func (s *simulation) whyNot(p *placing, cluster string) (reason, message string) {
	for _, name := range s.placementsOf(p) {
		if reason, message = s.why(rollout.RevisionNamespace(p.instance, s.HubNamespace), name, cluster); reason != "" {
			return reason, message
		}
	}
	return "", ""
}

// target says what becomes of an instance on a cluster where it is to be.
func (s *simulation) target(row Cluster, p *placing, target *kronvoyv1alpha1.Target) (Cluster, error) {
	t, err := s.plan(target)
	if err != nil {
		return row, fmt.Errorf("cluster %s: %w", row.Name, err)
	}
	if row.Blocked = t.blocked; row.Blocked != "" {
		if row.Change == "" && target.Status.Message == row.Blocked {
			// That is so already.
			row.Blocked = ""
		}
		return row, nil
	}
	old := t.in.Graph
	if len(t.in.Works) > 0 {
		old = s.shippedGraph(t.in)
	}
	if err := t.compare(&row, old); err != nil {
		return row, fmt.Errorf("cluster %s: %w", row.Name, err)
	}
	s.waits(&row, t, target)
	return row, s.cascade(&row, p, t, target)
}

// leave says what becomes of what an instance has on a cluster that it leaves.
func (s *simulation) leave(row Cluster, p *placing, target *kronvoyv1alpha1.Target) (Cluster, error) {
	works, reports, err := index.Works(s.ctx, s.memory, row.Name, p.identity)
	if err != nil {
		return row, err
	}
	contents, err := work.Contents(works, work.Capabilities{Reports: len(reports) > 0})
	if err != nil {
		return row, err
	}
	orphan := p.owner != nil && p.owner.Spec.Removal.Policy == kronvoyv1alpha1.RemovalOrphan
	for _, m := range sorted(contents) {
		if m.ReadOnly {
			continue
		}
		r, err := resourceOf(m)
		if err != nil {
			return row, err
		}
		r.Action = Deleted
		if orphan || m.Policy.Deletion == kronvoyv1alpha1.DeletionOrphan {
			r.Action = Orphaned
		}
		row.Resources = append(row.Resources, r)
	}
	for _, ref := range target.Status.Children {
		if ref.ReadOnly {
			continue
		}
		row.Resources = append(row.Resources, Resource{
			Action: Deleted, APIVersion: ref.APIVersion, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name, Node: ref.Node, OnHub: true,
		})
	}
	return row, nil
}
