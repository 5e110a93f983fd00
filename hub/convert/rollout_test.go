package convert

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// strategyOf reads a strategy as the API server hands it out, but for defaults.
func strategyOf(t *testing.T, text string) *kronvoyv1alpha1.RolloutStrategy {
	t.Helper()
	var given kronvoyv1alpha1.RolloutStrategy
	if err := yaml.UnmarshalStrict([]byte(text), &given); err != nil {
		t.Fatal(err)
	}
	return &given
}

// byGroup is what {} comes to, with changes.
func byGroup(change func(*rollout.Strategy)) rollout.Strategy {
	s := rollout.Strategy{
		MaxConcurrency: rollout.Amount{Value: 25, Percent: true}, ProgressDeadline: 30 * time.Minute, FailureGrace: 2 * time.Minute,
		OnFailure: rollout.Pause, LateJoiners: rollout.WithGroup, Unreachable: rollout.Skip, InputChanges: rollout.InputsRollout,
		Gates: rollout.RequiredGates{Health: true},
	}
	change(&s)
	return s
}

// ocm is what OCM's strategy of a kind comes to.
func ocm(kind rollout.StrategyKind, change func(*rollout.Strategy)) rollout.Strategy {
	return byGroup(func(s *rollout.Strategy) {
		s.Kind, s.MaxConcurrency, s.ProgressDeadline = kind, rollout.Amount{}, 0
		change(s)
	})
}

func same(*rollout.Strategy) {}

func TestStrategy(t *testing.T) {
	cases := map[string]struct {
		given string
		want  rollout.Strategy
	}{
		"the defaults": {`{}`, byGroup(same)},
		"all of it": {
			`{groupBy: {label: region, order: [eu-west, us-east]}, maxConcurrency: 3, minSuccessTime: 10m, progressDeadline: 1h30m, maxFailures: 10%,
			  approval: {beforeGroups: [us-east]}, onFailure: Rollback, lateJoiners: Immediately, unreachable: Wait, inputChanges: Immediate,
			  gate: {builtinHealth: false, expressions: ["values.errors == 0"], maxDrift: 0}}`,
			byGroup(func(s *rollout.Strategy) {
				s.GroupBy = rollout.GroupBy{Label: "region", Order: []string{"eu-west", "us-east"}}
				s.MaxConcurrency, s.MaxFailures = rollout.Amount{Value: 3}, rollout.Amount{Value: 10, Percent: true}
				s.MinSuccessTime, s.ProgressDeadline = 10*time.Minute, 90*time.Minute
				s.ApprovalBefore, s.Gates = []string{"us-east"}, rollout.RequiredGates{Expressions: true, Drift: true}
				s.OnFailure, s.LateJoiners, s.Unreachable, s.InputChanges = rollout.Rollback, rollout.Immediately, rollout.Wait, rollout.InputsImmediate
			}),
		},
		"no deadline":                 {`{progressDeadline: 0s}`, byGroup(func(s *rollout.Strategy) { s.ProgressDeadline = 0 })},
		"one at least moves":          {`{maxConcurrency: 0}`, byGroup(func(s *rollout.Strategy) { s.MaxConcurrency = rollout.Amount{Value: 1} })},
		"0 percent keeps its kind":    {`{maxConcurrency: 0%}`, byGroup(func(s *rollout.Strategy) { s.MaxConcurrency = rollout.Amount{Percent: true} })},
		"a number as text":            {`{maxFailures: "7"}`, byGroup(func(s *rollout.Strategy) { s.MaxFailures = rollout.Amount{Value: 7} })},
		"OCM's, without a word":       {`{strategy: {}}`, ocm(rollout.All, same)},
		"OCM's All":                   {`{strategy: {type: All, all: {progressDeadline: 5m}}}`, ocm(rollout.All, func(s *rollout.Strategy) { s.ProgressDeadline = 5 * time.Minute })},
		"OCM's Progressive, no words": {`{strategy: {type: Progressive}}`, ocm(rollout.Progressive, same)},
		"OCM's Progressive as its CRD fills it in": {
			`{strategy: {type: Progressive, progressive: {minSuccessTime: "0", progressDeadline: None, maxFailures: 0}}}`, ocm(rollout.Progressive, same),
		},
		"OCM's Progressive": {
			`{strategy: {type: Progressive, progressive: {maxConcurrency: 25%, maxFailures: 2, minSuccessTime: 90m, progressDeadline: 360s,
			  mandatoryDecisionGroups: [{groupName: canary}, {groupIndex: 1}]}}, approval: {beforeGroups: [canary]}}`,
			ocm(rollout.Progressive, func(s *rollout.Strategy) {
				s.MaxConcurrency, s.MaxFailures = rollout.Amount{Value: 25, Percent: true}, rollout.Amount{Value: 2}
				s.MinSuccessTime, s.ProgressDeadline = 90*time.Minute, 6*time.Minute
				s.Mandatory, s.ApprovalBefore = []rollout.MandatoryGroup{{Name: "canary"}, {Index: 1}}, []string{"canary"}
			}),
		},
		"OCM's ProgressivePerGroup": {
			`{strategy: {type: ProgressivePerGroup, progressivePerGroup: {maxFailures: 100%, progressDeadline: 2h, mandatoryDecisionGroups: [{groupIndex: 0}]}}, unreachable: Fail}`,
			ocm(rollout.ProgressivePerGroup, func(s *rollout.Strategy) {
				s.MaxFailures, s.ProgressDeadline, s.Unreachable = rollout.Amount{Value: 100, Percent: true}, 2*time.Hour, rollout.Fail
				s.Mandatory = []rollout.MandatoryGroup{{}}
			}),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Strategy(strategyOf(t, tc.given))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	if got, err := Strategy(nil); err != nil || got.Kind != rollout.All || got.InputChanges != rollout.InputsImmediate || got.Gates != (rollout.RequiredGates{}) {
		t.Errorf("without a strategy: %+v, error %v", got, err)
	}
}

func TestAStrategyThatIsWrongIsSaidWithItsField(t *testing.T) {
	for given, want := range map[string]string{
		`{maxConcurrency: many}`:                                              `spec.rollout.maxConcurrency: Invalid value: "many": it is a number, or a percentage as in 25%`,
		`{maxConcurrency: -1}`:                                                `spec.rollout.maxConcurrency: Invalid value: -1: it must not be negative`,
		`{maxFailures: 101%}`:                                                 `spec.rollout.maxFailures: Invalid value: "101%": it is at most 100%`,
		`{maxFailures: "99999999999"}`:                                        `spec.rollout.maxFailures: Invalid value: "99999999999": it is a number, or a percentage as in 25%`,
		`{minSuccessTime: -1s}`:                                               `spec.rollout.minSuccessTime: Invalid value: "-1s": it must not be negative`,
		`{progressDeadline: -1m, maxFailures: x}`:                             `spec.rollout.maxFailures: Invalid value: "x": it is a number, or a percentage as in 25%; and 1 more`,
		`{onFailure: Panic}`:                                                  `spec.rollout.onFailure: Unsupported value: "Panic": supported values: "Pause", "Rollback"`,
		`{groupBy: {label: "a b"}}`:                                           `spec.rollout.groupBy.label: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
		`{groupBy: {label: a, order: [eu, us, eu]}}`:                          `spec.rollout.groupBy.order[2]: Duplicate value: "eu"`,
		`{groupBy: {label: a, order: [""]}}`:                                  `spec.rollout.groupBy.order[0]: Invalid value: "": clusters without the label are always the last group`,
		`{approval: {beforeGroups: [eu]}}`:                                    `spec.rollout.approval.beforeGroups: Invalid value: ["eu"]: without groupBy there are no groups`,
		`{strategy: {type: All}, approval: {beforeGroups: [eu]}}`:             `spec.rollout.approval.beforeGroups: Invalid value: ["eu"]: with type All there are no groups`,
		`{strategy: {type: Progressive}, approval: {beforeGroups: [eu]}}`:     `spec.rollout.approval.beforeGroups: Invalid value: ["eu"]: with type Progressive the mandatoryDecisionGroups have names, and there are none`,
		`{strategy: {type: All}, maxFailures: 1}`:                             `spec.rollout.maxFailures: Forbidden: spec.rollout.strategy stands in its place`,
		`{strategy: {type: Other}}`:                                           `spec.rollout.strategy.type: Unsupported value: "Other": supported values: "All", "Progressive", "ProgressivePerGroup"`,
		`{strategy: {progressive: {maxConcurrency: 1}}}`:                      `spec.rollout.strategy.progressive: Forbidden: it counts with type Progressive only, and this is All`,
		`{strategy: {all: {progressDeadline: "5|"}}}`:                         `spec.rollout.strategy.all.progressDeadline: Invalid value: "5|": it is a duration, as in 2h, 90m or 360s, or None`,
		`{strategy: {all: {progressDeadline: "0s"}}}`:                         `spec.rollout.strategy.all.progressDeadline: Invalid value: "0s": with it each cluster would fail at once; None is no deadline`,
		`{strategy: {type: Progressive, progressive: {minSuccessTime: -5m}}}`: `spec.rollout.strategy.progressive.minSuccessTime: Invalid value: "-5m0s": it must not be negative`,
		`{strategy: {type: ProgressivePerGroup, progressivePerGroup: {mandatoryDecisionGroups: [{groupIndex: -1}]}}}`: `spec.rollout.strategy.progressivePerGroup.mandatoryDecisionGroups[0].groupIndex: Invalid value: -1: indices of decision groups begin with 0`,
	} {
		_, err := Strategy(strategyOf(t, given))
		if err == nil {
			t.Errorf("%s: no error, want %s", given, want)
		} else if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", given, diff)
		}
	}
}
