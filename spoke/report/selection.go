package report

import (
	"cmp"
	"fmt"
	"slices"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/apply"
	"github.com/kronvoy/kronvoy/spoke/live"
)

const (
	// maxItems is how many objects a selection may find, as many as a forEach
	// may render; maxFields is how many fields of each are reported.
	maxItems  = 1000
	maxFields = 200
	// itemOverhead is about what an item without values takes.
	itemOverhead = 64
)

// addSelection adds what a selection finds. A list is reported as a whole or
// not at all: the hub takes what is not in it for something that is not there.
func (obs *Observation) addSelection(found *apply.Selected, size *int) {
	selection := found.Selection
	report := kronvoyv1alpha1.SelectionReport{Node: selection.Node, Hash: selection.Hash}
	switch {
	case found.Problem != "":
		report.Message = truncate(found.Problem, maxMessage)
	case !found.Complete:
		if obs.Unlisted == nil {
			obs.Unlisted = map[string]bool{}
		}
		obs.Unlisted[selection.Node] = true
		return
	default:
		items, bytes, problem := items(found.Objects, maxReported-*size)
		if problem != "" {
			report.Message = truncate(problem, maxMessage)
			break
		}
		report.Listed, report.Items = true, items
		*size += bytes
	}
	obs.Report.Selections = append(obs.Report.Selections, report)
}

// items writes the objects of a list, if they fit.
func items(objects []*live.Selected, room int) (items []kronvoyv1alpha1.SelectedObject, size int, problem string) {
	if len(objects) > maxItems {
		return nil, 0, fmt.Sprintf("the selector matches %d objects, and at most %d are reported: select fewer", len(objects), maxItems)
	}
	for _, obj := range objects {
		switch {
		case obj.Problem != "":
			return nil, 0, fmt.Sprintf("%s/%s: %s", obj.Namespace, obj.Name, obj.Problem)
		case len(obj.Fields) > maxFields:
			return nil, 0, fmt.Sprintf("%d fields of an object are asked for, and at most %d are reported", len(obj.Fields), maxFields)
		}
		item := kronvoyv1alpha1.SelectedObject{Namespace: obj.Namespace, Name: obj.Name}
		size += itemOverhead + len(obj.Namespace) + len(obj.Name)
		for _, field := range obj.Fields {
			size += len(field.Path) + len(field.JSON)
			item.Values = append(item.Values, kronvoyv1alpha1.SelectedValue{Path: field.Path, Value: string(field.JSON)})
		}
		if size > room {
			return nil, 0, fmt.Sprintf("what is read of the %d objects that match is more than the %d KiB of a report: select fewer, or read less of each",
				len(objects), maxReported>>10)
		}
		items = append(items, item)
	}
	return items, size, ""
}

// keepUnlisted gives the selections to report: of those without a first list
// what the hub was told before, by an earlier process or of an earlier selector.
func keepUnlisted(obs *Observation, before []kronvoyv1alpha1.SelectionReport) []kronvoyv1alpha1.SelectionReport {
	kept := slices.Clone(obs.Report.Selections)
	for _, old := range before {
		if obs.Unlisted[old.Node] {
			kept = append(kept, old)
		}
	}
	slices.SortStableFunc(kept, func(a, b kronvoyv1alpha1.SelectionReport) int { return cmp.Compare(a.Node, b.Node) })
	return kept
}
