package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/kronvoy/kronvoy/test/stack"
)

// notReady is the exit status of "kronvoy status" where something is not ready.
const notReady = 2

// commandLine takes the time of a whole process that looks at the fleet.
func (f *synthetic) commandLine(ctx context.Context) ([]Result, error) {
	root, err := stack.FindRoot()
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(filepath.Dir(f.Fleet.Hub().Kubeconfig()), "kronvoy")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/kronvoy")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building kronvoy: %w: %s", err, out)
	}
	var results []Result
	for _, row := range []struct {
		name, what string
		args       []string
		shows      string
		target     float64
	}{
		{name: "status-2000-clusters-ms", target: 1000, args: []string{"status", "-A"}, shows: fmt.Sprintf("Clusters   %d", manyClusters),
			what: "from the start of `kronvoy status -A` to its end, on a hub with %d clusters and %d Targets"},
		{name: "status-instance-2000-clusters-ms", args: []string{"status", siteName(0), "-n", benchNamespace}, shows: clusterName(manyClusters - 1),
			what: "the same of `kronvoy status INSTANCE`, with a line for each cluster, on a hub with %d clusters and %d Targets"},
	} {
		var times []time.Duration
		for range max(f.options.rounds, 1) {
			took, err := f.look(ctx, binary, row.shows, row.args...)
			if err != nil {
				return nil, err
			}
			times = append(times, took)
		}
		results = append(results, Result{
			Name: row.name, Value: milli(median(times)), Unit: "ms", Target: row.target,
			What: fmt.Sprintf(row.what, manyClusters, manyClusters*manyInstances),
		})
	}
	return results, nil
}

// look runs the command once; what it prints has to say something.
func (f *synthetic) look(ctx context.Context, binary, shows string, args ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, binary, append(args, "--kubeconfig", f.Fleet.Hub().Kubeconfig())...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	begun := time.Now()
	err := cmd.Run()
	took := time.Since(begun)
	if exited := (*exec.ExitError)(nil); errors.As(err, &exited) && exited.ExitCode() == notReady {
		err = nil
	}
	if err != nil {
		return 0, fmt.Errorf("kronvoy %s: %w: %s", strings.Join(args, " "), err, errOut.String())
	}
	if !strings.Contains(out.String(), shows) {
		return 0, fmt.Errorf("kronvoy %s does not say %q but %.500q", strings.Join(args, " "), shows, out.String())
	}
	return took, nil
}
