// Package status summarises what is known of an instance on all its clusters
// into the instance's status. It is pure: the time is given.
package status

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

const (
	// maxRows is how many clusters status.fleet names; the rest are in Targets.
	maxRows = 50
	// maxRowValues is how many bytes of the author's values a row may hold.
	maxRowValues = 1 << 10
	maxMessage   = 1024
)

// Input is all that Summarize depends on.
type Input struct {
	Generation int64
	// Deleting is true when the instance is on its way out.
	Deleting bool
	// Revision is the newest one; clusters that have it are updated.
	Revision string
	// PlacedReason and PlacedMessage say where the instance runs, or why
	// nowhere; Placed is whether that is settled.
	Placed                      bool
	PlacedReason, PlacedMessage string
	Targets                     []kronvoyv1alpha1.Target
	// Regions of the clusters, by name.
	Regions map[string]string
	// FleetField is where the fleet's summary goes: fleet, or kronvoyFleet
	// where the author has a field of that name.
	FleetField string
	// GraphMessage says why the definition cannot be used; empty if it can.
	GraphMessage string
	// Previous is the status as it stands: conditions keep their times.
	Previous map[string]any
	Now      metav1.Time
}

// The states of an instance, kro's words.
const (
	Active     = "ACTIVE"
	InProgress = "IN_PROGRESS"
	Error      = "ERROR"
	Deleting   = "DELETING"
)

// counters over all Targets.
type counters struct {
	placed, updated, ready, progressing, failed, drifted, unreachable int64
}

// Summarize returns the whole status of an instance.
func Summarize(in Input) map[string]any {
	targets := slices.Clone(in.Targets)
	slices.SortFunc(targets, func(a, b kronvoyv1alpha1.Target) int { return cmp.Compare(a.Namespace, b.Namespace) })
	count := tally(targets, in.Revision)

	status, differing := authorValues(targets)
	conditions := summarizeConditions(in, targets, count, differing)
	status["state"] = state(in, count, conditions)
	status["conditions"] = keepTimes(conditions, in)
	status[cmp.Or(in.FleetField, "fleet")] = fleet(in, targets, count)
	return status
}

func tally(targets []kronvoyv1alpha1.Target, revision string) counters {
	c := counters{placed: int64(len(targets))}
	for i := range targets {
		t := &targets[i]
		updated := t.Status.Revision == revision && t.Status.ObservedGeneration == t.Generation
		if updated {
			c.updated++
		}
		switch {
		case t.Status.State == kronvoyv1alpha1.TargetReady && updated:
			c.ready++
		case t.Status.State == kronvoyv1alpha1.TargetFailed:
			c.failed++
		case t.Status.State == kronvoyv1alpha1.TargetUnreachable:
			c.unreachable++
		default:
			c.progressing++
		}
		if t.Status.Drift.Objects > 0 {
			c.drifted++
		}
	}
	return c
}

// authorValues are the author's status fields: one cluster's as they are,
// several clusters' where all that are ready agree. differing names the fields
// where they do not.
func authorValues(targets []kronvoyv1alpha1.Target) (values map[string]any, differing []string) {
	values = map[string]any{}
	if len(targets) == 1 {
		return valuesOf(&targets[0]), nil
	}
	disagree := map[string]bool{}
	first := true
	for i := range targets {
		if targets[i].Status.State != kronvoyv1alpha1.TargetReady {
			continue
		}
		theirs := valuesOf(&targets[i])
		for field, value := range theirs {
			if mine, known := values[field]; !known && first {
				values[field] = value
			} else if !known || !reflect.DeepEqual(mine, value) {
				disagree[field] = true
			}
		}
		for field := range values {
			if _, has := theirs[field]; !has {
				disagree[field] = true
			}
		}
		first = false
	}
	for field := range disagree {
		delete(values, field)
	}
	return values, slices.Sorted(maps.Keys(disagree))
}

func valuesOf(t *kronvoyv1alpha1.Target) map[string]any {
	values := map[string]any{}
	if t.Status.Values == nil {
		return values
	}
	// What the hub wrote itself decodes; anything else counts as nothing.
	if err := utiljson.Unmarshal(t.Status.Values.Raw, &values); err != nil || values == nil {
		return map[string]any{}
	}
	return values
}

func fleet(in Input, targets []kronvoyv1alpha1.Target, c counters) map[string]any {
	summary := map[string]any{
		"revision": in.Revision,
		"placed":   c.placed, "updated": c.updated, "ready": c.ready, "progressing": c.progressing,
		"failed": c.failed, "drifted": c.drifted, "unreachable": c.unreachable,
	}
	rows := targets
	if len(rows) > maxRows {
		slices.SortStableFunc(rows, func(a, b kronvoyv1alpha1.Target) int { return cmp.Compare(severity(b), severity(a)) })
		rows = rows[:maxRows]
	}
	clusters := make([]any, 0, len(rows))
	for i := range rows {
		clusters = append(clusters, row(&rows[i], in.Regions[rows[i].Namespace]))
	}
	summary["clusters"] = clusters
	return summary
}

// severity orders Targets from good to bad.
func severity(t kronvoyv1alpha1.Target) int {
	switch t.Status.State {
	case kronvoyv1alpha1.TargetFailed:
		return 4
	case kronvoyv1alpha1.TargetUnreachable:
		return 3
	case kronvoyv1alpha1.TargetReady:
		if t.Status.Drift.Objects > 0 {
			return 1
		}
		return 0
	default:
		return 2
	}
}

func row(t *kronvoyv1alpha1.Target, region string) map[string]any {
	ready := 0
	for _, node := range t.Status.Nodes {
		if node.State == "Ready" || node.State == "Excluded" {
			ready++
		}
	}
	r := map[string]any{
		"name":     t.Namespace,
		"state":    string(cmp.Or(t.Status.State, kronvoyv1alpha1.TargetPending)),
		"revision": t.Status.Revision,
		"ready":    fmt.Sprintf("%d/%d", ready, len(t.Status.Nodes)),
	}
	if region != "" {
		r["region"] = region
	}
	if t.Status.Message != "" {
		r["message"] = t.Status.Message
	}
	if since := t.Status.Clocks.StateSince; since != nil {
		r["since"] = since.UTC().Format("2006-01-02T15:04:05Z")
	}
	if t.Status.Drift.Last != "" {
		r["drift"] = t.Status.Drift.Last
	}
	if v := t.Status.Values; v != nil && len(v.Raw) <= maxRowValues {
		r["values"] = valuesOf(t)
	}
	return r
}

func state(in Input, c counters, conditions []metav1.Condition) string {
	switch {
	case in.Deleting:
		return Deleting
	case c.failed > 0 || in.GraphMessage != "":
		return Error
	case find(conditions, "Ready").Status == metav1.ConditionTrue:
		return Active
	default:
		return InProgress
	}
}

func find(conditions []metav1.Condition, kind string) metav1.Condition {
	for _, c := range conditions {
		if c.Type == kind {
			return c
		}
	}
	return metav1.Condition{}
}

// join names the first few of a list, so that text stays bounded.
func join(items []string, limit int) string {
	if len(items) > limit {
		return strings.Join(items[:limit], ", ") + fmt.Sprintf(" and %d more", len(items)-limit)
	}
	return strings.Join(items, ", ")
}

func shorten(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage-3], "") + "..."
}

// toMap turns a condition into unstructured content.
func toMap(c metav1.Condition) map[string]any {
	m := map[string]any{
		"type": c.Type, "status": string(c.Status), "reason": c.Reason, "message": c.Message,
		"observedGeneration": c.ObservedGeneration,
		"lastTransitionTime": c.LastTransitionTime.UTC().Format("2006-01-02T15:04:05Z"),
	}
	return m
}

// previousConditions reads the conditions of a status; what does not decode
// counts as absent.
func previousConditions(status map[string]any) map[string]metav1.Condition {
	raw, err := json.Marshal(status["conditions"])
	if err != nil {
		return nil
	}
	var list []metav1.Condition
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil
	}
	byType := make(map[string]metav1.Condition, len(list))
	for _, c := range list {
		byType[c.Type] = c
	}
	return byType
}
