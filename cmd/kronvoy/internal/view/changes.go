package view

import (
	"fmt"

	"github.com/kronvoy/kronvoy/internal/plain"
)

// Changes says in a line each what has become different, for those who keep a
// log.
func Changes(before, after []Instance) []string {
	var lines []string
	was := map[string]Instance{}
	for _, i := range before {
		was[i.full()] = i
	}
	for _, now := range after {
		old, known := was[now.full()]
		delete(was, now.full())
		if summary := now.summary(); !known {
			lines = append(lines, fmt.Sprintf("%s: new: %s", now.full(), summary))
		} else if summary != old.summary() {
			lines = append(lines, fmt.Sprintf("%s: %s", now.full(), summary))
		}
		lines = append(lines, now.changed(old)...)
	}
	for _, gone := range before {
		if _, left := was[gone.full()]; left {
			lines = append(lines, gone.full()+": gone")
		}
	}
	for n := range lines {
		lines[n] = plain.Line(lines[n])
	}
	return lines
}

func (i Instance) full() string {
	if i.Namespace == "" {
		return i.Reference()
	}
	return i.Namespace + "/" + i.Reference()
}

func (i Instance) summary() string {
	text := fmt.Sprintf("%s, %d of %d ready", i.State, i.Ready, i.Placed)
	if i.Drifted > 0 {
		text += fmt.Sprintf(", %d drifted", i.Drifted)
	}
	if i.Rollout != nil {
		text += ", rollout " + i.rollout().Text
	}
	if i.Message != "" {
		text += ": " + i.Message
	}
	return text
}

// changed are the clusters that are not what they were. Where the hub names the
// worst alone, one that is not named any more is as it should be, or less urgent.
func (i Instance) changed(old Instance) []string {
	was := map[string]Cluster{}
	for _, c := range old.Clusters {
		was[c.Name] = c
	}
	var lines []string
	for _, c := range i.Clusters {
		before, known := was[c.Name]
		if known && before.Standing() == c.Standing() && before.Why() == c.Why() || !known && !c.OutOfLine() {
			continue
		}
		line := fmt.Sprintf("%s on %s: %s", i.full(), c.Name, c.Standing())
		if why := c.Why(); why != "" {
			line += ": " + why
		}
		lines = append(lines, line)
	}
	return lines
}
