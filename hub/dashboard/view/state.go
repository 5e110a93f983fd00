// Package view makes what the dashboard's pages show out of API objects. It is
// pure: objects and the time go in, models of pages come out.
package view

import (
	"slices"
	"time"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// State is what a tile, a row or a strip shows of a cluster, an instance or a
// node: never by colour alone, but with a glyph and a word.
type State string

// The states, the worst first.
const (
	Failed      State = "failed"
	Unreachable State = "unreachable"
	Drifted     State = "drifted"
	Held        State = "held"
	Pending     State = "pending"
	Progressing State = "progressing"
	Joining     State = "joining"
	Ready       State = "ready"
	Idle        State = "idle"
	Unknown     State = "unknown"
)

// States in the order in which the worst of several counts.
var States = []State{Failed, Unreachable, Drifted, Held, Pending, Progressing, Joining, Ready, Idle, Unknown}

var looks = map[State]struct{ glyph, word string }{
	Failed:      {"✕", "failed"},
	Unreachable: {"⌁", "unreachable"},
	Drifted:     {"≠", "drifted"},
	Held:        {"‖", "held"},
	Pending:     {"…", "pending"},
	Progressing: {"↻", "progressing"},
	Joining:     {"+", "joining"},
	Ready:       {"✓", "ready"},
	Idle:        {"○", "without instances"},
	Unknown:     {"?", "not known"},
}

// Glyph tells states apart without colour.
func (s State) Glyph() string { return looks[s].glyph }

// Word is the state as people say it.
func (s State) Word() string { return looks[s].word }

// rank is a state's place among States; what is none of them counts as unknown.
func (s State) rank() int {
	if i := slices.Index(States, s); i >= 0 {
		return i
	}
	return len(States)
}

// worst of two states.
func worst(a, b State) State {
	if b.rank() < a.rank() {
		return b
	}
	return a
}

// ofTarget is the state of an instance on a cluster.
func ofTarget(t *kronvoyv1alpha1.Target) State {
	switch t.Status.State {
	case kronvoyv1alpha1.TargetFailed:
		return Failed
	case kronvoyv1alpha1.TargetUnreachable:
		return Unreachable
	case kronvoyv1alpha1.TargetReady:
		if t.Status.Drift.Objects > 0 {
			return Drifted
		}
		return Ready
	case kronvoyv1alpha1.TargetProgressing, kronvoyv1alpha1.TargetDeleting:
		if t.Status.Drift.Objects > 0 {
			return Drifted
		}
		return Progressing
	}
	return Pending
}

// sinceOf is since when an instance on a cluster is in the state that ofTarget
// gives, by the hub's clock.
func sinceOf(t *kronvoyv1alpha1.Target) time.Time {
	since := t.Status.Clocks.StateSince
	if drifted := t.Status.Clocks.DriftSince; drifted != nil && ofTarget(t) == Drifted {
		since = drifted
	}
	if since == nil {
		return time.Time{}
	}
	return since.Time
}

// OfNode is the state of a node of a graph on a cluster, from the engine's word
// for it.
func OfNode(word string) State {
	switch word {
	case "Failed":
		return Failed
	case "Held":
		return Held
	case "Pending":
		return Pending
	case "Progressing", kronvoyv1alpha1.NodeDeleting:
		return Progressing
	case "Ready":
		return Ready
	case "Excluded":
		return Idle
	}
	return Unknown
}
