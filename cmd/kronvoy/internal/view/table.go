package view

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/kronvoy/kronvoy/internal/plain"
)

// maxValueColumns is how many of the author's values a table shows.
const maxValueColumns = 3

// WriteInstances prints one line for each instance.
func WriteInstances(w io.Writer, instances []Instance) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAMESPACE\tINSTANCE\tSTATE\tREADY\tDRIFTED\tFAILED\tMESSAGE")
	for _, i := range instances {
		fmt.Fprintf(table, "%s\t%s/%s\t%s\t%d/%d\t%d\t%d\t%s\n", dash(i.Namespace), strings.ToLower(i.Kind), i.Name, i.State,
			i.Ready, i.Placed, i.Drifted, i.Failed, clip(i.Message, 80))
	}
	return table.Flush()
}

// WriteInstance prints one instance with one line for each cluster, and one for
// each node that is not ready or not healthy. Scalars of the author's status become columns.
func WriteInstance(w io.Writer, i Instance, wide bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "%s/%s in namespace %s: %s, %d of %d clusters ready\n", strings.ToLower(i.Kind), i.Name, dash(i.Namespace), i.State, i.Ready, i.Placed)
	columns := valueColumns(i.Clusters)
	header := []string{"CLUSTER", "REGION", "REVISION", "STATE", "READY"}
	for _, column := range columns {
		header = append(header, strings.ToUpper(column))
	}
	header = append(header, "MESSAGE")
	fmt.Fprintln(table, strings.Join(header, "\t"))
	for _, c := range i.Clusters {
		cells := []string{c.Name, dash(c.Region), dash(shortRevision(c.Revision, wide)), dash(c.State), dash(c.Ready)}
		for _, column := range columns {
			cells = append(cells, cell(c.Values[column]))
		}
		cells = append(cells, dash(message(c, wide)))
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return writeNodes(w, i.Clusters, wide)
}

func writeNodes(w io.Writer, clusters []Cluster, wide bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	header := "\nCLUSTER\tNODE\tSTATE\tHEALTH\tWAITS FOR\n"
	for _, c := range clusters {
		for _, n := range c.Nodes {
			why := plain.Line(strings.Join(n.WaitsFor, ", "))
			if n.Message != "" {
				why = plain.Line(n.Message)
			}
			if !wide {
				why = clip(why, 90)
			}
			fmt.Fprintf(table, "%s%s\t%s\t%s\t%s\t%s\n", header, c.Name, n.ID, n.State, dash(n.Health), dash(why))
			header = ""
		}
	}
	return table.Flush()
}

func message(c Cluster, wide bool) string {
	text := cmp.Or(c.Suspended, c.Message, c.Drift)
	if wide {
		return plain.Line(text)
	}
	return clip(text, 90)
}

// shortRevision is the part of a revision's name that tells it from others.
func shortRevision(name string, wide bool) string {
	if i := strings.LastIndexByte(name, '-'); i >= 0 && !wide {
		return name[i+1:]
	}
	return name
}

func valueColumns(clusters []Cluster) []string {
	names := map[string]bool{}
	for _, c := range clusters {
		for name, value := range c.Values {
			switch value.(type) {
			case string, bool, int64, float64:
				names[name] = true
			}
		}
	}
	columns := slices.Sorted(maps.Keys(names))
	return columns[:min(len(columns), maxValueColumns)]
}

func cell(value any) string {
	if value == nil {
		return "-"
	}
	return clip(fmt.Sprint(value), 40)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func clip(text string, limit int) string {
	text = strings.Join(strings.Fields(plain.Line(text)), " ")
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}
