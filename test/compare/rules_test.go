package compare

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// rules is how many rules of kro's behaviour there are.
const rules = 48

// byControllers are the rules about what controllers and API servers do, which no
// engine alone can show. Each has a test on real API servers, with Rule and the
// number in its name.
var byControllers = map[int]string{
	43: "objects that exist are taken over",
	45: "an object that is being deleted stops what depends on it",
	48: "deleting a definition leaves its instances alone",
}

// everyRuleIsCovered holds that each rule has a case that works and one that is
// refused, fails or waits for ever.
func everyRuleIsCovered(t *testing.T, verdicts map[string]verdict) {
	t.Helper()
	if len(verdicts) < wantCases {
		t.Errorf("there are %d cases, want at least %d", len(verdicts), wantCases)
	}
	tests := testsOfRules(t)
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
		what, controllers := byControllers[rule]
		switch {
		case controllers && accepting[rule]+refusing[rule] > 0:
			t.Errorf("rule %d has cases, and is said to be about controllers", rule)
		case controllers && len(tests[rule]) == 0:
			t.Errorf("rule %d (%s) has no test on real API servers: none has Rule%d in its name", rule, what, rule)
		case controllers:
			t.Logf("rule %d (%s): %v", rule, what, tests[rule])
		case accepting[rule] == 0:
			t.Errorf("rule %d has no case that is accepted", rule)
		case refusing[rule] == 0:
			t.Errorf("rule %d has no case that is refused", rule)
		}
	}
	t.Logf("%d cases for %d of %d rules, %d are about controllers", len(verdicts), len(accepting), rules, len(byControllers))
}

var ruleInName = regexp.MustCompile(`Rule([0-9]+)`)

// testsOfRules finds the tests of the project that name a rule.
func testsOfRules(t *testing.T) map[int][]string {
	t.Helper()
	out := map[int][]string{}
	const root = "../.."
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != root && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(file, "_test.go"):
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			for _, match := range ruleInName.FindAllStringSubmatch(f.Name.Name, -1) {
				rule, err := strconv.Atoi(match[1])
				if err != nil {
					return err
				}
				out[rule] = append(out[rule], f.Name.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
