package policy

import (
	"fmt"
	"strings"

	"github.com/kronvoy/kronvoy/graph"
)

// Invalid is the first of some issues as what is wrong with a Distribution, and
// how many more there are; texts are the expressions by path.
func Invalid(reason string, issues graph.Issues, texts map[string]string) *InvalidError {
	first := issues[0]
	field := first.Path
	if text, found := texts[first.Path]; found && first.Offset >= 0 {
		line, column := place(text, first.Offset)
		field = fmt.Sprintf("%s:%d:%d", field, line, column)
	}
	message := first.Message
	if first.Suggestion != "" {
		message += " (" + first.Suggestion + ")"
	}
	if more := len(issues) - 1; more > 0 {
		message += fmt.Sprintf("; and %d more", more)
	}
	return &InvalidError{Field: field, Reason: reason, Err: fmt.Errorf("%s", message)}
}

// place turns an offset in bytes into a line and a column, both from 1.
func place(text string, offset int) (line, column int) {
	before := text[:min(offset, len(text))]
	line = strings.Count(before, "\n") + 1
	return line, len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
}
