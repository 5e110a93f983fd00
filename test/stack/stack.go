// Package stack runs Kronvoy itself on a local fleet: the hub process on the
// hub, an agent for every spoke, each with no more rights than it has when
// installed for real. The demo, the end-to-end tests and the benchmarks use it.
package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/install"
	"github.com/kronvoy/kronvoy/test/fleet"
)

// Namespaces of the hub and of the agents.
const (
	HubNamespace   = "kronvoy-system"
	AgentNamespace = install.AgentNamespace
)

// Options say what to run. The zero value is the hub and three spokes.
type Options struct {
	Fleet fleet.Options
	// Labels of the managed clusters by name, beside region.
	Labels map[string]map[string]string
	// HubArgs and AgentArgs are added to the command lines, and count more than
	// what is there already.
	HubArgs, AgentArgs []string
	// Dashboard serves the hub's dashboard, see DashboardURL.
	Dashboard bool
	// Metrics serves those of hub and agents, see MetricsURLs.
	Metrics bool
	// LeaseSeconds is how often agents renew their leases; OCM's 60 when 0.
	LeaseSeconds int
	// Local makes the hub's own cluster a spoke too, as config/local does.
	Local bool
	// HubStart is how long the hub may take to be ready; a minute when 0.
	HubStart time.Duration
	// Reroute may change a kubeconfig before a process is given it, as to put a
	// proxy in between.
	Reroute func(kubeconfig string) error
	// WithoutAgents leaves the agents to the caller.
	WithoutAgents bool
	// Bare leaves everything to the caller: it installs Kronvoy as people do, and
	// then starts the hub and the agents.
	Bare bool
	// Progress is told what happens.
	Progress io.Writer
}

// Stack is a fleet with Kronvoy on it.
type Stack struct {
	Fleet *fleet.Fleet
	// Hub is the hub process.
	Hub *fleet.Process
	// DashboardURL is where the dashboard is, if there is one.
	DashboardURL string
	// MetricsURLs are where metrics are, by the name of the cluster whose hub or agent
	// it is.
	MetricsURLs map[string]string
	// Agents by cluster.
	Agents map[string]*fleet.Process

	root    string
	options Options
	mu      sync.Mutex
	files   []string
	// cli is held while the command line is built.
	cli   sync.Mutex
	built bool
}

// Start builds what is missing, starts the fleet, installs Kronvoy and waits
// until its processes are ready. On failure nothing is left behind.
func Start(ctx context.Context, options Options) (_ *Stack, err error) {
	root, err := FindRoot()
	if err != nil {
		return nil, err
	}
	s := newStack(root, options)
	options.Fleet.Progress = s.options.Progress
	built := make(chan error, 1)
	go func() { built <- s.build(ctx) }()
	s.Fleet, err = fleet.Start(ctx, options.Fleet)
	if buildErr := <-built; buildErr != nil {
		err = errors.Join(err, buildErr)
	}
	defer func() {
		if err != nil && s.Fleet != nil {
			err = errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if err != nil {
		return nil, err
	}
	if err := s.install(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// On builds and installs Kronvoy on a fleet that runs already and that the
// caller stops.
func On(ctx context.Context, f *fleet.Fleet, options Options) (*Stack, error) {
	root, err := FindRoot()
	if err != nil {
		return nil, err
	}
	s := newStack(root, options)
	s.Fleet = f
	if err := s.build(ctx); err != nil {
		return nil, err
	}
	return s, s.install(ctx)
}

func newStack(root string, options Options) *Stack {
	if options.Progress == nil {
		options.Progress = io.Discard
	}
	if options.Reroute == nil {
		options.Reroute = func(string) error { return nil }
	}
	return &Stack{root: root, options: options, Agents: map[string]*fleet.Process{}, MetricsURLs: map[string]string{}}
}

// Stop ends everything, and leaves nothing.
func (s *Stack) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, path := range s.files {
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(append(errs, s.Fleet.Stop(ctx))...)
}

// file is a path in the fleet's folder that goes with the stack.
func (s *Stack) file(name string) string {
	path := filepath.Join(s.Fleet.Dir(), name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.files, path) {
		s.files = append(s.files, path)
	}
	return path
}

func (s *Stack) say(format string, args ...any) {
	fmt.Fprintf(s.options.Progress, format+"\n", args...)
}

// build compiles the two processes; with a warm cache it takes no time.
func (s *Stack) build(ctx context.Context) error {
	return s.compile(ctx, "", s.bin()+"/", hubPackage, "./cmd/kronvoy-spoke")
}

const hubPackage = "./cmd/kronvoy-hub"

// HubOf builds the hub of another release of Kronvoy, which has that hash version,
// and returns its path; of the one that was started when it is empty. Only linking
// takes time.
func (s *Stack) HubOf(ctx context.Context, hashVersion string) (path string, err error) {
	path = filepath.Join(s.bin(), "kronvoy-hub")
	if hashVersion == "" {
		return path, nil
	}
	path += "-" + hashVersion
	return path, s.compile(ctx, " -X github.com/kronvoy/kronvoy/graph/hash.Version="+hashVersion, path, hubPackage)
}

// compile builds commands; ldflags are added to those that all have.
func (s *Stack) compile(ctx context.Context, ldflags, out string, packages ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-ldflags=-s -w" + ldflags, "-o", out}, packages...)...)
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", strings.Join(packages, " and "), err, said)
	}
	return nil
}

func (s *Stack) bin() string { return filepath.Join(s.root, "bin") }

// Config is the path of a file or folder in the repository's config.
func (s *Stack) Config(parts ...string) string {
	return filepath.Join(append([]string{s.root, "config"}, parts...)...)
}

// Policies are the files with the hub's admission policies.
func (s *Stack) Policies() []string {
	var files []string
	for _, name := range []string{"spokes", "sizes", "joining", "clusters", "tenants", "approvals", "rollouts"} {
		files = append(files, s.Config("policies", name+".yaml"))
	}
	return files
}

// Root is the repository's folder.
func (s *Stack) Root() string { return s.root }

func (s *Stack) install(ctx context.Context) error {
	if s.options.Bare {
		return nil
	}
	s.say("installing Kronvoy on the hub")
	hub := s.Fleet.Hub()
	if err := hub.InstallCRDs(ctx, s.Config("crd"), s.Config("ocm", "hub")); err != nil {
		return fmt.Errorf("installing CRDs on the hub: %w", err)
	}
	if err := hub.Apply(ctx, s.Config("hub", "namespace.yaml"), s.Config("hub", "clustersets.yaml"),
		s.Config("hub", "rbac.yaml"), s.Config("hub", "rbac-spoke.yaml"), s.Config("hub", "rbac-drift.yaml"), s.Config("hub", "rbac-viewer.yaml"), s.Config("dashboard", "rbac.yaml"), s.Config("hub", "rbac-approval.yaml"), s.Config("hub", "rbac-rollout.yaml"), s.Config("hub", "rbac-debug.yaml"), s.Config("hub", "rbac-tenant.yaml"), s.Config("hub", "join.yaml"), s.Config("admission", "rbac.yaml")); err != nil {
		return fmt.Errorf("installing on the hub: %w", err)
	}
	if err := hub.Apply(ctx, s.Policies()...); err != nil {
		return fmt.Errorf("installing admission policies on the hub: %w", err)
	}
	if s.options.Local {
		if err := s.installLocal(ctx); err != nil {
			return err
		}
	}
	if err := s.StartHub(ctx); err != nil {
		return err
	}
	if s.options.WithoutAgents {
		return nil
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, spoke := range s.Fleet.Spokes() {
		group.Go(func() error { return s.Join(groupCtx, spoke) })
	}
	return group.Wait()
}

// installLocal gives the hub's own cluster what an agent needs, and the hub the
// right to act as one.
func (s *Stack) installLocal(ctx context.Context) error {
	if err := s.installAgent(ctx, s.Fleet.Hub(), nil); err != nil {
		return err
	}
	if err := s.Fleet.Hub().Apply(ctx, s.Config("local", "rbac.yaml")); err != nil {
		return fmt.Errorf("installing on the hub: %w", err)
	}
	return nil
}

// installAgent brings what an agent needs to a cluster, but the agent itself.
func (s *Stack) installAgent(ctx context.Context, cluster *fleet.Cluster, bootstrap map[string][]byte) error {
	admin, err := administrator(cluster)
	if err != nil {
		return err
	}
	objects, err := install.Agent{Bootstrap: bootstrap}.Objects()
	if err == nil {
		err = install.Apply(ctx, admin, objects...)
	}
	if err != nil {
		return fmt.Errorf("installing the agent on %s: %w", cluster.Name, err)
	}
	return nil
}

// StartHub starts the hub where it is installed, and waits until it is ready.
// more is added to its command line.
func (s *Stack) StartHub(ctx context.Context, more ...string) error {
	kubeconfig := s.file("kronvoy-hub.kubeconfig")
	if err := s.Fleet.Hub().ServiceAccountKubeconfig(ctx, HubNamespace, "kronvoy-hub", kubeconfig); err != nil {
		return fmt.Errorf("making the hub's identity: %w", err)
	}
	if err := s.options.Reroute(kubeconfig); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	args := []string{
		"--kubeconfig", kubeconfig, "--namespace", HubNamespace, "--leader-elect=false",
		"--health-probe-bind-address", address(port), "--removal-grace-period", "0s",
	}
	if s.options.Local {
		args = append(args, "--local-cluster")
	} else {
		// Everything on this machine is one user's.
		args = append(args, "--allow-agent-identity=true")
	}
	if s.options.Dashboard {
		dashboard, err := freePort()
		if err != nil {
			return err
		}
		s.DashboardURL = "http://" + address(dashboard)
		args = append(args, "--dashboard-address", address(dashboard))
	}
	metrics, err := s.metrics(fleet.HubName)
	if err != nil {
		return err
	}
	args = slices.Concat(args, metrics, s.options.HubArgs, more)
	s.Hub, err = s.Fleet.Run(fleet.Command{Name: "kronvoy-hub", Path: filepath.Join(s.bin(), "kronvoy-hub"), Args: args})
	if err != nil {
		return fmt.Errorf("starting the hub: %w", err)
	}
	return waitReady(ctx, s.Hub, port, cmp.Or(s.options.HubStart, time.Minute))
}

// Serve installs and starts the agent of a cluster that need not join: whoever
// runs the hub knows it by a certificate. args are added to its command line.
func (s *Stack) Serve(ctx context.Context, spoke *fleet.Cluster, args ...string) error {
	onHub := s.onHub(spoke)
	group := kronvoyv1alpha1.AgentGroup(spoke.Name)
	if err := s.Fleet.Hub().ClientKubeconfig(ctx, kronvoyv1alpha1.AgentUser(spoke.Name, "agent"), []string{group, kronvoyv1alpha1.AgentsGroup}, onHub); err != nil {
		return fmt.Errorf("making the identity of %s on the hub: %w", spoke.Name, err)
	}
	if err := errors.Join(s.options.Reroute(onHub), s.installAgent(ctx, spoke, nil)); err != nil {
		return err
	}
	return s.startAgent(ctx, spoke, append([]string{"--cluster-name", spoke.Name, "--hub-kubeconfig", onHub}, args...))
}

// onHub is the kubeconfig with which a cluster's agent first comes to the hub;
// its name is that of the agent's link in a proxy.
func (s *Stack) onHub(spoke *fleet.Cluster) string {
	return s.file(spoke.Name + "-on-hub.kubeconfig")
}

func (s *Stack) startAgent(ctx context.Context, spoke *fleet.Cluster, extra []string) error {
	agent, port, err := s.runAgent(ctx, spoke, extra)
	if err != nil {
		return err
	}
	return waitReady(ctx, agent, port, time.Minute)
}

// RunAgent starts the agent of a cluster where it is installed, and does not wait:
// it is ready when it has joined.
func (s *Stack) RunAgent(ctx context.Context, spoke *fleet.Cluster) error {
	_, _, err := s.runAgent(ctx, spoke, nil)
	return err
}

func (s *Stack) runAgent(ctx context.Context, spoke *fleet.Cluster, extra []string) (agent *fleet.Process, port int, err error) {
	local := s.file(spoke.Name + "-agent.kubeconfig")
	if err := spoke.ServiceAccountKubeconfig(ctx, AgentNamespace, "kronvoy-agent", local); err != nil {
		return nil, 0, fmt.Errorf("making the agent's identity on %s: %w", spoke.Name, err)
	}
	if err := s.options.Reroute(local); err != nil {
		return nil, 0, err
	}
	if port, err = freePort(); err != nil {
		return nil, 0, err
	}
	args := []string{"--kubeconfig", local, "--namespace", AgentNamespace, "--health-probe-bind-address", address(port)}
	if s.options.LeaseSeconds > 0 {
		args = append(args, "--lease-duration", (time.Duration(s.options.LeaseSeconds) * time.Second).String())
	}
	metrics, err := s.metrics(spoke.Name)
	if err != nil {
		return nil, 0, err
	}
	agent, err = s.Fleet.Run(fleet.Command{
		Name: "kronvoy-spoke-" + spoke.Name, Path: filepath.Join(s.bin(), "kronvoy-spoke"), Args: slices.Concat(args, metrics, s.options.AgentArgs, extra),
	})
	if err != nil {
		return nil, 0, fmt.Errorf("starting the agent of %s: %w", spoke.Name, err)
	}
	s.mu.Lock()
	s.Agents[spoke.Name] = agent
	s.mu.Unlock()
	return agent, port, nil
}

// metrics is the flag that has the process of a cluster serve them, if it is to.
func (s *Stack) metrics(cluster string) ([]string, error) {
	if !s.options.Metrics {
		return nil, nil
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.MetricsURLs[cluster] = "http://" + address(port) + "/metrics"
	s.mu.Unlock()
	return []string{"--metrics-bind-address", address(port)}, nil
}

// waitReady polls /readyz until it answers, the process ends or ctx does.
func waitReady(ctx context.Context, process *fleet.Process, port int, within time.Duration) error {
	client := &http.Client{Timeout: 2 * time.Second}
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, within, true, func(ctx context.Context) (bool, error) {
		if !process.Running() {
			return false, fmt.Errorf("%s has ended", process.Name())
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address(port)+"/readyz", nil)
		if err != nil {
			return false, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return false, nil //nolint:nilerr // it does not listen yet
		}
		return resp.StatusCode == http.StatusOK, resp.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("waiting for %s to be ready: %w; its log ends with:\n%s", process.Name(), err, Tail(process.Log()))
	}
	return nil
}

// tailBytes is how much of a log an error quotes.
const tailBytes = 4 << 10

// Tail is the end of a log file, to be quoted in an error: the file itself
// goes with the fleet.
func Tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-tailBytes):])
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("looking for a free port: %w", err)
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

// FindRoot finds the repository's folder above the working directory.
func FindRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "config", "crd")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("run this inside Kronvoy's repository: config/crd was not found above the working directory")
		}
		dir = parent
	}
}
