package cluster

import (
	"cmp"
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
	"k8s.io/apimachinery/pkg/util/resourceversion"
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
	// version is the lease's after the last renewal.
	version string
}

// errRestored ends the agent, to be started anew: what it knows of the hub is of
// a time that the hub has forgotten, and its watches wait for what is newer.
var errRestored = errors.New("the hub has gone back in time, as after a restore from a backup")

// Alive says whether the hub took the last renewal.
func (h *heartbeat) Alive() bool { return h.alive.Load() }

// run renews until the context ends; its error is errRestored.
func (h *heartbeat) run(ctx context.Context) error {
	for {
		err := h.renew(ctx)
		if errors.Is(err, errRestored) {
			return err
		}
		h.told(ctx, err)
		next := h.every
		if err != nil {
			next = min(h.every, retryAfter)
		}
		if taken := err == nil; h.alive.Swap(taken) != taken {
			h.changed()
		}
		if !pause(ctx, h.clock, next) {
			return nil
		}
	}
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
// made by an apply, which, unlike a create, can be granted by name.
func (h *heartbeat) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: h.name, Name: leaseName}}
	now := metav1.NewMicroTime(h.clock.Now())
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"renewTime": now}})
	if err != nil {
		return err
	}
	err = h.hub.Patch(ctx, lease, client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsNotFound(err) {
		err = h.create(ctx, now)
	}
	if err != nil {
		return fmt.Errorf("renewing the lease: %w", err)
	}
	if order, err := resourceversion.CompareResourceVersion(lease.ResourceVersion, h.version); err == nil && order < 0 {
		return errRestored
	}
	h.version = cmp.Or(lease.ResourceVersion, h.version) // it is not known of one that was made anew
	return nil
}

func (h *heartbeat) create(ctx context.Context, now metav1.MicroTime) error {
	lease := &coordinationv1.Lease{
		TypeMeta:   metav1.TypeMeta{APIVersion: coordinationv1.SchemeGroupVersion.String(), Kind: "Lease"},
		ObjectMeta: metav1.ObjectMeta{Namespace: h.name, Name: leaseName},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To(leaseName), LeaseDurationSeconds: ptr.To(int32(h.every / time.Second)), RenewTime: &now,
		},
	}
	content, err := json.Marshal(lease)
	if err != nil {
		return err
	}
	return h.hub.Patch(ctx, lease, client.RawPatch(types.ApplyPatchType, content), client.ForceOwnership, client.FieldOwner("kronvoy-spoke"))
}
