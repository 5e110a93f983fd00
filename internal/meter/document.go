package meter

import (
	"fmt"
	"io"
	"strings"
)

//go:generate go run ./internal/generate ../../docs/metrics.md

// Document writes a table of metrics in Markdown.
func Document(w io.Writer, definitions []Definition) error {
	if _, err := fmt.Fprint(w, "| metric | type | labels | what it is |\n|---|---|---|---|\n"); err != nil {
		return err
	}
	for _, d := range definitions {
		labels := make([]string, 0, len(d.Labels))
		for _, label := range d.Labels {
			labels = append(labels, "`"+label+"`")
		}
		if _, err := fmt.Fprintf(w, "| `%s` | %s | %s | %s |\n", d.Name, d.Type, strings.Join(labels, ", "), strings.ReplaceAll(d.Help, "|", `\|`)); err != nil {
			return err
		}
	}
	return nil
}
