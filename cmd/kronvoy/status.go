package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/live"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/view"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/plain"
)

// errNotReady is that not everything shown is ready.
const errNotReady = exit.No

// aging is how often a view is drawn again that nothing has changed in: it says
// how long ago things were.
const aging = 10 * time.Second

type statusOptions struct {
	connect.Hub
	output       string
	watch        bool
	hubNamespace string
}

func statusCommand() *cobra.Command {
	var opts statusOptions
	cmd := &cobra.Command{
		Use:   "status [INSTANCE]",
		Short: "Show which clusters are out of line, why, since when, and who did it",
		Long: `Show which clusters are out of line, why, since when, and who did it: of a fleet, or
of one instance on each of its clusters. The most urgent comes first.

INSTANCE is a name, or kind/name where several kinds share a name. Of each instance
the hub names at most 50 clusters, the worst; with INSTANCE all are shown.

Everything comes from the hub's process: where that does not run the view says so, and
since when.

With --watch the view follows what happens until Ctrl-C. On a terminal it stays in
place and fits; elsewhere each change is a line. While the hub does not answer it
says so, and goes on when it does again.`,
		Example: `  kronvoy status -A
  kronvoy status webapp/shop -n shop --watch
  kronvoy status shop -n shop -o json | jq '.clusters[] | select(.state != "Ready")'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			reference := ""
			if len(args) == 1 {
				reference = args[0]
			}
			return opts.run(cmd, reference)
		},
	}
	flags := cmd.Flags()
	opts.Bind(flags)
	opts.BindNamespaces(flags, "the instances")
	output.BindFormat(cmd, &opts.output, output.FormatTable, output.FormatWide, output.FormatJSON, output.FormatYAML)
	flags.BoolVarP(&opts.watch, "watch", "w", false, "keep the view up to date until Ctrl-C")
	bindHubNamespace(flags, &opts.hubNamespace)
	exit.Says(cmd, exit.Done, "everything shown is ready; with --watch: Ctrl-C")
	exit.Says(cmd, exit.No, "something shown is not ready, or no hub runs")
	completeFirst(cmd, instanceNames)
	return cmd
}

// shown is what the command shows: a fleet, or one instance.
type shown struct {
	fleet    *view.Fleet
	instance *view.Instance
}

func (s shown) instances() []view.Instance {
	if s.instance != nil {
		return []view.Instance{*s.instance}
	}
	return s.fleet.Instances
}

func (s shown) write(w io.Writer, format string, look view.Look) error {
	look.Wide = format == output.FormatWide
	switch {
	case s.instance != nil && output.ForPeople(format):
		return view.WriteInstance(w, *s.instance, look)
	case s.instance != nil:
		return output.Encode(w, format, s.instance)
	case output.ForPeople(format):
		return view.WriteFleet(w, *s.fleet, look)
	}
	return output.Encode(w, format, s.fleet)
}

func (s shown) allReady() bool {
	if s.instance != nil {
		return s.instance.AllReady()
	}
	return s.fleet.AllReady()
}

// by adds whether the hub's process runs.
func (s shown) by(hub *view.Hub) shown {
	if s.instance != nil {
		s.instance.Hub = hub
	} else {
		s.fleet.Hub = hub
	}
	return s
}

func look(ctx context.Context, c client.Reader, namespace, reference string) (shown, error) {
	if reference == "" {
		fleet, err := view.List(ctx, c, namespace)
		return shown{fleet: &fleet}, err
	}
	instance, err := view.Get(ctx, c, namespace, reference)
	return shown{instance: &instance}, err
}

func (o *statusOptions) run(cmd *cobra.Command, reference string) error {
	c, namespace, err := o.Client()
	if err != nil {
		return err
	}
	if o.watch {
		return o.follow(cmd, c, namespace, reference)
	}
	found, err := look(cmd.Context(), c, namespace, reference)
	if err != nil {
		return err
	}
	hub, err := view.ReadHub(cmd.Context(), c, o.hubNamespace, time.Now())
	if err != nil {
		return err
	}
	found = found.by(hub)
	if err := found.write(cmd.OutOrStdout(), o.output, view.Look{Style: output.StyleOf(cmd), Now: time.Now()}); err != nil {
		return err
	}
	if !found.allReady() {
		return errNotReady
	}
	return nil
}

// follow keeps the view up to date.
func (o *statusOptions) follow(cmd *cobra.Command, c client.Client, namespace, reference string) error {
	options, err := watched(cmd.Context(), c, namespace, reference)
	if err != nil {
		return err
	}
	hub := &heartbeat{client: c, namespace: o.hubNamespace}
	if screen := live.NewScreen(cmd.OutOrStdout()); screen != nil && output.ForPeople(o.output) {
		return o.draw(cmd, c, options, screen, hub, namespace, reference)
	}
	aged, stop := live.Redraws(cmd.Context(), aging)
	defer stop()
	return followContact(cmd, &o.Hub, c, options, aged, o.log(cmd, hub, namespace, reference))
}

// watched are the objects that matter to the view. The Targets of one instance are
// few of those that there are.
func watched(ctx context.Context, c client.Client, namespace, reference string) (cache.Options, error) {
	options := cache.Options{}
	if namespace != "" {
		options.DefaultNamespaces = map[string]cache.Config{namespace: {}}
	}
	if reference == "" {
		return options, nil
	}
	instance, err := view.Find(ctx, c, namespace, reference)
	if err != nil {
		return options, err
	}
	hash := work.IdentityOfInstance(instance).Hash()
	options.ByObject = map[client.Object]cache.ByObject{&kronvoyv1alpha1.Target{}: {
		Namespaces: map[string]cache.Config{metav1.NamespaceAll: {}},
		Label:      labels.SelectorFromSet(labels.Set{kronvoyv1alpha1.LabelInstance: hash}),
	}}
	return options, nil
}

// draw stays in place on a terminal.
func (o *statusOptions) draw(cmd *cobra.Command, c client.Client, options cache.Options, screen *live.Screen, hub *heartbeat, namespace, reference string) error {
	style := output.StyleOf(cmd)
	aged, stop := live.Redraws(cmd.Context(), aging)
	defer stop()
	err := followContact(cmd, &o.Hub, c, options, aged, func(ctx context.Context, r client.Reader, contact live.Contact) error {
		found, err := look(ctx, r, namespace, reference)
		if err != nil {
			return err
		}
		runs, err := hub.listen(ctx, contact, time.Now())
		if err != nil {
			return err
		}
		found = found.by(runs)
		var text bytes.Buffer
		frame := view.Look{Style: style, Now: time.Now()}
		frame.Width, frame.Height = screen.Size()
		frame.Height-- // for the line that says how things stand
		fmt.Fprintln(&text, heading(contact, frame))
		if err := found.write(&text, o.output, frame); err != nil {
			return err
		}
		return screen.Draw(text.String())
	})
	return errors.Join(err, screen.Close())
}

func heading(contact live.Contact, frame view.Look) string {
	if contact.Err == nil {
		return frame.Text(output.Quiet, "kronvoy status, "+frame.Now.Format(time.TimeOnly)+", Ctrl-C ends it")
	}
	return frame.Text(output.Bad, output.Clip(fmt.Sprintf("THE HUB DOES NOT ANSWER since %s: what follows is how it was then (%v)", contact.Since.Format(time.TimeOnly), contact.Err), frame.Width))
}

// hubLine says that the hub's process is gone, or back.
func hubLine(hub *view.Hub) string {
	if hub.Dead() {
		return plain.Line(hub.Message)
	}
	return "a hub runs again"
}

// log prints the view once, and then a line for each change.
func (o *statusOptions) log(cmd *cobra.Command, hub *heartbeat, namespace, reference string) func(context.Context, client.Reader, live.Contact) error {
	var before *shown
	lost, dead := false, false
	return func(ctx context.Context, r client.Reader, contact live.Contact) error {
		if (contact.Err != nil) != lost {
			lost = contact.Err != nil
			if lost {
				fmt.Fprintln(cmd.ErrOrStderr(), plain.Line(fmt.Sprintf("the hub does not answer since %s: %v", contact.Since.Format(time.RFC3339), contact.Err)))
			} else {
				fmt.Fprintln(cmd.ErrOrStderr(), "the hub answers again")
			}
		}
		found, err := look(ctx, r, namespace, reference)
		if err != nil {
			return err
		}
		runs, err := hub.listen(ctx, contact, time.Now())
		if err != nil {
			return err
		}
		changed := runs.Dead() != dead
		if found, dead = found.by(runs), runs.Dead(); changed && output.ForPeople(o.output) {
			fmt.Fprintln(cmd.ErrOrStderr(), hubLine(runs))
		}
		out := cmd.OutOrStdout()
		if before == nil {
			before = &found
			return found.write(out, o.output, view.Look{Now: time.Now()})
		}
		changes := view.Changes(before.instances(), found.instances())
		before = &found
		if (changed || len(changes) > 0) && !output.ForPeople(o.output) {
			return found.write(out, o.output, view.Look{})
		}
		for _, change := range changes {
			fmt.Fprintf(out, "%s %s\n", time.Now().UTC().Format(time.RFC3339), change)
		}
		return nil
	}
}
