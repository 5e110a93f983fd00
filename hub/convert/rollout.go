package convert

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// What holds where a RolloutStrategy says nothing.
const (
	defaultConcurrency      = 25 // percent of a group
	defaultProgressDeadline = 30 * time.Minute
	// failureGrace has no field: agents try again what an API server refuses, which
	// often is over in seconds, as while a webhook restarts.
	failureGrace = 2 * time.Minute
)

// Strategy turns a Distribution's spec.rollout into what rollout.Next takes. Without
// one, all clusters move at once, and no failure stops anything. The error is a
// policy.InvalidError about the first field that is wrong.
func Strategy(given *kronvoyv1alpha1.RolloutStrategy) (rollout.Strategy, error) {
	if given == nil {
		return rollout.Strategy{
			Kind: rollout.All, FailureGrace: failureGrace,
			OnFailure: rollout.Pause, LateJoiners: rollout.Immediately, Unreachable: rollout.Skip, InputChanges: rollout.InputsImmediate,
		}, nil
	}
	r := &strategist{out: rollout.Strategy{
		FailureGrace: failureGrace,
		OnFailure:    rollout.OnFailure(given.OnFailure), LateJoiners: rollout.LateJoiners(given.LateJoiners),
		Unreachable: rollout.UnreachablePolicy(given.Unreachable), InputChanges: rollout.InputChanges(given.InputChanges),
		Gates: rollout.RequiredGates{
			Health:      given.Gate.BuiltinHealth == nil || *given.Gate.BuiltinHealth,
			Expressions: len(given.Gate.Expressions) > 0,
			Drift:       given.Gate.MaxDrift != nil,
		},
	}}
	at := field.NewPath("spec", "rollout")
	r.choices(at)
	if given.Strategy != nil {
		r.ocm(given.Strategy, at.Child("strategy"))
		r.eitherOr(given, at)
	} else {
		r.own(given, at)
	}
	if given.Approval != nil {
		r.approval(given.Approval, at.Child("approval", "beforeGroups"))
	}
	return r.out, r.err()
}

// strategist collects a strategy, and what is wrong with it.
type strategist struct {
	out    rollout.Strategy
	faults field.ErrorList
}

func (r *strategist) fault(at *field.Path, value any, detail string) {
	r.faults = append(r.faults, field.Invalid(at, value, detail))
}

func (r *strategist) err() error {
	if len(r.faults) == 0 {
		return nil
	}
	first := r.faults[0]
	message := strings.TrimPrefix(first.Error(), first.Field+": ")
	if more := len(r.faults) - 1; more > 0 {
		message += fmt.Sprintf("; and %d more", more)
	}
	return &policy.InvalidError{Field: first.Field, Reason: kronvoyv1alpha1.ReasonInvalidRollout, Err: errors.New(message)}
}

// choices fills in and checks those of a few words.
func (r *strategist) choices(at *field.Path) {
	choose(r, at.Child("onFailure"), &r.out.OnFailure, rollout.Pause, rollout.Rollback)
	choose(r, at.Child("lateJoiners"), &r.out.LateJoiners, rollout.WithGroup, rollout.Immediately)
	choose(r, at.Child("unreachable"), &r.out.Unreachable, rollout.Skip, rollout.Wait, rollout.Fail)
	choose(r, at.Child("inputChanges"), &r.out.InputChanges, rollout.InputsRollout, rollout.InputsImmediate)
}

// choose takes the first word for none.
func choose[T ~string](r *strategist, at *field.Path, word *T, first T, others ...T) {
	words := append([]T{first}, others...)
	switch {
	case *word == "":
		*word = first
	case !slices.Contains(words, *word):
		r.faults = append(r.faults, field.NotSupported(at, *word, words))
	}
}

// own are the strategy's own fields.
func (r *strategist) own(given *kronvoyv1alpha1.RolloutStrategy, at *field.Path) {
	r.out.Kind = rollout.ByGroup
	if given.GroupBy != nil {
		r.groupBy(given.GroupBy, at.Child("groupBy"))
	}
	r.out.MaxConcurrency = rollout.Amount{Value: defaultConcurrency, Percent: true}
	if given.MaxConcurrency != nil {
		r.out.MaxConcurrency = r.amount(*given.MaxConcurrency, at.Child("maxConcurrency"))
		if r.out.MaxConcurrency == (rollout.Amount{}) {
			// At least one may move; the zero value is no limit.
			r.out.MaxConcurrency.Value = 1
		}
	}
	if given.MaxFailures != nil {
		r.out.MaxFailures = r.amount(*given.MaxFailures, at.Child("maxFailures"))
	}
	r.out.MinSuccessTime = r.duration(given.MinSuccessTime, 0, at.Child("minSuccessTime"))
	r.out.ProgressDeadline = r.duration(given.ProgressDeadline, defaultProgressDeadline, at.Child("progressDeadline"))
}

func (r *strategist) groupBy(given *kronvoyv1alpha1.RolloutGroupBy, at *field.Path) {
	r.out.GroupBy = rollout.GroupBy{Label: given.Label, Order: slices.Clone(given.Order)}
	for _, wrong := range validation.IsQualifiedName(given.Label) {
		r.fault(at.Child("label"), given.Label, wrong)
	}
	for i, name := range given.Order {
		for _, wrong := range validation.IsValidLabelValue(name) {
			r.fault(at.Child("order").Index(i), name, wrong)
		}
		if name == "" {
			r.fault(at.Child("order").Index(i), name, "clusters without the label are always the last group")
		}
		if slices.Contains(given.Order[:i], name) {
			r.faults = append(r.faults, field.Duplicate(at.Child("order").Index(i), name))
		}
	}
}

// ocm takes OCM's RolloutStrategy (cluster.open-cluster-management.io/v1alpha1). As
// its helper does, it goes by decision groups, All neither soaks nor minds failures,
// and a maxConcurrency that is not set is no limit. What is deliberately not as
// there: a maxFailures of more clusters than there are is all of them, not none; a
// field that counts for another type is refused, as it would have to be a mistake
// that moves all clusters at once; and durations may be composed, as in 1h30m.
func (r *strategist) ocm(given *clusterv1alpha1.RolloutStrategy, at *field.Path) {
	all, progressive, perGroup := given.All, given.Progressive, given.ProgressivePerGroup
	switch given.Type {
	case clusterv1alpha1.All, "":
		r.out.Kind = rollout.All
		if all != nil {
			r.config(all.RolloutConfig, at.Child("all"))
		}
		all = nil
	case clusterv1alpha1.Progressive:
		r.out.Kind = rollout.Progressive
		if progressive != nil {
			at := at.Child("progressive")
			r.config(progressive.RolloutConfig, at)
			r.mandatory(progressive.MandatoryDecisionGroups, at)
			r.out.MaxConcurrency = r.amount(progressive.MaxConcurrency, at.Child("maxConcurrency"))
		}
		progressive = nil
	case clusterv1alpha1.ProgressivePerGroup:
		r.out.Kind = rollout.ProgressivePerGroup
		if perGroup != nil {
			r.config(perGroup.RolloutConfig, at.Child("progressivePerGroup"))
			r.mandatory(perGroup.MandatoryDecisionGroups, at.Child("progressivePerGroup"))
		}
		perGroup = nil
	default:
		r.faults = append(r.faults, field.NotSupported(at.Child("type"), given.Type,
			[]clusterv1alpha1.RolloutType{clusterv1alpha1.All, clusterv1alpha1.Progressive, clusterv1alpha1.ProgressivePerGroup}))
		return
	}
	for _, other := range []struct {
		set        bool
		name, kind string
	}{{all != nil, "all", "All"}, {progressive != nil, "progressive", "Progressive"}, {perGroup != nil, "progressivePerGroup", "ProgressivePerGroup"}} {
		if other.set {
			r.faults = append(r.faults, field.Forbidden(at.Child(other.name), fmt.Sprintf("it counts with type %s only, and this is %s", other.kind, r.out.Kind)))
		}
	}
}

func (r *strategist) config(given clusterv1alpha1.RolloutConfig, at *field.Path) {
	r.out.MaxFailures = r.amount(given.MaxFailures, at.Child("maxFailures"))
	r.out.MinSuccessTime = r.duration(&given.MinSuccessTime, 0, at.Child("minSuccessTime"))
	const never = "None"
	at = at.Child("progressDeadline")
	if given.ProgressDeadline == "" || given.ProgressDeadline == never {
		return
	}
	// The CRD's pattern admits what is no duration, such as 5| or 5mm.
	deadline, err := time.ParseDuration(given.ProgressDeadline)
	switch {
	case err != nil:
		r.fault(at, given.ProgressDeadline, "it is a duration, as in 2h, 90m or 360s, or "+never)
	case deadline <= 0:
		r.fault(at, given.ProgressDeadline, "with it each cluster would fail at once; "+never+" is no deadline")
	default:
		r.out.ProgressDeadline = deadline
	}
}

func (r *strategist) mandatory(given clusterv1alpha1.MandatoryDecisionGroups, at *field.Path) {
	for i, group := range given.MandatoryDecisionGroups {
		if group.GroupName == "" && group.GroupIndex < 0 {
			r.fault(at.Child("mandatoryDecisionGroups").Index(i).Child("groupIndex"), group.GroupIndex, "indices of decision groups begin with 0")
		}
		r.out.Mandatory = append(r.out.Mandatory, rollout.MandatoryGroup{Name: group.GroupName, Index: int(group.GroupIndex)})
	}
}

// eitherOr refuses what would not count beside OCM's strategy. The API server does
// so, too.
func (r *strategist) eitherOr(given *kronvoyv1alpha1.RolloutStrategy, at *field.Path) {
	for _, own := range []struct {
		set  bool
		name string
	}{
		{given.GroupBy != nil, "groupBy"}, {given.MaxConcurrency != nil, "maxConcurrency"}, {given.MinSuccessTime != nil, "minSuccessTime"},
		{given.ProgressDeadline != nil, "progressDeadline"}, {given.MaxFailures != nil, "maxFailures"},
	} {
		if own.set {
			r.faults = append(r.faults, field.Forbidden(at.Child(own.name), "spec.rollout.strategy stands in its place"))
		}
	}
}

// approval refuses to wait for groups that cannot be: a question that is never put
// would let everything pass.
func (r *strategist) approval(given *kronvoyv1alpha1.RolloutApproval, at *field.Path) {
	r.out.ApprovalBefore = slices.Clone(given.BeforeGroups)
	nameless := ""
	switch {
	case r.out.Kind == rollout.All:
		nameless = "with type All there are no groups"
	case r.out.Kind == rollout.Progressive && len(r.out.Mandatory) == 0:
		nameless = "with type Progressive the mandatoryDecisionGroups have names, and there are none"
	case r.out.Kind == rollout.ByGroup && r.out.GroupBy.Label == "":
		nameless = "without groupBy there are no groups"
	}
	if nameless != "" && len(given.BeforeGroups) > 0 {
		r.fault(at, given.BeforeGroups, nameless)
	}
}

// amount is a number or a percentage. What is larger than there are clusters is
// all of them: how many there are is not known here.
func (r *strategist) amount(given intstr.IntOrString, at *field.Path) rollout.Amount {
	value, percent := int(given.IntVal), false
	if given.Type == intstr.String {
		digits, isPercent := strings.CutSuffix(given.StrVal, "%")
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil {
			r.fault(at, given.StrVal, "it is a number, or a percentage as in 25%")
			return rollout.Amount{}
		}
		value, percent = int(n), isPercent
	}
	switch {
	case value < 0:
		r.fault(at, value, "it must not be negative")
	case percent && value > 100:
		r.fault(at, given.StrVal, "it is at most 100%")
	default:
		return rollout.Amount{Value: value, Percent: percent}
	}
	return rollout.Amount{}
}

func (r *strategist) duration(given *metav1.Duration, otherwise time.Duration, at *field.Path) time.Duration {
	switch {
	case given == nil:
		return otherwise
	case given.Duration < 0:
		r.fault(at, given.Duration.String(), "it must not be negative")
	}
	return given.Duration
}
