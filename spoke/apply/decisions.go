package apply

import (
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/drift"
)

// asked are the differences that somebody wants put right whatever the policy
// says of them.
type asked struct {
	// missing is the whole object, all every field of it.
	missing, all bool
	// paths are single fields, and what is below them.
	paths []string
}

// asks says whether a field is to be put right; for the empty path, whether the
// object is to be made again.
func (a asked) asks(path fieldpath.Path) bool {
	if len(path) == 0 {
		return a.missing
	}
	return a.all || below(path, a.paths)
}

// below says whether a field is at or below one of those that findings named. They
// are compared as findings write them: what a pattern cannot say counts, too.
func below(path fieldpath.Path, named []string) bool {
	if len(named) == 0 {
		return false
	}
	text := drift.PathString(path)
	return slices.ContainsFunc(named, func(name string) bool {
		rest, found := strings.CutPrefix(text, name)
		return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// decided brings what people decided about drift of an object into force. It
// keeps no state of its own: a finding that is put right ends, and with it what
// was asked.
func (st *objectState) decided(item *Item) {
	item.asked = asked{}
	decisions := strings.Join(item.Policy.Accepted, "\x00") + "\x01" + strings.Join(item.Policy.Correct, "\x00")
	if decisions == "\x01" {
		decisions = ""
	}
	if st.decisions != decisions {
		// What was judged, or failed, under other decisions is judged anew.
		st.decisions, st.equalAt, st.seen, st.lookAfter, st.failure = decisions, "", "", time.Time{}, nil
	}
	for action, finding := range st.findings {
		if len(item.Policy.Accepted) > 0 && acceptedAll(item.Policy.Accepted, finding) {
			// What was corrected before it was accepted is no news any more.
			delete(st.findings, action)
			continue
		}
		if open(action) && slices.Contains(item.Policy.Correct, finding.ID) {
			item.asked.missing = item.asked.missing || finding.Missing
			item.asked.all = item.asked.all || int(finding.DetailCount) > len(finding.Details)
			item.asked.paths = append(item.asked.paths, paths(finding)...)
		}
	}
}

// acceptedAll says whether every field of a finding was accepted.
func acceptedAll(accepted []string, finding *kronvoyv1alpha1.Finding) bool {
	return len(finding.Details) > 0 && int(finding.DetailCount) == len(finding.Details) &&
		!slices.ContainsFunc(finding.Details, func(d kronvoyv1alpha1.FindingDetail) bool { return !slices.Contains(accepted, d.Path) })
}
