package work

import (
	"slices"
	"strings"

	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// decide brings what people decided about drift into the policies of manifests,
// also of those that stay as they were shipped.
//
// A decision to put right names its finding, and every open one that is about no
// other fields than the decision is: so an acceptance that is taken back is
// followed by what then turns out to differ.
func decide(manifests []manifest, decisions []kronvoyv1alpha1.DriftDecision, reports map[string]*kronvoyv1alpha1.WorkReport) {
	for i := range manifests {
		policy := &manifests[i].policy
		policy.Accepted, policy.Correct = nil, nil
		for _, d := range decisions {
			if !concerns(d, manifests[i].id) {
				continue
			}
			switch d.Verdict {
			case kronvoyv1alpha1.DriftAccept:
				policy.Accepted = append(policy.Accepted, d.Paths...)
			case kronvoyv1alpha1.DriftPutRight:
				policy.Correct = append(policy.Correct, d.ID)
				for _, report := range reports {
					policy.Correct = append(policy.Correct, covered(d, report)...)
				}
			}
		}
		slices.Sort(policy.Accepted)
		slices.Sort(policy.Correct)
		policy.Accepted, policy.Correct = slices.Compact(policy.Accepted), slices.Compact(policy.Correct)
	}
}

// Standing gives the decisions that still have to be kept. One ends when its
// object is in no work any more, neither as planned nor as it stands. One to put
// right ends when the agent has answered a work that carries it and reports
// nothing open that it covers: an older answer may not know of the difference
// yet. A verdict of a later release is kept.
func Standing(
	decisions []kronvoyv1alpha1.DriftDecision, planned, works []*workv1.ManifestWork, reports map[string]*kronvoyv1alpha1.WorkReport,
) ([]kronvoyv1alpha1.DriftDecision, error) {
	if len(decisions) == 0 {
		return nil, nil
	}
	present := map[workv1.ResourceIdentifier]bool{}
	done := map[string]bool{}
	for _, w := range slices.Concat(planned, works) {
		for _, config := range w.Spec.ManifestConfigs {
			present[config.ResourceIdentifier] = true
		}
	}
	for _, w := range works {
		report := reports[w.Name]
		if report == nil || report.Status.ObservedHash != w.Annotations[kronvoyv1alpha1.AnnotationHash] {
			continue
		}
		manifests, _, err := takeApart(w)
		if err != nil {
			return nil, err
		}
		for _, m := range manifests {
			for _, d := range decisions {
				if concerns(d, m.id) && slices.Contains(m.policy.Correct, d.ID) && len(covered(d, report)) == 0 {
					done[d.ID] = true
				}
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(decisions), func(d kronvoyv1alpha1.DriftDecision) bool {
		return !present[identifier(d)] || d.Verdict == kronvoyv1alpha1.DriftPutRight && done[d.ID]
	}), nil
}

func identifier(d kronvoyv1alpha1.DriftDecision) workv1.ResourceIdentifier {
	return workv1.ResourceIdentifier{Group: d.Group, Resource: d.Resource, Namespace: d.Namespace, Name: d.Name}
}

func concerns(d kronvoyv1alpha1.DriftDecision, id workv1.ResourceIdentifier) bool {
	return identifier(d) == id
}

// covered gives the IDs of the open findings in a report that a decision is
// about.
func covered(d kronvoyv1alpha1.DriftDecision, report *kronvoyv1alpha1.WorkReport) []string {
	var ids []string
	for i := range report.Status.Findings {
		f := &report.Status.Findings[i]
		open := f.Action == kronvoyv1alpha1.FindingReported || f.Action == kronvoyv1alpha1.FindingConflict
		id := workv1.ResourceIdentifier{Group: f.Group, Resource: f.Resource, Namespace: f.Namespace, Name: f.Name}
		if open && f.ID != "" && concerns(d, id) && (f.ID == d.ID || within(f, d.Paths)) {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

// within says whether a finding is about some fields alone, or about what is
// below them.
func within(f *kronvoyv1alpha1.Finding, paths []string) bool {
	if f.Missing || len(f.Details) == 0 || int(f.DetailCount) > len(f.Details) {
		return false
	}
	for _, detail := range f.Details {
		if !slices.ContainsFunc(paths, func(path string) bool { return atOrBelow(detail.Path, path) }) {
			return false
		}
	}
	return true
}

// atOrBelow compares paths as findings write them.
func atOrBelow(path, parent string) bool {
	rest, found := strings.CutPrefix(path, parent)
	return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
