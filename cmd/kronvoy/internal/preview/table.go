package preview

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kronvoy/kronvoy/internal/plain"
)

const (
	// maxNamed is how many clusters a line names.
	maxNamed = 5
	// maxValues is how many different values of a field are shown.
	maxValues = 3
	// maxText is how long a value may be.
	maxText = 100
)

// Write prints a summary and what happens. Clusters for which the same happens
// are told of together, also where the values of fields differ; wide tells of each
// cluster alone.
func (r *Result) Write(w io.Writer, wide bool) error {
	fmt.Fprintln(w, r.Summary.String())
	for _, d := range r.Definitions {
		if len(d.Issues) == 0 {
			continue
		}
		fmt.Fprintf(w, "\nResourceGraphDefinition %s would not be served; what is served stays:\n", d.Name)
		for _, issue := range d.Issues {
			fmt.Fprintf(w, "  ! %s\n", indented(issue))
		}
	}
	for i := range r.Instances {
		r.Instances[i].write(w, wide)
	}
	for i := range r.Rollouts {
		r.Rollouts[i].write(w, wide)
	}
	return nil
}

// String is the summary in a sentence.
func (s Summary) String() string {
	var parts []string
	add := func(n int, one, many string) {
		if n > 0 {
			parts = append(parts, counted(n, one, many))
		}
	}
	add(s.Created, "created", "created")
	add(s.Changed, "changed", "changed")
	add(s.Deleted, "deleted", "deleted")
	add(s.Orphaned, "orphaned", "orphaned")
	text := counted(s.Clusters, "cluster", "clusters") + ", " + counted(s.Resources, "resource", "resources")
	if s.Clusters == 0 {
		text = "Nothing changes"
	}
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	parts = nil
	add(s.Joins, "joins", "join")
	leaves := counted(s.Leaves, "leaves", "leave")
	if s.Held > 0 {
		leaves += fmt.Sprintf(" (%d held)", s.Held)
	}
	if s.Leaves > 0 {
		parts = append(parts, leaves)
	}
	add(s.Blocked, "is blocked", "are blocked")
	add(s.Issues, "issue", "issues")
	if len(parts) > 0 {
		text += "; " + strings.Join(parts, ", ")
	}
	return text + "."
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (i *Instance) write(w io.Writer, wide bool) {
	title := i.Kind + " " + i.Name
	if i.Namespace != "" {
		title = i.Kind + " " + i.Namespace + "/" + i.Name
	}
	var notes []string
	if i.Distribution != "" {
		notes = append(notes, "Distribution "+i.Distribution)
	}
	if i.PlacedBy != "" && i.PlacedBy != "Distribution "+i.Distribution {
		notes = append(notes, "placed by "+i.PlacedBy)
	}
	if len(notes) > 0 {
		title += " (" + strings.Join(notes, ", ") + ")"
	}
	fmt.Fprintf(w, "\n%s\n", title)
	if i.Message != "" {
		fmt.Fprintf(w, "  %s\n", indented(i.Message))
	}
	for _, issue := range i.Issues {
		fmt.Fprintf(w, "  ! %s\n", indented(issue))
	}
	for _, g := range grouped(i.Clusters, wide) {
		g.write(w, wide)
	}
}

// group of clusters for which the same happens, but for values.
type group []Cluster

// grouped puts clusters together, the most common first.
func grouped(clusters []Cluster, apart bool) []group {
	var order []string
	by := map[string]group{}
	for _, c := range clusters {
		key := c.Name
		if !apart {
			key = c.shape()
		}
		if by[key] == nil {
			order = append(order, key)
		}
		by[key] = append(by[key], c)
	}
	if !apart {
		slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(len(by[b]), len(by[a])) })
	}
	groups := make([]group, 0, len(order))
	for _, key := range order {
		groups = append(groups, by[key])
	}
	return groups
}

// shape is all that is said of a cluster but its name and the values of fields.
func (c *Cluster) shape() string {
	var b strings.Builder
	part := func(texts ...string) {
		for _, text := range texts {
			fmt.Fprintf(&b, "%q,", text)
		}
		b.WriteByte('\n')
	}
	part(c.Change, c.Reason, c.Message, fmt.Sprint(c.Held), c.Blocked)
	for _, f := range c.Settings {
		part(f.Path)
	}
	for _, r := range c.Resources {
		part(r.heading(), fmt.Sprint(r.After))
		for _, f := range r.Fields {
			part(f.Path, fmt.Sprint(f.Old == nil, f.New == nil))
		}
	}
	for _, wait := range c.Waits {
		part(wait.Node, fmt.Sprint(wait.For))
	}
	for _, failure := range c.Failures {
		part(failure.Node, failure.Message)
	}
	return b.String()
}

func (g group) write(w io.Writer, wide bool) {
	first := g[0]
	fmt.Fprintf(w, "  %s\n", first.title(g.names(wide)))
	if first.Blocked != "" {
		fmt.Fprintf(w, "    ! %s\n", indented(first.Blocked))
	}
	for i := range first.Settings {
		g.writeField(w, "    ", func(c *Cluster) Field { return c.Settings[i] }, wide)
	}
	for i, r := range first.Resources {
		heading := r.heading()
		if len(r.After) > 0 {
			heading += ", after " + strings.Join(r.After, ", ")
		}
		fmt.Fprintf(w, "    %s\n", plain.Line(heading))
		for k := range r.Fields {
			g.writeField(w, "        ", func(c *Cluster) Field { return c.Resources[i].Fields[k] }, wide)
		}
	}
	for _, wait := range first.Waits {
		fmt.Fprintf(w, "    … %s waits for %s\n", wait.Node, plain.Line(strings.Join(wait.For, ", ")))
	}
	for _, failure := range first.Failures {
		fmt.Fprintf(w, "    ! %s: %s\n", failure.Node, indented(failure.Message))
	}
}

// names of the group's clusters, or how many there are.
func (g group) names(all bool) string {
	names := make([]string, 0, len(g))
	for _, c := range g {
		names = append(names, c.Name)
	}
	if len(names) == 1 {
		return names[0]
	}
	if !all && len(names) > maxNamed {
		return fmt.Sprintf("%d clusters (%s and %d more)", len(names), strings.Join(names[:maxNamed-2], ", "), len(names)-maxNamed+2)
	}
	return strings.Join(names, ", ")
}

func (c *Cluster) title(names string) string {
	title := "on " + names
	switch {
	case c.Change == Joins:
		title = "joins " + names
	case c.Change == Leaves && c.Held:
		title = "is to leave " + names + ", held"
	case c.Change == Leaves:
		title = "leaves " + names
	}
	why := c.Reason
	if c.Message != "" {
		if why != "" {
			why += ": "
		}
		why += plain.Line(c.Message)
	}
	if why != "" {
		title += " (" + why + ")"
	}
	return title
}

// writeField prints a field with its values: those of most clusters first.
func (g group) writeField(w io.Writer, indent string, of func(*Cluster) Field, all bool) {
	var order []string
	clusters := map[string][]string{}
	for i := range g {
		f := of(&g[i])
		text := short(f.Old.Text()) + " -> " + short(f.New.Text())
		if clusters[text] == nil {
			order = append(order, text)
		}
		clusters[text] = append(clusters[text], g[i].Name)
	}
	path := plain.Line(of(&g[0]).Path)
	if len(order) == 1 {
		fmt.Fprintf(w, "%s%s: %s\n", indent, path, order[0])
		return
	}
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(len(clusters[b]), len(clusters[a])) })
	fmt.Fprintf(w, "%s%s:\n", indent, path)
	for i, text := range order {
		if i == maxValues && !all && len(order) > maxValues+1 {
			fmt.Fprintf(w, "%s  and %d other values; -o wide shows each cluster\n", indent, len(order)-maxValues)
			return
		}
		where := clusters[text][0]
		if n := len(clusters[text]); n > 1 {
			where = fmt.Sprintf("%d clusters", n)
		}
		fmt.Fprintf(w, "%s  %s (%s)\n", indent, text, where)
	}
}

// heading says what happens to which object.
func (r *Resource) heading() string {
	sign := map[string]string{Created: "+", Changed: "~", Deleted: "-", Orphaned: "o"}[r.Action]
	name := r.Name
	if r.Namespace != "" {
		name = r.Namespace + "/" + name
	}
	text := fmt.Sprintf("%s %s %s", sign, r.Kind, name)
	switch {
	case r.OnHub:
		text += " on the hub"
	case r.Action == Orphaned:
		text += " stays, and belongs to nobody"
	}
	return text
}

func short(text string) string { return plain.Cut(plain.Line(text), maxText) }

// indented keeps the lines of a message, such as a place in an expression.
func indented(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := range lines {
		lines[i] = plain.Line(lines[i])
	}
	return strings.Join(lines, "\n      ")
}
