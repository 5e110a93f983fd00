package tree

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/internal/plain"
)

// line is one of a tree, with what is below it.
type line struct {
	text  string
	tone  output.Tone
	below []line
}

// Write prints the tree. Ages are as of now.
func (t *Tree) Write(w io.Writer, now time.Time, style output.Style) error {
	var text strings.Builder
	root := t.line(now)
	write(&text, root, "", "", style)
	_, err := io.WriteString(w, text.String())
	return err
}

func write(w *strings.Builder, l line, first, rest string, style output.Style) {
	text := first + plain.Line(l.text)
	if style.Width > 0 {
		const least = 40
		text = clip(text, max(style.Width, least))
	}
	w.WriteString(style.Text(l.tone, text) + "\n")
	for i, below := range l.below {
		if i == len(l.below)-1 {
			write(w, below, rest+"└─ ", rest+"   ", style)
			continue
		}
		write(w, below, rest+"├─ ", rest+"│  ", style)
	}
}

func clip(text string, width int) string {
	if runes := []rune(text); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return text
}

func (t *Tree) line(now time.Time) line {
	l := line{text: join(t.title(), t.State, counts(t.States), older("age", age(now, t.Created)), t.Message), tone: output.Strong}
	if len(t.Revisions) > 0 {
		revisions := line{text: "revisions"}
		for _, r := range t.Revisions {
			notes := []string{fmt.Sprintf("#%d %s", r.Number, suffix(r.Name))}
			if r.Newest {
				notes = append(notes, "newest")
			}
			if r.Good {
				notes = append(notes, "good")
			}
			notes = append(notes, fmt.Sprintf("for %d of %d clusters", r.Clusters, t.Total), older("age", age(now, r.Created)))
			revisions.below = append(revisions.below, line{text: join(notes...)})
		}
		l.below = append(l.below, revisions)
	}
	if r := t.Rollout; r != nil {
		at := ""
		if r.Group != "" {
			at = "at group " + r.Group
		}
		l.below = append(l.below, line{text: "rollout " + join(r.Name, r.Phase, at, r.Message)})
	}
	for i := range t.Clusters {
		l.below = append(l.below, t.Clusters[i].line(now))
	}
	if omitted := counts(t.Omitted); omitted != "" {
		l.below = append(l.below, line{text: "and on others: " + omitted + "; --all shows them", tone: output.Quiet})
	}
	return l
}

func (c *Cluster) line(now time.Time) line {
	has := "revision " + suffix(c.Revision)
	switch {
	case c.Revision == "":
		has = "no revision yet"
	case c.Wanted != c.Revision:
		has += ", wanted " + suffix(c.Wanted)
	}
	health, leaving := "", ""
	if c.Health != string(kronvoyv1alpha1.Healthy) && c.Health != "" {
		health = "health " + c.Health
	}
	if c.Leaving {
		leaving = "leaves"
	}
	l := line{text: join("cluster "+c.Name, c.State, health, has, drift(int(c.Drift)), leaving, older("since", age(now, c.Since)), c.Message), tone: tone(c.State, c.Health)}
	wave := -1
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if n.Wave != wave {
			wave = n.Wave
			l.below = append(l.below, line{text: fmt.Sprintf("wave %d", wave), tone: output.Quiet})
		}
		into := &l.below[len(l.below)-1]
		into.below = append(into.below, n.line(now))
	}
	return l
}

func (n *Node) line(now time.Time) line {
	health, waits := "", ""
	if n.Health != string(kronvoyv1alpha1.Healthy) && n.Health != "" {
		health = "health " + n.Health
	}
	if len(n.WaitsFor) > 0 {
		waits = "waits for " + strings.Join(n.WaitsFor, ", ")
	}
	l := line{text: join(n.ID, n.State, health, waits, n.Message)}
	for _, o := range n.Objects {
		l.below = append(l.below, o.line(now))
	}
	for i := range n.Instances {
		below := n.Instances[i].line(now)
		below.text += " (on the hub)"
		l.below = append(l.below, below)
	}
	return l
}

func (o *Object) line(now time.Time) line {
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	state, who := cmp.Or(o.State, "not reported yet"), ""
	if o.ReadOnly {
		state += ", read only"
	}
	if len(o.Changed) > 0 {
		who = "changed by " + strings.Join(o.Changed, ", ")
	}
	l := line{text: join(o.Kind+" "+name, state, drift(o.Drift), who, older("since", age(now, o.Since)), "in work "+o.Work, o.Message)}
	if strings.HasPrefix(o.State, "Not") {
		l.tone = output.Bad
	}
	return l
}

// tone of a state, which is a word, too.
func tone(state, health string) output.Tone {
	switch {
	case state == string(kronvoyv1alpha1.TargetFailed) || health == string(kronvoyv1alpha1.HealthFailed):
		return output.Bad
	case state == string(kronvoyv1alpha1.TargetReady):
		return output.Good
	}
	return output.Warn
}

// counts of states, the most common first.
func counts(states map[string]int) string {
	names := slices.SortedFunc(maps.Keys(states), func(a, b string) int {
		return cmp.Or(cmp.Compare(states[b], states[a]), cmp.Compare(a, b))
	})
	parts := make([]string, 0, len(names))
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%d %s", states[name], name))
	}
	return strings.Join(parts, ", ")
}

func drift(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("drift %d", n)
}

func older(word, age string) string {
	if age == "" {
		return ""
	}
	return word + " " + age
}

// suffix is the part of a revision's name that tells it from others.
func suffix(revision string) string { return revision[strings.LastIndexByte(revision, '-')+1:] }

func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "  ")
}

func human(d time.Duration) string { return duration.HumanDuration(d) }
