package binaries

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// kwokStages are the files of kwok's module that make nodes and pods ready at
// once and keep what a node says of itself.
var kwokStages = []string{
	"kustomize/stage/node/fast/node-initialize.yaml",
	"kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
	"kustomize/stage/pod/fast/pod-ready.yaml",
	"kustomize/stage/pod/fast/pod-complete.yaml",
	"kustomize/stage/pod/fast/pod-delete.yaml",
}

// heartbeat is how often a long build says that it goes on.
const heartbeat = 15 * time.Second

type builder struct {
	module   module
	dir      string
	progress io.Writer
}

func (b builder) build(ctx context.Context, programs []program, stages []string) error {
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("the go command is needed (https://go.dev/dl): %w", err)
	}
	begin := time.Now()
	if err := b.sweep(); err != nil {
		return err
	}
	fmt.Fprintf(b.progress, "building %s from its Go modules into %s (once, about %s on two cores)\n", b.module.what, b.dir, b.module.takes)
	for i, p := range programs {
		if exists(p.path) {
			continue
		}
		step := fmt.Sprintf("[%d/%d] %s", i+1, len(programs), p.name)
		if err := b.program(ctx, p, step); err != nil {
			return err
		}
	}
	if err := b.stages(ctx, stages); err != nil {
		return err
	}
	fmt.Fprintf(b.progress, "built in %s\n", time.Since(begin).Round(time.Second))
	return nil
}

// sweep removes what interrupted builds have left.
func (b builder) sweep() error {
	left, err := filepath.Glob(filepath.Join(b.dir, "*.partial-*"))
	if err != nil {
		return err
	}
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// program builds one binary beside its place and then moves it there, so that
// a file that exists is whole.
func (b builder) program(ctx context.Context, p program, step string) error {
	begin := time.Now()
	fmt.Fprintf(b.progress, "%s: building\n", step)
	// Compilers of a killed build may still write to its own partial file.
	partial := fmt.Sprintf("%s.partial-%d", p.path, os.Getpid())
	done := make(chan error, 1)
	go func() {
		_, err := b.goCommand(ctx, "build", "-mod=readonly", "-trimpath", "-buildvcs=false",
			"-tags=grpcnotrace", "-ldflags="+b.ldflags(), "-o", partial, p.pkg)
		done <- err
	}()
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				return errors.Join(fmt.Errorf("building %s: %w", p.name, err), os.RemoveAll(partial))
			}
			fmt.Fprintf(b.progress, "%s: done in %s\n", step, time.Since(begin).Round(time.Second))
			return os.Rename(partial, p.path)
		case <-tick.C:
			fmt.Fprintf(b.progress, "%s: building, %s so far\n", step, time.Since(begin).Round(time.Second))
		}
	}
}

// ldflags stamp Kubernetes' version: without it the API server reports one that
// clients cannot parse.
func (b builder) ldflags() string {
	flags := []string{"-s", "-w"}
	if b.module.version == "" {
		return strings.Join(flags, " ")
	}
	major, minor, _ := strings.Cut(strings.TrimPrefix(b.module.version, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags,
			"-X", pkg+".gitVersion="+b.module.version,
			"-X", pkg+".gitMajor="+major,
			"-X", pkg+".gitMinor="+minor,
			"-X", pkg+".gitTreeState=clean")
	}
	return strings.Join(flags, " ")
}

func (b builder) stages(ctx context.Context, paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	out, err := b.goCommand(ctx, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok")
	if err != nil {
		return fmt.Errorf("finding kwok's module: %w", err)
	}
	dir := strings.TrimSpace(out)
	for i, path := range paths {
		text, err := os.ReadFile(filepath.Join(dir, kwokStages[i]))
		if err != nil {
			return fmt.Errorf("reading a stage of kwok: %w", err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path+".partial", text, 0o644); err != nil {
			return err
		}
		if err := os.Rename(path+".partial", path); err != nil {
			return err
		}
	}
	return nil
}

// goCommand runs the go command in the module and returns what it prints. An
// interrupt ends its compilers too: they share its process group.
func (b builder) goCommand(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.module.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS=", "GOARCH=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, tail(stderr.String(), 20))
	}
	return stdout.String(), nil
}

// tail is the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
