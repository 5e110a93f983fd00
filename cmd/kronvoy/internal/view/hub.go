package view

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// hubLease is what the active hub process renews every two seconds.
const hubLease = "kronvoy-hub"

// hubPatience is how old the Lease of a process that runs may be: another takes
// over after fifteen seconds, and clocks differ.
const hubPatience = time.Minute

// Hub is the process that all the rest comes from. Without it the API server
// answers with how things were.
type Hub struct {
	Running bool `json:"running"`
	// Renewed is when it last said that it is there.
	Renewed time.Time `json:"renewed"`
	// Message says what to do where it does not run.
	Message string `json:"message,omitempty"`
}

// Dead says that the hub is known not to run.
func (h *Hub) Dead() bool { return h != nil && !h.Running }

// ReadHub looks for the process of a hub. It is nil where that is not known: without
// leader election there is no Lease, and not everybody may read it.
func ReadHub(ctx context.Context, c client.Reader, namespace string, now time.Time) (*Hub, error) {
	lease := &coordinationv1.Lease{}
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: hubLease}, lease)
	switch {
	case absent(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the hub's Lease: %w", err)
	}
	return newHub(lease, now), nil
}

// newHub reads a Lease; nil if nobody has ever held it. A process that ends in
// order gives it back.
func newHub(lease *coordinationv1.Lease, now time.Time) *Hub {
	if lease.Spec.RenewTime == nil {
		return nil
	}
	hub := &Hub{Renewed: lease.Spec.RenewTime.UTC(), Running: true}
	what := ""
	switch age := now.Sub(hub.Renewed); {
	case age <= hubPatience:
		return hub
	case ptr.Deref(lease.Spec.HolderIdentity, "") == "":
		what = "ended"
	default:
		what = "was heard of last"
	}
	hub.Running = false
	hub.Message = fmt.Sprintf("no hub runs: the last one %s %s ago, and what is shown is how it was then: kubectl get pods -n %s", what, duration.HumanDuration(now.Sub(hub.Renewed)), lease.Namespace)
	return hub
}
