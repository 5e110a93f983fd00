package report

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/apply"
	"github.com/kronvoy/kronvoy/spoke/feedback"
	"github.com/kronvoy/kronvoy/spoke/health"
)

// Reasons of OCM's agent, which its tools know.
const (
	reasonAvailable        = "ResourceAvailable"
	reasonNotAvailable     = "ResourceNotAvailable"
	reasonSynced           = "StatusFeedbackSynced"
	reasonSyncFailed       = "StatusFeedbackSyncFailed"
	reasonNoSync           = "NoStatusFeedbackSynced"
	conditionFeedback      = "StatusFeedbackSynced"
	reasonWorkApplied      = "AppliedManifestWorkComplete"
	reasonWorkFailed       = "AppliedManifestWorkFailed"
	reasonWorkAvailable    = "ResourcesAvailable"
	reasonWorkNotAvailable = "ResourcesNotAvailable"
	reasonAggregated       = "ConditionRulesAggregated"
	reasonDeleting         = "WorkDeleting"
)

const (
	// maxReported bounds the values of one report, as JSON.
	maxReported = 400 << 10
	// maxValues is how many values a report lists.
	maxValues = 2000
)

// Observation is what there is to tell about one work. Its conditions have no
// transition times yet: those depend on what the hub was told before.
type Observation struct {
	Work       string
	UID        types.UID
	Generation int64
	Conditions []metav1.Condition
	Manifests  []workv1.ManifestCondition
	Report     kronvoyv1alpha1.WorkReportStatus
	// Unlisted are the nodes whose selections have no first list yet: what was
	// said of them stays.
	Unlisted map[string]bool
	// MustReport is set when the hub waits for a report, even an empty one.
	MustReport bool
	// Deleting is set while the work itself is deleted: then only the report
	// is written. Done is set when nothing of it is left.
	Deleting bool
	Done     bool
	// Noticed is when the first change was seen that this tells of; zero where none
	// was.
	Noticed time.Time
	// Traceparent is what the report's span goes under; empty for none.
	Traceparent string
}

// Observer makes observations of ChangeSets.
type Observer struct {
	evaluator *feedback.Evaluator

	mu sync.Mutex
	// judged keeps what was read of an object until it or its item changes.
	judged map[string]map[*apply.Item]judgement
}

type judgement struct {
	uid             types.UID
	resourceVersion string
	values          []workv1.FeedbackValue
	valuesErr       error
	verdicts        []feedback.Verdict
	observed        []feedback.Field
	// health has no status where it is not judged.
	health health.Verdict
}

// NewObserver gives an observer that judges with an evaluator.
func NewObserver(evaluator *feedback.Evaluator) *Observer {
	return &Observer{evaluator: evaluator, judged: map[string]map[*apply.Item]judgement{}}
}

// Forget drops what is held for a work.
func (o *Observer) Forget(work string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.judged, work)
}

// Observe makes the observation of a run over a work.
func (o *Observer) Observe(changes *apply.ChangeSet) *Observation {
	work := changes.Work
	obs := &Observation{
		Work: work.Name, UID: work.UID, Generation: work.Generation, MustReport: work.Shrunk || changes.Shrunk,
		Report: kronvoyv1alpha1.WorkReportStatus{
			ObservedHash: work.Hash, ObservedGeneration: work.Generation,
			Deleting: changes.Deleting, Findings: changes.Findings,
			FindingCount: int32(changes.Differing), //nolint:gosec // at most the manifests of a work
			Corrections:  changes.Corrections,
		},
	}
	o.mu.Lock()
	known := o.judged[work.Name]
	o.mu.Unlock()
	judged := make(map[*apply.Item]judgement, len(changes.Outcomes))
	size := 0
	for i := range changes.Outcomes {
		outcome := &changes.Outcomes[i]
		j := o.judge(work, outcome, known)
		judged[outcome.Item] = j
		// Observed fields count as absent only in a report of this generation; what
		// is to be put right ends when nothing is reported of it.
		obs.MustReport = obs.MustReport || len(outcome.Item.Observe)+len(outcome.Item.Policy.Correct) > 0
		obs.Manifests = append(obs.Manifests, manifestStatus(work, outcome, j))
		obs.Report.Values = appendValues(obs.Report.Values, outcome, j, &size)
	}
	for i := range changes.Selections {
		obs.addSelection(&changes.Selections[i], &size)
	}
	o.mu.Lock()
	o.judged[work.Name] = judged
	o.mu.Unlock()
	obs.Conditions = workConditions(work.Generation, obs.Manifests)
	return obs
}

// ObserveDeletion makes the observation of a work that is being deleted.
func (o *Observer) ObserveDeletion(work *apply.Work, changes *apply.ChangeSet, done bool) *Observation {
	obs := &Observation{Work: work.Name, UID: work.UID, Generation: work.Generation, Deleting: true, Done: done}
	if changes == nil {
		return obs
	}
	obs.Report = kronvoyv1alpha1.WorkReportStatus{
		ObservedHash: work.Hash, ObservedGeneration: work.Generation, Deleting: changes.Deleting,
	}
	message := fmt.Sprintf("%d objects are still there", len(changes.Deleting))
	for _, object := range changes.Deleting {
		if object.Message != "" {
			message += fmt.Sprintf("; %s %s/%s: %s", object.Resource, object.Namespace, object.Name, object.Message)
			break
		}
	}
	obs.Conditions = []metav1.Condition{condition(work.Generation, workv1.WorkDeleting, true, reasonDeleting, truncate(message, maxMessage))}
	return obs
}

// judge reads values, verdicts and health off the live object, once per state of it.
func (o *Observer) judge(work *apply.Work, outcome *apply.Outcome, known map[*apply.Item]judgement) judgement {
	if outcome.Live == nil {
		return judgement{}
	}
	item, object := outcome.Item, outcome.Live.Object
	j := judgement{uid: outcome.Live.GetUID(), resourceVersion: outcome.Live.GetResourceVersion()}
	if old, ok := known[item]; ok && old.uid == j.uid && old.resourceVersion == j.resourceVersion {
		return old
	}
	j.values, j.valuesErr = feedback.Values(object, item.Feedback)
	rules, err := writable(item.Rules)
	j.verdicts = o.evaluator.Judge(object, rules)
	j.valuesErr = errors.Join(j.valuesErr, err)
	j.observed, err = feedback.Observed(object, item.Observe)
	j.valuesErr = errors.Join(j.valuesErr, err)
	if judgesHealth(work, item) {
		j.health = health.Judge(object)
	}
	return j
}

// judgesHealth of what Kronvoy's hub ships: others do not ask for it, and every
// verdict that changes is a write. What is only read is somebody else's.
func judgesHealth(work *apply.Work, item *apply.Item) bool {
	return work.Hash != "" && !item.ReadOnly()
}

// writable leaves out the rules whose conditions a status cannot hold, which
// would be refused as a whole, and those that would speak for the agent.
func writable(rules []workv1.ConditionRule) ([]workv1.ConditionRule, error) {
	var bad []error
	good := slices.DeleteFunc(slices.Clone(rules), func(rule workv1.ConditionRule) bool {
		kind := feedback.ConditionOf(rule)
		switch {
		case kind == workv1.ManifestApplied || kind == conditionFeedback:
			bad = append(bad, fmt.Errorf("condition %s is the agent's own to set", kind))
		case len(validation.IsQualifiedName(kind)) > 0:
			bad = append(bad, fmt.Errorf("%q cannot be the type of a condition", kind))
		default:
			return false
		}
		return true
	})
	return good, errors.Join(bad...)
}

// appendValues adds an object's observed fields while the report has room.
func appendValues(
	values []kronvoyv1alpha1.ReportedValue, outcome *apply.Outcome, j judgement, size *int,
) []kronvoyv1alpha1.ReportedValue {
	if outcome.Live == nil {
		return values
	}
	ref := kronvoyv1alpha1.ObjectReference{
		Group: outcome.Item.Key.Resource.Group, Version: outcome.Item.Key.Resource.Version, Kind: outcome.Item.GVK.Kind,
		Resource: outcome.Item.Key.Resource.Resource, Namespace: outcome.Item.Key.Namespace, Name: outcome.Item.Key.Name,
	}
	hash := feedback.Hash(outcome.Live.Object)
	for _, field := range j.observed {
		if len(values) == maxValues || *size+len(field.JSON) > maxReported {
			return values
		}
		*size += len(field.JSON)
		values = append(values, kronvoyv1alpha1.ReportedValue{
			ObjectReference: ref, Hash: hash, Path: field.Path, Value: string(field.JSON),
		})
	}
	return values
}

// manifestStatus is one manifest's part of the status.
func manifestStatus(work *apply.Work, outcome *apply.Outcome, j judgement) workv1.ManifestCondition {
	item := outcome.Item
	status := workv1.ManifestCondition{
		ResourceMeta: workv1.ManifestResourceMeta{
			Ordinal: int32(item.Ordinal), //nolint:gosec // at most the manifests of a work
			Group:   item.GVK.Group, Version: item.GVK.Version, Kind: item.GVK.Kind,
			Resource: item.Key.Resource.Resource, Name: item.Key.Name, Namespace: item.Key.Namespace,
		},
		StatusFeedbacks: workv1.StatusFeedbackResult{Values: j.values},
	}
	set := func(conditionType string, holds bool, reason, message string) {
		status.Conditions = append(status.Conditions, condition(work.Generation, conditionType, holds, reason, message))
	}
	set(workv1.ManifestApplied, outcome.Applied, outcome.Reason, outcome.Message)
	if outcome.Live != nil {
		set(workv1.ManifestAvailable, true, reasonAvailable, "Resource is available")
	} else {
		set(workv1.ManifestAvailable, false, reasonNotAvailable, "Resource is not available")
	}
	switch {
	case j.valuesErr != nil:
		set(conditionFeedback, false, reasonSyncFailed, truncate(j.valuesErr.Error(), maxMessage))
	case len(item.Feedback) == 0:
		set(conditionFeedback, true, reasonNoSync, "")
	default:
		set(conditionFeedback, outcome.Live != nil, reasonSynced, "")
	}
	if j.health.Status != "" {
		status.Conditions = append(status.Conditions, metav1.Condition{
			Type: kronvoyv1alpha1.ConditionManifestHealthy, Status: j.health.Status, ObservedGeneration: work.Generation,
			Reason: j.health.Reason, Message: j.health.Message,
		})
	}
	for _, verdict := range j.verdicts {
		if verdict.Condition == workv1.ManifestComplete && outcome.Completed {
			continue // what is over stays so
		}
		apimeta.RemoveStatusCondition(&status.Conditions, verdict.Condition)
		status.Conditions = append(status.Conditions, metav1.Condition{
			Type: verdict.Condition, Status: verdict.Status, ObservedGeneration: work.Generation,
			Reason: verdict.Reason, Message: verdict.Message,
		})
	}
	if outcome.Completed {
		set(workv1.ManifestComplete, true, workv1.ConditionRuleEvaluated, "")
	}
	return status
}

const maxMessage = 1024

// workConditions sums up the manifests.
func workConditions(generation int64, manifests []workv1.ManifestCondition) []metav1.Condition {
	failed, unavailable := 0, 0
	aggregated := map[string][]metav1.ConditionStatus{}
	for i := range manifests {
		for _, c := range manifests[i].Conditions {
			switch {
			case c.Type == workv1.ManifestApplied && c.Status != metav1.ConditionTrue:
				failed++
			case c.Type == workv1.ManifestAvailable && c.Status != metav1.ConditionTrue:
				unavailable++
			case c.Type == workv1.WorkProgressing, c.Type == workv1.WorkDegraded, c.Type == workv1.WorkComplete:
				aggregated[c.Type] = append(aggregated[c.Type], c.Status)
			}
		}
	}
	var conditions []metav1.Condition
	if failed == 0 {
		conditions = append(conditions, condition(generation, workv1.WorkApplied, true, reasonWorkApplied, "Apply manifest work complete"))
	} else {
		conditions = append(conditions, condition(generation, workv1.WorkApplied, false, reasonWorkFailed,
			fmt.Sprintf("Failed to apply %d of %d manifests", failed, len(manifests))))
	}
	if unavailable == 0 {
		conditions = append(conditions, condition(generation, workv1.WorkAvailable, true, reasonWorkAvailable, "All resources are available"))
	} else {
		conditions = append(conditions, condition(generation, workv1.WorkAvailable, false, reasonWorkNotAvailable,
			fmt.Sprintf("%d of %d resources are not available", unavailable, len(manifests))))
	}
	for _, conditionType := range []string{workv1.WorkProgressing, workv1.WorkDegraded, workv1.WorkComplete} {
		if statuses := aggregated[conditionType]; len(statuses) > 0 {
			holds, reason := aggregate(conditionType, statuses), reasonAggregated
			if conditionType == workv1.WorkComplete && holds {
				reason = workv1.WorkManifestsComplete
			}
			conditions = append(conditions, condition(generation, conditionType, holds, reason, ""))
		}
	}
	return conditions
}

// aggregate is OCM's: one False is enough for False, but one manifest that
// progresses, or is degraded, makes the work so.
func aggregate(conditionType string, statuses []metav1.ConditionStatus) bool {
	oneIsEnough := conditionType != workv1.WorkComplete
	for _, status := range statuses {
		if (status == metav1.ConditionTrue) == oneIsEnough {
			return oneIsEnough
		}
	}
	return !oneIsEnough
}

func condition(generation int64, conditionType string, holds bool, reason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if holds {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{Type: conditionType, Status: status, ObservedGeneration: generation, Reason: reason, Message: message}
}

func truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	return string(runes[:limit-1]) + "…"
}
