package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/view"
	"github.com/kronvoy/kronvoy/internal/plain"
)

type eventsOptions struct {
	connect.Hub
	output string
	watch  bool
}

func eventsCommand() *cobra.Command {
	var opts eventsOptions
	cmd := &cobra.Command{
		Use:   "events [INSTANCE]",
		Short: "Show what happened on the hub, in order",
		Long: `Show the events on the hub in the order in which they happened: about one instance,
its definition and Distribution, its Rollout, Targets, works and questions; or about
all of them. API servers keep events for an hour.`,
		Example: `  kronvoy events webapp/shop -n shop
  kronvoy events -A --watch`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return opts.run(cmd, strings.Join(args, "")) },
	}
	flags := cmd.Flags()
	opts.Bind(flags)
	opts.BindNamespaces(flags, "the instance")
	output.BindFormat(cmd, &opts.output, output.FormatTable, output.FormatWide, output.FormatJSON, output.FormatYAML)
	flags.BoolVarP(&opts.watch, "watch", "w", false, "go on with what happens until Ctrl-C")
	completeFirst(cmd, instanceNames)
	return cmd
}

func (o *eventsOptions) run(cmd *cobra.Command, reference string) error {
	c, namespace, err := o.Client()
	if err != nil {
		return err
	}
	if !o.watch {
		events, err := concerning(cmd.Context(), c, namespace, reference)
		if err != nil {
			return err
		}
		if output.ForPeople(o.output) && len(events) == 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "there are no events: API servers keep them for an hour")
			return nil
		}
		return o.write(cmd, events)
	}
	if reference != "" {
		if _, err := view.Find(cmd.Context(), c, namespace, reference); err != nil {
			return err
		}
	}
	told := map[string]bool{}
	return follow(cmd, &o.Hub, c, cache.Options{}, nil, func(ctx context.Context, r client.Reader) error {
		events, err := concerning(ctx, r, namespace, reference)
		if err != nil {
			return err
		}
		for _, e := range events {
			if told[e.Key()] {
				continue
			}
			told[e.Key()] = true
			if !output.ForPeople(o.output) {
				if err := output.Encode(cmd.OutOrStdout(), o.output, e); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s %s: %s\n", e.At.UTC().Format(time.RFC3339), e.Type, e.Reason, plain.Line(e.Object), plain.Line(e.Message))
		}
		return nil
	})
}

// concerning are the events about an instance, or about all that is ours.
func concerning(ctx context.Context, c client.Reader, namespace, reference string) ([]view.Event, error) {
	subjects := view.Ours(namespace)
	if reference != "" {
		instance, err := view.Find(ctx, c, namespace, reference)
		if err != nil {
			return nil, err
		}
		if subjects, err = view.Concerned(ctx, c, instance); err != nil {
			return nil, err
		}
	}
	return view.ListEvents(ctx, c, namespace, subjects)
}

func (o *eventsOptions) write(cmd *cobra.Command, events []view.Event) error {
	if output.ForPeople(o.output) {
		return view.WriteEvents(cmd.OutOrStdout(), events, view.Look{Style: output.StyleOf(cmd), Wide: o.output == output.FormatWide})
	}
	return output.Encode(cmd.OutOrStdout(), o.output, events)
}
