package main

import (
	"context"
	"time"

	"github.com/spf13/pflag"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/live"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/view"
)

// heartbeatPatience is how long a live view stands still for an answer about the
// hub's process.
const heartbeatPatience = 2 * time.Second

// bindHubNamespace adds the flag of those commands that look at what is the hub's own.
func bindHubNamespace(flags *pflag.FlagSet, namespace *string) {
	flags.StringVar(namespace, "hub-namespace", "kronvoy-system", "namespace that the hub runs in")
}

// heartbeat says in a live view whether the hub's process runs. It is asked for, and
// not watched: the process renews its Lease every two seconds.
type heartbeat struct {
	client    client.Reader
	namespace string

	hub *view.Hub
	at  time.Time
}

// listen is what is known now. While the API server does not answer that is what it
// said last.
func (h *heartbeat) listen(ctx context.Context, contact live.Contact, now time.Time) (*view.Hub, error) {
	if contact.Err != nil || now.Sub(h.at) < aging {
		return h.hub, nil
	}
	asking, done := context.WithTimeout(ctx, heartbeatPatience)
	defer done()
	hub, err := view.ReadHub(asking, h.client, h.namespace, now)
	if err != nil && h.at.IsZero() {
		return nil, err
	}
	if h.at = now; err == nil { // else contact is being lost, which the view tells soon
		h.hub = hub
	}
	return h.hub, nil
}
