package feedback

import (
	"fmt"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Verdict is a condition rule's answer about one live object.
type Verdict struct {
	Condition string
	Status    metav1.ConditionStatus
	Reason    string
	Message   string
}

// maxMessage bounds a verdict's message.
const maxMessage = 1024

// Judge evaluates condition rules on a live object. Rules without a condition
// type for this kind are left out. A missing field means the rule still waits;
// only a rule that can never be evaluated is invalid.
func (e *Evaluator) Judge(object map[string]any, rules []workv1.ConditionRule) []Verdict {
	var verdicts []Verdict
	for _, rule := range rules {
		expressions := rule.CelExpressions
		if rule.Type == workv1.WellKnownConditionsType {
			known, ok := wellKnownConditions[kindOf(object)]
			if !ok {
				continue
			}
			expressions = []string{known}
		}
		verdict := e.judge(object, expressions)
		verdict.Condition = ConditionOf(rule)
		verdict.Message = e.message(object, rule, verdict)
		verdicts = append(verdicts, verdict)
	}
	return verdicts
}

// ConditionOf gives the condition that a rule sets: the well-known ones are
// about being complete where they do not say it.
func ConditionOf(rule workv1.ConditionRule) string {
	if rule.Condition == "" && rule.Type == workv1.WellKnownConditionsType {
		return workv1.ManifestComplete
	}
	return rule.Condition
}

// Complete says whether the rules take an object for complete.
func (e *Evaluator) Complete(object map[string]any, rules []workv1.ConditionRule) bool {
	for _, rule := range rules {
		if ConditionOf(rule) != workv1.ManifestComplete {
			continue
		}
		for _, verdict := range e.Judge(object, []workv1.ConditionRule{rule}) {
			return verdict.Status == metav1.ConditionTrue
		}
	}
	return false
}

func (e *Evaluator) judge(object map[string]any, expressions []string) Verdict {
	for _, expression := range expressions {
		if want, ok := hashCheck(expression); ok {
			if Hash(object) != want {
				return Verdict{
					Status: metav1.ConditionFalse, Reason: kronvoyv1alpha1.ReasonRuleStale,
					Message: "the object does not carry this manifest yet",
				}
			}
			continue
		}
		holds, err := e.bool(expression, object)
		switch {
		case err == nil && holds:
			continue
		case err == nil:
			return Verdict{Status: metav1.ConditionFalse, Reason: workv1.ConditionRuleEvaluated}
		case isMissing(err):
			return Verdict{
				Status: metav1.ConditionFalse, Reason: kronvoyv1alpha1.ReasonRuleWaiting,
				Message: fmt.Sprintf("waiting: %s in %s", told(err, object), shorten(expression)),
			}
		default:
			return Verdict{
				Status: metav1.ConditionFalse, Reason: workv1.ConditionRuleInvalid,
				Message: fmt.Sprintf("evaluating %s: %s", shorten(expression), told(err, object)),
			}
		}
	}
	return Verdict{Status: metav1.ConditionTrue, Reason: workv1.ConditionRuleEvaluated}
}

// told is what CEL says; of a Secret it is not passed on, as it names values that
// a rule reads, as in `parsing "swordfish": invalid syntax`.
func told(err error, object map[string]any) string {
	switch {
	case kindOf(object) != "v1/Secret":
		return err.Error()
	case isMissing(err):
		return "a field is missing"
	}
	return "it cannot be evaluated; what is wrong is not shown, as it may name values of the Secret"
}

// message is the rule's own where it has one and the rule could be evaluated.
func (e *Evaluator) message(object map[string]any, rule workv1.ConditionRule, verdict Verdict) string {
	message := verdict.Message
	if verdict.Reason == workv1.ConditionRuleEvaluated {
		message = rule.Message
		if rule.MessageExpression != "" {
			text, err := e.text(rule.MessageExpression, object, verdict.Status == metav1.ConditionTrue)
			if err == nil && text != "" {
				message = text
			}
		}
	}
	return truncate(message, maxMessage)
}

// hashCheck recognises the check that a hub puts in front of every rule:
//
//	object.metadata.annotations['kronvoy.io/hash'] == '…'
//
// with or without the guards that the annotation exists. It is different for
// every manifest and revision, so that programs for it would be compiled for
// one evaluation and push the others out.
func hashCheck(expression string) (string, bool) {
	const annotations = "object.metadata.annotations"
	want, found := "", false
	for part := range strings.SplitSeq(expression, "&&") {
		part = strings.TrimSpace(part)
		if part == "has("+annotations+")" {
			continue
		}
		if key, ok := strings.CutSuffix(part, " in "+annotations); ok && isHashKey(key) {
			continue
		}
		key, value, ok := strings.Cut(part, "==")
		if !ok || found {
			return "", false
		}
		key, ok = strings.CutPrefix(strings.TrimSpace(key), annotations+"[")
		if !ok {
			return "", false
		}
		key, ok = strings.CutSuffix(key, "]")
		if !ok || !isHashKey(key) {
			return "", false
		}
		if want, found = literal(value); !found {
			return "", false
		}
	}
	return want, found
}

func isHashKey(text string) bool {
	key, ok := literal(text)
	return ok && key == kronvoyv1alpha1.AnnotationHash
}

// literal reads a plain quoted string, without escapes.
func literal(text string) (string, bool) {
	text = strings.TrimSpace(text)
	if len(text) < 2 || (text[0] != '"' && text[0] != '\'') || text[len(text)-1] != text[0] {
		return "", false
	}
	inner := text[1 : len(text)-1]
	return inner, !strings.ContainsAny(inner, `\"'`)
}

func kindOf(object map[string]any) string {
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	return apiVersion + "/" + kind
}

func shorten(expression string) string { return strconv.Quote(truncate(expression, 200)) }

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
