package apply

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/feedback"
	"github.com/kronvoy/kronvoy/spoke/live"
)

// Options are what an Applier works with.
type Options struct {
	// Client reads AppliedManifestWorks from a cache and writes them.
	Client client.Client
	// Reader reads AppliedManifestWorks from the API server.
	Reader client.Reader
	// Dynamic writes the objects; Impersonate makes a client that does so in
	// another user's name.
	Dynamic     dynamic.Interface
	Impersonate func(user string) (dynamic.Interface, error)
	// RESTMapper knows the kinds that the cluster serves, and asks again for
	// those it does not know.
	RESTMapper apimeta.RESTMapper
	// Live is the state of the cluster's objects.
	Live *live.Cache
	// Evaluator judges what is complete.
	Evaluator *feedback.Evaluator
	// HubHash and AgentID identify the hub and the agent in inventories.
	HubHash string
	AgentID string
	// Elsewhere says whether another work of the same instance wants an object.
	Elsewhere func(ctx context.Context, work string, key live.Key) (bool, error)
	// FlushDelay is how long after a change the inventory's list is written.
	FlushDelay time.Duration
	Clock      clock.Clock
	Log        logr.Logger
}

// Applier applies works to one cluster. Different works may be applied at the
// same time, one work only by one caller at a time.
type Applier struct {
	client     client.Client
	reader     client.Reader
	dynamic    dynamic.Interface
	mapper     apimeta.RESTMapper
	live       *live.Cache
	evaluator  *feedback.Evaluator
	hubHash    string
	agentID    string
	elsewhere  func(ctx context.Context, work string, key live.Key) (bool, error)
	flushDelay time.Duration
	clock      clock.Clock
	log        logr.Logger

	impersonate func(user string) (dynamic.Interface, error)
	interest    *interest

	mu        sync.Mutex
	works     map[string]*workState
	executors map[string]dynamic.Interface
}

// New gives an applier with an empty memory.
func New(o Options) *Applier {
	return &Applier{
		client: o.Client, reader: o.Reader, dynamic: o.Dynamic, mapper: o.RESTMapper, live: o.Live, evaluator: o.Evaluator,
		hubHash: o.HubHash, agentID: o.AgentID, elsewhere: o.Elsewhere, flushDelay: o.FlushDelay,
		clock: o.Clock, log: o.Log,
		impersonate: o.Impersonate, interest: newInterest(),
		works: map[string]*workState{}, executors: map[string]dynamic.Interface{},
	}
}

// Action is what was done about one object.
type Action string

// The actions.
const (
	ActionUnchanged  Action = "Unchanged"
	ActionCreated    Action = "Created"
	ActionConfigured Action = "Configured"
	ActionCorrected  Action = "Corrected"
	ActionObserved   Action = "Observed"
	ActionFailed     Action = "Failed"
)

// Outcome is one manifest's part of a ChangeSet.
type Outcome struct {
	Item   *Item
	Action Action
	// Live is the object that everything in this outcome was judged on; nil
	// when it does not exist.
	Live *unstructured.Unstructured
	// Applied is the verdict on the manifest, with its reason and message.
	Applied bool
	Reason  string
	Message string
	// Completed is set once the object was complete, whatever it is now.
	Completed bool

	retryAfter time.Duration
	quiet      bool
}

// ChangeSet is what one run over a work did and saw.
type ChangeSet struct {
	Work     *Work
	Outcomes []Outcome
	// Selections are what the work's selections find, in their order.
	Selections []Selected
	// Deleting are the objects that left the work and still exist.
	Deleting []kronvoyv1alpha1.DeletingObject
	// Shrunk is set when objects left the work, now or while this process
	// watches: the hub waits to hear that they are gone.
	Shrunk bool
	// Findings of the work's objects, newest first; Differing counts the
	// objects that differ now, Corrections what was put right.
	Findings    []kronvoyv1alpha1.Finding
	Differing   int
	Corrections int64
	// RetryAfter asks for another run; zero means events suffice.
	RetryAfter time.Duration
	// Hold is set when something failed that is likely to pass in moments:
	// reporting it would only be noise.
	Hold bool
}

// Resource says what a kind is called on the cluster.
func (a *Applier) Resource(gvk schema.GroupVersionKind) (schema.GroupVersionResource, bool, error) {
	mapping, err := a.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return schema.GroupVersionResource{}, false, err
	}
	return mapping.Resource, mapping.Scope.Name() == apimeta.RESTScopeNameNamespace, nil
}

// served says whether the cluster still has a resource; if it cannot be found
// out, it is taken to have it.
func (a *Applier) served(resource schema.GroupVersionResource) bool {
	_, err := a.mapper.KindFor(resource)
	return !apimeta.IsNoMatchError(err)
}

// Works lists the works that have to do with an object that changed.
func (a *Applier) Works(event live.Event) []string {
	works := append([]string(nil), event.Users...)
	works = append(works, a.interest.of(event.Key)...)
	for _, owner := range event.Owners {
		if work, ok := a.WorkOf(owner.Name); ok && owner.Kind == "AppliedManifestWork" {
			works = append(works, work)
		}
	}
	return works
}

// WorkOf gives the work of an AppliedManifestWork, if it is of this hub.
func (a *Applier) WorkOf(inventory string) (string, bool) {
	prefix := inventoryName(a.hubHash, "")
	if len(inventory) <= len(prefix) || inventory[:len(prefix)] != prefix {
		return "", false
	}
	return inventory[len(prefix):], true
}

// InventoryGone tells that an AppliedManifestWork was deleted: what was
// remembered of its work is worth nothing any more.
func (a *Applier) InventoryGone(work string, uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if st := a.works[work]; st != nil {
		st.gone[uid] = true
	}
}

// Size is how many works are remembered.
func (a *Applier) Size() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.works)
}

// state gives what is remembered of a work.
func (a *Applier) state(work string) *workState {
	a.mu.Lock()
	defer a.mu.Unlock()
	st := a.works[work]
	if st == nil || st.lost() {
		st = &workState{
			objects: map[live.Key]*objectState{}, leaving: map[live.Key]leaving{}, listed: map[live.Watch]time.Time{}, gone: map[types.UID]bool{},
		}
		a.works[work] = st
	}
	return st
}

// forget releases all that is held for a work.
func (a *Applier) forget(work string) {
	a.mu.Lock()
	delete(a.works, work)
	a.mu.Unlock()
	a.interest.set(work, nil)
	a.live.Use(work, nil)
}

// Apply makes the cluster's objects what the work says.
func (a *Applier) Apply(ctx context.Context, w *Work) (*ChangeSet, error) {
	return a.apply(ctx, w, false)
}

// Enforce keeps up a work that an earlier process knew, as long as nobody can
// say how it is now. That process may have learnt more than it could keep, so
// nothing is taken away, and an object that carries another manifest is left
// alone: it may be the newer one.
func (a *Applier) Enforce(ctx context.Context, w *Work) (*ChangeSet, error) {
	return a.apply(ctx, w, true)
}

func (a *Applier) apply(ctx context.Context, w *Work, kept bool) (*ChangeSet, error) {
	st := a.state(w.Name)
	client, err := a.as(w.Executor)
	if err != nil {
		return nil, err
	}
	r := &run{a: a, client: client, w: w, st: st, kept: kept, now: a.clock.Now(), log: a.log.WithValues("work", w.Name)}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	r.judge()
	outcomes := make([]Outcome, 0, len(w.Items))
	for _, item := range r.failedLast(inOrder(w.Items)) {
		outcome := r.attempt(ctx, item)
		if outcome.Live != nil && !r.mayShow(item, outcome.Live) {
			outcome.Live = nil
		}
		outcomes = append(outcomes, outcome)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("applying work %q: %w", w.Name, ctx.Err())
		}
	}
	slices.SortFunc(outcomes, func(a, b Outcome) int { return cmp.Compare(a.Item.Ordinal, b.Item.Ordinal) })
	changes := &ChangeSet{Work: w, Outcomes: outcomes, Selections: r.selected(ctx)}
	if !kept {
		r.prune(ctx, changes)
	}
	r.watch(w.Items, w.Selections)
	r.summarize(changes)
	return changes, nil
}

// prepare finds the inventory, writes ahead what is going to be applied, and
// starts the watches.
func (r *run) prepare(ctx context.Context) error {
	var err error
	if r.st.inventory == nil {
		if r.st.inventory, err = r.a.inventoryOf(ctx, r.w.Name); err != nil {
			return err
		}
	}
	kinds := map[schema.GroupVersionResource]bool{}
	for _, item := range r.w.Items {
		if item.Problem == nil && !item.ReadOnly() {
			kinds[item.Key.Resource] = true
		}
	}
	if r.st.inventory == nil {
		if r.st.inventory, err = r.a.createInventory(ctx, r.w.Name, kinds); err != nil {
			return err
		}
	}
	if err := r.a.writeAhead(ctx, r.st.inventory, kinds); err != nil {
		return err
	}
	if r.st.inventory.evicting != nil {
		if err := r.a.stopEviction(ctx, r.st.inventory); err != nil {
			return err
		}
	}
	r.owner = ownerReference(r.st.inventory.name, r.st.inventory.uid)
	r.watch(r.w.Items, r.w.Selections)
	return nil
}

// watch asks for exactly the watches that the work needs now.
func (r *run) watch(items []*Item, selections []*Selection) {
	var watches []live.Watch
	for _, s := range selections {
		if s.Problem == nil {
			watches = append(watches, s.Watch)
		}
	}
	keys := map[live.Key]bool{}
	for resource := range r.st.inventory.kinds {
		watches = append(watches, live.Watch{Resource: resource})
	}
	for _, item := range items {
		if item.Key.Resource.Resource == "" {
			continue
		}
		keys[item.Key] = true
		st := r.st.objects[item.Key]
		if item.ReadOnly() || item.createOnly() || (st != nil && st.foreign) {
			watches = append(watches, live.ByName(item.Key))
		}
	}
	for key := range r.st.inventory.objects {
		keys[key] = true
	}
	r.a.interest.set(r.w.Name, keys)
	r.a.live.Use(r.w.Name, watches)
}

// inOrder sorts manifests by what must be there first: namespaces, then kinds,
// then rights, then the rest; equals stay in order.
func inOrder(items []*Item) []*Item {
	ordered := make([]*Item, 0, len(items))
	for rank := range lastRank + 1 {
		for _, item := range items {
			if rankOf(item.GVK) == rank {
				ordered = append(ordered, item)
			}
		}
	}
	return ordered
}

// failedLast puts what failed before behind all else: a webhook that does not
// answer in time holds up nothing but its own manifest. What depends on it cannot
// be applied anyway.
func (r *run) failedLast(items []*Item) []*Item {
	failed := func(item *Item) bool {
		st := r.st.objects[item.Key]
		return st != nil && st.failure != nil
	}
	return append(slices.DeleteFunc(slices.Clone(items), failed),
		slices.DeleteFunc(slices.Clone(items), func(item *Item) bool { return !failed(item) })...)
}

const lastRank = 3

func rankOf(gvk schema.GroupVersionKind) int {
	switch gvk.Group + "/" + gvk.Kind {
	case "/Namespace":
		return 0
	case "apiextensions.k8s.io/CustomResourceDefinition":
		return 1
	case "/ServiceAccount", "rbac.authorization.k8s.io/ClusterRole", "rbac.authorization.k8s.io/Role",
		"rbac.authorization.k8s.io/ClusterRoleBinding", "rbac.authorization.k8s.io/RoleBinding":
		return 2
	}
	return lastRank
}

func mergePatch(content any) (client.Patch, error) {
	data, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("writing a patch: %w", err)
	}
	return client.RawPatch(types.MergePatchType, data), nil
}

// reference names an object in a report.
func reference(key live.Key, kind string) kronvoyv1alpha1.ObjectReference {
	return kronvoyv1alpha1.ObjectReference{
		Group: key.Resource.Group, Version: key.Resource.Version, Kind: kind, Resource: key.Resource.Resource,
		Namespace: key.Namespace, Name: key.Name,
	}
}

// stamp is a time as the API stores it.
func stamp(t time.Time) metav1.Time { return metav1.NewTime(t).Rfc3339Copy() }
