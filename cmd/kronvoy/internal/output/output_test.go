package output

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

func table() *Table {
	t := &Table{Header: []string{"CLUSTER", "STATE", "MESSAGE"}}
	t.Add("eu-west", Cell{"Failed", Bad}, "Deployment shop/web: exceeded its progress deadline")
	t.Add("übersee", Cell{"Ready", Good}, "")
	t.Add("evil", 3, "a\x1b[2Jb\nc")
	return t
}

func TestATableIsAlignedAndDoesNothingToATerminal(t *testing.T) {
	tests := map[string]struct {
		style Style
		want  string
	}{
		"in a file": {want: `CLUSTER   STATE    MESSAGE
eu-west   Failed   Deployment shop/web: exceeded its progress deadline
übersee   Ready    -
evil      3        a�[2Jb c
`},
		"on a narrow terminal": {style: Style{Width: 40}, want: `CLUSTER   STATE    MESSAGE
eu-west   Failed   Deployment shop/web:…
übersee   Ready    -
evil      3        a�[2Jb c
`},
		"in colours": {style: Style{Color: true}, want: "\x1b[1mCLUSTER\x1b[0m   \x1b[1mSTATE\x1b[0m    \x1b[1mMESSAGE\x1b[0m\n" +
			"eu-west   \x1b[31mFailed\x1b[0m   Deployment shop/web: exceeded its progress deadline\n" +
			"übersee   \x1b[32mReady\x1b[0m    -\n" +
			"evil      3        a�[2Jb c\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := table().Write(&out, tc.style); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, out.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAFormatThatACommandDoesNotTakeIsRefusedBeforeItRuns(t *testing.T) {
	var format string
	ran := false
	cmd := &cobra.Command{Use: "x", RunE: func(*cobra.Command, []string) error { ran = true; return nil }, SilenceUsage: true, SilenceErrors: true}
	BindFormat(cmd, &format, FormatTable, FormatJSON)
	cmd.SetArgs([]string{"-o", "xml"})
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "it is not table or json") || ran {
		t.Errorf("ran: %v, error: %v", ran, err)
	}
	cmd.SetArgs([]string{"-o", "json"})
	if err := cmd.Execute(); err != nil || format != FormatJSON || !ran {
		t.Errorf("ran: %v, format %q, error: %v", ran, format, err)
	}
}

func TestWhatIsNoTerminalGetsNoColours(t *testing.T) {
	cmd := &cobra.Command{}
	BindColor(cmd)
	cmd.SetOut(&bytes.Buffer{})
	if style := StyleOf(cmd); style != (Style{}) {
		t.Errorf("the style is %v", style)
	}
}
