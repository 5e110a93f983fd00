package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/internal/golden"
)

// commands are all that do something, by their path without the first word.
func commands(cmd *cobra.Command) map[string]*cobra.Command {
	found := map[string]*cobra.Command{}
	for _, sub := range cmd.Commands() {
		if sub.Runnable() && !sub.Hidden {
			found[strings.TrimPrefix(sub.CommandPath(), "kronvoy ")] = sub
		}
		maps.Copy(found, commands(sub))
	}
	return found
}

func TestEveryCommandHasAnExampleAndSaysWhatItIsFor(t *testing.T) {
	for path, cmd := range commands(newCommand()) {
		if cmd.Short == "" || cmd.Example == "" && !strings.HasPrefix(path, "demo") {
			t.Errorf("%s has no description or example", path)
		}
	}
}

func TestEveryExampleHasFlagsThatExist(t *testing.T) {
	for path, described := range commands(newCommand()) {
		for line := range strings.Lines(described.Example) {
			line, _, _ = strings.Cut(line, " | ")
			words := strings.Fields(line)
			if len(words) == 0 || words[0] != "kronvoy" {
				continue
			}
			cmd, rest, err := newCommand().Find(words[1:])
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err != nil {
				t.Errorf("an example of %s, %q: %v", path, strings.TrimSpace(line), err)
			}
		}
	}
}

func TestAllThatSpeakToAHubHaveTheSameFlags(t *testing.T) {
	for path, cmd := range commands(newCommand()) {
		if kubeconfig := cmd.Flags().Lookup("kubeconfig"); kubeconfig == nil || !strings.HasPrefix(kubeconfig.Usage, "kubeconfig of the hub") {
			continue
		}
		for _, name := range []string{"context", "as", "as-group"} {
			if cmd.Flags().Lookup(name) == nil {
				t.Errorf("%s has no --%s", path, name)
			}
		}
		if format := cmd.Flags().Lookup("output"); format != nil && format.Value.Type() != "format" {
			t.Errorf("%s does not check --output", path)
		}
		if namespace := cmd.Flags().Lookup("namespace"); namespace != nil && namespace.Shorthand != "n" {
			t.Errorf("%s has no -n", path)
		}
	}
}

// The document's list of commands is written by go test ./cmd/kronvoy -run
// Document -update.
func TestTheDocumentListsAllCommandsAndTheirExitCodes(t *testing.T) {
	const file, begin, end = "../../docs/cli.md", "<!-- commands -->\n", "<!-- end of commands -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no %q and %q", file, begin, end)
	}
	now := before + begin + documented(newCommand()) + end + after
	golden.Compare(t, file, now)
}

func documented(root *cobra.Command) string {
	var text strings.Builder
	fmt.Fprintln(&text, "| exit code | says |\n|---|---|")
	for _, code := range slices.Sorted(maps.Keys(exit.General)) {
		fmt.Fprintf(&text, "| %d | %s |\n", code, exit.General[code])
	}
	all := commands(root)
	fmt.Fprintln(&text, "\n| command | what it does | exit codes of its own |\n|---|---|---|")
	for _, path := range slices.Sorted(maps.Keys(all)) {
		cmd, codes := all[path], ""
		for _, code := range slices.Sorted(maps.Keys(exit.Of(cmd))) {
			codes += fmt.Sprintf("%d: %s<br>", code, exit.Of(cmd)[code])
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s |\n", path, cmd.Short, strings.TrimSuffix(codes, "<br>"))
	}
	return text.String()
}

func TestTheHelpShowsTheNameThatTheCommandWasCalledBy(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"kronvoy":                 {args: []string{"/usr/bin/kronvoy", "preview", "--help"}, want: "  kronvoy preview -f FILE [flags]\n"},
		"kubectl kronvoy":         {args: []string{"/usr/bin/kubectl-kronvoy", "preview", "--help"}, want: "  kubectl kronvoy preview -f FILE [flags]\n"},
		"its examples":            {args: []string{"kubectl-kronvoy", "preview", "--help"}, want: "-o yaml | kubectl kronvoy preview -f -\n"},
		"what completes for it":   {args: []string{"kubectl_complete-kronvoy", "rollou"}, want: "rollout\tLook at rollouts"},
		"exit codes of a command": {args: []string{"kronvoy", "preview", "--help"}, want: "\n  2    something changes\n"},
		"the page of exit codes":  {args: []string{"kronvoy", "help", "exit-codes"}, want: "\n  3    what was waited for did not come in time\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := newCommand()
			var out bytes.Buffer
			cmd.SetOut(&out)
			cmd.SetArgs(calledAs(cmd, tc.args))
			if err := cmd.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), tc.want) {
				t.Errorf("want %q in:\n%s", tc.want, out.String())
			}
		})
	}
}

func TestTheExitStatusTellsAnErrorFromAnAnswerAndFromCtrlC(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ended bool
		err   error
		want  exit.Code
	}{
		"done":                      {want: exit.Done},
		"an error":                  {err: errors.New("cluster not found"), want: exit.Failed},
		"an answer":                 {err: fmt.Errorf("shop: %w", exit.No), want: exit.No},
		"Ctrl-C":                    {ended: true, err: fmt.Errorf("listing: %w", context.Canceled), want: exit.Interrupted},
		"an error just before then": {ended: true, err: errors.New("cluster not found"), want: exit.Failed},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if tc.ended {
				ctx = ended
			}
			if got := status(ctx, tc.err); got != tc.want {
				t.Errorf("%d, want %d", got, tc.want)
			}
		})
	}
}
