//go:build integration

package spoke_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// driftCell is an object of ours under one update strategy, takeover and drift
// policy, and what happens to it.
type driftCell struct {
	strategy string
	takeover kronvoyv1alpha1.TakeoverPolicy
	drift    kronvoyv1alpha1.DriftPolicy
	event    string
}

func (c driftCell) name() string {
	return kebab(c.strategy, string(c.takeover), string(c.drift), c.event)
}

// The events: somebody changes a field, or deletes the object; the same while a
// manifest comes that wants something new of this field, or of another one.
const (
	changed, changedRenewed, changedBeside = "changed", "changed-renewed", "changed-beside"
	deleted, deletedRenewed                = "deleted", "deleted-renewed"
)

// outcome is what becomes of a cell: the color, empty where there is no object,
// and what is told: the first words of each finding.
type outcome struct {
	Color   string
	Finding []string
}

// expect is the contract: manifests say blue, and green when renewed; somebody
// says red.
func (c driftCell) expect() outcome {
	const correct, report = kronvoyv1alpha1.DriftCorrect, kronvoyv1alpha1.DriftReport
	gone := strings.HasPrefix(c.event, deleted)
	told := func(action string) []string {
		if gone {
			return []string{action + " ConfigMap/" + c.name() + " missing"}
		}
		return []string{action + " ConfigMap/" + c.name()}
	}
	switch {
	case c.strategy == "read-only":
		return outcome{Color: map[bool]string{true: "", false: "red"}[gone]}
	case c.strategy == "create-only":
		return outcome{Color: map[bool]string{true: "blue", false: "red"}[gone]}
	case c.event == changedRenewed && c.drift != correct:
		return outcome{Color: "green"}
	case c.event == changedRenewed || c.event == deletedRenewed:
		return outcome{Color: "green", Finding: told("Corrected")}
	case c.drift == correct:
		return outcome{Color: "blue", Finding: told("Corrected")}
	case c.drift == report:
		return outcome{Color: map[bool]string{true: "", false: "red"}[gone], Finding: told("Reported")}
	}
	return outcome{Color: map[bool]string{true: "", false: "red"}[gone]}
}

func (c driftCell) see(w *world) outcome {
	w.t.Helper()
	var got outcome
	for _, line := range findings(w.getReport(c.name())) {
		words := strings.Fields(line)
		if len(words) > 3 {
			words = words[:2]
		}
		got.Finding = append(got.Finding, strings.Join(words, " "))
	}
	if obj := w.live(w.configMap(c.name())); obj != nil {
		got.Color, _, _ = unstructured.NestedString(obj.Object, "data", "color")
	}
	return got
}

// work writes the cell's work.
func (c driftCell) work(w *world, color string, more ...string) *workv1.ManifestWork {
	m := w.configMap(c.name(), append([]string{"color", color}, more...)...)
	m.policy.Takeover, m.policy.Drift = c.takeover, c.drift
	work := w.work(c.name(), m)
	strategy := strategies[c.strategy]
	if c.strategy == "apply" {
		return work // with our own manager
	}
	configured(strategy)(work)
	work.Annotations[kronvoyv1alpha1.AnnotationHash] = hashOf([]byte(w.json(work.Spec) + w.json(work.Annotations)))
	return work
}

// TestEveryStrategyMeetsDrift runs the contract of drift cell by cell: what
// becomes of an object that somebody changes or deletes, under every update
// strategy, takeover and drift policy.
func TestEveryStrategyMeetsDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	var cells []driftCell
	for strategy := range strategies {
		takeovers := []kronvoyv1alpha1.TakeoverPolicy{kronvoyv1alpha1.TakeoverIfNoDiff}
		if strategy == "apply" {
			takeovers = []kronvoyv1alpha1.TakeoverPolicy{kronvoyv1alpha1.TakeoverAlways, kronvoyv1alpha1.TakeoverIfNoDiff, kronvoyv1alpha1.TakeoverNever}
		}
		for _, takeover := range takeovers {
			for _, policy := range []kronvoyv1alpha1.DriftPolicy{kronvoyv1alpha1.DriftCorrect, kronvoyv1alpha1.DriftReport, kronvoyv1alpha1.DriftIgnore} {
				for _, event := range []string{changed, changedRenewed, changedBeside, deleted, deletedRenewed} {
					cells = append(cells, driftCell{strategy, takeover, policy, event})
				}
			}
		}
	}
	for _, c := range cells {
		if c.strategy == "read-only" {
			w.exists(w.configMap(c.name(), "color", "blue"))
		}
		if err := w.client.Create(w.ctx, c.work(w, "blue")); err != nil {
			t.Fatal(err)
		}
		report := &kronvoyv1alpha1.WorkReport{}
		report.Namespace, report.Name = w.cluster, c.name()
		if err := w.client.Create(w.ctx, report); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range cells {
		w.settled(c.name())
	}
	w.quiet()
	for _, c := range cells {
		m := w.configMap(c.name())
		if !strings.HasPrefix(c.event, deleted) {
			w.patch(m, "somebody", `{"data":{"color":"red"}}`)
		} else if err := w.client.Delete(w.ctx, m.object.DeepCopy()); err != nil {
			t.Fatal(err)
		}
	}
	// What differs is known when a new manifest comes.
	for _, c := range cells {
		before := c
		before.event, _, _ = strings.Cut(c.event, "-")
		w.eventually(c.name()+" to be met", func() error {
			if got, want := c.see(w), before.expect(); got.Color != want.Color || len(got.Finding) != len(want.Finding) {
				return fmt.Errorf("it is %v, want %v", got, want)
			}
			return nil
		})
	}
	for _, c := range cells {
		switch c.event {
		case changedRenewed, deletedRenewed:
			w.replace(c.work(w, "green"))
		case changedBeside:
			w.replace(c.work(w, "blue", "more", "x"))
		}
	}
	for _, c := range cells {
		t.Run(c.name(), func(t *testing.T) {
			w := w.in(t)
			w.eventually("the contract to hold", func() error {
				if diff := cmp.Diff(c.expect(), c.see(w)); diff != "" {
					return fmt.Errorf("(-want +got):\n%s", diff)
				}
				return nil
			})
		})
	}
	for _, c := range cells {
		w.settled(c.name())
	}
	w.quiet()
	w.written()
	w.stop()
	w.start()
	w.quiet()
	if got := objectWrites(w.written(), "configmaps"); got != 0 {
		t.Errorf("after a restart the agent wrote %d objects", got)
	}
}

// An object that two works name stays until the second one lets go of it.
func TestAnObjectOfTwoWorksStaysUntilBothHaveLeft(t *testing.T) {
	t.Parallel()
	for how, ship := range map[string]func(w *world, name string, manifests ...*manifest){
		"of-the-hub": func(w *world, name string, manifests ...*manifest) { w.ship(name, manifests...) },
		"by-hand": func(w *world, name string, manifests ...*manifest) {
			w.byHand(name, configured(workv1.UpdateStrategy{Type: workv1.UpdateStrategyTypeServerSideApply}), manifests...)
		},
	} {
		for _, leave := range []string{"work", "manifest"} {
			t.Run(kebab(how, leave), func(t *testing.T) {
				w := newWorld(t)
				w.start()
				shared := w.configMap("shared", "color", "blue")
				first, second := w.configMap("first", "a", "1"), w.configMap("second", "a", "1")
				ship(w, "one", shared, first)
				w.settled("one")
				ship(w, "two", shared, second)
				w.settled("two")
				uid := w.live(shared).GetUID()
				owners := func() []string {
					var names []string
					if obj := w.live(shared); obj != nil && obj.GetUID() == uid {
						for _, owner := range obj.GetOwnerReferences() {
							names = append(names, strings.TrimPrefix(owner.Name, w.hubHash+"-"))
						}
					}
					return slices.Sorted(slices.Values(names))
				}
				w.ownedBy(owners, "one", "two")
				w.quiet()
				w.written()
				w.patch(shared, "somebody", `{"data":{"color":"red"}}`)
				w.data(shared, map[string]string{"color": "blue"})
				w.quiet()
				if got := objectWrites(w.written(), "configmaps"); got > 2 {
					t.Errorf("two works wrote %d times to put one field right", got)
				}
				for n, name := range []string{"one", "two"} {
					rest := []*manifest{first, second}[n]
					switch {
					case leave == "work":
						if err := w.client.Delete(w.ctx, w.getWork(name)); err != nil {
							t.Fatal(err)
						}
						if how == "by-hand" {
							w.collect(rest)
							if n == 1 {
								w.collect(shared)
							}
						}
						w.workGone(name)
					case how == "by-hand":
						w.rewrite(name, configured(workv1.UpdateStrategy{Type: workv1.UpdateStrategyTypeServerSideApply}), rest)
					default:
						w.update(name, rest)
					}
					if n == 0 {
						w.ownedBy(owners, "two")
					}
				}
				if how == "by-hand" && leave == "manifest" {
					w.collect(shared)
				}
				w.eventually("it to be gone", func() error {
					if w.live(shared) != nil {
						return fmt.Errorf("it is there")
					}
					return nil
				})
			})
		}
	}
}

// ownedBy waits until an object has exactly these owners.
func (w *world) ownedBy(owners func() []string, want ...string) {
	w.t.Helper()
	w.eventually("the owners", func() error {
		if got := owners(); !slices.Equal(got, want) {
			return fmt.Errorf("they are %v, want %v", got, want)
		}
		return nil
	})
}
