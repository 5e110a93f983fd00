// Package template finds the CEL expressions in a string: the text between
// `${` and the `}` that ends it. It understands what CEL means by a string and
// a comment, so that a brace or a quote inside of one is only text.
package template

import (
	"strings"
)

// Template is a parsed string.
type Template struct {
	Segments []Segment
}

// Segment is literal text, or one expression.
type Segment struct {
	// Text is the literal, or the expression without its `${` and `}`.
	Text string
	// Expr is true for an expression.
	Expr bool
	// Offset of Text in the whole string, in bytes.
	Offset int
}

// Error is a fault in a template; Offset is where, in bytes.
type Error struct {
	Offset     int
	Reason     string
	Message    string
	Suggestion string
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// Static is true when there is no expression in the string.
func (t Template) Static() bool {
	return len(t.Segments) == 0 || len(t.Segments) == 1 && !t.Segments[0].Expr
}

// Standalone is true when one expression spans the whole string: its value
// keeps its own type. Anything around it, be it a line feed, makes it text.
func (t Template) Standalone() bool {
	return len(t.Segments) == 1 && t.Segments[0].Expr
}

// Parse splits a string into its segments.
func Parse(s string) (Template, *Error) {
	var t Template
	for at := 0; at < len(s); {
		open := strings.Index(s[at:], "${")
		if open < 0 {
			t.Segments = append(t.Segments, Segment{Text: s[at:], Offset: at})
			break
		}
		open += at
		if open > at {
			t.Segments = append(t.Segments, Segment{Text: s[at:open], Offset: at})
		}
		end, err := expressionEnd(s, open)
		if err != nil {
			return Template{}, err
		}
		text := s[open+2 : end]
		if strings.TrimSpace(text) == "" {
			return Template{}, &Error{Offset: open, Reason: "EmptyExpression", Message: "the expression is empty",
				Suggestion: "a literal ${} is written ${\"${}\"}"}
		}
		t.Segments = append(t.Segments, Segment{Text: text, Expr: true, Offset: open + 2})
		at = end + 1
	}
	return t, nil
}

// expressionEnd returns the place of the brace that ends the expression opened
// at open.
func expressionEnd(s string, open int) (int, *Error) {
	depth := 0
	for i := open + 2; i < len(s); {
		switch c := s[i]; {
		case c == '{':
			depth++
		case c == '}':
			if depth == 0 {
				return i, nil
			}
			depth--
		case c == '$' && i+1 < len(s) && s[i+1] == '{':
			return 0, &Error{Offset: i, Reason: "NestedExpression", Message: "an expression cannot contain another ${…}",
				Suggestion: "remove the inner ${ and }; a literal is written in quotes"}
		case c == '/' && i+1 < len(s) && s[i+1] == '/':
			line := strings.IndexByte(s[i:], '\n')
			if line < 0 {
				return 0, unterminated(open, "the comment hides the closing }: it ends with the line")
			}
			i += line
		case c == '"' || c == '\'':
			end := stringEnd(s, i)
			if end < 0 {
				return 0, &Error{Offset: i, Reason: "UnterminatedString", Message: "the string in the expression does not end",
					Suggestion: "add the closing " + string(c)}
			}
			i = end
			continue
		}
		i++
	}
	return 0, unterminated(open, "add the closing }, or write a literal ${ as ${\"${\"}")
}

func unterminated(open int, suggestion string) *Error {
	return &Error{Offset: open, Reason: "UnterminatedExpression", Message: "the expression opened by ${ does not end", Suggestion: suggestion}
}

// stringEnd returns the place after the string literal that opens at i, or -1.
// The quote may be single or triple; in a raw string a backslash is itself.
func stringEnd(s string, i int) int {
	quote := s[i : i+1]
	if strings.HasPrefix(s[i:], strings.Repeat(quote, 3)) {
		quote = strings.Repeat(quote, 3)
	}
	raw := isRaw(s, i)
	for i += len(quote); i < len(s); i++ {
		if s[i] == '\\' && !raw {
			i++
			continue
		}
		if strings.HasPrefix(s[i:], quote) {
			return i + len(quote)
		}
	}
	return -1
}

// isRaw tells whether the quote at i carries the prefix r, in any case and
// order with b, and the prefix is not the end of a longer name.
func isRaw(s string, i int) bool {
	start := i
	for start > 0 && i-start < 2 && strings.IndexByte("rRbB", s[start-1]) >= 0 {
		start--
	}
	if start > 0 && isNameByte(s[start-1]) {
		return false
	}
	return strings.ContainsAny(s[start:i], "rR")
}

func isNameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
