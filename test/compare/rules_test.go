package compare

import (
	"fmt"
	"testing"
)

// rules is how many rules of kro's behaviour there are.
const rules = 48

// elsewhere are the rules that are about controllers and API servers, which no
// engine alone can show, with the reason and the place where they are tested.
var elsewhere = map[int]string{
	30: "conditions are evaluated on each pass; that a flip creates and prunes is the controller's, see test/e2e",
	33: "each pass starts anew, and all cases are evaluated for several observations; requeues are the controller's",
	43: "taking over objects that exist is the agent's, see spoke/apply and test/e2e",
	44: "two nodes with one identity are found when manifests are gathered, see hub/work",
	45: "objects that are being deleted are the agent's, see spoke",
	46: "marks of ApplySets are not written, see the differences from kro",
	48: "deleting a definition is the controller's, see hub/definition and test/e2e",
}

// notYet are cases that our engine cannot do yet, with the feature that is
// missing. A case that starts to pass must be taken out.
var notYet = map[string]string{}

// knownDifferences are cases in which our engine differs without meaning to, with
// how. A case that starts to pass must be taken out.
var knownDifferences = map[string]string{
	"08-a-wrong-type-beside-unknown-fields":               "where unknown fields are kept, kro does not check those that are known; we do",
	"13-a-list-of-structs-with-a-wrong-field":             "kro compares map literals inside of lists with the struct that is expected; we do not",
	"13-a-text-for-a-time":                                "kro refuses text for a time; we accept it",
	"13-an-integer-for-a-number":                          "kro refuses an integer for a number; we accept it",
	"13-bytes-for-bytes":                                  "kro accepts bytes for a field of bytes and fails to write them; we write them",
	"14-nested-deeper-than-it-may-be":                     "kro bounds how deep types are nested in a text, not how deep fields are; we bound both",
	"34-an-optional-that-is-not-resolved":                 "kro refuses an optional list in forEach; we accept it",
	"39-an-empty-object":                                  "kro leaves an empty object of the status out, and types it as nothing; we keep it",
	"14-a-name-with-a-leading-dot":                        "kro refuses .schema, which CEL takes for schema; we accept it",
	"14-a-type-is-no-value":                               "we know the names of types as values, kro does not",
	"16-a-duration-as-a-result":                           "kro infers anything for a duration, we text; kro describes every time as one of creation",
	"22-a-dependent-of-one-that-fails":                    "kro fails a node whose dependency fails in readyWhen; we hold it",
	"27-an-exclusion-that-a-dependency-could-also-decide": "we exclude a node as soon as one condition says so; kro first waits for all that could exclude it",
	"28-a-condition-written-like-a-readyWhen":             "kro takes a condition for a readyWhen that is written in the same way, and fails",
	"36-an-empty-collection-that-reads-what-is-not-there": "an empty collection in kro waits for what its items would read; ours is ready",
	"28-a-condition-that-fails":                           "kro fails a node whose dependency fails in includeWhen; we hold it",
	"39-a-list-of-objects":                                "types of whole objects: kro leaves times open and escapes the names of fields in the kind",
	"39-optionals-in-the-status":                          "kro infers anything for an optional, we the type that it holds",
	"39-the-whole-resource":                               "types of whole objects: kro leaves times open and escapes the names of fields in the kind",
	"39-types-are-inferred":                               "kro infers an object without fields for an unstructured one, so that the API server prunes all of it",
	"40-a-collection-of-which-nothing-is-known":           "the status in kro reads a collection as empty before any of it exists; ours waits",
	"41-a-condition-for-each-of-a-list":                   "a condition in kro reads a collection as empty before any of it exists; ours waits",
	"41-conditions-of-one-type-at-run-time":               "a condition in kro reads a collection as empty before any of it exists; ours waits",
	"40-a-list-whose-first-element-is-not-known":          "we let elements of lists be null, kro writes null where its kind does not allow it",
	"40-a-list-whose-last-element-is-not-known":           "we let elements of lists be null, kro writes null where its kind does not allow it",
}

// everyRuleIsCovered holds that each rule has a case that works and one that is
// refused, fails or waits for ever.
func everyRuleIsCovered(t *testing.T, verdicts map[string]verdict) {
	t.Helper()
	if len(verdicts) < wantCases {
		t.Errorf("there are %d cases, want at least %d", len(verdicts), wantCases)
	}
	accepting, refusing := map[int]int{}, map[int]int{}
	for name, v := range verdicts {
		switch {
		case v.rule < 1 || v.rule > rules:
			t.Errorf("%s: there is no rule %d", name, v.rule)
		case v.fails || v.waits:
			refusing[v.rule]++
		default:
			accepting[v.rule]++
		}
	}
	for rule := 1; rule <= rules; rule++ {
		_, excused := elsewhere[rule]
		switch {
		case excused && accepting[rule]+refusing[rule] > 0:
			t.Errorf("rule %d has cases, and is said to be covered elsewhere", rule)
		case excused:
		case accepting[rule] == 0:
			t.Errorf("rule %d has no case that is accepted", rule)
		case refusing[rule] == 0:
			t.Errorf("rule %d has no case that is refused", rule)
		}
	}
	t.Logf("%d cases; %s", len(verdicts), fmt.Sprintf("%d of %d rules, %d elsewhere", len(accepting), rules, len(elsewhere)))
	for name := range notYet {
		if _, found := verdicts[name]; !found {
			t.Errorf("notYet: there is no case %s", name)
		}
	}
	for name := range knownDifferences {
		if _, found := verdicts[name]; !found {
			t.Errorf("knownDifferences: there is no case %s", name)
		}
	}
}
