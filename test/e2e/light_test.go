//go:build integration && linux

package e2e

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
)

// An agent talks to its hub, and to its cluster, over one connection each: works,
// reports, heartbeats and what it does in the name of others.
func TestAnAgentHasOneConnectionToTheHub(t *testing.T) {
	s := begin(t, "light")
	defer s.end()
	s.define("Light", frozenSettings)
	s.create("Light", "one", everywhere, "")
	s.ready("Light", "one", 3)
	agent := s.stack.Agents[usEast]
	probe.Eventually(t, "one connection to the hub and one to the cluster", func() error {
		for _, cluster := range s.stack.Fleet.Clusters() {
			want := 0
			if cluster.IsHub() || cluster.Name == usEast {
				want = 1
			}
			got, err := connections(agent.PID(), cluster)
			if err != nil {
				return err
			}
			if got != want {
				return fmt.Errorf("%d connections to %s, want %d", got, cluster.Name, want)
			}
		}
		return nil
	})
}

// connections counts those of a process to the API server of a cluster.
func connections(pid int, cluster *fleet.Cluster) (int, error) {
	server, err := url.Parse(cluster.Server())
	if err != nil {
		return 0, err
	}
	port, err := strconv.Atoi(server.Port())
	if err != nil {
		return 0, err
	}
	sockets, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return 0, err
	}
	own := map[string]bool{}
	for _, socket := range sockets {
		if target, err := os.Readlink(socket); err == nil { // it may be closed since
			own[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
		}
	}
	count := 0
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			// sl local_address rem_address st … inode; 01 is an established one.
			fields := strings.Fields(line)
			if len(fields) > 9 && fields[3] == "01" && own[fields[9]] && strings.HasSuffix(fields[2], fmt.Sprintf(":%04X", port)) {
				count++
			}
		}
	}
	return count, nil
}
