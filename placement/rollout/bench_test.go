package rollout

import (
	"fmt"
	"testing"
	"time"
)

// thousands is a rollout in the middle: a tenth of the clusters has passed, some
// are in flight, and the others wait.
func thousands(n int) Input {
	in := Input{Now: noon, Instances: []Instance{{Name: "app", Wanted: "v2", History: History{Good: "v1"}}},
		Strategy: Strategy{GroupBy: GroupBy{Label: "region"}, MaxConcurrency: Amount{Value: 25, Percent: true}, MinSuccessTime: 10 * time.Minute,
			ProgressDeadline: 30 * time.Minute, Gates: RequiredGates{Health: true, Expressions: true, Drift: true}}}
	for i := range n {
		name := fmt.Sprintf("cluster-%05d", (i*7919)%n)
		in.Clusters = append(in.Clusters, Cluster{Name: name, Labels: map[string]string{"region": fmt.Sprintf("region-%02d", i%20)}, Inputs: "i1", Reachable: true})
		t := Target{Cluster: name, Instance: "app", Assignment: Assignment{Revision: "v1", Inputs: "i1"}, Moved: noon.Add(-time.Hour), Passed: noon.Add(-time.Hour), Current: "5"}
		if i%20 == 0 || i%20 == 1 && i/20%5 == 0 {
			t.Revision, t.Moved = "v2", noon.Add(-20*time.Minute)
			open := Gate{Of: "5", Open: true, Since: noon.Add(-time.Duration(i%20) * time.Minute)}
			t.Gates = Gates{Ready: open, Health: open, Expressions: open, Drift: open}
			if i%20 == 0 {
				t.Passed = noon.Add(-time.Minute)
			}
		}
		in.Targets = append(in.Targets, t)
	}
	in.Record = Next(in).Record
	in.Record.Group, in.Record.Entered = GroupID{Name: "region-01"}, true
	in.Record.Started = noon.Add(-time.Hour)
	return in
}

func BenchmarkNextOn10000Clusters(b *testing.B) {
	in := thousands(10000)
	if step := Next(in); len(step.Moves) == 0 || step.Phase != Progressing {
		b.Fatalf("it does nothing: %s, %s", step.Phase, step.Message)
	}
	b.ReportAllocs()
	for b.Loop() {
		Next(in)
	}
}
