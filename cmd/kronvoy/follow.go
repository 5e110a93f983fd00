package main

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/live"
)

// follow looks at a hub, and again whenever something has changed of what a look
// has read, until the command ends or a look returns an error.
func follow(cmd *cobra.Command, hub *connect.Hub, c client.Client, options cache.Options, again <-chan time.Time, look func(context.Context, client.Reader) error) error {
	return followContact(cmd, hub, c, options, again, func(ctx context.Context, r client.Reader, _ live.Contact) error { return look(ctx, r) })
}

// followContact is follow for looks that say whether the hub answers.
func followContact(cmd *cobra.Command, hub *connect.Hub, c client.Client, options cache.Options, again <-chan time.Time,
	look func(context.Context, client.Reader, live.Contact) error) (err error) {
	// What informers log about a hub that is gone would run across the view.
	klog.SetLogger(logr.Discard())
	log.SetLogger(logr.Discard())
	config, _, err := hub.Config()
	if err != nil {
		return err
	}
	feed, err := live.NewFeed(config, c, options)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- feed.Start(ctx)
		cancel()
	}()
	defer func() {
		cancel()
		if failed := <-ended; err == nil {
			err = failed
		}
	}()
	return feed.Follow(ctx, again, func(ctx context.Context) error { return look(ctx, feed, feed.Contact()) })
}
