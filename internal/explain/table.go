package explain

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kronvoy/kronvoy/internal/plain"
)

// Write prints one line for each cluster; wide adds what each prioritizer gave.
func (p *Placement) Write(w io.Writer, wide bool, now time.Time) error {
	for _, problem := range []struct{ what, why string }{
		{"is misconfigured, and its decision stays as it is", p.Misconfigured},
		{"is not decided, and its decision stays as it is", p.Undecided},
	} {
		if problem.why != "" {
			_, err := fmt.Fprintf(w, "Placement %s/%s %s:\n  %s\n", p.Namespace, p.Name, problem.what, strings.ReplaceAll(problem.why, "\n", "\n  "))
			return err
		}
	}
	fmt.Fprintf(w, "Placement %s/%s selects %d of %d clusters.\n", p.Namespace, p.Name, p.Selected, len(p.Clusters))
	if p.RestsOnClaims {
		fmt.Fprintln(w, "The decision goes by what clusters say of themselves.")
	}
	if p.RecheckAt != nil {
		fmt.Fprintf(w, "It may change in %s.\n", p.RecheckAt.Sub(now).Round(time.Second))
	}
	if len(p.Clusters) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	header := []string{"CLUSTER", "SELECTED", "RANK", "SCORE", "GROUP", "REASON", "MESSAGE"}
	if wide {
		header = append(header, "SCORES")
	}
	fmt.Fprintln(table, strings.Join(header, "\t"))
	for _, c := range p.Clusters {
		rank, score := "-", "-"
		if c.Rank > 0 {
			rank, score = strconv.Itoa(c.Rank), strconv.FormatInt(c.Score, 10)
		}
		cells := []string{c.Name, c.selected(), rank, score, dash(c.Group), c.Reason, dash(plain.Line(c.Message))}
		if wide {
			cells = append(cells, dash(c.scores()))
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	return table.Flush()
}

// selected also says what changes against the decision that stands.
func (c *Cluster) selected() string {
	switch {
	case c.Selected && c.Was:
		return "yes"
	case c.Selected:
		return "yes, new"
	case c.Was:
		return "no, leaves"
	}
	return "no"
}

func (c *Cluster) scores() string {
	parts := make([]string, 0, len(c.Scores))
	for _, s := range c.Scores {
		parts = append(parts, fmt.Sprintf("%s %d × %d", s.Prioritizer, s.Score, s.Weight))
	}
	return strings.Join(parts, " + ")
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
