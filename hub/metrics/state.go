package metrics

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/meter"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// fresh is for how long a count is given again: several scrapers cost no more than
// one.
const fresh = 5 * time.Second

// Agents that clusters have.
const (
	agentKronvoy, agentOCM, agentUnknown = "kronvoy", "ocm", "unknown"
)

// none is the value of a label for what has none yet.
const none = "none"

// Caches gives what the hub watches; a cache.Cache is one.
type Caches interface {
	GetInformer(ctx context.Context, obj client.Object, opts ...cache.InformerGetOption) (cache.Informer, error)
}

// Sizes are how much is held that can be made again.
type Sizes struct {
	// Graphs that are compiled, and Schemas of kinds, each as a function.
	Graphs, Schemas func() int
}

// State counts how the fleet is from the hub's caches, when it is collected. It
// copies no object: 20,000 Targets take a few milliseconds.
type State struct {
	// Caches are asked for what they hold, and nothing is waited for.
	Caches Caches
	// Kinds calls a function with every kind of instances that is watched.
	Kinds func(func(schema.GroupVersionKind))
	Sizes Sizes
	// Registry is told what is collected.
	Registry prometheus.Registerer
	Clock    clock.PassiveClock
	// Version of the hub.
	Version string
	// Instances is how many instances get a metric of their own, those first that
	// are not ready on the most clusters; 0 for none. Their names are labels with
	// no end of values, therefore it takes somebody to ask for them.
	Instances int

	set   meter.Set
	descs descs

	mu      sync.Mutex
	counted time.Time
	last    []prometheus.Metric
}

// descs are what is collected.
type descs struct {
	build, definitions, instances, instanceClusters, targets, drifted, driftedObjects, suspended, leaving, held,
	clusters, joining, rollouts, rolloutsStopped, rolloutAge, stepAge, overdue, approvals, approvalAge, graphs, schemas *prometheus.Desc
}

// Start collects until the context ends. As a manager's runnable that is while this
// hub is the active one: a sum over several hubs counts everything once.
func (s *State) Start(ctx context.Context) error {
	s.describe()
	if err := s.Registry.Register(s); err != nil {
		return fmt.Errorf("registering what is counted from the caches: %w", err)
	}
	<-ctx.Done()
	s.Registry.Unregister(s)
	return nil
}

func (s *State) describe() {
	d := s.set.Collected
	s.descs = descs{
		build:       d("kronvoy_build_info", "One, with the version of the hub.", "version"),
		definitions: d("kronvoy_definitions", "Definitions by state: Active, Inactive, or none while nothing is known.", "state"),
		instances:   d("kronvoy_instances", "Instances by the status of their condition Ready.", "kind", "ready"),
		instanceClusters: d("kronvoy_instance_clusters",
			"Clusters of an instance by state; only with --metrics-instances, and only those instances that are not ready on the most clusters.", "kind", "namespace", "name", "state"),
		targets: d("kronvoy_targets", "Instances on clusters, by state and health. Quiet is true where that is not to wake anybody: the cluster is in maintenance, or nothing is written there now.",
			"kind", "state", "health", "quiet"),
		drifted: d("kronvoy_targets_drifted", "Instances on clusters with objects that somebody changed and that are not put right; quiet as for kronvoy_targets.", "kind", "quiet"),
		driftedObjects: d("kronvoy_drifted_objects",
			"Objects that somebody changed and that are not put right; quiet as for kronvoy_targets.", "kind", "quiet"),
		suspended: d("kronvoy_targets_suspended", "Instances on clusters to which nothing is written now: somebody suspended the instance, or froze the cluster or the fleet.", "kind"),
		leaving:   d("kronvoy_targets_leaving", "Instances on clusters that left their placement.", "kind"),
		held:      d("kronvoy_targets_removal_held", "Instances on clusters that left their placement, from where they are not removed for a reason.", "kind"),
		clusters:  d("kronvoy_clusters", "Accepted clusters by availability (True, False, Unknown, or none while nobody has spoken for it) and kind of agent; quiet is true of those in maintenance.", "available", "agent", "quiet"),
		joining:   d("kronvoy_clusters_joining", "Clusters that wait to be accepted."),
		rollouts:  d("kronvoy_rollouts", "Rollouts by phase.", "phase"),
		rolloutsStopped: d("kronvoy_rollouts_stopped",
			"Rollouts that are Paused or Failed and that nobody stopped on purpose, by an order to pause or a freeze of all its clusters.", "phase"),
		rolloutAge: d("kronvoy_rollout_age_seconds",
			"Time since what is rolled out was first wanted, of the oldest rollout in the phase; not of those that are over.", "phase"),
		stepAge: d("kronvoy_rollout_step_age_seconds",
			"Time since a rollout last gave a cluster something or counted one as ready, of the rollout in the phase where that is longest ago; not of those that are over.", "phase"),
		overdue: d("kronvoy_rollout_overdue_seconds",
			"Time since a rollout gave a cluster something, counted one as ready, or had a time to wait for, such as minSuccessTime or progressDeadline; of the rollout in the phase where that is longest ago. "+
				"Not of those that are over, or wait for people, maintenance or the end of a freeze.", "phase"),
		approvals: d("kronvoy_approvals_waiting", "Questions that wait for somebody's decision.", "action"),
		approvalAge: d("kronvoy_approval_oldest_age_seconds",
			"Time that the oldest question has waited for somebody's decision.", "action"),
		graphs:  d("kronvoy_graphs", "Compiled definitions that are held, one for each revision in use."),
		schemas: d("kronvoy_schemas", "Schemas of kinds that are held."),
	}
}

// Describe implements prometheus.Collector.
func (s *State) Describe(to chan<- *prometheus.Desc) {
	d := &s.descs
	for _, desc := range []*prometheus.Desc{
		d.build, d.definitions, d.instances, d.instanceClusters, d.targets, d.drifted, d.driftedObjects, d.suspended, d.leaving, d.held,
		d.clusters, d.joining, d.rollouts, d.rolloutsStopped, d.rolloutAge, d.stepAge, d.overdue, d.approvals, d.approvalAge, d.graphs, d.schemas,
	} {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (s *State) Collect(to chan<- prometheus.Metric) {
	s.mu.Lock()
	now := s.Clock.Now()
	if s.last == nil || now.Sub(s.counted) >= fresh {
		s.last, s.counted = s.count(now), now
	}
	last := s.last
	s.mu.Unlock()
	for _, m := range last {
		to <- m
	}
}

// count looks at everything once.
func (s *State) count(now time.Time) []prometheus.Metric {
	t := &tally{kinds: map[kindKey]string{}, counts: map[key]float64{}}
	t.set(s.descs.build, 1, s.Version)
	t.set(s.descs.graphs, float64(s.Sizes.Graphs()))
	t.set(s.descs.schemas, float64(s.Sizes.Schemas()))
	t.set(s.descs.joining, 0)
	s.countDefinitions(t)
	s.countInstances(t)
	inMaintenance := s.countClusters(t)
	s.countApprovals(t, now)
	rollouts := s.rollouts()
	s.countTargets(t, rollouts, inMaintenance)
	s.countRollouts(t, rollouts, now)
	return t.metrics()
}

// each calls a function with all objects of a kind, as the caches hold them: they
// must not be changed. A kind that is not watched yet has none.
func each[T client.Object](s *State, kind T, do func(T)) {
	// Nothing is waited for, so that no context is needed.
	informer, err := s.Caches.GetInformer(context.Background(), kind, cache.BlockUntilSynced(false))
	if err != nil {
		return
	}
	// A list of the cache would copy every object's outermost part.
	stored, ok := informer.(interface{ GetStore() toolscache.Store })
	if !ok {
		return
	}
	for _, obj := range stored.GetStore().List() {
		if typed, ok := obj.(T); ok {
			do(typed)
		}
	}
}

func (s *State) countDefinitions(t *tally) {
	each(s, &krov1alpha1.ResourceGraphDefinition{}, func(d *krov1alpha1.ResourceGraphDefinition) {
		t.add(s.descs.definitions, 1, cmp.Or(string(d.Status.State), none))
	})
}

func (s *State) countInstances(t *tally) {
	s.Kinds(func(gvk schema.GroupVersionKind) {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(gvk)
		kind := gvk.GroupKind().String()
		each(s, object, func(instance *unstructured.Unstructured) {
			t.add(s.descs.instances, 1, kind, ready(instance))
		})
	})
}

// ready is the status of an instance's condition Ready.
func ready(instance *unstructured.Unstructured) string {
	status, _ := instance.Object["status"].(map[string]any)
	conditions, _ := status["conditions"].([]any)
	for _, c := range conditions {
		if condition, _ := c.(map[string]any); condition["type"] == "Ready" {
			switch text, _ := condition["status"].(string); metav1.ConditionStatus(text) {
			case metav1.ConditionTrue, metav1.ConditionFalse:
				return text
			}
		}
	}
	return string(metav1.ConditionUnknown)
}

// countClusters returns those in maintenance.
func (s *State) countClusters(t *tally) map[string]bool {
	inMaintenance := map[string]bool{}
	each(s, &clusterv1.ManagedCluster{}, func(c *clusterv1.ManagedCluster) {
		if !c.Spec.HubAcceptsClient {
			t.add(s.descs.joining, 1)
			return
		}
		available := none
		for _, condition := range c.Status.Conditions {
			if condition.Type == clusterv1.ManagedClusterConditionAvailable {
				available = string(condition.Status)
			}
		}
		if clusters.Maintenance(c) != "" {
			inMaintenance[c.Name] = true
		}
		t.add(s.descs.clusters, 1, available, agentOf(c), strconv.FormatBool(inMaintenance[c.Name]))
	})
	return inMaintenance
}

func agentOf(c *clusterv1.ManagedCluster) string {
	for _, claim := range c.Status.ClusterClaims {
		if claim.Name == kronvoyv1alpha1.ClaimFeatures || claim.Name == kronvoyv1alpha1.ClusterClaimFeatures {
			return agentKronvoy
		}
	}
	if c.Status.Version.Kubernetes != "" {
		return agentOCM
	}
	return agentUnknown
}

func (s *State) countApprovals(t *tally, now time.Time) {
	for _, action := range []kronvoyv1alpha1.ApprovalAction{kronvoyv1alpha1.ApprovalEnterGroup, kronvoyv1alpha1.ApprovalRemove} {
		t.set(s.descs.approvals, 0, string(action))
		t.set(s.descs.approvalAge, 0, string(action))
	}
	each(s, &kronvoyv1alpha1.ApprovalRequest{}, func(r *kronvoyv1alpha1.ApprovalRequest) {
		if r.Status.Decision != "" || r.DeletionTimestamp != nil {
			return
		}
		t.add(s.descs.approvals, 1, string(r.Spec.Action))
		t.atLeast(s.descs.approvalAge, now.Sub(r.CreationTimestamp.Time).Seconds(), string(r.Spec.Action))
	})
}

// countTargets notes when each rollout last moved, by the way.
func (s *State) countTargets(t *tally, rollouts map[client.ObjectKey]*progress, inMaintenance map[string]bool) {
	var worst map[kronvoyv1alpha1.InstanceReference]*clusterCounts
	if s.Instances > 0 {
		worst = map[kronvoyv1alpha1.InstanceReference]*clusterCounts{}
	}
	each(s, &kronvoyv1alpha1.Target{}, func(target *kronvoyv1alpha1.Target) {
		ref, status := target.Spec.Instance, &target.Status
		kind := t.kind(ref)
		state := cmp.Or(string(status.State), none)
		quiet := strconv.FormatBool(status.Suspended != "" || inMaintenance[target.Namespace])
		t.add(s.descs.targets, 1, kind, state, cmp.Or(string(status.Health), none), quiet)
		t.addIf(status.Drift.Objects > 0, s.descs.drifted, 1, kind, quiet)
		t.addIf(status.Drift.Objects > 0, s.descs.driftedObjects, float64(status.Drift.Objects), kind, quiet)
		t.addIf(status.Suspended != "", s.descs.suspended, 1, kind)
		removal := target.Spec.Removal
		t.addIf(removal != nil, s.descs.leaving, 1, kind)
		t.addIf(removal != nil && removal.Held != "", s.descs.held, 1, kind)
		for _, name := range []string{target.Spec.Distribution, target.Name} {
			rollouts[client.ObjectKey{Namespace: ref.Namespace, Name: name}].moved(target)
		}
		if worst != nil {
			counts := worst[ref]
			if counts == nil {
				counts = &clusterCounts{states: map[string]float64{}}
				worst[ref] = counts
			}
			counts.add(state)
		}
	})
	for _, ref := range foremost(worst, s.Instances) {
		for state, n := range worst[ref].states {
			t.set(s.descs.instanceClusters, n, t.kind(ref), ref.Namespace, ref.Name, state)
		}
	}
}

// clusterCounts are the clusters of an instance.
type clusterCounts struct {
	unready float64
	states  map[string]float64
}

func (c *clusterCounts) add(state string) {
	c.states[state]++
	if state != string(kronvoyv1alpha1.TargetReady) {
		c.unready++
	}
}

// foremost are those instances that are not ready on the most clusters; equals by
// name.
func foremost(counts map[kronvoyv1alpha1.InstanceReference]*clusterCounts, limit int) []kronvoyv1alpha1.InstanceReference {
	refs := make([]kronvoyv1alpha1.InstanceReference, 0, len(counts))
	for ref := range counts {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, func(a, b kronvoyv1alpha1.InstanceReference) int {
		return cmp.Or(cmp.Compare(counts[b].unready, counts[a].unready), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.APIVersion, b.APIVersion))
	})
	return refs[:min(len(refs), limit)]
}

// progress is a rollout, when it last moved, and until when it had a time to wait
// for.
type progress struct {
	*kronvoyv1alpha1.Rollout
	began, last, until time.Time
}

// moved takes a Target of the rollout into account; there may be no rollout.
func (p *progress) moved(target *kronvoyv1alpha1.Target) {
	if p == nil {
		return
	}
	for _, at := range []*metav1.MicroTime{target.Spec.AssignedAt, target.Spec.PassedAt} {
		if at != nil && at.After(p.last) {
			p.last = at.Time
		}
	}
}

// rollouts are all of them; those of a Distribution have its name, those of an
// instance that of its Targets.
func (s *State) rollouts() map[client.ObjectKey]*progress {
	found := map[client.ObjectKey]*progress{}
	each(s, &kronvoyv1alpha1.Rollout{}, func(r *kronvoyv1alpha1.Rollout) {
		p := &progress{Rollout: r, began: r.CreationTimestamp.Time}
		if r.Status.StartedAt != nil {
			p.began = r.Status.StartedAt.Time
		}
		p.last = p.began
		if r.Status.NextAt != nil {
			p.until = r.Status.NextAt.Time
		}
		found[client.ObjectKeyFromObject(r)] = p
	})
	return found
}

// onPurpose says whether somebody stopped it, and knows.
func (p *progress) onPurpose() bool {
	counts := p.Status.Counts
	return p.Spec.Paused != nil || counts.Skipped > 0 && counts.Skipped == counts.Total
}

// overdue is for how long nothing has happened, and no time had to pass. Whoever
// works on a cluster, or has frozen it, knows that what is under way waits for that.
func (p *progress) overdue(now time.Time) time.Duration {
	if p.Status.Phase != kronvoyv1alpha1.RolloutProgressing && p.Status.Phase != kronvoyv1alpha1.RolloutRollingBack {
		return 0
	}
	group := rollout.GroupID{Name: p.Status.Group, Index: int(p.Status.GroupIndex)}.String()
	for _, c := range p.Status.Clusters {
		waits := c.Reason == string(rollout.ReasonMaintenance) || c.Reason == string(rollout.ReasonSuspended)
		if waits && c.State != string(rollout.ClusterSkipped) && (c.Group == group || p.Status.Phase == kronvoyv1alpha1.RolloutRollingBack) {
			return 0
		}
	}
	last := p.last
	if p.until.After(last) {
		last = p.until
	}
	return max(0, now.Sub(last))
}

// underWay are the phases in which something is to happen.
var underWay = []kronvoyv1alpha1.RolloutPhase{
	kronvoyv1alpha1.RolloutProgressing, kronvoyv1alpha1.RolloutWaitingForApproval, kronvoyv1alpha1.RolloutPaused, kronvoyv1alpha1.RolloutRollingBack,
}

func (s *State) countRollouts(t *tally, rollouts map[client.ObjectKey]*progress, now time.Time) {
	for _, phase := range underWay {
		t.set(s.descs.rollouts, 0, string(phase))
	}
	for _, p := range rollouts {
		phase := cmp.Or(string(p.Status.Phase), none)
		t.add(s.descs.rollouts, 1, phase)
		if p.Status.Phase == kronvoyv1alpha1.RolloutPaused || p.Status.Phase == kronvoyv1alpha1.RolloutFailed {
			t.addIf(!p.onPurpose(), s.descs.rolloutsStopped, 1, phase)
		}
		if slices.Contains(underWay, p.Status.Phase) {
			t.atLeast(s.descs.overdue, p.overdue(now).Seconds(), phase)
			t.atLeast(s.descs.rolloutAge, now.Sub(p.began).Seconds(), phase)
			t.atLeast(s.descs.stepAge, now.Sub(p.last).Seconds(), phase)
		}
	}
}

// maxLabels is how many labels a count has at most.
const maxLabels = 4

// key is what is counted under.
type key struct {
	desc   *prometheus.Desc
	labels [maxLabels]string
	n      int
}

// tally adds up.
type tally struct {
	kinds  map[kindKey]string
	counts map[key]float64
}

type kindKey struct{ apiVersion, kind string }

// kind is the label of an instance's kind.
func (t *tally) kind(ref kronvoyv1alpha1.InstanceReference) string {
	k := kindKey{ref.APIVersion, ref.Kind}
	name, known := t.kinds[k]
	if !known {
		name = work.IdentityOf(ref).GroupKind().String()
		t.kinds[k] = name
	}
	return name
}

func under(desc *prometheus.Desc, labels []string) key {
	k := key{desc: desc, n: len(labels)}
	copy(k.labels[:], labels)
	return k
}

func (t *tally) add(desc *prometheus.Desc, n float64, labels ...string) {
	t.counts[under(desc, labels)] += n
}

// addIf begins a count at zero, so that it is there before the first of its kind.
func (t *tally) addIf(holds bool, desc *prometheus.Desc, n float64, labels ...string) {
	if !holds {
		n = 0
	}
	t.counts[under(desc, labels)] += n
}

func (t *tally) set(desc *prometheus.Desc, n float64, labels ...string) {
	t.counts[under(desc, labels)] = n
}

func (t *tally) atLeast(desc *prometheus.Desc, n float64, labels ...string) {
	k := under(desc, labels)
	t.counts[k] = max(t.counts[k], n)
}

func (t *tally) metrics() []prometheus.Metric {
	out := make([]prometheus.Metric, 0, len(t.counts))
	for k, n := range t.counts {
		out = append(out, prometheus.MustNewConstMetric(k.desc, prometheus.GaugeValue, n, k.labels[:k.n]...))
	}
	return out
}
