// Package plain makes one line of text out of what a stranger wrote, which does
// nothing to a terminal that shows it. It is pure.
package plain

import (
	"strings"
	"unicode"
)

// MaxMessage bounds what one cluster says in one message, in bytes.
const MaxMessage = 1024

// Line has a space for every white space, and U+FFFD for whatever else cannot be
// seen: control characters and escapes (ECMA-48), characters that turn the
// direction of writing or have no width (Unicode's Cf), and bytes that are no
// UTF-8.
func Line(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, string(unicode.ReplacementChar)))
}

// Message is Line of a text that has at most MaxMessage bytes then.
func Message(text string) string {
	// What is cut off is not looked at: no character becomes shorter than a byte.
	return Cut(Line(Cut(text, 4*MaxMessage)), MaxMessage)
}

// Cut bounds a text to a number of bytes, and says so with three dots.
func Cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-3], "") + "..."
}
