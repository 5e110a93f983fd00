// Package exit has the exit codes of all commands. A command says what its codes
// mean with Says; its help, the page of all codes and docs/cli.md come from that.
package exit

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// Code is an error that says all it has to say by its number.
type Code int

// The codes.
const (
	// Done is that a command did what it was asked for.
	Done Code = 0
	// Failed is that it could not, and why is on standard error; or that something
	// is wrong with what it was given.
	Failed Code = 1
	// No is that it looked, and the answer is no.
	No Code = 2
	// TimedOut is that what was waited for did not come in time.
	TimedOut Code = 3
	// Interrupted is that somebody ended it (128 + SIGINT, as in a shell).
	Interrupted Code = 130
)

// Error implements error.
func (c Code) Error() string { return "exit status " + strconv.Itoa(int(c)) }

// General is what the codes mean where a command says nothing else.
var General = map[Code]string{
	Done:        "done",
	Failed:      "an error, which standard error tells of; or what was given is at fault",
	No:          "the answer is no",
	TimedOut:    "what was waited for did not come in time",
	Interrupted: "ended by Ctrl-C",
}

const annotation = "kronvoy.io/exit-code-"

// Says records what a code means of a command.
func Says(cmd *cobra.Command, code Code, meaning string) {
	if cmd.Annotations == nil {
		cmd.Annotations = map[string]string{}
	}
	cmd.Annotations[annotation+strconv.Itoa(int(code))] = meaning
}

// Of are the codes that a command speaks of.
func Of(cmd *cobra.Command) map[Code]string {
	codes := map[Code]string{}
	for key, meaning := range cmd.Annotations {
		if number, is := strings.CutPrefix(key, annotation); is {
			if n, err := strconv.Atoi(number); err == nil {
				codes[Code(n)] = meaning
			}
		}
	}
	return codes
}

// Document writes the codes into the help of a command and of all below it.
func Document(cmd *cobra.Command) {
	if codes := Of(cmd); len(codes) > 0 {
		for _, code := range []Code{Done, Failed} {
			if codes[code] == "" {
				codes[code] = General[code]
			}
		}
		cmd.Long = strings.TrimRight(about(cmd), "\n") + "\n\nExit status:\n" + list(codes)
	}
	for _, sub := range cmd.Commands() {
		Document(sub)
	}
}

func about(cmd *cobra.Command) string {
	if cmd.Long == "" {
		return cmd.Short + "."
	}
	return cmd.Long
}

func list(codes map[Code]string) string {
	var text strings.Builder
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		fmt.Fprintf(&text, "  %-3d  %s\n", code, codes[code])
	}
	return strings.TrimRight(text.String(), "\n")
}

// Topic is the help page of all codes.
func Topic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit status of a command says",
		Long: "The exit status of every command is one of these:\n\n" + list(General) + `

The help of a command says what the answer is about. Commands that show something
exit with 0 whatever they show, but for "status" and those with --exit-code.`,
	}
}
