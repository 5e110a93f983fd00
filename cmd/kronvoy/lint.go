package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/manifest"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/graph"
)

type lintOptions struct {
	sourceOptions
	output string
}

func lintCommand() *cobra.Command {
	var opts lintOptions
	cmd := &cobra.Command{
		Use:   "lint -f FILE",
		Short: "Find everything that is wrong with a ResourceGraphDefinition",
		Long: `Compile the ResourceGraphDefinitions of some files without a cluster, and print
everything that is wrong with them, each with its place.`,
		Example: `  kronvoy lint -f rgd.yaml
  kronvoy lint -f rgd.yaml --crds crds/ -o json
  kronvoy lint -f rgd.yaml --kubeconfig ~/.kube/config`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.run(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	opts.bind(cmd)
	output.BindFormat(cmd, &opts.output, "text", "json", "yaml")
	exit.Says(cmd, exit.Done, "nothing is wrong")
	exit.Says(cmd, exit.Failed, "something is wrong with a definition, or an error")
	return cmd
}

func (o *lintOptions) run(stdin io.Reader, out io.Writer) error {
	b, err := o.load(stdin)
	if err != nil {
		return err
	}
	findings := []finding{}
	for _, d := range b.definitions {
		for _, issue := range d.issues {
			findings = append(findings, newFinding(d.document, issue))
		}
	}
	slices.SortStableFunc(findings, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if err := printFindings(out, findings, o.output); err != nil {
		return err
	}
	return b.failure()
}

// finding is an issue with its place in a file.
type finding struct {
	File       string `json:"file"`
	Line       int    `json:"line"`
	Column     int    `json:"column"`
	Path       string `json:"path"`
	Reason     string `json:"reason"`
	Message    string `json:"message"`
	Snippet    string `json:"snippet,omitempty"`
	Suggestion string `json:"suggestion,omitempty"`

	// text of the line.
	text string
}

func newFinding(d *manifest.Document, i graph.Issue) finding {
	p := d.Position(i.Path, i.Offset)
	return finding{File: d.File, Line: p.Line, Column: p.Column, Path: i.Path, Reason: i.Reason, Message: i.Message,
		Snippet: i.Snippet, Suggestion: i.Suggestion, text: p.Text}
}

func printFindings(out io.Writer, findings []finding, format string) error {
	switch format {
	case "text":
		for _, f := range findings {
			if _, err := io.WriteString(out, f.String()); err != nil {
				return err
			}
		}
		return nil
	}
	return printValue(out, findings, format)
}

// printValue prints a value as JSON or YAML.
func printValue(out io.Writer, v any, format string) error {
	switch format {
	case "json":
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(v)
	case "yaml":
		data, err := yaml.Marshal(v)
		if err != nil {
			return err
		}
		_, err = out.Write(data)
		return err
	}
	return fmt.Errorf("unknown output format %q", format)
}

// String shows the finding with its line and a caret below the place:
//
//	rgd.yaml:31:22: TypeMismatch: expected integer, but the expression is a string
//	   31 |       replicas: ${schema.spec.name}
//	      |                   ^
//	      = convert it with int(…)
func (f finding) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s: %s\n", f.File, f.Line, f.Column, f.Reason, f.Message)
	if f.text != "" {
		text, column := window(strings.ReplaceAll(f.text, "\t", " "), f.Column)
		fmt.Fprintf(&b, "%5d | %s\n", f.Line, text)
		fmt.Fprintf(&b, "      | %s^\n", strings.Repeat(" ", max(column-1, 0)))
	}
	if f.Path != "" {
		fmt.Fprintf(&b, "      = at %s\n", f.Path)
	}
	if f.Suggestion != "" {
		fmt.Fprintf(&b, "      = %s\n", f.Suggestion)
	}
	return b.String()
}

// window cuts a long line around a column.
func window(text string, column int) (string, int) {
	const width = 120
	if utf8.RuneCountInString(text) <= width {
		return text, column
	}
	runes := []rune(text)
	start := max(0, min(column-width/2, len(runes)-width))
	return "…" + string(runes[start:min(start+width, len(runes))]), column - start + 1
}
