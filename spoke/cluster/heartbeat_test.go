package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// sameVersion refuses a patch for another version, as an API server does and the
// fake one does not.
func sameVersion(ctx context.Context, c client.Client, obj client.Object, patch client.Patch) error {
	var wanted, live metav1.PartialObjectMetadata
	data, err := patch.Data(obj)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &wanted); err != nil || wanted.ResourceVersion == "" {
		return err
	}
	live.SetGroupVersionKind(coordinationv1.SchemeGroupVersion.WithKind("Lease"))
	if err := c.Get(ctx, client.ObjectKeyFromObject(obj), &live); err != nil {
		return err
	}
	if live.ResourceVersion != wanted.ResourceVersion {
		return apierrors.NewConflict(coordinationv1.Resource("leases"), obj.GetName(), errors.New("the object has been modified"))
	}
	return nil
}

// TestAHubThatHasForgottenARenewalIsNotBelieved: each case is what became of the
// lease between two renewals.
func TestAHubThatHasForgottenARenewalIsNotBelieved(t *testing.T) {
	began := time.Unix(1000, 987654321)
	renewed := func(at time.Time) func(*coordinationv1.Lease) {
		return func(lease *coordinationv1.Lease) { lease.Spec.RenewTime = ptr.To(metav1.NewMicroTime(at)) }
	}
	tests := map[string]struct {
		change   func(*coordinationv1.Lease)
		delete   bool
		restored bool
	}{
		"nothing":                        {},
		"it was deleted":                 {delete: true},
		"an answer to the agent is lost": {change: renewed(began.Add(time.Second))},
		"somebody labelled it": {change: func(lease *coordinationv1.Lease) {
			lease.Labels = map[string]string{"seen": "yes"}
		}},
		"it is from before": {change: renewed(began.Add(-time.Minute)), restored: true},
		"it is from before any renewal": {change: func(lease *coordinationv1.Lease) {
			lease.Spec.RenewTime = nil
		}, restored: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := coordinationv1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			patches := 0
			hub := interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).Build(), interceptor.Funcs{
				Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
					patches++
					if err := sameVersion(ctx, c, obj, patch); err != nil {
						return err
					}
					return c.Patch(ctx, obj, patch, opts...)
				},
			})
			clock := clocktesting.NewFakeClock(began)
			h := &heartbeat{name: "eu-west", hub: hub, every: time.Minute, clock: clock}
			for range 2 { // the first one makes it
				if err := h.renew(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			lease := h.lease()
			if err := hub.Get(t.Context(), client.ObjectKeyFromObject(lease), lease); err != nil {
				t.Fatal(err)
			}
			if test.change != nil {
				test.change(lease)
				if err := hub.Update(t.Context(), lease); err != nil {
					t.Fatal(err)
				}
			}
			if test.delete {
				if err := hub.Delete(t.Context(), lease); err != nil {
					t.Fatal(err)
				}
			}
			clock.Step(time.Minute)
			patches = 0
			if err := h.renew(t.Context()); errors.Is(err, errRestored) != test.restored || !test.restored && err != nil {
				t.Fatalf("the error is %v", err)
			}
			if test.restored {
				return
			}
			if test.change == nil && !test.delete && patches != 1 {
				t.Errorf("a renewal takes %d writes, not 1", patches)
			}
			if err := hub.Get(t.Context(), client.ObjectKeyFromObject(lease), lease); err != nil {
				t.Fatal(err)
			}
			if got := lease.Spec.RenewTime; got == nil || !got.Time.Equal(clock.Now().Truncate(time.Microsecond)) {
				t.Errorf("the lease says %v", got)
			}
		})
	}
}

// A hub that missed an agent has said that it does not know of the cluster, which
// the agent puts right as soon as it is heard again.
func TestAnAgentThatTheHubMissedLooksWhatTheHubSays(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := coordinationv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	clock := clocktesting.NewFakeClock(time.Unix(1000, 0))
	cut, changed := error(nil), 0
	hub := interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).Build(), interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if cut != nil {
				return cut
			}
			return c.Patch(ctx, obj, patch, opts...)
		},
	})
	h := &heartbeat{name: "eu-west", hub: hub, every: time.Minute, clock: clock, told: func(context.Context, error) {}, changed: func() { changed++ }}
	beat := func(after time.Duration, lapsed, tells bool) {
		t.Helper()
		clock.Step(after)
		changed = 0
		if err := h.beat(t.Context()); !errors.Is(err, cut) {
			t.Fatal(err)
		}
		if got := h.Lapsed(); got != lapsed || h.Lapsed() || changed > 0 != tells {
			t.Errorf("%s after the last renewal it has lapsed: %t, and tells %d times", after, got, changed)
		}
	}
	beat(0, false, true)
	beat(time.Minute, false, false)
	beat(90*time.Second, false, false)
	// Silent, as a machine that was suspended.
	beat(5*time.Minute, true, true)
	// Cut off.
	cut = errors.New("connection refused")
	beat(time.Minute, false, true)
	beat(4*time.Minute, false, false)
	cut = nil
	beat(5*time.Second, true, true)
	beat(time.Minute, false, false)
}
