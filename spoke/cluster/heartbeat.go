package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// leaseName is OCM's.
	leaseName = "managed-cluster-lease"
	// writeTimeout bounds a write to a hub that does not answer.
	writeTimeout = 10 * time.Second
	// retryAfter is the wait after a request to the hub that failed.
	retryAfter = 5 * time.Second
)

// heartbeat renews the lease by which the hub knows that the agent lives.
type heartbeat struct {
	name  string
	hub   client.Client
	every time.Duration
	clock clock.WithTicker
	// told is called with what the hub answered.
	told func(context.Context, error)
	// changed is called when the hub begins, or ceases, to take the lease.
	changed func()

	alive atomic.Bool
	// lapsed is set by a renewal so late that the hub may have said meanwhile that it
	// does not know of the cluster.
	lapsed atomic.Bool
	// version and renewed are the lease's after the last renewal.
	version string
	renewed time.Time
}

// errRestored ends the agent, to be started anew: what it knows of the hub is of
// a time that the hub has forgotten, and its watches wait for what is newer.
var errRestored = errors.New("the hub has gone back in time, as after a restore from a backup")

// Alive says whether the hub took the last renewal.
func (h *heartbeat) Alive() bool { return h.alive.Load() }

// Lapsed says whether the hub may have missed the agent since that was last asked.
func (h *heartbeat) Lapsed() bool { return h.lapsed.Swap(false) }

// run renews until the context ends; its error is errRestored.
func (h *heartbeat) run(ctx context.Context) error {
	for {
		err := h.beat(ctx)
		if errors.Is(err, errRestored) {
			return err
		}
		next := h.every
		if err != nil {
			next = min(h.every, retryAfter)
		}
		if !pause(ctx, h.clock, next) {
			return nil
		}
	}
}

// beat renews once, and tells of what has changed by that.
func (h *heartbeat) beat(ctx context.Context) error {
	before := h.renewed
	err := h.renew(ctx)
	if errors.Is(err, errRestored) {
		return err
	}
	h.told(ctx, err)
	taken := err == nil
	// The hub waits for five renewals, as OCM's does.
	late := taken && !before.IsZero() && h.renewed.Sub(before) > 2*h.every
	if late {
		h.lapsed.Store(true)
	}
	if h.alive.Swap(taken) != taken || late {
		h.changed()
	}
	return err
}

// pause waits; false when the context ended.
func pause(ctx context.Context, c clock.Clock, d time.Duration) bool {
	timer := c.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}

// renew writes the lease; one patch, unless the hub has not made it. It is then
// made by an apply, which, unlike a create, can be granted by name. The patch is
// for the version that the last one made: another one is somebody else's, or
// from before it. Versions alone do not tell, for a hub that was restored may
// have written more since than it has forgotten.
func (h *heartbeat) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	lease, now := h.lease(), metav1.NewMicroTime(h.clock.Now())
	patch := map[string]any{"spec": map[string]any{"renewTime": now}}
	if h.version != "" {
		patch["metadata"] = map[string]any{"resourceVersion": h.version}
	}
	content, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	err = h.hub.Patch(ctx, lease, client.RawPatch(types.MergePatchType, content))
	switch {
	case apierrors.IsNotFound(err):
		lease = h.lease()
		err = h.create(ctx, lease, now)
	case apierrors.IsConflict(err):
		if err := h.compare(ctx); err != nil {
			return err
		}
		h.version = ""
		return h.renew(ctx)
	}
	if err != nil {
		return fmt.Errorf("renewing the lease: %w", err)
	}
	h.version, h.renewed = lease.ResourceVersion, now.Time
	return nil
}

func (h *heartbeat) lease() *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: h.name, Name: leaseName}}
}

// compare looks at a lease that is not the one last written: one that was renewed
// earlier than that is from before.
func (h *heartbeat) compare(ctx context.Context) error {
	lease := h.lease()
	if err := h.hub.Get(ctx, client.ObjectKeyFromObject(lease), lease); err != nil {
		return fmt.Errorf("looking who wrote the lease: %w", err)
	}
	// The time travels in microseconds.
	if renewed := lease.Spec.RenewTime; renewed == nil || renewed.Time.Before(h.renewed.Truncate(time.Microsecond)) {
		return errRestored
	}
	return nil
}

func (h *heartbeat) create(ctx context.Context, lease *coordinationv1.Lease, now metav1.MicroTime) error {
	lease.TypeMeta = metav1.TypeMeta{APIVersion: coordinationv1.SchemeGroupVersion.String(), Kind: "Lease"}
	lease.Spec = coordinationv1.LeaseSpec{
		HolderIdentity: ptr.To(leaseName), LeaseDurationSeconds: ptr.To(int32(h.every / time.Second)), RenewTime: &now,
	}
	content, err := json.Marshal(lease)
	if err != nil {
		return err
	}
	return h.hub.Patch(ctx, lease, client.RawPatch(types.ApplyPatchType, content), client.ForceOwnership, client.FieldOwner("kronvoy-spoke"))
}
