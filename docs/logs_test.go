package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLogsKeepTheirContract: logs.md. What is logged is looked for by the names of
// loggers, which are those of a field, a variable or controller-runtime's.
func TestLogsKeepTheirContract(t *testing.T) {
	text, err := os.ReadFile("logs.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| [^|]+ \\|$").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, row[1])
	}
	used := map[string]bool{}
	lines := 0
	for _, path := range sources(t, "../hub", "../spoke", "../cmd") {
		ast.Inspect(parse(t, path), func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			l, ok := logged(call)
			if !ok {
				return true
			}
			if l.hasMessage {
				lines++
				if !message.MatchString(l.message) {
					t.Errorf("%s: the message %q is no constant that begins with a capital and has no full stop", path, l.message)
				}
			}
			for _, key := range l.keys {
				used[key] = true
				if !slices.Contains(documented, key) {
					t.Errorf("%s: the key %q is no constant of docs/logs.md", path, key)
				}
			}
			return true
		})
	}
	if lines < 40 {
		t.Errorf("only %d lines are logged: the test does not find them", lines)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(used)), sorted(documented)); diff != "" {
		t.Errorf("keys, in the code (-) and in logs.md (+):\n%s", diff)
	}
	for _, key := range documented {
		if !regexp.MustCompile(`^[a-z]+([A-Z][a-z]+)*$`).MatchString(key) {
			t.Errorf("the key %q is not in lowerCamelCase", key)
		}
	}
}

var message = regexp.MustCompile(`^[A-Z].*[^.!:]$`)

// line is what a call gives to a logger; what is no constant is empty.
type line struct {
	message    string
	hasMessage bool
	keys       []string
}

func logged(call *ast.CallExpr) (line, bool) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !isLogger(method.X) {
		return line{}, false
	}
	skip, l := 0, line{hasMessage: true}
	switch method.Sel.Name {
	case "Info":
		skip = 1
	case "Error":
		skip = 2
	case "WithValues":
		l.hasMessage = false
	default:
		return line{}, false
	}
	if l.hasMessage {
		l.message = constant(call.Args[skip-1])
	}
	for i := skip; i < len(call.Args); i += 2 {
		l.keys = append(l.keys, constant(call.Args[i]))
	}
	if call.Ellipsis.IsValid() || (len(call.Args)-skip)%2 != 0 {
		l.keys = append(l.keys, "") // pairs that cannot be seen
	}
	return l, true
}

func isLogger(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "log" || e.Name == "logger"
	case *ast.SelectorExpr:
		return slices.Contains([]string{"log", "Log", "logger", "Logger"}, e.Sel.Name)
	case *ast.CallExpr:
		method, ok := e.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		if method.Sel.Name == "LoggerFrom" || method.Sel.Name == "GetLogger" {
			return true
		}
		return slices.Contains([]string{"V", "WithName", "WithValues"}, method.Sel.Name) && isLogger(method.X)
	}
	return false
}

func constant(e ast.Expr) string {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(literal.Value)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(text)
}

// TestTheContractFindsWhatBreaksIt.
func TestTheContractFindsWhatBreaksIt(t *testing.T) {
	for text, want := range map[string]line{
		`r.log.Info("Deleted", "work", name)`:                      {message: "Deleted", hasMessage: true, keys: []string{"work"}},
		`ctrl.LoggerFrom(ctx).V(1).Info(text, key, 1)`:             {hasMessage: true, keys: []string{""}},
		`j.options.Log.Error(err, "Listing failed", pairs...)`:     {message: "Listing failed", hasMessage: true, keys: []string{"", ""}},
		`log.WithValues("a", 1).Info("Odd", "b")`:                  {message: "Odd", hasMessage: true, keys: []string{"b", ""}},
		`o.Logger.WithName("live").WithValues("resource", "pods")`: {keys: []string{"resource"}},
	} {
		got, found := logged(expression(t, text))
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(line{})); diff != "" || !found {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	if _, found := logged(expression(t, `http.Error(w, "no", 400)`)); found {
		t.Error("an answer passes for a line of a log")
	}
}

func expression(t *testing.T, text string) *ast.CallExpr {
	t.Helper()
	e, err := parser.ParseExpr(text)
	if err != nil {
		t.Fatal(err)
	}
	return e.(*ast.CallExpr)
}
