package apply

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Vanished handles a work that is gone from the hub without having been deleted
// in order, as after a hub was restored from an old backup. Nothing is deleted
// at once: the inventory counts down the grace time, which ends when the work
// comes back. It says when to look again; zero means there is nothing left.
func (a *Applier) Vanished(ctx context.Context, work string, grace time.Duration) (time.Duration, error) {
	inv, err := a.inventoryOf(ctx, work)
	if err != nil {
		return 0, err
	}
	if inv == nil {
		a.forget(work)
		return 0, nil
	}
	now := a.clock.Now()
	if inv.evicting == nil {
		start := stamp(now)
		if err := a.writeEviction(ctx, inv, &start); err != nil {
			return 0, err
		}
		a.log.Info("Work vanished from the hub; its objects stay for the grace time", "work", work, "reason", "Vanished", "grace", grace.String())
		return grace, nil
	}
	if wait := inv.evicting.Add(grace).Sub(now); wait > 0 {
		return wait, nil
	}
	a.log.Info("Evicting what a vanished work applied", "work", work, "reason", "Vanished")
	changes, done, err := a.Teardown(ctx, &Work{Name: work})
	switch {
	case err != nil:
		return 0, err
	case done:
		return 0, nil
	}
	return max(changes.RetryAfter, scanRetry), nil
}

// stopEviction ends the countdown of a work that is back.
func (a *Applier) stopEviction(ctx context.Context, inv *inventory) error {
	return a.writeEviction(ctx, inv, nil)
}

func (a *Applier) writeEviction(ctx context.Context, inv *inventory, start *metav1.Time) error {
	patch, err := mergePatch(map[string]any{"status": map[string]any{"evictionStartTime": start}})
	if err != nil {
		return err
	}
	applied := &workv1.AppliedManifestWork{ObjectMeta: metav1.ObjectMeta{Name: inv.name}}
	if err := a.client.Status().Patch(ctx, applied, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the eviction of inventory %s: %w", inv.name, err)
	}
	inv.evicting = start
	return nil
}

// deleteInventory removes the AppliedManifestWork, the last trace of a work, and
// the finalizer of an agent of OCM's that was here before: nobody else would.
func (a *Applier) deleteInventory(ctx context.Context, inv *inventory) error {
	applied := &workv1.AppliedManifestWork{ObjectMeta: metav1.ObjectMeta{Name: inv.name}}
	if slices.Contains(inv.finalizers, workv1.AppliedManifestWorkFinalizer) {
		left := slices.DeleteFunc(slices.Clone(inv.finalizers), func(f string) bool { return f == workv1.AppliedManifestWorkFinalizer })
		patch, err := mergePatch(map[string]any{"metadata": map[string]any{"uid": inv.uid, "finalizers": left}})
		if err != nil {
			return err
		}
		if err := a.client.Patch(ctx, applied, patch); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("taking OCM's finalizer off inventory %s: %w", inv.name, err)
		}
	}
	err := a.client.Delete(ctx, applied, client.Preconditions{UID: &inv.uid})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting inventory %s: %w", inv.name, err)
	}
	return nil
}
