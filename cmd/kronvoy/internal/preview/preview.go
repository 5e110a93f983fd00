package preview

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/manifest"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/override"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
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

	loaded    map[runtimeschema.GroupVersionKind]bool
	own       map[work.Identity]bool
	revisions map[string]bool
	read      int

	served   map[string]serving
	explains map[client.ObjectKey]explain.Placement
	// expected is what clusters would report that there are not; see plan.Input.
	expected map[client.ObjectKey]map[string]graph.Observed
}

// serving is what instances of a kind are made for.
type serving struct {
	revision string
	graph    *graph.Graph
}

// scope is on which clusters an instance is concerned.
type scope struct {
	all bool
	// clusters that are, unless all.
	clusters map[string]bool
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
		loaded: map[runtimeschema.GroupVersionKind]bool{}, own: map[work.Identity]bool{}, revisions: map[string]bool{},
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
	result.summarize()
	return result, nil
}

// definitions lays definitions over those that are there, compiles them, and
// returns all other changes. A definition that cannot be served changes nothing
// that runs.
func (s *simulation) definitions(documents []*manifest.Document, concerned map[work.Identity]*scope, result *Result) ([]change, error) {
	var pending []change
	var rest []*manifest.Document
	for _, d := range documents {
		if d.Kind() != "ResourceGraphDefinition" {
			rest = append(rest, d)
			continue
		}
		c, err := s.overlay(d)
		if err != nil {
			return nil, err
		}
		pending = append(pending, c)
	}
	if err := s.compile(pending, concerned, result); err != nil {
		return nil, err
	}
	changes := make([]change, 0, len(rest))
	for _, d := range rest {
		if d.Kind() == "CustomResourceDefinition" {
			// Its schema is known already.
			continue
		}
		c, err := s.overlay(d)
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// compile compiles definitions until none comes right any more: one may use the
// kind that another generates.
func (s *simulation) compile(pending []change, concerned map[work.Identity]*scope, result *Result) error {
	for {
		var generated []*apiextensionsv1.CustomResourceDefinition
		var left []change
		var issues [][]string
		for _, c := range pending {
			rgd := c.object.(*krov1alpha1.ResourceGraphDefinition)
			s.Progress("compiling definition " + rgd.Name)
			g, wrong := s.store.Compile(rgd)
			if g == nil {
				left = append(left, c)
				issues = append(issues, texts(wrong))
				continue
			}
			found := Definition{Name: rgd.Name}
			var err error
			if found.Issues, err = s.adopt(c, rgd, g, concerned); err != nil {
				return err
			}
			result.Definitions = append(result.Definitions, found)
			generated = append(generated, g.CRD())
		}
		if len(generated) == 0 {
			for i, c := range left {
				result.Definitions = append(result.Definitions, Definition{Name: c.document.Name(), Issues: issues[i]})
			}
			slices.SortFunc(result.Definitions, func(a, b Definition) int { return cmp.Compare(a.Name, b.Name) })
			return nil
		}
		kinds, err := schema.FromCRDs(generated...)
		if err != nil {
			return fmt.Errorf("reading the schemas of generated kinds: %w", err)
		}
		s.resolver, pending = schema.Chain(kinds, s.resolver), left
	}
}

// adopt makes a definition the one that is served, with its revision, unless its
// kind would break.
func (s *simulation) adopt(c change, rgd *krov1alpha1.ResourceGraphDefinition, g *graph.Graph, concerned map[work.Identity]*scope) (issues []string, err error) {
	if !c.isNew {
		old, served, err := s.serving(rgd.Name)
		if err != nil {
			return nil, err
		}
		if served && !definition.BreakingAllowed(rgd) {
			for _, change := range definition.BreakingChanges(old.graph.CRD(), g.CRD()) {
				issues = append(issues, fmt.Sprintf("%s; the annotation %s: \"true\" lets it through", change, definition.AnnotationAllowBreaking))
			}
		}
		if len(issues) > 0 {
			return issues, nil
		}
	}
	if err := s.memory.put(rgd); err != nil {
		return nil, err
	}
	stored, err := s.storeDefinition(rgd, g)
	if err != nil {
		return nil, err
	}
	s.served[rgd.Name] = serving{stored, g}
	return nil, s.concernKind(g.GroupVersionKind(), concerned)
}

func (s *simulation) storeDefinition(rgd *krov1alpha1.ResourceGraphDefinition, g *graph.Graph) (string, error) {
	spec, err := json.Marshal(rgd.Spec)
	if err != nil {
		return "", fmt.Errorf("encoding definition %s: %w", rgd.Name, err)
	}
	owner := metav1.NewControllerRef(rgd, krov1alpha1.GroupVersion.WithKind("ResourceGraphDefinition"))
	stored, err := revision.Definition{Name: rgd.Name, Hash: g.Hash(), Spec: spec}.Object(s.HubNamespace, 1, *owner)
	if err != nil {
		return "", err
	}
	return stored.Name, s.memory.put(stored)
}

// serving is what a definition serves, by its newest revision; served is false
// where there is none, and it does not compile.
func (s *simulation) serving(name string) (found serving, served bool, err error) {
	if found, served = s.served[name]; served {
		return found, true, nil
	}
	if err := s.loadRevisions(name); err != nil {
		return serving{}, false, err
	}
	var stored appsv1.ControllerRevisionList
	err = s.memory.List(s.ctx, &stored, client.InNamespace(s.HubNamespace), client.MatchingLabels(revision.DefinitionSelector(name)))
	if err != nil {
		return serving{}, false, err
	}
	if newest := revision.Newest(stored.Items); newest != nil {
		g, err := s.store.Graph(s.ctx, newest.Name)
		var unusable *definition.UnusableError
		if errors.As(err, &unusable) {
			return serving{}, false, nil
		}
		if err != nil {
			return serving{}, false, err
		}
		s.served[name] = serving{newest.Name, g}
		return s.served[name], true, nil
	}
	return serving{}, false, nil
}

// unfit says what of a Distribution's overrides does not fit the kind of its
// instances, as far as that is served.
func (s *simulation) unfit(d *kronvoyv1alpha1.Distribution) error {
	rgd := s.generated(policy.KindOf(d))
	if rgd == nil {
		return nil
	}
	found, served, err := s.serving(rgd.Name)
	if err != nil || !served {
		return err
	}
	_, err = override.Compile(found.graph, d.Spec.Overrides)
	return err
}

// generated is the definition of a kind; nil for none.
func (s *simulation) generated(kind runtimeschema.GroupKind) *krov1alpha1.ResourceGraphDefinition {
	var list krov1alpha1.ResourceGraphDefinitionList
	if err := s.memory.List(s.ctx, &list); err != nil {
		return nil
	}
	for i := range list.Items {
		if kindOf(&list.Items[i]).GroupKind() == kind {
			return &list.Items[i]
		}
	}
	return nil
}

func kindOf(rgd *krov1alpha1.ResourceGraphDefinition) runtimeschema.GroupVersionKind {
	if rgd.Spec.Schema == nil {
		return runtimeschema.GroupVersionKind{}
	}
	source, err := convert.Source(rgd)
	if err != nil {
		return runtimeschema.GroupVersionKind{}
	}
	return runtimeschema.GroupVersionKind{Group: source.Schema.Group, Version: source.Schema.Version, Kind: source.Schema.Kind}
}

// concern finds the instances that a change may mean something to.
func (s *simulation) concern(c change, concerned map[work.Identity]*scope) error {
	switch obj := c.object.(type) {
	case *unstructured.Unstructured:
		concernOne(concerned, work.IdentityOfInstance(obj)).all = true
	case *kronvoyv1alpha1.Distribution:
		return s.concernDistribution(obj, concerned)
	case *clusterv1.ManagedCluster:
		var targets kronvoyv1alpha1.TargetList
		if err := s.load(&targets, client.InNamespace(obj.Name)); err != nil {
			return err
		}
		if err := s.memory.List(s.ctx, &targets, client.InNamespace(obj.Name)); err != nil {
			return err
		}
		for i := range targets.Items {
			concernOne(concerned, work.IdentityOf(targets.Items[i].Spec.Instance)).add(obj.Name)
		}
	default:
		if obj.GetObjectKind().GroupVersionKind().Kind != "Namespace" {
			return nil
		}
		// In whose name agents act there.
		return s.eachInstance(func(instance *unstructured.Unstructured) {
			if instance.GetNamespace() == obj.GetName() {
				concernOne(concerned, work.IdentityOfInstance(instance)).all = true
			}
		})
	}
	return nil
}

// concernDistribution is about the instances that a Distribution selects, or did.
func (s *simulation) concernDistribution(d *kronvoyv1alpha1.Distribution, concerned map[work.Identity]*scope) error {
	rgd := s.generated(policy.KindOf(d))
	if rgd == nil {
		return nil
	}
	instances, err := s.ofKind(kindOf(rgd))
	for _, instance := range instances {
		if instance.GetNamespace() == d.Namespace {
			concernOne(concerned, work.IdentityOfInstance(&instance)).all = true
		}
	}
	return err
}

func (s *simulation) concernKind(gvk runtimeschema.GroupVersionKind, concerned map[work.Identity]*scope) error {
	instances, err := s.ofKind(gvk)
	for i := range instances {
		concernOne(concerned, work.IdentityOfInstance(&instances[i])).all = true
	}
	return err
}

func concernOne(concerned map[work.Identity]*scope, identity work.Identity) *scope {
	if concerned[identity] == nil {
		concerned[identity] = &scope{clusters: map[string]bool{}}
	}
	return concerned[identity]
}

func (s *scope) add(cluster string) { s.clusters[cluster] = true }

func (s *scope) has(cluster string) bool { return s.all || s.clusters[cluster] }

func (s *simulation) ofKind(gvk runtimeschema.GroupVersionKind) ([]unstructured.Unstructured, error) {
	if err := s.loadKind(gvk); err != nil {
		return nil, err
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	err := s.memory.List(s.ctx, list)
	return list.Items, err
}

// eachInstance goes over all instances of all kinds.
func (s *simulation) eachInstance(visit func(*unstructured.Unstructured)) error {
	var list krov1alpha1.ResourceGraphDefinitionList
	if err := s.memory.List(s.ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		instances, err := s.ofKind(kindOf(&list.Items[i]))
		if err != nil {
			return err
		}
		for k := range instances {
			visit(&instances[k])
		}
	}
	return nil
}

// places says whether a change may make Placements decide anew.
func (c change) places() bool {
	switch c.object.(type) {
	case *clusterv1.ManagedCluster, *clusterv1beta2.ManagedClusterSet, *clusterv1beta2.ManagedClusterSetBinding,
		*clusterv1beta1.Placement, *clusterv1alpha1.AddOnPlacementScore:
		return true
	}
	return false
}

// placed is where all instances run, if a change could move any of them.
func (s *simulation) placed(changes []change) (map[work.Identity]rollout.Decision, error) {
	if !slices.ContainsFunc(changes, change.places) {
		return nil, nil
	}
	decisions := map[work.Identity]rollout.Decision{}
	var failed error
	err := s.eachInstance(func(instance *unstructured.Unstructured) {
		decision, err := s.decide(instance)
		failed = errors.Join(failed, err)
		decisions[work.IdentityOfInstance(instance)] = decision
	})
	return decisions, errors.Join(err, failed)
}

// decide says where an instance runs, without its Targets.
func (s *simulation) decide(instance *unstructured.Unstructured) (rollout.Decision, error) {
	owner, err := rollout.Owner(s.ctx, s.memory, instance, nil)
	if err != nil {
		return rollout.Decision{}, err
	}
	if err := s.loadParent(instance); err != nil {
		return rollout.Decision{}, err
	}
	return s.placer.Decide(s.ctx, instance, owner)
}

// loadParent takes the Target into memory that an instance says it was made for.
func (s *simulation) loadParent(instance *unstructured.Unstructured) error {
	mark, marked := kronvoyv1alpha1.ParseNestedMark(work.IdentityOfInstance(instance).Reference(), instance.GetAnnotations())
	if !marked {
		return nil
	}
	key := client.ObjectKey{Namespace: mark.Cluster, Name: work.IdentityOf(mark.Parent).TargetName()}
	return client.IgnoreNotFound(s.memory.Get(s.ctx, key, &kronvoyv1alpha1.Target{}))
}

// moved concerns instances on clusters that come or go.
func (s *simulation) moved(before map[work.Identity]rollout.Decision, concerned map[work.Identity]*scope) error {
	if before == nil {
		return nil
	}
	var failed error
	err := s.eachInstance(func(instance *unstructured.Unstructured) {
		identity := work.IdentityOfInstance(instance)
		after, err := s.decide(instance)
		failed = errors.Join(failed, err)
		was, is := set(before[identity].Clusters), set(after.Clusters)
		for cluster := range was {
			if !is[cluster] {
				concernOne(concerned, identity).add(cluster)
			}
		}
		for cluster := range is {
			if !was[cluster] {
				concernOne(concerned, identity).add(cluster)
			}
		}
	})
	return errors.Join(err, failed)
}

func set(names []string) map[string]bool {
	out := make(map[string]bool, len(names))
	for _, name := range names {
		out[name] = true
	}
	return out
}

func texts(issues graph.Issues) []string {
	out := make([]string, 0, len(issues))
	for _, issue := range issues {
		out = append(out, issue.Error())
	}
	return out
}

// sortedIdentities are in the order in which they are shown.
func sortedIdentities(concerned map[work.Identity]*scope) []work.Identity {
	return slices.SortedFunc(maps.Keys(concerned), func(a, b work.Identity) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name), strings.Compare(a.Group, b.Group))
	})
}
