package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// The files of a fleet's directory. Nothing else in it is ever removed.
const (
	stateFile   = "state.json"
	lockFile    = "lock"
	etcdDir     = "etcd"
	clustersDir = "clusters"
	logsDir     = "fleet-logs"
)

type phase string

const (
	phaseStarting phase = "Starting"
	phaseReady    phase = "Ready"
)

// state is what a fleet writes down, so that another process can use and end it.
type state struct {
	Name     string    `json:"name"`
	Phase    phase     `json:"phase"`
	Detached bool      `json:"detached"`
	KeepLogs bool      `json:"keepLogs,omitempty"`
	Started  time.Time `json:"started"`
	// Kubectl is the client that belongs to the control planes.
	Kubectl string `json:"kubectl"`
	// EtcdPort is where etcd listens on 127.0.0.1.
	EtcdPort  int            `json:"etcdPort"`
	Clusters  []clusterState `json:"clusters"`
	Processes []processState `json:"processes"`
}

type clusterState struct {
	ClusterOptions
	// Port is where the API server listens on 127.0.0.1.
	Port int `json:"port"`
	// Index is unique in the fleet and chooses the service addresses.
	Index int `json:"index"`
}

type processState struct {
	Command
	identity
	// Extra processes are no part of the control planes: they end first, in
	// order, and may take their time.
	Extra bool `json:"extra,omitempty"`
}

// errNoState is returned where a directory holds no fleet.
var errNoState = errors.New("no fleet")

func readState(dir string) (state, error) {
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, fmt.Errorf("%w in %s", errNoState, dir)
	}
	if err != nil {
		return state{}, fmt.Errorf("reading the fleet's state: %w", err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return state{}, fmt.Errorf("reading %s: %w", filepath.Join(dir, stateFile), err)
	}
	return s, nil
}

// write replaces the state file in one step.
func (s state) write(dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the fleet's state: %w", err)
	}
	path := filepath.Join(dir, stateFile)
	if err := os.WriteFile(path+".partial", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the fleet's state: %w", err)
	}
	if err := os.Rename(path+".partial", path); err != nil {
		return fmt.Errorf("writing the fleet's state: %w", err)
	}
	return nil
}

// alive counts the recorded processes that run.
func (s state) alive() int {
	n := 0
	for _, p := range s.Processes {
		if p.alive() {
			n++
		}
	}
	return n
}

// mark is the entry in the environment of every process of the fleet in dir.
func mark(dir string) string { return "KRONVOY_FLEET_PROCESS_OF=" + dir }

// sweep ends every process of the fleet in dir: those that the state names and
// those that carry its mark. It is for what a killed parent has left.
func sweep(dir string, s state) error {
	left := withEnvironment(mark(dir))
	for _, p := range s.Processes {
		left = append(left, p.identity)
	}
	var errs []error
	for _, id := range left {
		errs = append(errs, id.kill())
	}
	return errors.Join(errs...)
}

// wipe removes the fleet's files, and its directory if nothing else is in it.
// The state goes last: until then another start knows what is left to do.
func wipe(dir string, keepLogs bool) error {
	names := []string{etcdDir, clustersDir, logsDir, stateFile + ".partial", stateFile}
	var errs []error
	for _, name := range names {
		if name == logsDir && keepLogs {
			continue
		}
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}

// foreign returns an error where dir holds files with the fleet's names that
// no fleet wrote: wiping them could cost somebody's data.
func foreign(dir string) error {
	for _, name := range []string{etcdDir, clustersDir} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return fmt.Errorf("%s holds %q and no fleet: choose another directory", dir, name)
		}
	}
	return nil
}
