package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kronvoy/kronvoy/test/fleet"
)

func fleetLogs(place *fleetPlace) *cobra.Command {
	var follow bool
	var tail int
	cmd := &cobra.Command{
		Use:   "logs [PROCESS]",
		Short: "Print the log of a process, or list the processes that have one",
		Example: `  kronvoy fleet logs
  kronvoy fleet logs eu-west/kube-apiserver --tail 20
  kronvoy fleet logs etcd --follow`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: place.complete(processNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := place.open()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return listLogs(cmd.OutOrStdout(), f)
			}
			p := f.Process(args[0])
			if p == nil {
				return fmt.Errorf("fleet %q has no process %q, it has %q", f.Name(), args[0], processNames(f))
			}
			return printLog(cmd.Context(), cmd.OutOrStdout(), p.Log(), tail, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what the process prints, until Ctrl-C")
	cmd.Flags().IntVar(&tail, "tail", -1, "print only the last lines; all by default")
	return cmd
}

func processNames(f *fleet.Fleet) []string {
	var names []string
	for _, p := range f.Processes() {
		names = append(names, p.Name())
	}
	return names
}

func listLogs(w io.Writer, f *fleet.Fleet) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "PROCESS\tLOG")
	for _, p := range f.Processes() {
		fmt.Fprintf(table, "%s\t%s\n", p.Name(), p.Log())
	}
	return table.Flush()
}

// printLog copies a log, from its last lines on, until its present end or, to
// follow it, until the context is done.
func printLog(ctx context.Context, w io.Writer, path string, tail int, follow bool) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading a log: %w", err)
	}
	defer func() { _ = file.Close() }()
	if tail >= 0 {
		text, err := io.ReadAll(file)
		if err != nil {
			return fmt.Errorf("reading a log: %w", err)
		}
		if _, err := w.Write(lastLines(text, tail)); err != nil {
			return err
		}
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.Copy(w, file); err != nil {
			return fmt.Errorf("reading a log: %w", err)
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func lastLines(text []byte, lines int) []byte {
	at := len(bytes.TrimRight(text, "\n"))
	for range lines {
		if at = bytes.LastIndexByte(text[:max(at, 0)], '\n'); at < 0 {
			return text
		}
	}
	if lines == 0 {
		return nil
	}
	return text[at+1:]
}
