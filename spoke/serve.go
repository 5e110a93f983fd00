package spoke

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/kronvoy/kronvoy/spoke/join"
	"github.com/kronvoy/kronvoy/spoke/notice"
)

// Serve joins the cluster to the hub that its bootstrap names, where it has not
// joined one, and runs its agent until the context ends. Options need neither
// the cluster's name nor the hub. When the cluster joins another hub the agent
// begins anew.
func Serve(ctx context.Context, o Options, joiner *join.Joiner) error {
	// What the agent is to answer for counts from the first probe on.
	for _, topic := range []notice.Topic{clusterTopic, hubTopic} {
		o.Board.Check(topic, func(context.Context) error { return errors.New("the agent waits for the cluster to have joined") })
	}
	o.Certificate = joiner.Certificate
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return joiner.Run(ctx) })
	group.Go(func() error {
		for hub := joiner.Hub(ctx); hub != nil; hub = joiner.Hub(ctx) {
			if err := serveHub(ctx, o, hub); err != nil {
				return fmt.Errorf("serving hub %s: %w", hub.Config.Host, err)
			}
		}
		return nil
	})
	return group.Wait()
}

// serveHub runs an agent until the context ends, or the cluster has moved to
// another hub.
func serveHub(ctx context.Context, o Options, hub *join.Hub) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o.ClusterName, o.Hub = hub.ClusterName, hub.Config
	agent, err := New(o)
	if err != nil {
		return err
	}
	go func() {
		select {
		case <-hub.Moved():
			cancel()
		case <-ctx.Done():
		}
	}()
	return agent.Run(ctx)
}
