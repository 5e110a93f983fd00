package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/kronvoy/kronvoy/test/fleet"
)

func fleetStatus(place *fleetPlace) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show clusters, regions, processes and memory of the fleet",
		Long:  "Show the fleet. It fails if a part does not run.",
		Example: `  kronvoy fleet status
  kronvoy fleet status -o json | jq -r '.clusters[] | .name + " " + .kubeconfig'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := place.open()
			if err != nil {
				return err
			}
			status := f.Status()
			if err := printStatus(cmd.OutOrStdout(), status, output); err != nil {
				return err
			}
			if status.Phase != "Ready" {
				return fmt.Errorf("fleet %q is %s: `kronvoy fleet up` starts what has ended, `kronvoy fleet down` ends the rest", status.Name, status.Phase)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table, json or yaml")
	return cmd
}

func printStatus(w io.Writer, status fleet.Status, output string) error {
	var text []byte
	var err error
	switch output {
	case "table":
		return printFleet(w, status)
	case "json":
		text, err = json.MarshalIndent(status, "", "  ")
		text = append(text, '\n')
	case "yaml":
		text, err = yaml.Marshal(status)
	default:
		return fmt.Errorf("--output %q is not table, json or yaml", output)
	}
	if err != nil {
		return fmt.Errorf("encoding the fleet's status: %w", err)
	}
	_, err = w.Write(text)
	return err
}

func printFleet(w io.Writer, s fleet.Status) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintf(table, "fleet %s: %s, up %s, %s, %s\n\n", s.Name, s.Phase, time.Since(s.Started).Round(time.Second), mebibytes(s.RSS), s.Dir)
	fmt.Fprintln(table, "CLUSTER\tREGION\tSERVER\tNODES\tOS IMAGE\tPROCESSES\tMEMORY")
	for _, c := range s.Clusters {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n",
			c.Name, orDash(c.Region), c.Server, c.Nodes, orDash(c.OSImage), running(c.Processes), mebibytes(c.RSS))
	}
	fmt.Fprintln(table, "\nPROCESS\tPID\tMEMORY\tCPU")
	all := s.Processes
	for _, c := range s.Clusters {
		all = append(all, c.Processes...)
	}
	for _, p := range all {
		if p.PID == 0 {
			fmt.Fprintf(table, "%s\tended\t-\t-\n", p.Name)
			continue
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%.1fs\n", p.Name, p.PID, mebibytes(p.RSS), p.CPUSeconds)
	}
	fmt.Fprintf(table, "\nkubectl: %s\n", s.Kubectl)
	return table.Flush()
}

func running(processes []fleet.ProcessStatus) string {
	n := 0
	for _, p := range processes {
		if p.PID != 0 {
			n++
		}
	}
	return fmt.Sprintf("%d/%d", n, len(processes))
}

func mebibytes(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) }

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
