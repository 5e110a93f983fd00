package proxy

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	create = Request{Link: "kronvoy-hub", Verb: "create", Resource: "targets"}
	patch  = Request{Link: "c-on-hub", Verb: "patch", Resource: "manifestworks/status"}
	watch  = Request{Link: "c-agent", Verb: "watch", Resource: "configmaps"}
)

func object(name string) Request {
	r := patch
	r.Object = name
	return r
}

func TestFaultsMeetTheRequestsThatTheyName(t *testing.T) {
	second := Fault{Request: create, Nth: 2, Kind: InternalError}
	anybodys := Fault{Request: Request{Verb: "patch"}, Nth: 1, Kind: Conflict}
	tests := map[string]struct {
		plan     Plan
		requests []Request
		want     []Kind // of each request, empty for nothing
		left     Plan
	}{
		"the second of three": {
			plan: Plan{second}, requests: []Request{create, create, create}, want: []Kind{"", InternalError, ""},
		},
		"others do not count": {
			plan: Plan{second}, requests: []Request{patch, create, watch, create}, want: []Kind{"", "", "", InternalError},
		},
		"a name that is left out is anybody's": {
			plan: Plan{anybodys}, requests: []Request{create, patch}, want: []Kind{"", Conflict},
		},
		"two faults of one request meet two requests": {
			plan:     Plan{anybodys, {Request: patch, Nth: 1, Kind: LostAnswer}},
			requests: []Request{patch, patch, patch}, want: []Kind{Conflict, LostAnswer, ""},
		},
		"one object's": {
			plan:     Plan{{Request: Request{Verb: "patch", Object: "c/b"}, Nth: 1, Kind: CrashAfter}},
			requests: []Request{object("c/a"), object("c/b")}, want: []Kind{"", CrashAfter},
		},
		"what does not come is left": {
			plan: Plan{second, anybodys}, requests: []Request{create, patch}, want: []Kind{"", Conflict}, left: Plan{second},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newProgress(test.plan)
			var got []Kind
			for _, r := range test.requests {
				f, _ := p.next(r)
				got = append(got, f.Kind)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.left, p.left()); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAChosenPlanDependsOnItsSeedAlone(t *testing.T) {
	made := []Request{create, patch, patch, watch, create, patch}
	choose := func(seed uint64, made []Request) Plan { return Choose(rand.New(rand.NewPCG(seed, 0)), made, 50) }
	got := choose(1, made)
	if diff := cmp.Diff(got, choose(1, []Request{patch, patch, create, watch, patch, create})); diff != "" {
		t.Errorf("the order of the requests changes the plan:\n%s", diff)
	}
	if cmp.Equal(got, choose(2, made)) {
		t.Error("two seeds make the same plan")
	}
	most := map[Request]int{create: 2, patch: 3, watch: 1}
	kinds := map[Kind]bool{}
	for _, f := range got {
		kinds[f.Kind] = true
		if f.Nth < 1 || f.Nth > most[f.Request] {
			t.Errorf("%s: there are %d such requests", f, most[f.Request])
		}
		if slices.Contains([]Kind{Outage, CrashBefore, CrashAfter}, f.Kind) != (f.For > 0) {
			t.Errorf("%s lasts %s", f, f.For)
		}
		if f.Kind == Gone && f.Verb != "watch" || f.Kind == Conflict && f.Verb == "watch" {
			t.Errorf("%s cannot be", f)
		}
	}
	if len(kinds) != 11 {
		t.Errorf("50 faults are of %d kinds, want 11: %v", len(kinds), kinds)
	}
}

func TestNoRequestsMakeNoPlan(t *testing.T) {
	if got := Choose(rand.New(rand.NewPCG(1, 0)), nil, 3); len(got) > 0 {
		t.Errorf("planned %s", got)
	}
}
