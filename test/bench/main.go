// Command bench runs every benchmark: Go's own, and those of the whole system
// on a local fleet. It rewrites docs/benchmarks.md and leaves bench.json.
//
//	go benchmarks    go test -bench     ─┐
//	engines          test/compare       ─┤
//	system           test/stack          ├─> []Result ─> docs/benchmarks.md, bench.json
//	  writes           test/audit       ─┘
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.document, "document", "docs/benchmarks.md", "Markdown file to write")
	flag.StringVar(&o.list, "list", "bench.json", "JSON file to write")
	flag.DurationVar(&o.idle, "idle", 30*time.Second, "how long the idle fleet is watched")
	flag.IntVar(&o.rounds, "rounds", 5, "how often a time is taken; the median counts")
	flag.BoolVar(&o.withoutSystem, "without-system", false, "leave out what needs a local fleet")
	flag.Parse()
	o.progress = os.Stderr
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

type options struct {
	document, list string
	idle           time.Duration
	rounds         int
	withoutSystem  bool
	progress       io.Writer
}

func (o options) say(format string, args ...any) { fmt.Fprintf(o.progress, format+"\n", args...) }

func run(ctx context.Context, o options) error {
	where := machine()
	results, err := goBenchmarks(ctx, o)
	if err != nil {
		return err
	}
	engines, err := engineBenchmarks(ctx, o)
	if err != nil {
		return err
	}
	results = append(results, engines...)
	if !o.withoutSystem {
		system, err := systemBenchmarks(ctx, o)
		if err != nil {
			return err
		}
		results = append(results, system...)
	}
	text, err := encodeList(results)
	if err != nil {
		return err
	}
	if err := os.WriteFile(o.list, text, 0o644); err != nil {
		return fmt.Errorf("writing the list of results: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(o.document), 0o755); err != nil {
		return fmt.Errorf("writing the table of results: %w", err)
	}
	if err := os.WriteFile(o.document, document(results, where), 0o644); err != nil {
		return fmt.Errorf("writing the table of results: %w", err)
	}
	for _, r := range results {
		o.say("%-34s %10s %-4s %s", r.Name, number(r.Value), r.Unit, verdict(r))
	}
	o.say("wrote %s and %s", o.document, o.list)
	return nil
}
