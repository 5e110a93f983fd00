// Command bench runs every benchmark: Go's own, and those of the whole system
// on a local fleet. It rewrites docs/benchmarks.md and leaves bench.json.
//
//	go benchmarks    go test -bench     ─┐
//	engines          test/compare       ─┤
//	system           test/stack          ├─> []Result ─> docs/benchmarks.md, bench.json
//	  writes           test/audit       ─┤
//	many             test/stack, etcd  ─┤
//	agent            test/stack, ocm    ─┤
//	controllers      test/kro          ─┘
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
	flag.StringVar(&o.only, "only", "", "run one suite alone (go, engines, system, agent, many, controllers) and write no document")
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
	only           string
	progress       io.Writer
}

func (o options) say(format string, args ...any) { fmt.Fprintf(o.progress, format+"\n", args...) }

func run(ctx context.Context, o options) error {
	where := machine()
	var results []Result
	for _, suite := range suites {
		if o.only != "" && o.only != suite.name {
			continue
		}
		found, err := suite.run(ctx, o)
		if err != nil {
			return err
		}
		results = append(results, found...)
	}
	if len(results) == 0 {
		return fmt.Errorf("--only %s: there is no such suite", o.only)
	}
	if o.only == "" {
		if err := write(o, results, where); err != nil {
			return err
		}
	}
	for _, r := range results {
		beside := ""
		if r.Peer != nil {
			beside = "peer " + number(*r.Peer)
		}
		o.say("%-34s %10s %-4s %-12s %s", r.Name, number(r.Value), r.Unit, beside, verdict(r))
	}
	return nil
}

// suites in the order of the document.
var suites = []struct {
	name string
	run  func(context.Context, options) ([]Result, error)
}{
	{"go", goBenchmarks},
	{"engines", engineBenchmarks},
	{"system", systemBenchmarks},
	{"agent", agentBenchmarks},
	{"many", syntheticBenchmarks},
	{"controllers", controllerBenchmarks},
}

func write(o options, results []Result, where string) error {
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
	o.say("wrote %s and %s", o.document, o.list)
	return nil
}
