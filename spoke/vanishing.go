package spoke

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

const (
	// vanishedTogether is how long works that vanish are collected: a hub that was
	// restored has lost many at once.
	vanishedTogether = time.Second
	// tellAgain is the wait after a hub that did not take the condition.
	tellAgain = 5 * time.Second
	// maxVanished is how many works are told by name.
	maxVanished = 5
)

// vanishing tells the hub, in the condition WorksVanished of the ManagedCluster,
// which works are gone from it without having been deleted, and what becomes of
// their objects. What it tells is what the inventories on the cluster say.
type vanishing struct {
	hub         *hub
	inventories cache.Cache
	// workOf gives the work of an inventory, if that is of this hub.
	workOf func(inventory string) (work string, ok bool)
	grace  time.Duration
	clock  clock.Clock
	log    logr.Logger

	changed chan struct{}

	mu sync.Mutex
	// evicted counts the inventories whose time was up, in this process; last is
	// when the last one went.
	evicted int
	last    time.Time
}

// Start tells until the context ends.
func (v *vanishing) Start(ctx context.Context) error {
	informer, err := v.inventories.GetInformer(ctx, &workv1.AppliedManifestWork{})
	if err != nil {
		return fmt.Errorf("watching inventories: %w", err)
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, after any) {
			if !v.since(before).Equal(v.since(after)) {
				v.notify()
			}
		},
		DeleteFunc: v.deleted,
	}); err != nil {
		return fmt.Errorf("watching inventories: %w", err)
	}
	select {
	case <-v.hub.engaged:
	case <-ctx.Done():
		return nil
	}
	v.notify() // an earlier process may have left something to tell
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-v.changed:
		}
		v.hub.pause(ctx, vanishedTogether)
		switch err := v.tell(ctx); {
		case apierrors.IsConflict(err):
			v.notify() // somebody else wrote meanwhile
		case err != nil && ctx.Err() == nil:
			v.log.Info("Telling which works vanished failed", "reason", err.Error())
			v.hub.pause(ctx, tellAgain)
			v.notify()
		}
	}
}

func (v *vanishing) notify() {
	select {
	case v.changed <- struct{}{}:
	default: // it is going to look anyway
	}
}

// deleted counts an inventory that is gone because its time was up.
func (v *vanishing) deleted(obj any) {
	if tomb, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = tomb.Obj
	}
	if v.since(obj) == nil {
		return
	}
	v.mu.Lock()
	v.evicted++
	v.last = v.clock.Now()
	v.mu.Unlock()
	v.notify()
}

// since is from when an inventory of this hub counts down; nil where it does not.
func (v *vanishing) since(obj any) *metav1.Time {
	inventory, ok := obj.(*workv1.AppliedManifestWork)
	if !ok {
		return nil
	}
	if _, ours := v.workOf(inventory.Name); !ours {
		return nil
	}
	return inventory.Status.EvictionStartTime
}

// tell brings the condition to what is so. A hub without ManagedClusters is not
// told.
func (v *vanishing) tell(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, hubTimeout)
	defer cancel()
	var inventories workv1.AppliedManifestWorkList
	if err := v.inventories.List(bounded, &inventories, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing inventories: %w", err)
	}
	cluster := &clusterv1.ManagedCluster{}
	err := v.hub.Writer().Get(bounded, client.ObjectKey{Name: v.hub.namespace}, cluster)
	if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the ManagedCluster: %w", err)
	}
	before := cluster.DeepCopy()
	var gone []vanished
	for i := range inventories.Items {
		if since := v.since(&inventories.Items[i]); since != nil {
			work, _ := v.workOf(inventories.Items[i].Name)
			gone = append(gone, vanished{work, since.Time})
		}
	}
	v.mu.Lock()
	condition := worksVanished(gone, v.grace, v.evicted, v.last)
	v.mu.Unlock()
	known := apimeta.FindStatusCondition(cluster.Status.Conditions, kronvoyv1alpha1.ConditionWorksVanished)
	changed := false
	switch {
	case condition != nil:
		changed = apimeta.SetStatusCondition(&cluster.Status.Conditions, *condition)
	case known != nil && known.Status == metav1.ConditionTrue:
		changed = apimeta.RemoveStatusCondition(&cluster.Status.Conditions, kronvoyv1alpha1.ConditionWorksVanished)
	}
	if !changed {
		return nil
	}
	// The list is one field: nobody else's condition may get lost.
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := v.hub.Writer().Status().Patch(bounded, cluster, patch); err != nil {
		return fmt.Errorf("writing the ManagedCluster's conditions: %w", err)
	}
	return nil
}

// vanished is a work that is gone from the hub, and since when.
type vanished struct {
	work  string
	since time.Time
}

// worksVanished is the condition about works that vanished; nil where there is
// nothing to tell. evicted are those whose objects were deleted.
func worksVanished(gone []vanished, grace time.Duration, evicted int, last time.Time) *metav1.Condition {
	condition := &metav1.Condition{Type: kronvoyv1alpha1.ConditionWorksVanished, Status: metav1.ConditionTrue, Reason: kronvoyv1alpha1.ReasonVanished}
	switch {
	case len(gone) > 0:
		slices.SortFunc(gone, func(a, b vanished) int { return strings.Compare(a.work, b.work) })
		first := slices.MinFunc(gone, func(a, b vanished) int { return a.since.Compare(b.since) })
		var names []string
		for _, g := range gone[:min(len(gone), maxVanished)] {
			names = append(names, g.work)
		}
		if len(gone) > maxVanished {
			names = append(names, "…")
		}
		condition.Message = fmt.Sprintf("Works that are gone from the hub without having been deleted, as after a restore from an older backup: %d (%s). "+
			"Their objects stay as they are until %s at the earliest, and are deleted then. "+
			"Apply what made them again, instances, placements and the cluster's labels: the same works take the same objects over. "+
			"For more time start the agent with a longer --eviction-grace-period.",
			len(gone), strings.Join(names, ", "), first.since.Add(grace).UTC().Format(time.RFC3339))
		return condition
	case evicted > 0:
		condition.Status, condition.Reason = metav1.ConditionFalse, kronvoyv1alpha1.ReasonEvicted
		condition.Message = fmt.Sprintf("Works that had vanished from the hub, did not come back in %s, and whose objects were deleted: %d, the last at %s.",
			grace, evicted, last.UTC().Format(time.RFC3339))
		return condition
	}
	return nil
}
