package proxy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Request is what counts of a request for what happens to it.
type Request struct {
	// Link is whose request it is, and to whom: the name of the kubeconfig.
	Link string
	// Verb is as in RBAC, and "apply" for a server-side apply; one that only
	// asks what would happen has " (dry run)" behind it.
	Verb string
	// Resource is as in RBAC, with its subresource: "manifestworks/status".
	Resource string
	// Object is "namespace/name" as far as the request says them.
	Object string
}

// String is as in "eu-west-on-hub patch manifestworks/status eu-west/shop-0".
func (r Request) String() string {
	text := r.Link + " " + r.Verb + " " + r.Resource
	if r.Object != "" {
		text += " " + r.Object
	}
	return text
}

// Writes says whether the request changes something.
func (r Request) Writes() bool {
	switch r.Verb {
	case "create", "update", "patch", "apply", "delete", "deletecollection":
		return true
	}
	return false
}

// matches says whether the request is one of those that want names; a name that
// is empty is anybody's.
func (r Request) matches(want Request) bool {
	return (want.Link == "" || want.Link == r.Link) && (want.Verb == "" || want.Verb == r.Verb) &&
		(want.Resource == "" || want.Resource == r.Resource) && (want.Object == "" || want.Object == r.Object)
}

// Kind is what happens.
type Kind string

// The kinds of faults. The first four are answers instead of the API server's,
// which never hears of the request.
const (
	// Conflict is 409.
	Conflict Kind = "409"
	// TooManyRequests is 429 without Retry-After, which clients hand to their
	// caller at once.
	TooManyRequests Kind = "429"
	// RetryAfter is 429 with Retry-After, which clients wait for by themselves.
	RetryAfter Kind = "429 with Retry-After"
	// InternalError is 500.
	InternalError Kind = "500"
	// Gone is 410: a watch cannot be resumed where it was, and begins with a list.
	Gone Kind = "410"
	// ErrorAfterCommit is 500 when the API server has done what was asked.
	ErrorAfterCommit Kind = "500 after commit"
	// LostAnswer is no answer when the API server has done what was asked.
	LostAnswer Kind = "lost answer"
	// CutWatches ends all open watches of the link; the request itself passes.
	CutWatches Kind = "cut watches"
	// Outage breaks all connections of the link, and lets none through for a
	// while.
	Outage Kind = "outage"
	// CrashBefore ends the process that asks, before the API server hears of it.
	CrashBefore Kind = "crash before"
	// CrashAfter ends the process that asks when the API server has done what was
	// asked, before it is told.
	CrashAfter Kind = "crash after"
)

// Fault is what happens to one request: the Nth, from 1, of those that match.
type Fault struct {
	Request
	Nth  int
	Kind Kind
	// For is how long an outage lasts, or a process stays away.
	For time.Duration
}

// String is as in "429 for eu-west-agent apply configmaps #2".
func (f Fault) String() string {
	kind := string(f.Kind)
	if f.For > 0 {
		kind += " (" + f.For.String() + ")"
	}
	return fmt.Sprintf("%s for %s #%d", kind, f.Request, f.Nth)
}

// Plan is everything that is to happen.
type Plan []Fault

// String has one fault a line.
func (p Plan) String() string {
	var b strings.Builder
	for _, f := range p {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}

// progress is how far a plan has come.
type progress struct {
	plan  Plan
	seen  []int
	fired []bool
}

func newProgress(p Plan) *progress {
	return &progress{plan: p, seen: make([]int, len(p)), fired: make([]bool, len(p))}
}

// next counts a request, and says what happens to it. Of two faults that one
// request calls for, the second is for the next request that matches.
func (p *progress) next(r Request) (fault Fault, found bool) {
	for i, f := range p.plan {
		if p.fired[i] || !r.matches(f.Request) {
			continue
		}
		p.seen[i]++
		if !found && p.seen[i] >= f.Nth {
			fault, found, p.fired[i] = f, true, true
		}
	}
	return fault, found
}

// left are the faults that have not happened.
func (p *progress) left() Plan {
	var left Plan
	for i, f := range p.plan {
		if !p.fired[i] {
			left = append(left, f)
		}
	}
	return left
}

// Kinds are the kinds of faults that requests of a verb can meet.
func Kinds(verb string) []Kind {
	switch verb {
	case "get", "list":
		return []Kind{TooManyRequests, RetryAfter, InternalError, LostAnswer, CutWatches, Outage}
	case "watch":
		return []Kind{TooManyRequests, RetryAfter, InternalError, Gone, CutWatches, Outage}
	}
	return []Kind{Conflict, TooManyRequests, RetryAfter, InternalError, ErrorAfterCommit, LostAnswer, CutWatches, Outage, CrashBefore, CrashAfter}
}

// longest bounds what Choose chooses.
var longest = map[Kind]time.Duration{Outage: 4 * time.Second, CrashBefore: 400 * time.Millisecond, CrashAfter: 400 * time.Millisecond}

// Choose makes a plan of n faults for requests such as these, which were made
// when all went well. What was asked once is hit as often as what was asked a
// hundred times.
func Choose(random *rand.Rand, made []Request, n int) Plan {
	count := map[Request]int{}
	for _, r := range made {
		count[r]++
	}
	requests := slices.SortedFunc(maps.Keys(count), func(a, b Request) int { return strings.Compare(a.String(), b.String()) })
	if len(requests) == 0 {
		return nil
	}
	plan := make(Plan, 0, n)
	for range n {
		r := requests[random.IntN(len(requests))]
		kinds := Kinds(r.Verb)
		f := Fault{Request: r, Nth: 1 + random.IntN(count[r]), Kind: kinds[random.IntN(len(kinds))]}
		if most := longest[f.Kind]; most > 0 {
			f.For = time.Duration(1+random.Int64N(most.Milliseconds())) * time.Millisecond
		}
		plan = append(plan, f)
	}
	return plan
}
