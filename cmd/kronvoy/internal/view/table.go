package view

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/hub/status"
	"github.com/kronvoy/kronvoy/internal/plain"
)

const (
	// maxValueColumns is how many of the author's values a table shows.
	maxValueColumns = 3
	// maxMessage bounds a message in a table that is not wide.
	maxMessage = 90
)

// Look is how a view is shown.
type Look struct {
	output.Style
	// Wide shows everything in full.
	Wide bool
	// Height is how many lines there are; 0 for as many as it takes.
	Height int
	Now    time.Time
}

// tone of a state.
func tone(state string) output.Tone {
	switch state {
	case string(kronvoyv1alpha1.TargetFailed), status.Error, string(kronvoyv1alpha1.TargetUnreachable), string(kronvoyv1alpha1.RolloutRolledBack):
		return output.Bad
	case string(kronvoyv1alpha1.TargetReady), "Available", status.Active, string(kronvoyv1alpha1.RolloutSucceeded):
		return output.Good
	case "-", "":
		return output.Plain
	}
	return output.Warn
}

func state(word string) output.Cell { return output.Cell{Text: word, Tone: tone(word)} }

// count is a number that is only of interest when it is not 0.
func count(n int64, t output.Tone) output.Cell {
	if n == 0 {
		t = output.Plain
	}
	return output.Cell{Text: strconv.FormatInt(n, 10), Tone: t}
}

// WriteFleet shows a fleet: what there is in numbers, the instances, and what is
// out of line, the most urgent first.
func WriteFleet(w io.Writer, f Fleet, look Look) error {
	lines := writeCounts(w, f, look)
	instances := instanceTable(f.Instances, look)
	trouble := troubleTable(f.Instances, look)
	if look.Height > 0 {
		const around = 3 // a blank line, the header, and a line that says how many more
		room := look.Height - lines - around
		if len(trouble.Rows) > 0 {
			room -= around
		}
		room = max(room, 2)
		half := max(room-len(trouble.Rows), room/2)
		shown := min(len(instances.Rows), half)
		instances.Limit(shown)
		trouble.Limit(room - shown)
	}
	if len(f.Instances) == 0 {
		_, err := fmt.Fprintln(w, "no instances")
		return err
	}
	fmt.Fprintln(w)
	if err := instances.Write(w, look.Style); err != nil || len(trouble.Rows) == 0 {
		return err
	}
	fmt.Fprintln(w)
	return trouble.Write(w, look.Style)
}

// writeCounts returns how many lines it wrote.
func writeCounts(w io.Writer, f Fleet, look Look) int {
	lines := hubLines(f.Hub, look)
	if c := f.Clusters; c != nil {
		lines = append(lines, fmt.Sprintf("Clusters   %d", c.Total)+parts(look,
			part{int64(c.Available), "available", output.Good}, part{int64(c.Unreachable), "unreachable", output.Bad}, part{int64(c.Joining), "joining", output.Warn}))
	}
	p := f.Placed
	lines = append(lines,
		fmt.Sprintf("Instances  %d on %d places", len(f.Instances), p.Total)+parts(look,
			part{p.Ready, "ready", output.Good}, part{p.Failed, "failed", output.Bad}, part{p.Unreachable, "unreachable", output.Bad},
			part{p.Progressing, "not ready yet", output.Warn}, part{p.Drifted, "drifted", output.Warn}, part{p.Unhealthy, "not healthy", output.Warn}))
	for i, q := range f.Questions {
		if i == maxQuestions {
			lines = append(lines, fmt.Sprintf("Asks       … %d more: kronvoy rollout approvals -A", len(f.Questions)-i))
			break
		}
		lines = append(lines, "Asks       "+output.Clip(fmt.Sprintf("%s/%s since %s: %s", q.Namespace, q.Name, duration.HumanDuration(look.Now.Sub(q.Asked)), q.Message), look.rest()))
	}
	for _, unseen := range f.Unseen {
		lines = append(lines, "Not seen   "+output.Clip(unseen, look.rest()))
	}
	fmt.Fprintln(w, strings.Join(lines, "\n"))
	return len(lines)
}

// hubLines say that nothing below them is sure.
func hubLines(h *Hub, look Look) []string {
	if !h.Dead() {
		return nil
	}
	return []string{look.Text(output.Bad, "Hub        "+output.Clip(h.Message, look.rest()))}
}

// rest is how long the text of a line may be after its first word.
func (l Look) rest() int {
	if l.Width == 0 {
		return 1000
	}
	return max(l.Width-len("Instances  "), 20)
}

// maxQuestions is how many a fleet shows.
const maxQuestions = 3

type part struct {
	n    int64
	word string
	tone output.Tone
}

// parts are what a number consists of.
func parts(look Look, parts ...part) string {
	var words []string
	for _, p := range parts {
		if p.n > 0 {
			words = append(words, look.Text(p.tone, fmt.Sprintf("%d %s", p.n, p.word)))
		}
	}
	if len(words) == 0 {
		return ""
	}
	return ": " + strings.Join(words, ", ")
}

var instanceHeader = []string{"NAMESPACE", "INSTANCE", "STATE", "READY", "WORST", "SINCE", "DRIFTED", "ROLLOUT", "MESSAGE"}

func instanceTable(instances []Instance, look Look) *output.Table {
	table := &output.Table{Header: instanceHeader}
	for _, i := range instances {
		table.Add(instanceCells(i, look)...)
	}
	return table
}

func instanceCells(i Instance, look Look) []any {
	worst, since := "", ""
	if c := i.Worst(); c != nil {
		worst, since = c.Standing(), ago(c.Since, look.Now)
	}
	message := i.Message
	if i.Rollout != nil && i.Rollout.Phase != string(kronvoyv1alpha1.RolloutSucceeded) {
		message = cmp.Or(i.Rollout.Message, message)
	}
	return []any{
		i.Namespace, i.Reference(), state(i.State), fmt.Sprintf("%d/%d", i.Ready, i.Placed), state(worst), since,
		count(i.Drifted, output.Warn), i.rollout(), clip(message, look.Wide),
	}
}

func (i Instance) rollout() output.Cell {
	if i.Rollout == nil {
		return output.Cell{}
	}
	cell := state(i.Rollout.Phase)
	if i.Rollout.Group != "" && i.Rollout.Phase != string(kronvoyv1alpha1.RolloutSucceeded) {
		cell.Text += " in " + i.Rollout.Group
	}
	return cell
}

// troubleTable has what is out of line on clusters.
func troubleTable(instances []Instance, look Look) *output.Table {
	type place struct {
		instance *Instance
		cluster  *Cluster
	}
	var places []place
	for n := range instances {
		for m := range instances[n].Clusters {
			if c := &instances[n].Clusters[m]; c.OutOfLine() {
				places = append(places, place{&instances[n], c})
			}
		}
	}
	slices.SortStableFunc(places, func(a, b place) int { return a.cluster.compare(*b.cluster) })
	table := &output.Table{Header: []string{"CLUSTER", "REGION", "INSTANCE", "STATE", "SINCE", "WHY"}}
	for n := range instances {
		table.Omit(instances[n].unnamed())
	}
	for _, p := range places {
		name := p.instance.Reference()
		if p.instance.Namespace != "" {
			name = p.instance.Namespace + "/" + name
		}
		table.Add(p.cluster.Name, p.cluster.Region, name, state(p.cluster.Standing()), ago(p.cluster.Since, look.Now), clip(p.cluster.Why(), look.Wide))
	}
	return table
}

// WriteInstance shows one instance with a line for each cluster, and one for each
// node that is not ready or not healthy. Scalars of the author's status become
// columns.
func WriteInstance(w io.Writer, i Instance, look Look) error {
	lines := hubLines(i.Hub, look)
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintf(w, "%s in namespace %s: %s, %d of %d clusters ready\n", i.Reference(), cmp.Or(i.Namespace, "-"), look.Text(tone(i.State), i.State), i.Ready, i.Placed)
	above := len(lines) + 1
	if i.Message != "" {
		fmt.Fprintln(w, output.Clip(i.Message, cmp.Or(look.Width, 1000)))
		above++
	}
	if i.Rollout != nil {
		fmt.Fprintln(w, output.Clip(fmt.Sprintf("rollout %s: %s %s", i.Rollout.Name, i.rollout().Text, i.Rollout.Message), cmp.Or(look.Width, 1000)))
		above++
	}
	clusters := slices.Clone(i.Clusters)
	if look.Height > 0 {
		slices.SortStableFunc(clusters, Cluster.compare)
	}
	table := clusterTable(clusters, look)
	nodes := nodeTable(clusters, look)
	if look.Height > 0 {
		room := max(look.Height-above-5, 6)
		shown := min(len(table.Rows), max(room-len(nodes.Rows), room/2))
		table.Limit(shown)
		nodes.Limit(room - shown)
	}
	if err := table.Write(w, look.Style); err != nil || len(nodes.Rows) == 0 {
		return err
	}
	fmt.Fprintln(w)
	return nodes.Write(w, look.Style)
}

func clusterTable(clusters []Cluster, look Look) *output.Table {
	columns := valueColumns(clusters)
	grouped := slices.ContainsFunc(clusters, func(c Cluster) bool { return c.Group != "" })
	header := []string{"CLUSTER", "REGION"}
	if grouped {
		header = append(header, "GROUP")
	}
	header = append(header, "REVISION", "STATE", "SINCE", "READY")
	for _, column := range columns {
		header = append(header, strings.ToUpper(column))
	}
	table := &output.Table{Header: append(header, "WHY")}
	for _, c := range clusters {
		cells := []any{c.Name, c.Region}
		if grouped {
			cells = append(cells, c.Group)
		}
		cells = append(cells, shortRevision(c.Revision, look.Wide), state(c.Standing()), ago(c.Since, look.Now), c.Ready)
		for _, column := range columns {
			cells = append(cells, cell(c.Values[column]))
		}
		why := c.Why()
		if why == "" && look.Wide {
			why = c.Drift
		}
		table.Add(append(cells, clip(why, look.Wide))...)
	}
	return table
}

func nodeTable(clusters []Cluster, look Look) *output.Table {
	table := &output.Table{Header: []string{"CLUSTER", "NODE", "STATE", "HEALTH", "WAITS FOR"}}
	for _, c := range clusters {
		for _, n := range c.Nodes {
			table.Add(c.Name, n.ID, state(n.State), n.Health, clip(cmp.Or(n.Message, strings.Join(n.WaitsFor, ", ")), look.Wide))
		}
	}
	return table
}

// ago is how long ago a time is that is written as in RFC 3339.
func ago(since string, now time.Time) string {
	t, err := time.Parse(time.RFC3339, since)
	if err != nil || t.IsZero() || now.IsZero() {
		return ""
	}
	return duration.HumanDuration(now.Sub(t))
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
		return ""
	}
	return output.Clip(fmt.Sprint(value), 40)
}

func clip(text string, wide bool) string {
	if wide {
		return plain.Line(text)
	}
	return output.Clip(text, maxMessage)
}
