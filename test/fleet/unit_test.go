package fleet

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAReservedPortIsGivenToNobodyButItsServer(t *testing.T) {
	p, err := reservePort(0)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(p.number))
	if listener, err := net.Listen("tcp", address); err == nil {
		_ = listener.Close()
		t.Error("a program that does not know of the reservation got the port")
	}
	for range 200 {
		other, err := reservePort(0)
		if err != nil {
			t.Fatal(err)
		}
		if other.number == p.number {
			t.Error("one port was reserved twice")
		}
		defer other.release()
	}
	shared, err := reservePort(p.number)
	if err != nil {
		t.Fatalf("the server cannot share its port: %v", err)
	}
	shared.release()
	p.release()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("a released port: %v", err)
	}
	_ = listener.Close()
}

func TestASignalReachesOnlyTheProcessItIsFor(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if !id.alive() {
		t.Error("a process that runs is not alive")
	}
	recycled := identity{PID: id.PID, Start: id.Start + "0"}
	if err := recycled.signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if recycled.alive() || !id.alive() {
		t.Error("another process with the same id was taken for the one that ended")
	}
	if err := id.signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	if err := id.kill(); err != nil { // as a zombie it counts as ended
		t.Error(err)
	}
	_ = cmd.Wait()
	if err := id.signal(syscall.SIGKILL); err != nil {
		t.Errorf("signalling a process that has ended: %v", err)
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"two spokes of one name": {Options{Spokes: []ClusterOptions{{Name: "a"}, {Name: "a"}}}, `two clusters are called "a"`},
		"a spoke called hub":     {Options{Spokes: []ClusterOptions{{Name: "hub"}}}, `two clusters are called "hub"`},
		"a name with a slash":    {Options{Spokes: []ClusterOptions{{Name: "a/b"}}}, `"a/b" cannot name a cluster`},
		"no name":                {Options{Spokes: []ClusterOptions{{}}}, `"" cannot name a cluster`},
		"nodes without controllers": {
			Options{Spokes: []ClusterOptions{{Name: "a", Nodes: 1, APIServerOnly: true}}}, "nothing runs on its 1 nodes",
		},
		"a fleet name that leads out of the cache": {Options{Name: "../x"}, `"../x" cannot name a fleet`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := test.options.withDefaults()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want an error that says %q", err, test.want)
			}
		})
	}
}

func TestDefaultSpokesHaveDifferentNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range DefaultSpokes(20) {
		if seen[c.Name] {
			t.Errorf("two spokes are called %q", c.Name)
		}
		seen[c.Name] = true
		if err := c.validate(); err != nil {
			t.Error(err)
		}
	}
	var names []string
	for _, c := range DefaultSpokes(3) {
		names = append(names, c.Name)
	}
	if diff := cmp.Diff([]string{"eu-west", "us-east", "ap-south"}, names); diff != "" {
		t.Errorf("the first spokes (-want +got):\n%s", diff)
	}
}

func TestOnlyTheFleetsOwnFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"notes.txt", etcdDir + "/member", logsDir + "/etcd.log", stateFile} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := foreign(dir); err == nil {
		t.Error("a directory with data called etcd was accepted for a new fleet")
	}
	if err := wipe(dir, false); err != nil {
		t.Fatal(err)
	}
	if err := removeDir(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != "notes.txt" {
		t.Errorf("what is left is %v, want notes.txt", entries)
	}
}
