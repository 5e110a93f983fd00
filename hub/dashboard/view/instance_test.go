package view

import (
	"testing"

	"github.com/kronvoy/kronvoy/graph"
)

func TestReadyWhenOfANodeIsSummedUp(t *testing.T) {
	holds, not, failed := &graph.Verdict{Ready: true}, &graph.Verdict{}, &graph.Verdict{Err: "no such key: x"}
	for name, test := range map[string]struct {
		verdicts []*graph.Verdict
		want     string
	}{
		"nothing is there":                      {want: ""},
		"the agent leaves judging to the hub":   {verdicts: []*graph.Verdict{nil}, want: ""},
		"one object":                            {verdicts: []*graph.Verdict{holds}, want: "holds"},
		"one that is not ready":                 {verdicts: []*graph.Verdict{not}, want: "does not hold"},
		"some of a collection":                  {verdicts: []*graph.Verdict{holds, not, holds}, want: "holds for 2 of 3"},
		"none of a collection":                  {verdicts: []*graph.Verdict{not, not}, want: "holds for 0 of 2"},
		"an expression that fails on an object": {verdicts: []*graph.Verdict{holds, failed}, want: "cannot be judged"},
	} {
		t.Run(name, func(t *testing.T) {
			var objects []graph.ObservedObject
			for _, v := range test.verdicts {
				objects = append(objects, graph.ObservedObject{Verdict: v})
			}
			if got := verdicts(objects); got != test.want {
				t.Errorf("it says %q, want %q", got, test.want)
			}
		})
	}
}
