package drift

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// lookAgain is how often a wait asks the hub.
const lookAgain = 500 * time.Millisecond

// Wait waits until agents report that decisions have had their effect, and tells
// of each. What does not come, by the time that the context ends, is an error
// that says what it waits for.
func Wait(ctx context.Context, c client.Client, changes []Change, tell func(Change) error) error {
	waiting := slices.Clone(changes)
	why := map[string]string{}
	var failures error
	for {
		left := waiting[:0]
		states := map[client.ObjectKey]*state{}
		for _, change := range waiting {
			if states[change.target] == nil && ctx.Err() == nil {
				states[change.target] = look(ctx, c, change)
			}
			if ctx.Err() != nil {
				left = append(left, change)
				continue
			}
			done, waits, err := states[change.target].judge(change.Decision)
			switch {
			case err != nil:
				failures = errors.Join(failures, err)
			case done:
				if err := tell(change); err != nil {
					return err
				}
			default:
				why[change.Decision.ID] = waits
				left = append(left, change)
			}
		}
		if waiting = left; len(waiting) == 0 {
			return failures
		}
		select {
		case <-ctx.Done():
			return errors.Join(failures, late(waiting, why))
		case <-time.After(lookAgain):
		}
	}
}

func late(waiting []Change, why map[string]string) error {
	var failures error
	for _, change := range waiting {
		waits := why[change.Decision.ID]
		if waits == "" {
			waits = "the hub was not asked yet"
		}
		failures = errors.Join(failures, fmt.Errorf("%s on cluster %s: %s", change.Decision.ID, change.Cluster, waits))
	}
	return failures
}

// state is what the hub knows of an instance on a cluster.
type state struct {
	// gone is set when the instance left the cluster, and its drift with it.
	gone      bool
	decisions []kronvoyv1alpha1.DriftDecision
	findings  []kronvoyv1alpha1.Finding
	obstacle  string
	err       error
}

// look reads the state that a change is about.
func look(ctx context.Context, c client.Client, change Change) *state {
	t := &kronvoyv1alpha1.Target{}
	err := c.Get(ctx, change.target, t)
	if apierrors.IsNotFound(err) {
		return &state{gone: true}
	}
	s := &state{obstacle: obstacle(t)}
	if err == nil {
		s.decisions, err = kronvoyv1alpha1.ParseDriftDecisions(t.Annotations)
	}
	if err != nil {
		s.err = fmt.Errorf("looking at %s on cluster %s: %w", change.Instance, change.Cluster, err)
		return s
	}
	err = pages(ctx, c, func() *kronvoyv1alpha1.WorkReportList { return &kronvoyv1alpha1.WorkReportList{} }, func(list *kronvoyv1alpha1.WorkReportList) {
		for i := range list.Items {
			s.findings = append(s.findings, list.Items[i].Status.Findings...)
		}
	}, client.InNamespace(t.Namespace), client.MatchingLabels{kronvoyv1alpha1.LabelInstance: t.Labels[kronvoyv1alpha1.LabelInstance]})
	if err != nil {
		s.err = explain("WorkReports", err)
	}
	return s
}

// judge says whether a decision has had its effect, or what it waits for.
func (s *state) judge(d kronvoyv1alpha1.DriftDecision) (done bool, waits string, err error) {
	if s.gone || s.err != nil {
		return s.gone, "", s.err
	}
	done, err = effect(d, s.decisions, s.findings)
	return done, s.obstacle, err
}

// effect says whether a decision has had its effect. It errs when it never will.
func effect(d kronvoyv1alpha1.DriftDecision, decisions []kronvoyv1alpha1.DriftDecision, findings []kronvoyv1alpha1.Finding) (bool, error) {
	stands := slices.ContainsFunc(decisions, func(other kronvoyv1alpha1.DriftDecision) bool { return other.ID == d.ID && other.Verdict == d.Verdict })
	if d.Verdict == kronvoyv1alpha1.DriftAccept {
		if !stands {
			return false, fmt.Errorf("%s: somebody took the decision back, or %s is shipped no more", d.ID, object(d.ObjectReference))
		}
		return !slices.ContainsFunc(findings, func(f kronvoyv1alpha1.Finding) bool { return f.ID == d.ID }), nil
	}
	if stands {
		return false, nil
	}
	for _, f := range findings {
		if isOpen(f) && sameObject(f.ObjectReference, d.ObjectReference) && (f.ID == d.ID || overlap(f, d.Paths)) {
			return false, fmt.Errorf("%s: %s still differs, or again: `kronvoy drift show %s` says how", d.ID, object(d.ObjectReference), f.ID)
		}
	}
	return true, nil
}

func overlap(f kronvoyv1alpha1.Finding, paths []string) bool {
	return slices.ContainsFunc(f.Details, func(d kronvoyv1alpha1.FindingDetail) bool { return slices.Contains(paths, d.Path) })
}

func isOpen(f kronvoyv1alpha1.Finding) bool {
	return f.Action == kronvoyv1alpha1.FindingReported || f.Action == kronvoyv1alpha1.FindingConflict
}

// obstacle says what most likely keeps an agent from its answer.
func obstacle(t *kronvoyv1alpha1.Target) string {
	switch {
	case t.Status.Suspended != "":
		return "nothing is written there: " + t.Status.Suspended
	case t.Status.State == kronvoyv1alpha1.TargetUnreachable || t.Status.State == kronvoyv1alpha1.TargetFailed:
		return strings.TrimSuffix(strings.ToLower(string(t.Status.State))+": "+t.Status.Message, ": ")
	}
	return "the agent has not answered yet"
}
