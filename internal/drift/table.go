package drift

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/plain"
)

// maxShownPaths is how many fields a wide table names.
const maxShownPaths = 3

// WriteFindings prints one line for each finding.
func WriteFindings(w io.Writer, findings []Finding, wide bool, now time.Time) error {
	if len(findings) == 0 {
		_, err := fmt.Fprintln(w, "no drift is reported")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	header := []string{"ID", "CLUSTER", "INSTANCE", "OBJECT", "NODE", "ACTION", "FIELDS", "BY", "SINCE", "LAST SEEN", "COUNT"}
	if wide {
		header = append(header, "PATHS")
	}
	row(table, header...)
	for _, f := range findings {
		cells := []string{
			dash(f.ID), f.Cluster, f.owner(), object(f.ObjectReference), dash(f.Node), string(f.Action),
			fields(f.Finding), dash(f.By()), age(f.Since, now), age(f.LastSeen, now), fmt.Sprint(f.Count),
		}
		if wide {
			cells = append(cells, dash(paths(f.Finding)))
		}
		row(table, cells...)
	}
	return table.Flush()
}

// WriteDecisions prints one line for each decision.
func WriteDecisions(w io.Writer, decisions []Decision, now time.Time) error {
	if len(decisions) == 0 {
		_, err := fmt.Fprintln(w, "no drift is accepted")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	row(table, "ID", "CLUSTER", "INSTANCE", "OBJECT", "FIELDS", "BY", "SINCE", "REASON")
	for _, d := range decisions {
		row(table, d.ID, d.Cluster, d.Instance.String(), object(d.ObjectReference), strings.Join(d.Paths, ", "), dash(d.By), age(d.At, now), dash(d.Reason))
	}
	return table.Flush()
}

// WriteFinding prints a finding in full.
func WriteFinding(w io.Writer, f Finding, now time.Time) error {
	fmt.Fprintln(w, plain.Line(fmt.Sprintf("%s on cluster %s: %s", object(f.ObjectReference), f.Cluster, f.Action)))
	head := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	id := f.ID
	if id == "" {
		id = "none: the cluster's agent is of an older release"
	}
	row(head, "  ID", id)
	row(head, "  Instance", f.owner())
	row(head, "  Node", dash(f.Node))
	row(head, "  Since", moment(f.Since, now))
	row(head, "  First seen", moment(f.FirstSeen, now))
	row(head, "  Last seen", moment(f.LastSeen, now))
	row(head, "  Count", fmt.Sprint(f.Count))
	if f.NextCorrection != nil {
		row(head, "  Next correction", f.NextCorrection.UTC().Format(time.RFC3339))
	}
	if f.Missing {
		row(head, "  Missing", "the whole object was deleted")
		return head.Flush()
	}
	if err := head.Flush(); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	row(table, "  PATH", "DESIRED", "OBSERVED", "BY")
	for _, d := range f.Details {
		row(table, "  "+d.Path, absent(d.Desired), absent(d.Observed), dash(d.Manager))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if more := int(f.DetailCount) - len(f.Details); more > 0 {
		_, err := fmt.Fprintf(w, "  and %d more fields\n", more)
		return err
	}
	return nil
}

// WriteSilent names clusters that nothing is known of.
func WriteSilent(w io.Writer, clusters []string) {
	const shown = 5
	if len(clusters) == 0 {
		return
	}
	names := strings.Join(clusters[:min(shown, len(clusters))], ", ")
	if more := len(clusters) - shown; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	fmt.Fprintf(w, "Not included: %s. The agents there do not report drift.\n", names)
}

// object is Kind namespace/name.
func object(ref kronvoyv1alpha1.ObjectReference) string {
	if ref.Namespace == "" {
		return ref.Kind + " " + ref.Name
	}
	return ref.Kind + " " + ref.Namespace + "/" + ref.Name
}

func fields(f kronvoyv1alpha1.Finding) string {
	if f.Missing {
		return "deleted"
	}
	return fmt.Sprint(max(int(f.DetailCount), len(f.Details)))
}

// By names who owns the fields now; several of them by the first.
func (f Finding) By() string {
	first, others := "", map[string]bool{}
	for _, d := range f.Details {
		if d.Manager == "" {
			continue
		}
		if first == "" {
			first = d.Manager
		}
		if d.Manager != first {
			others[d.Manager] = true
		}
	}
	if len(others) > 0 {
		return fmt.Sprintf("%s and %d more", first, len(others))
	}
	return first
}

func paths(f kronvoyv1alpha1.Finding) string {
	var names []string
	for _, d := range f.Details[:min(maxShownPaths, len(f.Details))] {
		names = append(names, d.Path)
	}
	text := strings.Join(names, ", ")
	if more := max(int(f.DetailCount), len(f.Details)) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func age(t metav1.Time, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return duration.HumanDuration(max(0, now.Sub(t.Time)))
}

func moment(t metav1.Time, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%s (%s ago)", t.UTC().Format(time.RFC3339), age(t, now))
}

func absent(value string) string {
	if value == "" {
		return "(absent)"
	}
	return value
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// row prints the cells of one line. What a cluster reports must not move the
// cursor of a terminal.
func row(w io.Writer, cells ...string) {
	for i := range cells {
		cells[i] = plain.Line(cells[i])
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}
