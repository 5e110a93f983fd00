package plain

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"Größe 5 µm, 東京 🙂":                "Größe 5 µm, 東京 🙂",
		"red \x1b[31mtext\x1b[0m":         "red �[31mtext�[0m",
		"a title \x1b]0;owned\a":          "a title �]0;owned�",
		"C1 \u009b2J":                     "C1 �2J",
		"over\rwritten, two\nlines, a\tb": "over written, two lines, a b",
		"back\b\x7fspace":                 "back��space",
		"file\u202egnp.exe":               "file�gnp.exe",
		"zero\u200bwidth\ufeff":           "zero�width�",
		"para\u2029graph":                 "para graph",
		"no UTF-8 \xff\xfe":               "no UTF-8 �",
	} {
		if got := Line(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestMessageIsBounded(t *testing.T) {
	for _, text := range []string{strings.Repeat("x", 1<<20), strings.Repeat("\x00", 1<<20), strings.Repeat("東", MaxMessage), strings.Repeat("\xff", 1<<20)} {
		got := Message(text)
		if len(got) > MaxMessage || !utf8.ValidString(got) || len(text) > 1 && got == "" {
			t.Errorf("%.10q… becomes %d bytes", text, len(got))
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add("x\x1b[2J")
	f.Fuzz(func(t *testing.T, text string) {
		got := Message(text)
		if len(got) > MaxMessage || strings.ContainsFunc(got, func(r rune) bool { return r != unicode.ReplacementChar && !unicode.IsPrint(r) }) {
			t.Errorf("%q becomes %q", text, got)
		}
		if Message(got) != got {
			t.Errorf("%q does not stay as it is", got)
		}
	})
}
