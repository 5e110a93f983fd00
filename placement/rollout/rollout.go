// Package rollout decides how instances move: Next says which clusters move to
// which revision now, Removals from which clusters an instance is taken away. It
// is pure: a value in, a value out, the time given. What
// a caller has to remember is in the values that it stores, so that one which
// is restarted at any point goes on where it was.
package rollout

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"
)

// Approval is what people said of a plan. The zero value is that nobody was
// asked, or nobody has answered yet.
type Approval struct {
	// PlanHash of the plan that it is about: it counts for no other one.
	PlanHash string
	Verdict  Verdict
	// By is who decided.
	By string
}

// Verdict is the answer of an Approval.
type Verdict string

// The verdicts.
const (
	Unanswered Verdict = ""
	Approved   Verdict = "Approved"
	Rejected   Verdict = "Rejected"
)

// Question is what is to be approved.
type Question struct {
	// PlanHash stands for what exactly is to be done, to which clusters.
	PlanHash string
	// Group that a rollout is to go on with.
	Group GroupID
	// Clusters that it concerns, by name in ascending order.
	Clusters []string
	// Message is the question in a sentence.
	Message string
}

// planHash of what is to be done, in a fixed order. Its first part says in the
// open what kind of thing that is.
func planHash(action string, words []string) string {
	sum := sha256.New()
	_, _ = io.WriteString(sum, action+"\n"+strings.Join(words, "\n")) // a hash never fails to write
	return action + "-" + hex.EncodeToString(sum.Sum(nil)[:16])
}

// share is percent of n, rounded down.
func share(percent, n int) int { return min(max(percent, 0), 100) * n / 100 }

// earliest keeps the first of the points in time noted.
type earliest struct{ at time.Time }

func (e *earliest) note(t time.Time) {
	if e.at.IsZero() || t.Before(e.at) {
		e.at = t
	}
}

// named joins at most three names for people, and counts the rest.
func named(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
