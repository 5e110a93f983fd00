// Package suggest helps a person with what is wrong: it finds the name that was
// probably meant, and shortens text for messages.
package suggest

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// DidYouMean returns a question that names the candidate closest to name, or
// nothing when none is close. Ties go to the first.
func DidYouMean(name string, candidates []string) string {
	if best := Closest(name, candidates); best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	return ""
}

// Closest returns the candidate closest to name; empty when none is close.
func Closest(name string, candidates []string) string {
	if len(name) > 64 {
		return ""
	}
	limit := max(1, len(name)/3)
	best, bestDistance := "", limit+1
	lower := strings.ToLower(name)
	for _, c := range candidates {
		if len(c)-len(name) > limit || len(name)-len(c) > limit || c == name {
			continue
		}
		if d := distance(lower, strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance is the optimal string alignment distance in bytes: insertions,
// deletions, substitutions and swapped neighbours.
func distance(a, b string) int {
	previous, row, before := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, previous, row = previous, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(previous[j]+1, row[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

// Shorten cuts s to at most n bytes on a rune boundary, and makes it one line.
func Shorten(s string, n int) string {
	cut := len(s) > n
	if cut {
		s = s[:n]
		for len(s) > 0 && !utf8.ValidString(s[len(s)-1:]) && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if r, size := utf8.DecodeLastRuneInString(s); r == utf8.RuneError && size == 1 {
			s = s[:len(s)-1]
		}
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\n", " ")
	if cut {
		s += "…"
	}
	return s
}
