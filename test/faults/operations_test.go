//go:build integration

package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/audit"
)

// counts are how often API servers created, updated and deleted an object.
type counts struct {
	created, updated, deleted int
	// unsure is how often an API server did not know itself: whoever asked was
	// gone before the answer.
	unsure int
}

// operations are what API servers did at Kronvoy's request, by object. What
// they refused is not among them.
type operations map[string]counts

func (w *world) operations(t *testing.T, since time.Time) operations {
	t.Helper()
	made := operations{}
	for _, write := range w.audit.Since(t, since) {
		if write.DryRun || write.Code >= 300 && write.Code < 500 || write.Resource == keptState || canarys(write) {
			continue
		}
		key := write.Cluster + " " + write.Resource + " " + write.Namespace + "/" + write.Name
		c := made[key]
		switch {
		case write.Code >= 500 || write.Verb == "create" && write.Code != 201:
			// One who is gone before a word is written counts as answered with 200.
			c.unsure++
		case write.Code == 201:
			c.created++
		case write.Verb == "delete":
			c.deleted++
		default:
			c.updated++
		}
		made[key] = c
	}
	return made
}

// keptState is what an agent writes down for its next start, some time after
// it changed. When, and whether at all before it changes again, is no part of
// what must come out the same.
const keptState = "secrets"

func canarys(w audit.Write) bool {
	return w.Namespace == "canary" || w.Name == "canary" || strings.Contains(w.Name, "songbird-") || strings.HasSuffix(w.Name, "namespace-canary")
}

// unexplained are the operations that a life without faults does not make, and
// that this many faults do not explain:
//   - an object is created as often as there. Who does not know whether he has
//     created something asks again and hears that it exists;
//   - it is deleted if it is there. An object with a finalizer may be asked to go
//     more than once, which changes nothing;
//   - it is updated at most once more for each fault: who does not know whether
//     he has written something, or has forgotten what, writes it once more. It
//     may be updated less often: who was away sees two changes as one;
//   - a status is written when it changes, and which of its changes are seen as
//     one depends on the time. There it is twice as often, and once each for a
//     fault and what is seen of it.
func (o operations) unexplained(clean operations, faults int) []string {
	var found []string
	keys := maps.Clone(o)
	maps.Copy(keys, clean)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		want, got := clean[key], o[key]
		most := want.updated + faults
		if strings.Contains(key, "/status ") {
			most = 2*(want.updated+faults) + 1
		}
		created := want.created - got.created
		gone, going := got.deleted > 0, want.deleted > 0
		if created < 0 || created > got.unsure || gone && !going || going && !gone && got.unsure == 0 || got.updated > most {
			found = append(found, fmt.Sprintf("%s: %+v, without faults %+v", key, got, want))
		}
	}
	return found
}

func TestAFaultExplainsOneMoreWriteAndNoOtherObject(t *testing.T) {
	const object, status = "hub targets eu-west/one", "hub targets/status eu-west/one"
	tests := map[string]struct {
		clean, made counts
		key         string
		explained   bool
	}{
		"the same":                             {counts{created: 1, updated: 2}, counts{created: 1, updated: 2}, object, true},
		"one update more":                      {counts{updated: 1}, counts{updated: 2}, object, true},
		"two updates more":                     {counts{updated: 1}, counts{updated: 3}, object, false},
		"two changes seen as one":              {counts{updated: 2}, counts{updated: 1}, object, true},
		"a status that is written more often":  {counts{updated: 1}, counts{updated: 5}, status, true},
		"a status that is written and written": {counts{updated: 1}, counts{updated: 6}, status, false},
		"created twice":                        {counts{created: 1}, counts{created: 2}, object, false},
		"deleted and created":                  {counts{updated: 1}, counts{created: 1, deleted: 1}, object, false},
		"never created":                        {counts{created: 1}, counts{}, object, false},
		"created for one who was gone":         {counts{created: 1}, counts{unsure: 1}, object, true},
		"asked twice to go":                    {counts{deleted: 1}, counts{deleted: 2}, object, true},
		"an object that is nobody's":           {counts{}, counts{created: 1}, object, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := operations{test.key: test.made}.unexplained(operations{test.key: test.clean}, 1)
			if (len(got) == 0) != test.explained {
				t.Errorf("unexplained: %v", got)
			}
		})
	}
}
