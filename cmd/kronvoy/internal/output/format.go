// Package output prints what commands have found, for people and for programs.
// It is pure: where it prints to, and how wide that is, is given.
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// The formats that commands have in common.
const (
	FormatTable = "table"
	FormatWide  = "wide"
	FormatJSON  = "json"
	FormatYAML  = "yaml"
	FormatName  = "name"
)

// BindFormat adds --output to a command, with the formats that it takes. The
// first is the default.
func BindFormat(cmd *cobra.Command, value *string, formats ...string) {
	*value = formats[0]
	cmd.Flags().VarP(&choice{value: value, allowed: formats}, "output", "o", oneOf(formats))
	err := cmd.RegisterFlagCompletionFunc("output", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return formats, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	})
	if err != nil {
		panic(err) // the flag is defined above
	}
}

// choice is the value of a flag that takes some words alone.
type choice struct {
	value   *string
	allowed []string
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return "format" }

func (c *choice) Set(text string) error {
	if !slices.Contains(c.allowed, text) {
		return fmt.Errorf("it is not %s", oneOf(c.allowed))
	}
	*c.value = text
	return nil
}

func oneOf(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// ForPeople says whether a format is a table.
func ForPeople(format string) bool { return format == FormatTable || format == FormatWide }

// Encode prints a value as JSON or YAML.
func Encode(w io.Writer, format string, value any) error {
	var text []byte
	var err error
	switch format {
	case FormatJSON:
		text, err = json.MarshalIndent(value, "", "  ")
		text = append(text, '\n')
	case FormatYAML:
		text, err = yaml.Marshal(value)
	default:
		return fmt.Errorf("--output %q is not json or yaml", format)
	}
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	_, err = w.Write(text)
	return err
}
