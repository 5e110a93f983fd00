// Package docs_test checks documents against the programs.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/hub/events"
)

// TestEveryEventIsDocumented, and no other.
func TestEveryEventIsDocumented(t *testing.T) {
	text, err := os.ReadFile("events.md")
	if err != nil {
		t.Fatal(err)
	}
	onHub, onCluster, found := strings.Cut(string(text), "## On a cluster")
	if !found {
		t.Fatal("events.md has no part about clusters")
	}
	var kinds []string
	for _, k := range events.Kinds() {
		typ := "Normal"
		if k.Warning {
			typ = "Warning"
		}
		kinds = append(kinds, k.Reason+" "+k.Object+" "+typ)
	}
	if diff := cmp.Diff(sorted(kinds), rows(onHub)); diff != "" {
		t.Errorf("events of the hub, in the code (-) and in events.md (+):\n%s", diff)
	}
	var documented []string
	for _, row := range rows(onCluster) {
		reason, _, _ := strings.Cut(row, " ")
		documented = append(documented, reason)
	}
	if diff := cmp.Diff(reasons(t, "../spoke/notice/reasons.go"), sorted(documented)); diff != "" {
		t.Errorf("events of agents, in the code (-) and in events.md (+):\n%s", diff)
	}
}

// rows are reason, object and type of each row.
func rows(text string) []string {
	var found []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([^|]+) \\| (Normal|Warning) \\| [^|]+ \\| [^|]+ \\|$").FindAllStringSubmatch(text, -1) {
		found = append(found, strings.Join(row[1:], " "))
	}
	return sorted(found)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// reasons are the texts of all constants of a file.
func reasons(t *testing.T, path string) []string {
	t.Helper()
	var found []string
	ast.Inspect(parse(t, path), func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			for _, value := range spec.Values {
				if literal, ok := value.(*ast.BasicLit); ok {
					text, err := strconv.Unquote(literal.Value)
					if err != nil {
						t.Fatal(err)
					}
					found = append(found, text)
				}
			}
		}
		return true
	})
	return sorted(found)
}

// TestAgentsTellNoReasonThatHasNoName: what is not a constant of spoke/notice would
// be missing in events.md.
func TestAgentsTellNoReasonThatHasNoName(t *testing.T) {
	notices := 0
	for _, path := range sources(t, "../spoke") {
		ast.Inspect(parse(t, path), func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok || !isSelector(literal.Type, "notice", "Notice") {
				return true
			}
			notices++
			for _, element := range literal.Elts {
				field, ok := element.(*ast.KeyValueExpr)
				if !ok {
					t.Errorf("%s: a notice without names of fields", path)
					continue
				}
				if name, ok := field.Key.(*ast.Ident); ok && name.Name == "Reason" && !isSelector(field.Value, "notice", "") {
					t.Errorf("%s: a notice whose reason is no constant of spoke/notice", path)
				}
			}
			return true
		})
		ast.Inspect(parse(t, path), func(n ast.Node) bool {
			assign, ok := n.(*ast.AssignStmt)
			if !ok || len(assign.Lhs) != len(assign.Rhs) {
				return true
			}
			for i, to := range assign.Lhs {
				if isSelector(to, "n", "Reason") && !isSelector(assign.Rhs[i], "notice", "") {
					t.Errorf("%s: a notice whose reason is no constant of spoke/notice", path)
				}
			}
			return true
		})
	}
	if notices < 10 {
		t.Errorf("only %d notices were found", notices)
	}
}

// isSelector is of x.name; any name where it is empty.
func isSelector(e ast.Expr, x, name string) bool {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	of, ok := selector.X.(*ast.Ident)
	return ok && of.Name == x && (name == "" || selector.Sel.Name == name)
}

// sources are the Go files of folders, without tests.
func sources(t *testing.T, folders ...string) []string {
	t.Helper()
	var found []string
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				found = append(found, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func parse(t *testing.T, path string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
