// Package drift says what differs between what was applied and what is there.
//
// The yardstick is the baseline: the API server's own answer, for exactly the
// fields that our field manager owned, after an apply. Defaults, other
// managers' fields and values changed by admission are therefore never drift.
//
//	manifest --apply--> answer --Capture--> Baseline --Compare--> paths that drifted
//	    \__________________/                    live __/
//	        Mutated: what admission changed
//
// Everything here is a function of its arguments.
package drift
