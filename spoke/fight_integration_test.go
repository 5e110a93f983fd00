//go:build integration

package spoke_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// opponent makes a ConfigMap's color red as soon as it is not, until the
// function that it gives is called.
func (w *world) opponent(m *manifest) (stop func()) {
	w.t.Helper()
	watching, err := client.NewWithWatch(server, client.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("v1")
	list.SetKind("ConfigMapList")
	events, err := watching.Watch(ctx, list, client.InNamespace(w.ns), client.MatchingFields{"metadata.name": m.object.GetName()})
	if err != nil {
		w.t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for event := range events.ResultChan() {
			obj, ok := event.Object.(*unstructured.Unstructured)
			if !ok || event.Type == apiwatch.Deleted {
				continue
			}
			if color, _, _ := unstructured.NestedString(obj.Object, "data", "color"); color != "red" && ctx.Err() == nil {
				err := watching.Patch(ctx, m.object.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"data":{"color":"red"}}`)), client.FieldOwner("opponent"))
				if err != nil && ctx.Err() == nil {
					w.t.Errorf("the opponent: %v", err)
				}
			}
		}
	})
	return func() {
		cancel()
		events.Stop()
		running.Wait()
	}
}

// fought waits until the agent reports a fight with at least so many corrections.
func (w *world) fought(work string, corrections int64) kronvoyv1alpha1.Finding {
	w.t.Helper()
	var fight kronvoyv1alpha1.Finding
	w.eventually(fmt.Sprintf("a fight of %d corrections", corrections), func() error {
		report := w.getReport(work)
		for _, finding := range report.Findings {
			if finding.NextCorrection != nil && finding.Count >= corrections {
				fight = finding
				return nil
			}
		}
		return fmt.Errorf("the report is %+v", report)
	})
	return fight
}

// named says whether the manifest's condition is as wanted: it is written after
// the report.
func (w *world) named(work, manifest string, wanted bool) error {
	w.t.Helper()
	message := w.applied(work, manifest, workv1.AppliedManifestComplete)
	if strings.Contains(message, "data.color is changed by opponent again and again") != wanted {
		return fmt.Errorf("it says %q", message)
	}
	return nil
}

// objectWrites counts what was written to objects of a kind.
func objectWrites(writes []string, resource string) (n int) {
	for _, write := range writes {
		if strings.Contains(write, " "+resource+"/") {
			n++
		}
	}
	return n
}

func TestAFightIsReportedBackedOffAndEndsWithItsOpponent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	settings, calm := w.configMap("settings", "color", "blue"), w.configMap("calm", "a", "1")
	w.ship("one", settings)
	w.settled("one")
	w.quiet()
	w.written()
	stop := w.opponent(settings)
	defer stop()
	begun := time.Now()
	w.patch(settings, "opponent", `{"data":{"color":"red"}}`)

	fight := w.fought("one", 5)
	if got := findings(kronvoyv1alpha1.WorkReportStatus{Findings: []kronvoyv1alpha1.Finding{fight}})[0]; got != `Reported ConfigMap/settings data.color "blue"->"red" (opponent)` {
		t.Errorf("the fight is told as %q", got)
	}
	w.eventually("the condition to name the opponent", func() error { return w.named("one", "settings", true) })
	if took, got := time.Since(begun), objectWrites(w.written(), "configmaps"); got != int(fight.Count) && got != int(fight.Count)+1 || took < 3*time.Second {
		t.Errorf("%d writes in %s, and %d corrections are told of", got, took, fight.Count)
	}
	// Who has no part in it does not wait.
	w.ship("two", calm)
	w.settled("two")

	// The next process is as patient as the one before.
	w.stop()
	fight = w.fought("one", 5)
	w.written()
	w.start()
	next := w.fought("one", fight.Count+1)
	if got := objectWrites(w.written(), "configmaps"); got > int(next.Count-fight.Count)+1 {
		t.Errorf("after a restart %d writes are %d corrections more", got, next.Count-fight.Count)
	}
	if next.ID != fight.ID || !next.FirstSeen.Equal(&fight.FirstSeen) {
		t.Errorf("the fight was %+v and is %+v", fight, next)
	}

	stop()
	w.data(settings, map[string]string{"color": "blue"})
	w.eventually("the fight to be over", func() error {
		if report := w.getReport("one"); report.FindingCount != 0 {
			return fmt.Errorf("the report is %v", findings(report))
		}
		return nil
	})
	w.eventually("the condition to name nobody", func() error { return w.named("one", "settings", false) })
}

// storm changes objects as fast as the API server lets it, for as long as the
// function takes, and gives how many changes that were.
func (w *world) storm(change func(n int) (*manifest, string), while func()) int {
	w.t.Helper()
	config := rest.CopyConfig(server)
	config.QPS = -1
	unlimited, err := client.New(config, client.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	var storming sync.WaitGroup
	var mu sync.Mutex
	changes := 0
	for range 16 {
		storming.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				n := changes
				changes++
				mu.Unlock()
				m, content := change(n)
				err := unlimited.Patch(ctx, m.object.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(content)), client.FieldOwner("storm"))
				if err != nil && ctx.Err() == nil {
					w.t.Errorf("the storm: %v", err)
					return
				}
			}
		})
	}
	while()
	cancel()
	storming.Wait()
	return changes
}

// What storms at an object costs few writes, of the object and of the hub's, and
// other works go on.
func TestAStormOfChangesCostsFewWrites(t *testing.T) {
	for name, tt := range map[string]struct {
		data   string
		policy kronvoyv1alpha1.DriftPolicy
		// writes of the object, and of the hub's, that the first seconds may bring.
		object, hub int
	}{
		"corrected": {data: "color", object: 6, hub: 12},
		"reported":  {data: "color", policy: kronvoyv1alpha1.DriftReport, hub: 6},
		"ignored":   {data: "color", policy: kronvoyv1alpha1.DriftIgnore, hub: 1},
		"not-ours":  {data: "own", hub: 1},
		"observed":  {data: "seen", hub: 24},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.start()
			settings := w.configMap("settings", "color", "blue")
			settings.policy.Drift = tt.policy
			settings.paths = []string{"data.seen"}
			w.ship("one", settings)
			w.settled("one")
			w.quiet()
			w.written()
			begun := time.Now()
			changes := w.storm(func(n int) (*manifest, string) {
				return settings, fmt.Sprintf(`{"data":{%q:"%d"}}`, tt.data, n)
			}, func() {
				for n := range 5 {
					calm := fmt.Sprintf("calm-%d", n)
					w.ship(calm, w.configMap(calm, "a", "1"))
					w.settled(calm)
				}
				w.eventually("three seconds to pass", func() error {
					if time.Since(begun) < 3*time.Second {
						return fmt.Errorf("they have not")
					}
					return nil
				})
			})
			took := time.Since(begun)
			object, hub := 0, 0
			for _, write := range w.written() {
				switch {
				case strings.HasSuffix(write, " configmaps/settings"):
					object++
				case strings.HasSuffix(write, " one/status"):
					hub++
				}
			}
			t.Logf("%d changes in %s (%.0f a second): %d writes of the object, %d of the hub's", changes, took, float64(changes)/took.Seconds(), object, hub)
			if rounds := int(took / time.Second); object > tt.object+rounds || hub > tt.hub+6*rounds {
				t.Errorf("%d writes of the object and %d of the hub's, want at most %d and %d", object, hub, tt.object, tt.hub)
			}
		})
	}
}

func TestMoreObjectsDriftThanAReportLists(t *testing.T) {
	const objects, listed = 150, 100
	for name, policy := range map[string]kronvoyv1alpha1.DriftPolicy{"reported": kronvoyv1alpha1.DriftReport, "corrected": kronvoyv1alpha1.DriftCorrect} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.start()
			var all []*manifest
			for n := range objects {
				m := w.configMap(fmt.Sprintf("settings-%d", n), "color", "blue")
				m.policy.Drift = policy
				all = append(all, m)
			}
			w.ship("one", all...)
			w.settled("one")
			w.quiet()
			w.written()
			for _, m := range all {
				w.patch(m, "somebody", `{"data":{"color":"red"}}`)
			}
			differing, corrections := int32(objects), int64(0)
			if policy == kronvoyv1alpha1.DriftCorrect {
				differing, corrections = 0, objects
			}
			w.eventually("all to be counted and some listed", func() error {
				got := w.getReport("one")
				if got.FindingCount != differing || got.Corrections != corrections || len(got.Findings) != listed {
					return fmt.Errorf("%d differ, %d corrections, %d listed", got.FindingCount, got.Corrections, len(got.Findings))
				}
				return nil
			})
			w.quiet()
			writes := w.written()
			if got := objectWrites(writes, "configmaps"); got != int(corrections) {
				t.Errorf("%d writes of objects, want %d", got, corrections)
			}
			t.Logf("%d writes in all", len(writes))
		})
	}
}
