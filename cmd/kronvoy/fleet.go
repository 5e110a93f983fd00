package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/kronvoy/kronvoy/test/fleet"
)

func fleetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "Run a local fleet of real Kubernetes control planes, without containers",
		Long: `Run a local fleet: a hub and some spokes, each with a real Kubernetes API server
and controllers, as processes of this machine that listen on 127.0.0.1 only.
Nodes are played by kwok: Deployments become Available, no container runs.

The first start builds the control plane from its Go modules, which needs a clone
of Kronvoy, Go, and about 8 minutes on two cores. Later starts take seconds.`,
		Example: `  kronvoy fleet up                     a hub and three spokes
  kronvoy fleet status
  export KUBECONFIG=$(kronvoy fleet kubeconfig eu-west)
  kronvoy fleet logs eu-west/kube-apiserver --follow
  kronvoy fleet down`,
	}
	var place fleetPlace
	cmd.PersistentFlags().StringVar(&place.name, "name", fleet.DefaultName, "name of the fleet; several can run side by side")
	cmd.PersistentFlags().StringVar(&place.dir, "dir", "", "directory of the fleet's files (default: fleet/NAME in Kronvoy's cache, see KRONVOY_CACHE)")
	cmd.AddCommand(fleetUp(&place), fleetDown(&place), fleetStatus(&place), fleetLogs(&place), fleetKubeconfig(&place))
	return cmd
}

// fleetPlace says which fleet a command is about.
type fleetPlace struct{ name, dir string }

func (p *fleetPlace) resolve() (string, error) {
	if p.dir != "" {
		return p.dir, nil
	}
	return fleet.Dir(p.name)
}

func (p *fleetPlace) open() (*fleet.Fleet, error) {
	dir, err := p.resolve()
	if err != nil {
		return nil, err
	}
	f, err := fleet.Open(dir)
	if errors.Is(err, fleet.ErrNotFound) {
		return nil, fmt.Errorf("%w: start one with `kronvoy fleet up`", err)
	}
	return f, err
}

func fleetUp(place *fleetPlace) *cobra.Command {
	var spokes, nodes int
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the fleet, and build the control plane first if that is missing",
		Long: `Start the fleet and return when every API server, controller and node is ready.
The fleet runs on until "kronvoy fleet down". Ctrl-C on the way leaves nothing.

Where the fleet runs already nothing happens; where some of its processes have
ended those are started again, with their data. What a killed "fleet up" has left
is ended first.`,
		Example: `  kronvoy fleet up
  kronvoy fleet up --spokes 5 --nodes 10
  kronvoy fleet up --name second --spokes 1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if spokes < 0 || nodes < 0 {
				return errors.New("--spokes and --nodes cannot be negative")
			}
			dir, err := place.resolve()
			if err != nil {
				return err
			}
			options := fleet.Options{
				Name: place.name, Dir: dir, Detached: true,
				Spokes: fleet.DefaultSpokes(spokes), Progress: cmd.ErrOrStderr(),
			}
			for i := range options.Spokes {
				options.Spokes[i].Nodes = nodes
			}
			f, err := fleet.Start(cmd.Context(), options)
			if errors.Is(err, fleet.ErrRunning) {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				if f, err = fleet.Open(dir); err != nil {
					return err
				}
				return printFleet(cmd.OutOrStdout(), f.Status())
			}
			if err != nil {
				return err
			}
			return errors.Join(printFleet(cmd.OutOrStdout(), f.Status()), f.Close(cmd.Context()))
		},
	}
	cmd.Flags().IntVar(&spokes, "spokes", 3, "number of clusters besides the hub")
	cmd.Flags().IntVar(&nodes, "nodes", 2, "number of nodes of each spoke")
	return cmd
}

func fleetDown(place *fleetPlace) *cobra.Command {
	return &cobra.Command{
		Use:     "down",
		Short:   "End the fleet and remove all its files",
		Long:    "End every process of the fleet, also of one whose start was killed, and remove all its files. Without a fleet it does nothing.",
		Example: "  kronvoy fleet down\n  kronvoy fleet down --name second",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := place.resolve()
			if err != nil {
				return err
			}
			err = fleet.Down(cmd.Context(), dir)
			if errors.Is(err, fleet.ErrNotFound) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%v: nothing to do\n", err)
				return nil
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "the fleet in %s is down\n", dir)
			return nil
		},
	}
}

func fleetKubeconfig(place *fleetPlace) *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:   "kubeconfig CLUSTER",
		Short: "Print the path of a cluster's kubeconfig, which has all rights",
		Example: `  export KUBECONFIG=$(kronvoy fleet kubeconfig hub)
  kronvoy fleet kubeconfig eu-west --raw > eu-west.yaml`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: place.complete(clusterNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := place.open()
			if err != nil {
				return err
			}
			c := f.Cluster(args[0])
			if c == nil {
				return fmt.Errorf("fleet %q has no cluster %q, it has %q", f.Name(), args[0], clusterNames(f))
			}
			if !raw {
				fmt.Fprintln(cmd.OutOrStdout(), c.Kubeconfig())
				return nil
			}
			text, err := os.ReadFile(c.Kubeconfig())
			if err != nil {
				return fmt.Errorf("reading the kubeconfig of cluster %q: %w", c.Name, err)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print the kubeconfig itself")
	return cmd
}

// complete offers names of a running fleet to the shell.
func (p *fleetPlace) complete(names func(*fleet.Fleet) []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		f, err := p.open()
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(f), cobra.ShellCompDirectiveNoFileComp
	}
}

func clusterNames(f *fleet.Fleet) []string {
	var names []string
	for _, c := range f.Clusters() {
		names = append(names, c.Name)
	}
	return names
}
