package preview

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/manifest"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/target"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/explain"
)

// Options say what is previewed, and how the hub was started.
type Options struct {
	// Live is the hub; nil for files alone. Scheme knows its kinds.
	Live   client.Reader
	Scheme *runtime.Scheme
	// Resolver knows the schemas of kinds.
	Resolver schema.Resolver
	// Namespace of what files put into none, and HubNamespace that of the hub.
	Namespace, HubNamespace string
	// The hub's own options.
	DefaultPlacement      rollout.DefaultPlacement
	DefaultServiceAccount policy.ServiceAccount
	AgentIdentity         policy.AgentIdentity
	AllowedNamespaces     []string
	GracePeriod           time.Duration
	// Cluster limits what is shown to one cluster; empty for all.
	Cluster string
	Now     time.Time
	// Progress is told what is being done.
	Progress func(string)
}

// simulation is a hub in memory.
type simulation struct {
	Options
	ctx    context.Context //nolint:containedctx // a simulation is one call
	memory *memory
	store  *definition.Store
	// resolver is extended by the kinds that changed definitions generate.
	resolver schema.Resolver
	gatherer target.Gatherer
	placer   rollout.Placer

	// loaded, own and listed are the kinds, instances and lists that are in memory.
	loaded map[runtimeschema.GroupVersionKind]bool
	own    map[work.Identity]bool
	listed map[string]bool
	read   int

	served   map[string]serving
	explains map[client.ObjectKey]explain.Placement
	// expected is what clusters would report that there are not; see plan.Input.
	expected map[client.ObjectKey]map[string]graph.Observed
	// units that a change concerns and that have a strategy, and Targets as they
	// were before it.
	units  []rolling
	before map[client.ObjectKey]*kronvoyv1alpha1.Target
}

// Of says what the documents would come to if they were applied to what is there:
// the objects of the hub, or those of base.
func Of(ctx context.Context, opts Options, base, documents []*manifest.Document) (Result, error) {
	s := newSimulation(ctx, opts)
	if err := s.loadFleet(); err != nil {
		return Result{}, err
	}
	if opts.Live == nil {
		if err := s.found(documents, base); err != nil {
			return Result{}, err
		}
		if err := s.suppose(base); err != nil {
			return Result{}, err
		}
	}
	return s.change(documents)
}

func newSimulation(ctx context.Context, opts Options) *simulation {
	s := &simulation{
		Options: opts, ctx: ctx, memory: newMemory(opts.Scheme, opts.Live),
		loaded: map[runtimeschema.GroupVersionKind]bool{}, own: map[work.Identity]bool{}, listed: map[string]bool{},
		served: map[string]serving{}, explains: map[client.ObjectKey]explain.Placement{},
		expected: map[client.ObjectKey]map[string]graph.Observed{},
		resolver: opts.Resolver,
	}
	if s.Progress == nil {
		s.Progress = func(string) {}
	}
	resolve := schema.ResolverFunc(func(gvk runtimeschema.GroupVersionKind) (*schema.Type, error) { return s.resolver.Resolve(gvk) })
	s.store = definition.NewStore(s.memory, opts.HubNamespace, resolve)
	s.gatherer = target.Gatherer{
		Cached: s.memory, Reader: s.memory, Namespaces: s.memory, Store: s.store, Namespace: opts.HubNamespace,
		AllowedNamespaces: opts.AllowedNamespaces, DefaultServiceAccount: opts.DefaultServiceAccount, AgentIdentity: opts.AgentIdentity,
	}
	s.placer = rollout.Placer{Reader: s.memory, HubNamespace: opts.HubNamespace, Default: opts.DefaultPlacement, Unfit: s.unfit}
	return s
}

// found makes what every hub has, and the namespaces of what is in files.
func (s *simulation) found(sources ...[]*manifest.Document) error {
	objects := []client.Object{
		&clusterv1beta2.ManagedClusterSet{
			ObjectMeta: metav1.ObjectMeta{Name: "global"},
			Spec:       clusterv1beta2.ManagedClusterSetSpec{ClusterSelector: clusterv1beta2.ManagedClusterSelector{SelectorType: clusterv1beta2.LabelSelector, LabelSelector: &metav1.LabelSelector{}}},
		},
		&clusterv1beta2.ManagedClusterSet{
			ObjectMeta: metav1.ObjectMeta{Name: "default"},
			Spec:       clusterv1beta2.ManagedClusterSetSpec{ClusterSelector: clusterv1beta2.ManagedClusterSelector{SelectorType: clusterv1beta2.ExclusiveClusterSetLabel}},
		},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.HubNamespace}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.Namespace}},
	}
	for _, d := range slices.Concat(sources...) {
		if namespace := d.Namespace(); namespace != "" {
			objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
		}
	}
	for _, obj := range objects {
		if err := s.memory.put(obj); err != nil {
			return err
		}
	}
	return nil
}

// suppose takes the documents for what is there, applied and ready.
func (s *simulation) suppose(documents []*manifest.Document) error {
	result, err := s.change(documents)
	if err != nil {
		return err
	}
	for _, d := range result.Definitions {
		if len(d.Issues) > 0 {
			return fmt.Errorf("definition %s, which the change is laid over: %s", d.Name, d.Issues[0])
		}
	}
	for _, i := range result.Instances {
		if len(i.Issues) > 0 {
			return fmt.Errorf("%s %s/%s, which the change is laid over: %s", i.Kind, i.Namespace, i.Name, i.Issues[0])
		}
	}
	return nil
}

// change lays documents over what is there and says what follows. What follows
// becomes what is there.
func (s *simulation) change(documents []*manifest.Document) (Result, error) {
	concerned := map[work.Identity]*scope{}
	clear(s.explains)
	s.units, s.before = nil, map[client.ObjectKey]*kronvoyv1alpha1.Target{}
	var result Result
	changes, err := s.definitions(documents, concerned, &result)
	if err != nil {
		return result, err
	}
	before, err := s.placed(changes)
	if err != nil {
		return result, err
	}
	for _, c := range changes {
		if err := s.memory.put(c.object); err != nil {
			return result, c.wrap(err)
		}
	}
	for _, c := range changes {
		if err := s.concern(c, concerned); err != nil {
			return result, c.wrap(err)
		}
	}
	if err := s.schedule(changes); err != nil {
		return result, err
	}
	if err := s.moved(before, concerned); err != nil {
		return result, err
	}
	if err := s.instances(concerned, &result); err != nil {
		return result, err
	}
	if err := s.rollouts(&result); err != nil {
		return result, err
	}
	result.summarize()
	return result, nil
}
