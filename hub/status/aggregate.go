package status

import (
	"encoding/json"
	"fmt"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

// aggregates are values over all clusters of an instance.
type aggregates struct {
	// values by name.
	values map[string]any
	// fields are those of them that are author's fields, too.
	fields map[string]any
	// issues say which have no value, and why.
	issues []any
}

// maxAggregateIssue bounds one of the issues: they are as many as aggregates.
const maxAggregateIssue = 512

// aggregate evaluates aggregates over the clusters that the instance is not
// leaving. Ready is a cluster with the revision that it should have, be that the
// newest or not: a rollout is no outage.
func aggregate(in Input, targets []kronvoyv1alpha1.Target) aggregates {
	out := aggregates{}
	if in.Aggregates == nil || in.Deleting {
		return out
	}
	targets = staying(targets)
	members := make([]graph.Member, 0, len(targets))
	for i := range targets {
		t := &targets[i]
		members = append(members, graph.Member{
			Name: t.Namespace, Labels: in.Labels[t.Namespace], Group: in.Groups[t.Namespace], Revision: t.Status.Revision,
			Ready: t.Status.State == kronvoyv1alpha1.TargetReady, Status: valuesOf(t),
		})
	}
	found, issues := in.Aggregates.Evaluate(members)
	out.values, out.fields = make(map[string]any, len(found)), map[string]any{}
	for _, a := range found {
		value, err := asStored(a.Value)
		if err != nil {
			out.issues = append(out.issues, cut(a.Name+": "+err.Error(), maxAggregateIssue))
			continue
		}
		out.values[a.Name] = value
		if a.Field {
			out.fields[a.Name] = value
		}
	}
	for _, issue := range issues {
		out.issues = append(out.issues, cut(issue.Error(), maxAggregateIssue))
	}
	return out
}

// asStored is a value as it is read again: a whole number has no fraction then,
// and a status that only looks different would be written for ever.
func asStored(value any) (any, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encoding the value: %w", err)
	}
	var stored any
	err = utiljson.Unmarshal(raw, &stored)
	return stored, err
}

// tell adds them to the fleet's summary.
func (a aggregates) tell(summary map[string]any) {
	if len(a.values) > 0 {
		summary["aggregates"] = a.values
	}
	if len(a.issues) > 0 {
		summary["aggregateIssues"] = a.issues
	}
}
