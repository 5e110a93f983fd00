// Command kronvoy-hub runs the hub controller.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/kronvoy/kronvoy/hub"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/internal/memory"
	"github.com/kronvoy/kronvoy/internal/trace"
)

const (
	// gcPercent trades processor time for memory: most of what the hub has is its
	// caches, which hardly change.
	gcPercent = 30
	// spareLook is how often memory that is not in use is given back.
	spareLook = 30 * time.Second
)

// version is set when linking.
var version = "unknown"

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if err := newCommand().ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	opts := hub.Options{Version: version}
	var kubeconfig, defaultPlacement, serviceAccount, agentIdentity string
	var verbose bool
	var qps float32
	var burst int
	cmd := &cobra.Command{
		Use:           "kronvoy-hub",
		Short:         "Compile resource graphs and distribute them to the fleet",
		Args:          cobra.NoArgs,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctrl.SetLogger(zap.New(zap.UseDevMode(verbose)))
			config, err := restConfig(kubeconfig)
			if err != nil {
				return err
			}
			config.QPS, config.Burst = qps, burst
			opts.Config = config
			if opts.DefaultPlacement, err = rollout.ParseDefaultPlacement(defaultPlacement); err != nil {
				return err
			}
			if opts.DefaultServiceAccount, err = policy.ParseServiceAccount(serviceAccount); err != nil {
				return fmt.Errorf("reading --default-service-account: %w", err)
			}
			if opts.AgentIdentity, err = policy.ParseAgentIdentity(agentIdentity); err != nil {
				return fmt.Errorf("reading --allow-agent-identity: %w", err)
			}
			opts.Tracer = trace.FromEnvironment(cmd.Context(), "kronvoy-hub", version, ctrl.Log.WithName("trace"))
			defer opts.Tracer.Stop()
			h, err := hub.New(cmd.Context(), opts)
			if err != nil {
				return err
			}
			if opts.LocalCluster {
				if err := addLocalAgent(h, config, opts.Tracer); err != nil {
					return err
				}
			}
			go memory.StaySmall(cmd.Context(), spareLook, nil)
			return h.Run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig of the hub; empty uses the service account inside a cluster")
	flags.StringVar(&opts.Namespace, "namespace", "kronvoy-system", "namespace of the hub's own objects")
	flags.StringSliceVar(&opts.AllowedNamespaces, "allow-namespace", nil, "reserved namespaces that instances may use all the same")
	flags.BoolVar(&opts.LeaderElection, "leader-elect", true, "let one of several hub processes be the active one")
	flags.StringVar(&opts.HealthAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 turns them off")
	flags.StringVar(&opts.MetricsAddress, "metrics-bind-address", "0", "address of /metrics; 0 turns it off")
	flags.IntVar(&opts.MetricsInstances, "metrics-instances", 0, "how many instances get a metric of their own, those first that are not ready on the most clusters; their names become labels")
	flags.BoolVar(&opts.LocalCluster, "local-cluster", false, "make the hub's own cluster a spoke too, as ManagedCluster local-cluster, with the agent in this process")
	flags.StringVar(&defaultPlacement, "default-placement", string(rollout.DefaultAuto), "where instances run that name no Placement: local, none, or auto, which is local while the hub's own cluster is the only one")
	flags.StringVar(&serviceAccount, "default-service-account", "", "service account, as [namespace/]name, that agents act as where neither a Distribution nor the namespace names one; without a namespace it is in the instance's")
	flags.StringVar(&agentIdentity, "allow-agent-identity", string(policy.AgentIdentityAuto), "let agents use their own rights where no service account is named: true, false, or auto, which is true while the hub's own cluster is the only one")
	flags.DurationVar(&opts.RemovalGracePeriod, "removal-grace-period", 30*time.Second, "how long a cluster that left its placement keeps an instance, where no Distribution says so in spec.removal.gracePeriod")
	flags.IntVar(&opts.Webhook.Port, "webhook-port", 0, "port of the webhook that checks definitions as they are applied; 0 turns it off")
	flags.StringVar(&opts.Webhook.CertDir, "webhook-cert-dir", "", "folder with tls.crt and tls.key of the webhook; empty lets the hub make them")
	flags.StringVar(&opts.Dashboard.Address, "dashboard-address", "", "address of the dashboard, as in 127.0.0.1:8088; empty turns it off, and others than this machine's need TLS")
	flags.StringVar(&opts.Dashboard.TLSCert, "dashboard-tls-cert", "", "file with the dashboard's certificate; it is read again when it changes")
	flags.StringVar(&opts.Dashboard.TLSKey, "dashboard-tls-key", "", "file with the key of the dashboard's certificate")
	flags.BoolVar(&opts.WithoutScheduler, "without-scheduler", false, "leave Placements to OCM's scheduler")
	flags.BoolVar(&opts.WithoutRegistration, "without-registration", false, "leave ManagedClusters to OCM's registration")
	flags.DurationVar(&opts.MaxCertificateDuration, "max-certificate-duration", 30*24*time.Hour, "longest that an agent's certificate may last; requests for more, and those that do not say, are denied; 0 for no bound")
	flags.Float32Var(&qps, "qps", 500, "requests a second to the hub's API server")
	flags.IntVar(&burst, "burst", 1000, "requests at once to the hub's API server")
	flags.BoolVar(&verbose, "debug", false, "log for people, with more detail")
	return cmd
}
