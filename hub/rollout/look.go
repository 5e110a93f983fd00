package rollout

import (
	"context"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// Look is what the hub would do next about a unit that rolls.
type Look struct {
	// Name of the Rollout, in Namespace, and what is stored of it: nil where the hub
	// has not made it yet.
	Namespace, Name string
	Rollout         *kronvoyv1alpha1.Rollout
	// Distribution whose strategy it is.
	Distribution *kronvoyv1alpha1.Distribution
	// Input is what the plan follows from, and Step the plan.
	Input rollout.Input
	Step  rollout.Step
	// ApprovalRequest is the name of the question that the Step puts; empty for none.
	ApprovalRequest string
}

// Look plans what Mover would carry out, and writes nothing. It is nil for a unit
// without a strategy that can be used.
func (g *Gatherer) Look(ctx context.Context, u Unit) (*Look, error) {
	s, wait, err := g.gather(ctx, u)
	if err != nil || wait > 0 || s == nil || !s.rolls() || len(s.members) == 0 {
		return nil, err
	}
	how, err := convert.Strategy(s.owner.Spec.Rollout)
	if err != nil || g.Placer.unusable(s.owner) != nil {
		// The Distribution's condition Accepted says so.
		return nil, nil //nolint:nilerr // it is no error of a plan
	}
	adopted, err := s.adopt(how)
	if err != nil {
		return nil, err
	}
	for _, c := range adopted {
		*c.from = *c.to
	}
	known, ordered := rollout.Record{}, orders{paused: s.paused}
	if s.rollout != nil {
		known, ordered = record(&s.rollout.Status), s.orders()
		if s.unnoted() {
			ordered.retry = s.now
		}
	}
	l := &Look{Namespace: s.asks.namespace, Name: s.name, Rollout: s.rollout, Distribution: s.owner}
	l.Input = s.input(how, s.owner.Spec.Rollout.Gate, known, ordered)
	l.plan()
	l.ApprovalRequest = s.asks.name(l.Step.Question)
	return l, nil
}

// plan goes on as if what a Step decides was stored at once, up to the one that
// moves something.
func (l *Look) plan() {
	const enough = 10 // it is stored in two steps, or three
	for range enough {
		l.Step = rollout.Next(l.Input)
		if l.Step.Record == l.Input.Record && len(l.Step.Instances) == 0 {
			return
		}
		l.Input.Record = l.Step.Record
		for _, r := range l.Step.Instances {
			for i := range l.Input.Instances {
				if l.Input.Instances[i].Name == r.Instance {
					l.Input.Instances[i].History = r.History
				}
			}
		}
	}
}
