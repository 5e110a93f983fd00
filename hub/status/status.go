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
	"github.com/kronvoy/kronvoy/graph"
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
	// Deleting is true when the instance is on its way out, Suspended when it is
	// left as it is.
	Deleting, Suspended bool
	// AuthorConditions is true when the definition has conditions of its own.
	AuthorConditions bool
	// Revision is the newest one; clusters that have it are updated.
	Revision string
	// PlacedReason and PlacedMessage say where the instance runs, or why
	// nowhere; Placed is whether that is settled.
	Placed                      bool
	PlacedReason, PlacedMessage string
	// Shadowed says that the instance's label names a Placement that counts for
	// nothing; empty when it does not.
	Shadowed string
	Targets  []kronvoyv1alpha1.Target
	// Approvals are the questions about the instance that people are asked.
	Approvals []kronvoyv1alpha1.ApprovalRequest
	// Rollout in which the instance moves, its name first; nil for none.
	Rollout *kronvoyv1alpha1.Rollout
	// Regions of the clusters, by name, and their Labels and decision Groups, which
	// aggregates see.
	Regions map[string]string
	Labels  map[string]map[string]string
	Groups  map[string]string
	// Aggregates are expressions over all clusters; nil for none.
	Aggregates *graph.Aggregates
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
	placed, updated, ready, healthy, unhealthy, progressing, failed, drifted, unreachable int64
}

// Summarize returns the whole status of an instance.
func Summarize(in Input) map[string]any {
	targets := slices.Clone(in.Targets)
	slices.SortFunc(targets, func(a, b kronvoyv1alpha1.Target) int { return cmp.Compare(a.Namespace, b.Namespace) })
	count := tally(targets, in.Revision)

	over := aggregate(in, targets)
	status, differing := authorValues(targets, over.fields)
	conditions := ofInstance(summarizeConditions(in, targets, count, differing), in)
	issues := authorIssues(targets)
	status["state"] = state(in, targets, count, conditions, issues)
	summary := fleet(in, targets, count)
	if len(issues) > 0 {
		summary["issues"] = issues
	}
	over.tell(summary)
	if in.AuthorConditions {
		// The author's are the instance's, so the built-in ones stand here.
		summary["conditions"] = stamp(conditions, builtinIn(in.Previous, in.FleetField), in)
		status["conditions"] = authorConditions(in, targets, find(conditions, ResourcesReady))
	} else {
		before, _ := in.Previous["conditions"].([]any)
		status["conditions"] = stamp(conditions, before, in)
	}
	status[cmp.Or(in.FleetField, defaultFleetField)] = summary
	return status
}

// Where the fleet's summary is: in the second field where the author has one of
// the first name.
const (
	defaultFleetField = "fleet"
	otherFleetField   = "kronvoyFleet"
)

// FleetFieldIn finds the fleet's summary in a status: for an instance whose
// definition cannot be asked.
func FleetFieldIn(status map[string]any) string {
	if _, there := status[otherFleetField]; there {
		return otherFleetField
	}
	return defaultFleetField
}

// HadAuthorConditions says whether the conditions of a status are the author's:
// for an instance whose definition cannot be asked.
func HadAuthorConditions(status map[string]any, fleetField string) bool {
	return builtinIn(status, fleetField) != nil
}

// BuiltIn is a built-in condition of a status; the zero value when it is not there.
func BuiltIn(status map[string]any, fleetField, kind string) metav1.Condition {
	conditions := builtinIn(status, fleetField)
	if conditions == nil {
		conditions, _ = status["conditions"].([]any)
	}
	return byType(conditions)[kind]
}

// Fault says in a sentence what keeps a summarised instance from being ready,
// or what of the author's status cannot be evaluated.
func Fault(status map[string]any, fleetField string) string {
	if ready := BuiltIn(status, fleetField, Ready); ready.Status != metav1.ConditionTrue {
		return ready.Message
	}
	summary, _ := status[cmp.Or(fleetField, defaultFleetField)].(map[string]any)
	issues, _ := summary["issues"].([]any)
	if len(issues) == 0 {
		return ""
	}
	first, _ := issues[0].(string)
	return first
}

// builtinIn are the built-in conditions in the fleet's summary; nil when they
// are not there.
func builtinIn(status map[string]any, fleetField string) []any {
	summary, _ := status[cmp.Or(fleetField, defaultFleetField)].(map[string]any)
	conditions, _ := summary["conditions"].([]any)
	return conditions
}

func tally(targets []kronvoyv1alpha1.Target, revision string) counters {
	c := counters{placed: int64(len(targets))}
	for i := range targets {
		t := &targets[i]
		updated := current(t, revision)
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
		if updated && t.Status.Clocks.HealthySince != nil {
			c.healthy++
		}
		if unhealthy(t.Status.Health) {
			c.unhealthy++
		}
		if t.Status.Drift.Objects > 0 {
			c.drifted++
		}
	}
	return c
}

// current is true when a Target's status speaks of the revision. It still does
// when the spec changed in something else, as by a mark that the cluster is
// leaving: that makes an instance that is ready no less so.
func current(t *kronvoyv1alpha1.Target, revision string) bool {
	return t.Status.Revision == revision && (t.Status.ObservedGeneration == t.Generation || t.Spec.Revision == revision)
}

// authorValues are the author's status fields: one cluster's as they are,
// several clusters' where all that are ready agree, and aggregates in the place of
// those that have one. differing names the fields where they do not agree.
func authorValues(targets []kronvoyv1alpha1.Target, aggregates map[string]any) (values map[string]any, differing []string) {
	values = map[string]any{}
	targets = staying(targets)
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
	for field, value := range aggregates {
		values[field] = value
		delete(disagree, field)
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
		"healthy": c.healthy, "unhealthy": c.unhealthy,
		"failed": c.failed, "drifted": c.drifted, "unreachable": c.unreachable,
	}
	if in.Rollout != nil {
		// How far exactly it is, the Rollout says: that changes with every cluster.
		summary["rollout"] = map[string]any{
			"name": in.Rollout.Name, "phase": string(in.Rollout.Status.Phase), "group": in.Rollout.Status.Group,
		}
	}
	rows := targets
	if len(rows) > maxRows {
		slices.SortStableFunc(rows, func(a, b kronvoyv1alpha1.Target) int { return cmp.Compare(severity(b), severity(a)) })
		rows = rows[:maxRows]
	}
	clusters := make([]any, 0, len(rows))
	room := maxNodes
	for i := range rows {
		r := row(&rows[i], in.Regions[rows[i].Namespace])
		if nodes := waiting(&rows[i], min(room, maxRowNodes)); len(nodes) > 0 {
			r["nodes"] = nodes
			room -= len(nodes)
		}
		clusters = append(clusters, r)
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
		if t.Status.Drift.Objects > 0 || unhealthy(t.Status.Health) {
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
		if settled(node) {
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
	if t.Status.Suspended != "" {
		r["suspended"] = t.Status.Suspended
	}
	if t.Status.Health != "" {
		r["health"] = string(t.Status.Health)
	}
	if message := cmp.Or(t.Status.Message, sickness(t)); message != "" {
		r["message"] = message
	}
	if since := t.Status.Since(); since != nil {
		r["since"] = since.UTC().Format("2006-01-02T15:04:05Z")
	}
	if removal := t.Spec.Removal; removal != nil {
		r["leaving"] = removal.Since.UTC().Format("2006-01-02T15:04:05Z")
		if removal.Held != "" && t.DeletionTimestamp == nil {
			r["held"] = removal.Held
		}
	}
	if t.Status.Drift.Last != "" {
		r["drift"] = t.Status.Drift.Last
	}
	if objects := t.Status.Drift.Objects; objects > 0 {
		r["drifted"] = int64(objects)
	}
	if v := t.Status.Values; v != nil && len(v.Raw) <= maxRowValues {
		r["values"] = valuesOf(t)
	}
	return r
}

// state is Active when all is well, as far as it is looked after: a suspended
// instance is not asked for its newest revision, as in kro.
func state(in Input, targets []kronvoyv1alpha1.Target, c counters, conditions []metav1.Condition, issues []any) string {
	switch {
	case in.Deleting:
		return Deleting
	case c.failed > 0 || in.GraphMessage != "" || len(issues) > 0:
		return Error
	case find(conditions, Ready).Status == metav1.ConditionTrue:
		return Active
	case in.Suspended && len(targets) > 0 && !slices.ContainsFunc(targets, unready):
		return Active
	default:
		return InProgress
	}
}

func unready(t kronvoyv1alpha1.Target) bool { return t.Status.State != kronvoyv1alpha1.TargetReady }

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

func shorten(text string) string { return cut(text, maxMessage) }

// cut bounds a text to a number of bytes.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-3], "") + "..."
}

// toMap turns a condition into unstructured content. What an author does not
// say is left out, as in kro.
func toMap(c metav1.Condition) map[string]any {
	m := map[string]any{
		"type": c.Type, "status": string(c.Status),
		"lastTransitionTime": c.LastTransitionTime.UTC().Format("2006-01-02T15:04:05Z"),
	}
	if c.Reason != "" {
		m["reason"] = c.Reason
	}
	if c.Message != "" {
		m["message"] = c.Message
	}
	if c.ObservedGeneration != 0 {
		m["observedGeneration"] = c.ObservedGeneration
	}
	return m
}

// byType reads the conditions of a status; what does not decode counts as
// absent.
func byType(conditions []any) map[string]metav1.Condition {
	raw, err := json.Marshal(conditions)
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
