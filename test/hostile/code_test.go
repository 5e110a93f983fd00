//go:build integration

package hostile

import (
	"strings"
	"testing"
)

// codeAttack is on the code that guards, where an API server would add nothing:
// the same input meets the code, and the code without its guard.
type codeAttack struct {
	// name says what the attacker is after.
	name string
	// unguarded has code in the guard's place that lacks it, and guarded is the
	// guard. Each says what stopped the attack, nil for nothing.
	unguarded, guarded func(t *testing.T) error
	// says is a part of what the guard answers.
	says string
}

// TestCode runs attacks on the code that guards.
func TestCode(t *testing.T) {
	for _, attacks := range [][]codeAttack{onTheApprover(), onReadiness(), onBounds(), onSecrets(), onTerminals()} {
		for _, a := range attacks {
			t.Run(a.name, func(t *testing.T) {
				tally.note(tally.run, a.name)
				tally.note(tally.pure, a.name)
				if err := a.unguarded(t); err != nil {
					t.Errorf("without its guard the attack fails all the same: %v", err)
				} else {
					tally.note(tally.unguarded, a.name)
				}
				switch err := a.guarded(t); {
				case err == nil:
					t.Error("it succeeds")
				case !strings.Contains(err.Error(), a.says):
					t.Errorf("it is refused with %q, want %q in that", err, a.says)
				default:
					tally.note(tally.denied, a.name)
				}
			})
		}
	}
}
