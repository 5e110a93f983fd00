//go:build integration && linux

package fleet_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/budget"
	"github.com/kronvoy/kronvoy/test/fleet"
)

// helperDir names the directory of the fleet that a child of the test is to
// start, and to be killed for.
const (
	helperDir      = "KRONVOY_TEST_FLEET_DIR"
	helperDetached = "KRONVOY_TEST_FLEET_DETACHED"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperDir); dir != "" {
		os.Exit(helper(dir, os.Getenv(helperDetached) != ""))
	}
	os.Exit(m.Run())
}

// helper starts a fleet, says so, and waits to be killed.
func helper(dir string, detached bool) int {
	_, err := fleet.Start(context.Background(), fleet.Options{Dir: dir, Spokes: fleet.DefaultSpokes(1), Detached: detached, Progress: os.Stdout})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	select {}
}

func TestFiftyCyclesLeaveNothing(t *testing.T) {
	cycles := []struct {
		name string
		run  func(t *testing.T, dir string, random *rand.Rand)
	}{
		{"start and stop", cycleStop},
		{"kill a start half-way", cycleKillStart},
		{"start detached, then down", cycleDown},
		{"cancel a start half-way", cycleCancelStart},
		{"kill the parent", cycleKillParent},
		{"kill a detached start half-way", cycleKillDetachedStart},
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	b := budget.New(t, "cycles", 50, 2)
	for i := range b.Cases() {
		cycle := cycles[i%len(cycles)]
		dir := filepath.Join(t.TempDir(), "fleet")
		cycle.run(t, dir, b.Rand(i))
		wantNothing(t, dir, tmp)
		if t.Failed() {
			t.Fatalf("cycle %d (%s) failed", i, cycle.name)
		}
	}
}

func cycleStop(t *testing.T, dir string, random *rand.Rand) {
	f, err := fleet.Start(t.Context(), fleet.Options{Dir: dir, Spokes: fleet.DefaultSpokes(random.IntN(4))})
	if err != nil {
		t.Fatal(err)
	}
	ports := portsOf(t, dir)
	if err := f.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	wantFree(t, ports)
}

func cycleDown(t *testing.T, dir string, _ *rand.Rand) {
	options := fleet.Options{Dir: dir, Spokes: fleet.DefaultSpokes(1), Detached: true}
	f, err := fleet.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	ports := portsOf(t, dir)
	if err := f.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := fleet.Start(t.Context(), options); !errors.Is(err, fleet.ErrRunning) {
		t.Errorf("starting a fleet that runs: %v, want %v", err, fleet.ErrRunning)
	}
	if err := fleet.Down(t.Context(), dir); err != nil {
		t.Error(err)
	}
	wantFree(t, ports)
}

func cycleKillParent(t *testing.T, dir string, _ *rand.Rand) {
	parent := startHelper(t, dir, false, "clusters are ready")
	ports := portsOf(t, dir)
	parent()
	eventually(t, "the children of a killed process to end", func(context.Context) error {
		if left := fleet.Marked(dir); len(left) > 0 {
			return fmt.Errorf("processes %v run", left)
		}
		return nil
	})
	wantFree(t, ports)
	startAnew(t, dir)
}

func cycleKillStart(t *testing.T, dir string, random *rand.Rand) {
	parent := startHelper(t, dir, false, "")
	pause(t, time.Duration(random.Int64N(int64(4*time.Second))))
	parent()
	startAnew(t, dir)
}

func cycleCancelStart(t *testing.T, dir string, random *rand.Rand) {
	ctx, cancel := context.WithCancel(t.Context())
	timer := time.AfterFunc(time.Duration(random.Int64N(int64(3*time.Second))), cancel)
	defer timer.Stop()
	f, err := fleet.Start(ctx, fleet.Options{Dir: dir, Detached: random.IntN(2) == 0, Spokes: fleet.DefaultSpokes(1)})
	if err == nil { // ready before it was cancelled
		err = f.Stop(t.Context())
	} else if errors.Is(err, context.Canceled) {
		err = nil
	}
	if err != nil {
		t.Error(err)
	}
}

func cycleKillDetachedStart(t *testing.T, dir string, random *rand.Rand) {
	parent := startHelper(t, dir, true, "")
	pause(t, time.Duration(random.Int64N(int64(4*time.Second))))
	parent()
	if random.IntN(2) == 0 {
		startAnew(t, dir)
		return
	}
	if err := fleet.Down(t.Context(), dir); err != nil && !errors.Is(err, fleet.ErrNotFound) {
		t.Error(err)
	}
}

// startAnew starts the fleet again where one was killed, and stops it.
func startAnew(t *testing.T, dir string) {
	t.Helper()
	f, err := fleet.Start(t.Context(), fleet.Options{Dir: dir, Spokes: []fleet.ClusterOptions{}})
	if errors.Is(err, fleet.ErrRunning) { // a detached start was done before it was killed
		err = fleet.Down(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// startHelper starts a fleet in another process, waits until it prints a line
// with until, and returns what kills that process.
func startHelper(t *testing.T, dir string, detached bool, until string) (kill func()) {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(executable)
	cmd.Env = append(os.Environ(), helperDir+"="+dir)
	if detached {
		cmd.Env = append(cmd.Env, helperDetached+"=yes")
	}
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	}
	lines := bufio.NewScanner(out)
	for until != "" {
		if !lines.Scan() {
			kill()
			t.Fatalf("the helper ended before it said %q", until)
		}
		if strings.Contains(lines.Text(), until) {
			break
		}
	}
	return kill
}

func wantNothing(t *testing.T, dir, tmp string) {
	t.Helper()
	if left := fleet.Marked(dir); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		entries, _ := os.ReadDir(dir)
		t.Errorf("%s is left, with %v", dir, entries)
	}
	entries, err := os.ReadDir(tmp)
	if err != nil {
		t.Error(err)
	}
	if len(entries) > 0 {
		t.Errorf("temporary files are left: %v", entries)
	}
}

func portsOf(t *testing.T, dir string) []int {
	t.Helper()
	ports, err := fleet.Ports(dir)
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

// wantFree waits until all ports can be used again: a process that was killed
// lets go of its ports some milliseconds after its environment is gone.
func wantFree(t *testing.T, ports []int) {
	t.Helper()
	for _, port := range ports {
		eventually(t, "a port to be free", func(context.Context) error {
			listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				return err
			}
			return listener.Close()
		})
	}
}

// pause lets a start get some way before it is killed: the moment is the test's
// input, and nothing is expected of it.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(d):
	}
}
