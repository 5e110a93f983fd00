package output

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kronvoy/kronvoy/internal/plain"
)

// Tone is what a word says at a glance. It is never all that says it.
type Tone string

// The tones are ECMA-48's colours of a terminal, which it may show as it likes.
const (
	Plain  Tone = ""
	Strong Tone = "1"
	Quiet  Tone = "2"
	Bad    Tone = "31"
	Good   Tone = "32"
	Warn   Tone = "33"
)

// Style is how a place shows text.
type Style struct {
	Color bool
	// Width in columns; 0 for as much as there is.
	Width int
}

// colorFlag is the flag of those who want no colours.
const colorFlag = "no-color"

// BindColor adds the flag to a command and all below it.
func BindColor(cmd *cobra.Command) {
	cmd.PersistentFlags().Bool(colorFlag, false, "no colours, as with NO_COLOR; what is not a terminal gets none anyway")
}

// StyleOf looks at where the output of a command goes: colours are for terminals
// alone, and not for those who do not want any (https://no-color.org).
func StyleOf(cmd *cobra.Command) Style {
	noColor, err := cmd.Flags().GetBool(colorFlag)
	noColor = noColor || err != nil
	file, is := cmd.OutOrStdout().(*os.File)
	if !is || !term.IsTerminal(int(file.Fd())) {
		return Style{}
	}
	style := Style{Color: !noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	if width, _, err := term.GetSize(int(file.Fd())); err == nil {
		style.Width = width
	}
	return style
}

// Text is a text in a tone.
func (s Style) Text(tone Tone, text string) string {
	if !s.Color || tone == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(tone) + "m" + text + "\x1b[0m"
}

// Cell is one cell of a table.
type Cell struct {
	Text string
	Tone Tone
}

// Table is lines of cells below a header, in columns.
type Table struct {
	Header []string
	Rows   [][]Cell
	// left is how many rows are not shown.
	left int
}

// Limit leaves rows out at the end, and says so in a line.
func (t *Table) Limit(rows int) {
	if rows = max(rows, 0); len(t.Rows) > rows {
		t.Omit(len(t.Rows) - rows)
		t.Rows = t.Rows[:rows]
	}
}

// Omit says of rows that they are not there.
func (t *Table) Omit(rows int) { t.left += rows }

// Add adds a line. Its cells are Cells, or whatever prints as a word; what is
// empty is a dash.
func (t *Table) Add(cells ...any) {
	row := make([]Cell, len(cells))
	for i, c := range cells {
		cell, is := c.(Cell)
		if !is {
			cell.Text = fmt.Sprint(c)
		}
		// What a cluster reports must not move the cursor of a terminal.
		if cell.Text = plain.Line(cell.Text); cell.Text == "" {
			cell.Text = "-"
		}
		row[i] = cell
	}
	t.Rows = append(t.Rows, row)
}

// gap is what is between columns.
const gap = "   "

// Write prints the table. Where the place is narrow, the last column is cut off.
func (t *Table) Write(w io.Writer, style Style) error {
	header := make([]Cell, len(t.Header))
	for i, name := range t.Header {
		header[i] = Cell{Text: name, Tone: Strong}
	}
	rows := append([][]Cell{header}, t.Rows...)
	widths := make([]int, len(t.Header))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell.Text))
		}
	}
	var text strings.Builder
	for _, row := range rows {
		left := style.Width
		for i, cell := range row {
			if i == len(row)-1 {
				if style.Width > 0 {
					cell.Text = Clip(cell.Text, max(left, minLast))
				}
				text.WriteString(style.Text(cell.Tone, cell.Text))
				break
			}
			pad := widths[i] - utf8.RuneCountInString(cell.Text)
			text.WriteString(style.Text(cell.Tone, cell.Text) + strings.Repeat(" ", pad) + gap)
			left -= widths[i] + len(gap)
		}
		text.WriteByte('\n')
	}
	if t.left > 0 {
		text.WriteString(style.Text(Quiet, fmt.Sprintf("… %d more", t.left)) + "\n")
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// minLast is what the last column has at least.
const minLast = 20

// Clip is one line of a text, with three dots where it is cut off.
func Clip(text string, limit int) string {
	text = strings.Join(strings.Fields(plain.Line(text)), " ")
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}
