package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke"
	"github.com/kronvoy/kronvoy/spoke/join"
	"github.com/kronvoy/kronvoy/spoke/notice"
)

// probeTimeout bounds how long a probe's connection may say nothing.
const probeTimeout = 10 * time.Second

// config is what the command line says.
type config struct {
	agent                     spoke.Options
	join                      join.Options
	hubKubeconfig, kubeconfig string
	probeAddress              string
	hubQPS, spokeQPS          float64
	hubBurst, spokeBurst      int
	verbosity                 int
}

func (c *config) addFlags(flags *flag.FlagSet) {
	flags.StringVar(&c.agent.ClusterName, "cluster-name", "", "name of the ManagedCluster that this agent serves; empty takes what the bootstrap Secret says")
	flags.StringVar(&c.join.BootstrapSecret, "bootstrap-secret", kronvoyv1alpha1.BootstrapSecret, "Secret in the agent's namespace with the kubeconfig to join by")
	flags.StringVar(&c.join.HubSecret, "hub-kubeconfig-secret", kronvoyv1alpha1.HubSecret, "Secret in the agent's namespace in which it keeps its key and certificate for the hub")
	flags.DurationVar(&c.join.CertificateDuration, "certificate-duration", join.CertificateDuration, "life to ask for the agent's certificate, at least 10m; hubs refuse what is longer than their --max-certificate-duration")
	flags.StringVar(&c.hubKubeconfig, "hub-kubeconfig", "", "kubeconfig of the hub, for an agent that does not join by itself; needs --cluster-name")
	flags.StringVar(&c.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; empty uses the service account inside a cluster")
	flags.StringVar(&c.agent.Namespace, "namespace", "", "the agent's own namespace, where its Secrets are and where it keeps what is to survive a restart; empty, with --hub-kubeconfig, keeps nothing")
	flags.StringVar(&c.probeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 turns them off")
	flags.StringVar(&c.agent.MetricsBindAddress, "metrics-bind-address", "0", "address of /metrics; 0 turns it off")
	flags.Float64Var(&c.hubQPS, "hub-qps", 50, "requests a second to the hub")
	flags.IntVar(&c.hubBurst, "hub-burst", 100, "requests at once to the hub")
	flags.Float64Var(&c.spokeQPS, "spoke-qps", 200, "requests a second to the cluster")
	flags.IntVar(&c.spokeBurst, "spoke-burst", 400, "requests at once to the cluster")
	flags.DurationVar(&c.agent.LeaseDuration, "lease-duration", 0, "time between two heartbeats; 60s when 0, none when negative")
	flags.DurationVar(&c.agent.HealthCheckPeriod, "cluster-healthcheck-period", 0, "time between two looks at the health of the cluster's API server; 60s when 0")
	flags.IntVar(&c.agent.MaxCustomClaims, "max-custom-cluster-claims", 0, "how many ClusterClaims of the cluster the hub is told; 20 when 0, none when negative")
	flags.DurationVar(&c.agent.EvictionGracePeriod, "eviction-grace-period", 0, "how long objects stay whose work vanished from the hub; 60m when 0")
	flags.IntVar(&c.agent.Workers, "workers", 0, "works applied at the same time; 4 when 0")
	flags.IntVar(&c.verbosity, "v", 0, "how much to log")
}

// complete checks what the command line says, and makes the clients' settings.
func (c *config) complete() error {
	switch life := c.join.CertificateDuration; {
	case c.hubKubeconfig != "" && c.agent.ClusterName == "":
		return errors.New("--hub-kubeconfig needs --cluster-name")
	case c.hubKubeconfig == "" && c.agent.Namespace == "":
		return errors.New("--namespace is needed: the agent's Secrets are there; or give it --hub-kubeconfig and --cluster-name")
	case life < join.MinCertificateDuration:
		return fmt.Errorf("--certificate-duration is %s; API servers sign for %s at least", life, join.MinCertificateDuration)
	}
	c.agent.Logger = logger(c.verbosity)
	c.agent.Board = &notice.Board{Clock: clock.RealClock{}, Log: c.agent.Logger.WithName("state")}
	var err error
	if c.agent.Spoke, err = clientConfig(c.kubeconfig); err != nil {
		return fmt.Errorf("reading the cluster's kubeconfig: %w", err)
	}
	limit(c.agent.Spoke, c.spokeQPS, c.spokeBurst)
	if c.hubKubeconfig == "" {
		return nil
	}
	if c.agent.Hub, err = clientConfig(c.hubKubeconfig); err != nil {
		return fmt.Errorf("reading the hub's kubeconfig: %w", err)
	}
	limit(c.agent.Hub, c.hubQPS, c.hubBurst)
	return nil
}

// serve runs the agent, which joins first where it was given no hub.
func (c *config) serve(ctx context.Context) error {
	if c.agent.Hub != nil {
		agent, err := spoke.New(c.agent)
		if err != nil {
			return err
		}
		return agent.Run(ctx)
	}
	cluster, err := join.NewClient(c.agent.Spoke)
	if err != nil {
		return fmt.Errorf("making a client of the cluster: %w", err)
	}
	c.agent.Board.Client = cluster
	c.agent.Board.Regarding = corev1.ObjectReference{APIVersion: "v1", Kind: "Secret", Namespace: c.agent.Namespace, Name: c.join.BootstrapSecret}
	c.join.Cluster, c.join.Namespace, c.join.ClusterName = cluster, c.agent.Namespace, c.agent.ClusterName
	c.join.Configure = func(config *rest.Config) { limit(config, c.hubQPS, c.hubBurst) }
	c.join.Board, c.join.Log = c.agent.Board, c.agent.Logger.WithName("join")
	return spoke.Serve(ctx, c.agent, join.New(c.join))
}

// probes answers /healthz and /readyz until the context ends.
func (c *config) probes(ctx context.Context) error {
	if c.probeAddress == "0" || c.probeAddress == "" {
		return nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.probeAddress)
	if err != nil {
		return fmt.Errorf("listening for probes: %w", err)
	}
	server := &http.Server{Handler: c.agent.Board.Handler(), ReadHeaderTimeout: probeTimeout}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // it ends with the process
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answering probes: %w", err)
	}
	return nil
}

func logger(verbosity int) logr.Logger {
	log := textlogger.NewLogger(textlogger.NewConfig(textlogger.Verbosity(verbosity)))
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	return log
}

func clientConfig(path string) (*rest.Config, error) { return clientcmd.BuildConfigFromFlags("", path) }

func limit(config *rest.Config, qps float64, burst int) {
	config.QPS, config.Burst = float32(qps), burst
	config.UserAgent = "kronvoy-spoke"
}
