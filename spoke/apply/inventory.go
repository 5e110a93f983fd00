package apply

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/spoke/live"
)

// annotationKinds on an AppliedManifestWork lists the resources that its work
// applies or has applied, as resource.version.group. It is written before the
// first apply of a kind: see the package's safety argument.
const annotationKinds = "kronvoy.io/kinds"

// inventory is a work's AppliedManifestWork.
type inventory struct {
	name string
	uid  types.UID
	// finalizers of it; OCM's own agent, where it was here before, has left one.
	finalizers []string
	// kinds are those written ahead.
	kinds map[schema.GroupVersionResource]bool
	// objects is what the work has applied and not yet removed.
	objects map[live.Key]types.UID
	// stored is the list in the AppliedManifestWork's status.
	stored map[live.Key]types.UID
	// scanned is set once the watches have shown everything of all kinds.
	scanned bool
	// unsureUntil is when the watches must have shown what came of a write whose
	// answer nobody got.
	unsureUntil time.Time
	// changed is when objects last changed, if they differ from stored.
	changed time.Time
	// evicting is set while the AppliedManifestWork counts down.
	evicting *metav1.Time
}

// inventoryName is OCM's: the hub's hash and the work's name.
func inventoryName(hubHash, work string) string { return hubHash + "-" + work }

func newInventory(applied *workv1.AppliedManifestWork) *inventory {
	inv := &inventory{
		name:       applied.Name,
		uid:        applied.UID,
		finalizers: applied.Finalizers,
		kinds:      parseKinds(applied.Annotations[annotationKinds]),
		objects:    map[live.Key]types.UID{},
		stored:     map[live.Key]types.UID{},
		evicting:   applied.Status.EvictionStartTime,
	}
	for _, resource := range applied.Status.AppliedResources {
		key := live.Key{
			Resource:  schema.GroupVersionResource{Group: resource.Group, Version: resource.Version, Resource: resource.Resource},
			Namespace: resource.Namespace, Name: resource.Name,
		}
		inv.objects[key] = types.UID(resource.UID)
		inv.stored[key] = types.UID(resource.UID)
		inv.kinds[key.Resource] = true
	}
	return inv
}

// inventoryOf finds a work's inventory; nil when there is none.
func (a *Applier) inventoryOf(ctx context.Context, work string) (*inventory, error) {
	applied := &workv1.AppliedManifestWork{}
	err := a.client.Get(ctx, client.ObjectKey{Name: inventoryName(a.hubHash, work)}, applied)
	if apierrors.IsNotFound(err) || (err == nil && !applied.DeletionTimestamp.IsZero()) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the inventory of work %q: %w", work, err)
	}
	return newInventory(applied), nil
}

// createInventory writes a work's inventory with the kinds it is going to
// apply.
func (a *Applier) createInventory(ctx context.Context, work string, kinds map[schema.GroupVersionResource]bool) (*inventory, error) {
	applied := &workv1.AppliedManifestWork{
		ObjectMeta: metav1.ObjectMeta{
			Name:        inventoryName(a.hubHash, work),
			Annotations: map[string]string{annotationKinds: formatKinds(kinds)},
		},
		Spec: workv1.AppliedManifestWorkSpec{HubHash: a.hubHash, AgentID: a.agentID, ManifestWorkName: work},
	}
	err := a.client.Create(ctx, applied)
	if apierrors.IsAlreadyExists(err) {
		// The cache was behind: an earlier agent has written it.
		err = a.reader.Get(ctx, client.ObjectKeyFromObject(applied), applied)
		if err == nil && !applied.DeletionTimestamp.IsZero() {
			err = fmt.Errorf("it is being deleted")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("creating the inventory of work %q: %w", work, err)
	}
	return newInventory(applied), nil
}

// writeAhead makes sure that every kind is in the inventory before one of its
// objects is applied: one too many costs a watch, one too few an orphan.
func (a *Applier) writeAhead(ctx context.Context, inv *inventory, kinds map[schema.GroupVersionResource]bool) error {
	all := maps.Clone(inv.kinds)
	maps.Copy(all, kinds)
	if len(all) == len(inv.kinds) {
		return nil
	}
	return a.writeKinds(ctx, inv, all)
}

func (a *Applier) writeKinds(ctx context.Context, inv *inventory, kinds map[schema.GroupVersionResource]bool) error {
	applied := &workv1.AppliedManifestWork{ObjectMeta: metav1.ObjectMeta{Name: inv.name}}
	patch := fmt.Sprintf(`{"metadata":{"uid":%q,"annotations":{%q:%q}}}`, inv.uid, annotationKinds, formatKinds(kinds))
	if err := a.client.Patch(ctx, applied, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return fmt.Errorf("writing the kinds of inventory %s: %w", inv.name, err)
	}
	inv.kinds = kinds
	return nil
}

// narrow takes the kinds out of an inventory that its work has no more objects
// of, and with them their watches. The complete lists have been seen, or an
// earlier agent may have left an object that only the kind leads to.
func (a *Applier) narrow(ctx context.Context, inv *inventory, w *Work) error {
	if !inv.scanned || inv.unsure(a.clock.Now()) {
		return nil
	}
	used := map[schema.GroupVersionResource]bool{}
	for key := range inv.objects {
		used[key.Resource] = true
	}
	for _, item := range w.Items {
		used[item.Key.Resource] = true
	}
	kinds := maps.Clone(inv.kinds)
	maps.DeleteFunc(kinds, func(resource schema.GroupVersionResource, _ bool) bool {
		return !used[resource] && len(a.live.OwnedBy(resource, inv.uid)) == 0
	})
	if len(kinds) == len(inv.kinds) {
		return nil
	}
	return a.writeKinds(ctx, inv, kinds)
}

// note records an applied object. The version is no part of its identity: the
// same object applied in another version takes the place of the first.
func (inv *inventory) note(key live.Key, uid types.UID, now time.Time) {
	if known, ok := inv.objects[key]; ok && known == uid {
		return
	}
	for other := range inv.objects {
		if other != key && versionless(other) == versionless(key) {
			delete(inv.objects, other)
		}
	}
	inv.objects[key] = uid
	inv.touch(now)
}

// versionless is what two keys of one object have in common.
func versionless(key live.Key) live.Key {
	key.Resource.Version = ""
	return key
}

// drop forgets an object that is gone or released.
func (inv *inventory) drop(key live.Key, now time.Time) {
	delete(inv.objects, key)
	inv.touch(now)
}

func (inv *inventory) touch(now time.Time) {
	inv.changed = now
	if maps.Equal(inv.objects, inv.stored) {
		inv.changed = time.Time{}
	}
}

// FlushIn says when the inventory's list is to be written; zero means it is as
// it should be.
func (a *Applier) FlushIn(work string) time.Duration {
	inv := a.remembered(work)
	if inv == nil || inv.changed.IsZero() {
		return 0
	}
	return max(time.Millisecond, inv.changed.Add(a.flushDelay).Sub(a.clock.Now()))
}

// Flush writes the inventory's list when it is due. Call it only while the hub
// has been told of everything that was done: an object that is gone from the
// list before the hub knows would leave a restarted agent nothing to tell.
func (a *Applier) Flush(ctx context.Context, w *Work) error {
	inv := a.remembered(w.Name)
	if inv == nil || inv.changed.IsZero() || a.clock.Now().Before(inv.changed.Add(a.flushDelay)) {
		return nil
	}
	if err := a.flush(ctx, inv); err != nil {
		return err
	}
	return a.narrow(ctx, inv, w)
}

func (a *Applier) remembered(work string) *inventory {
	a.mu.Lock()
	defer a.mu.Unlock()
	if st := a.works[work]; st != nil && !st.lost() {
		return st.inventory
	}
	return nil
}

// flush writes the list of objects; it may lag behind, as long as the kinds are
// ahead.
func (a *Applier) flush(ctx context.Context, inv *inventory) error {
	applied := &workv1.AppliedManifestWork{ObjectMeta: metav1.ObjectMeta{Name: inv.name}}
	status := workv1.AppliedManifestWorkStatus{AppliedResources: []workv1.AppliedManifestResourceMeta{}}
	for _, key := range sortedKeys(inv.objects) {
		status.AppliedResources = append(status.AppliedResources, workv1.AppliedManifestResourceMeta{
			ResourceIdentifier: workv1.ResourceIdentifier{
				Group: key.Resource.Group, Resource: key.Resource.Resource, Name: key.Name, Namespace: key.Namespace,
			},
			Version: key.Resource.Version,
			UID:     string(inv.objects[key]),
		})
	}
	patch, err := mergePatch(map[string]any{"status": map[string]any{"appliedResources": status.AppliedResources}})
	if err != nil {
		return err
	}
	if err := a.client.Status().Patch(ctx, applied, patch); err != nil {
		return fmt.Errorf("writing the list of inventory %s: %w", inv.name, err)
	}
	inv.stored = maps.Clone(inv.objects)
	inv.changed = time.Time{}
	return nil
}

// lateWrite is how long after it was asked an API server may still do something:
// its own limit for a request.
const lateWrite = time.Minute

// lost notes that a write may or may not be done. An object that it creates has
// the inventory as owner, by which the watches find it.
func (inv *inventory) lost(now time.Time) { inv.unsureUntil = now.Add(lateWrite) }

func (inv *inventory) unsure(now time.Time) bool { return now.Before(inv.unsureUntil) }

// scan adds what the watches show as owned by the inventory and the list does
// not have yet, or without its UID. It says whether the watches have shown everything.
func (a *Applier) scan(inv *inventory, now time.Time) bool {
	if inv.scanned && !inv.unsure(now) {
		return true
	}
	complete := true
	for resource := range inv.kinds {
		switch {
		case a.live.Synced(live.Watch{Resource: resource}):
			for _, key := range a.live.OwnedBy(resource, inv.uid) {
				obj := a.live.Get(key)
				if inv.objects[key] == "" && obj != nil {
					inv.note(key, obj.GetUID(), now)
				}
			}
		case !a.served(resource):
			// The kind is gone from the cluster, and its objects with it.
		default:
			complete = false
		}
	}
	inv.scanned = complete
	return complete
}

// unseen says which kinds the watches have not shown in full, and why.
func (a *Applier) unseen(inv *inventory) string {
	var texts []string
	for resource := range inv.kinds {
		watch := live.Watch{Resource: resource}
		if a.live.Synced(watch) {
			continue
		}
		text := resource.GroupResource().String()
		if problem := a.live.Problem(watch); problem != "" {
			text += " (" + problem + ")"
		}
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return truncate("waiting for a complete list of "+strings.Join(texts, ", "), maxMessage)
}

func formatKinds(kinds map[schema.GroupVersionResource]bool) string {
	texts := make([]string, 0, len(kinds))
	for kind := range kinds {
		texts = append(texts, strings.Join([]string{kind.Resource, kind.Version, kind.Group}, "."))
	}
	slices.Sort(texts)
	return strings.Join(texts, ",")
}

func parseKinds(text string) map[schema.GroupVersionResource]bool {
	kinds := map[schema.GroupVersionResource]bool{}
	for part := range strings.SplitSeq(text, ",") {
		if resource, _ := schema.ParseResourceArg(part); resource != nil {
			kinds[*resource] = true
		}
	}
	return kinds
}

// sortedKeys orders objects by resource, namespace and name.
func sortedKeys[V any](objects map[live.Key]V) []live.Key {
	return slices.SortedFunc(maps.Keys(objects), func(a, b live.Key) int {
		return cmp.Or(
			cmp.Compare(a.Resource.Group, b.Resource.Group), cmp.Compare(a.Resource.Resource, b.Resource.Resource),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Resource.Version, b.Resource.Version),
		)
	})
}
