// Command kronvoy-spoke runs the agent of one cluster.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kronvoy/kronvoy/spoke"
)

// gcPercent trades a little processor time for memory: an agent has little to
// do and shares a node with those it serves.
const gcPercent = 50

// version is set when linking.
var version = "unknown"

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run() error {
	var opts spoke.Options
	var hubKubeconfig, kubeconfig string
	var hubQPS, spokeQPS float64
	var hubBurst, spokeBurst, verbosity int
	// A set of its own: libraries define flags on the common one.
	flags := flag.NewFlagSet("kronvoy-spoke", flag.ContinueOnError)
	flags.StringVar(&opts.ClusterName, "cluster-name", "", "name of the ManagedCluster that this agent serves")
	flags.StringVar(&hubKubeconfig, "hub-kubeconfig", "", "kubeconfig of the hub")
	flags.StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; empty uses the service account inside a cluster")
	flags.StringVar(&opts.Namespace, "namespace", "", "the agent's own namespace, where it keeps what is to survive a restart; empty keeps nothing")
	flags.StringVar(&opts.HealthProbeBindAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 turns them off")
	flags.StringVar(&opts.MetricsBindAddress, "metrics-bind-address", "0", "address of /metrics; 0 turns it off")
	flags.Float64Var(&hubQPS, "hub-qps", 50, "requests a second to the hub")
	flags.IntVar(&hubBurst, "hub-burst", 100, "requests at once to the hub")
	flags.Float64Var(&spokeQPS, "spoke-qps", 200, "requests a second to the cluster")
	flags.IntVar(&spokeBurst, "spoke-burst", 400, "requests at once to the cluster")
	flags.DurationVar(&opts.LeaseDuration, "lease-duration", 0, "time between two heartbeats; 60s when 0, none when negative")
	flags.DurationVar(&opts.EvictionGracePeriod, "eviction-grace-period", 0, "how long objects stay whose work vanished from the hub; 60m when 0")
	flags.IntVar(&opts.Workers, "workers", 0, "works applied at the same time; 4 when 0")
	flags.IntVar(&verbosity, "v", 0, "how much to log")
	showVersion := flags.Bool("version", false, "print the version and end")
	if err := flags.Parse(os.Args[1:]); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}

	if *showVersion {
		_, err := fmt.Fprintln(os.Stdout, "kronvoy-spoke version", version)
		return err
	}
	opts.Logger = logger(verbosity)
	var err error
	if opts.Hub, err = clientConfig(hubKubeconfig, hubQPS, hubBurst); err != nil {
		return fmt.Errorf("reading the hub's kubeconfig: %w", err)
	}
	if opts.Spoke, err = clientConfig(kubeconfig, spokeQPS, spokeBurst); err != nil {
		return fmt.Errorf("reading the cluster's kubeconfig: %w", err)
	}
	agent, err := spoke.New(opts)
	if err != nil {
		return err
	}
	ctx := ctrl.SetupSignalHandler()
	go staySmall(ctx)
	return agent.Run(ctx)
}
