package graph

import (
	"fmt"
	"sort"
	"strings"

	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/internal/suggest"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/template"
)

// Error implements error: the place, and what is wrong there.
func (i Issue) Error() string {
	s := i.Path
	if i.Offset > 0 {
		s = fmt.Sprintf("%s (at %d)", s, i.Offset)
	}
	s += ": " + i.Message
	if i.Suggestion != "" {
		s += " (" + i.Suggestion + ")"
	}
	return s
}

// Err returns the issues as one error, the first ones spelt out; nil for none.
func (is Issues) Err() error {
	if len(is) == 0 {
		return nil
	}
	const shown = 10
	lines := make([]string, 0, shown+1)
	for i, issue := range is {
		if i == shown {
			lines = append(lines, fmt.Sprintf("and %d more", len(is)-shown))
			break
		}
		lines = append(lines, issue.Error())
	}
	return fmt.Errorf("%s", strings.Join(lines, "; "))
}

func (is Issues) sort() {
	sort.SliceStable(is, func(i, j int) bool {
		a, b := is[i], is[j]
		if a.Path != b.Path {
			return lessPath(a.Path, b.Path)
		}
		if a.Offset != b.Offset {
			return a.Offset < b.Offset
		}
		if a.Reason != b.Reason {
			return a.Reason < b.Reason
		}
		return a.Message < b.Message
	})
}

// lessPath compares paths as text, with the numbers in them as numbers.
func lessPath(a, b string) bool {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if isDigit(a[i]) && isDigit(b[j]) {
			x, nextI := digits(a, i)
			y, nextJ := digits(b, j)
			if len(x) != len(y) {
				return len(x) < len(y)
			}
			if x != y {
				return x < y
			}
			i, j = nextI, nextJ
			continue
		}
		if a[i] != b[j] {
			return a[i] < b[j]
		}
		i, j = i+1, j+1
	}
	return len(a) < len(b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func digits(s string, i int) (string, int) {
	end := i
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	return strings.TrimLeft(s[i:end], "0"), end
}

func shorten(s string) string { return suggest.Shorten(s, 160) }

// templateIssue places a fault of a template.
func templateIssue(at, text string, err *template.Error) Issue {
	return Issue{Path: at, Offset: err.Offset, Reason: err.Reason, Message: err.Message, Snippet: excerpt(text, err.Offset), Suggestion: err.Suggestion}
}

// exprIssue places a fault of an expression that starts at offset.
func exprIssue(at string, offset int, source string, f expr.Fault) Issue {
	return Issue{Path: at, Offset: offset + f.Offset, Reason: f.Reason, Message: f.Message, Snippet: excerpt(source, f.Offset), Suggestion: f.Suggestion}
}

func schemaIssue(f schema.Fault) Issue { return Issue(f) }

// excerpt is the text around an offset: all of it when it is short, else the
// part of the line around the fault.
func excerpt(text string, offset int) string {
	const around = 60
	if len(text) <= 2*around && !strings.Contains(text, "\n") {
		return text
	}
	offset = max(0, min(offset, len(text)))
	start := strings.LastIndexByte(text[:offset], '\n') + 1
	end := len(text)
	if i := strings.IndexByte(text[offset:], '\n'); i >= 0 {
		end = offset + i
	}
	prefix := ""
	if offset-start > around {
		start, prefix = offset-around, "…"
	}
	return prefix + suggest.Shorten(strings.ToValidUTF8(text[start:end], ""), 2*around)
}
