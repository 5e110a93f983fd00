package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/view"
)

// errNotReady is that not everything shown is ready.
const errNotReady = exit.No

// refresh is how often --watch looks again.
const refresh = 500 * time.Millisecond

type statusOptions struct {
	connect.Hub
	output string
	watch  bool
}

func statusCommand() *cobra.Command {
	var opts statusOptions
	cmd := &cobra.Command{
		Use:   "status [INSTANCE]",
		Short: "Show instances, or one instance on each of its clusters",
		Long: `Show all instances of a hub, or one of them on each of its clusters.

INSTANCE is a name, or kind/name where several kinds share a name.`,
		Example: `  kronvoy status -A
  kronvoy status webapp/shop -n shop --watch
  kronvoy status shop -n shop -o json | jq '.clusters[] | select(.state != "Ready")'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			reference := ""
			if len(args) == 1 {
				reference = args[0]
			}
			return opts.run(cmd.Context(), cmd.OutOrStdout(), reference)
		},
	}
	flags := cmd.Flags()
	opts.Bind(flags)
	opts.BindNamespaces(flags, "the instance")
	output.BindFormat(cmd, &opts.output, output.FormatTable, output.FormatWide, output.FormatJSON, output.FormatYAML)
	flags.BoolVarP(&opts.watch, "watch", "w", false, "keep the view up to date until Ctrl-C")
	exit.Says(cmd, exit.Done, "everything shown is ready")
	exit.Says(cmd, exit.No, "something shown is not ready")
	completeFirst(cmd, instanceNames)
	return cmd
}

func (o statusOptions) run(ctx context.Context, out io.Writer, reference string) error {
	c, namespace, err := o.Client()
	if err != nil {
		return err
	}
	show := func(ctx context.Context, w io.Writer) error {
		if reference == "" {
			instances, err := view.List(ctx, c, namespace)
			if err != nil {
				return err
			}
			return o.writeList(w, instances)
		}
		instance, err := view.Get(ctx, c, namespace, reference)
		if err != nil {
			return err
		}
		return o.writeOne(w, instance)
	}
	if !o.watch {
		return show(ctx, out)
	}
	return watch(ctx, out, show)
}

// watch shows again whenever the view changed; on a terminal it stays in
// place.
func watch(ctx context.Context, out io.Writer, show func(context.Context, io.Writer) error) error {
	screen := newScreen(out)
	ticker := time.NewTicker(refresh)
	defer ticker.Stop()
	for {
		var buffer bytes.Buffer
		if err := show(ctx, &buffer); err != nil && !errors.Is(err, errNotReady) {
			if ctx.Err() != nil {
				return nil
			}
			// A hub that does not answer for a while is what one watches for.
			fmt.Fprintln(&buffer, "Error:", err)
		}
		screen.draw(buffer.String())
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (o statusOptions) writeList(w io.Writer, instances []view.Instance) error {
	switch o.output {
	case "table", "wide":
		if len(instances) == 0 {
			fmt.Fprintln(w, "no instances")
			return nil
		}
		if err := view.WriteInstances(w, instances); err != nil {
			return err
		}
	default:
		if err := output.Encode(w, o.output, instances); err != nil {
			return err
		}
	}
	for _, instance := range instances {
		if !instance.AllReady() {
			return errNotReady
		}
	}
	return nil
}

func (o statusOptions) writeOne(w io.Writer, instance view.Instance) error {
	var err error
	if o.output == "table" || o.output == "wide" {
		err = view.WriteInstance(w, instance, o.output == "wide")
	} else {
		err = output.Encode(w, o.output, instance)
	}
	if err == nil && !instance.AllReady() {
		err = errNotReady
	}
	return err
}

// screen redraws in place on a terminal, and appends elsewhere, only when
// something changed.
type screen struct {
	out   io.Writer
	tty   bool
	last  string
	lines int
}

func newScreen(out io.Writer) *screen {
	file, ok := out.(interface{ Fd() uintptr })
	return &screen{out: out, tty: ok && term.IsTerminal(int(file.Fd()))}
}

func (s *screen) draw(text string) {
	if text == s.last {
		return
	}
	if s.tty && s.lines > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.lines)
	} else if s.lines > 0 {
		fmt.Fprintln(s.out)
	}
	fmt.Fprint(s.out, text)
	s.last, s.lines = text, bytes.Count([]byte(text), []byte("\n"))
}
