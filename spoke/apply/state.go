package apply

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/drift"
	"github.com/kronvoy/kronvoy/spoke/live"
)

// workState is what the agent remembers of one work. Only one reconcile of a
// work runs at a time, so it needs no lock.
type workState struct {
	inventory *inventory
	objects   map[live.Key]*objectState
	// leaving are objects whose deletion was asked for, and when.
	leaving map[live.Key]leaving
	// listed is when the executor was last allowed to have a list.
	listed map[live.Watch]time.Time
	// corrections counts what was put right since the work came.
	corrections int64
	// recalled is set once the report of an earlier process was read.
	recalled bool
	// shrunkAt is the generation at which objects last left the work.
	shrunkAt int64
	// version counts the changes of what is worth keeping.
	version int64
	// gone are inventories of this work that were deleted, maybe by somebody
	// else. Events write it: the Applier's lock guards it.
	gone map[types.UID]bool
}

// lost says whether the inventory that all this is about is gone.
func (st *workState) lost() bool { return st.inventory != nil && st.gone[st.inventory.uid] }

// leaving is an object on its way out of the work.
type leaving struct {
	// asked is set once its deletion was asked for. Before it is kept as it is, and
	// may come back.
	asked   bool
	kind    string
	since   time.Time
	message string
	// failures are those in a row, and retryAt is when to try again.
	failures int
	retryAt  time.Time
}

// objectState is what the agent remembers of one object of one work.
type objectState struct {
	uid types.UID
	// applied is the fingerprint of what was applied last.
	applied  string
	baseline *drift.Baseline
	// equalAt is the resource version at which live equalled the baseline.
	equalAt string
	// existed is set when the object was there after an apply: if it is gone
	// now, somebody deleted it.
	existed bool
	shown   shown
	// complete is set once the object was complete.
	complete bool
	// restored is set while all this is from an earlier process.
	restored bool
	failure  *failure
	fight    fight
	// foreign is set while the object is not ours: no label leads our watches
	// to it, it is watched by name.
	foreign bool
	// findings are what there is to tell about the object: one for each action.
	findings map[kronvoyv1alpha1.FindingAction]*kronvoyv1alpha1.Finding
	// decisions are what people decided about drift when it was judged last.
	decisions string
	// seen is the difference that the findings are about.
	seen string
	// fields are those in it; the same ones are not looked at again before
	// lookAfter, whatever becomes of their values.
	fields    string
	lookAfter time.Time
}

// open gives what is reported as differing now; nil for nothing.
func (st *objectState) open() *kronvoyv1alpha1.Finding {
	return cmp.Or(st.findings[kronvoyv1alpha1.FindingReported], st.findings[kronvoyv1alpha1.FindingConflict])
}

// failure is an apply that did not work, and when to try again.
type failure struct {
	fingerprint string
	generation  int64
	uid         types.UID
	reason      string
	message     string
	count       int
	retryAt     time.Time
	// passing is set for errors that tend to go away by themselves.
	passing bool
}

const (
	firstRetry = 100 * time.Millisecond
	maxRetry   = 5 * time.Minute
	// maxForbidden is OCM's wait for a right that is missing.
	maxForbidden = time.Minute
	// firstPatience is how long the first try may take; the last ones may take
	// longer than the API server's own limit of 34 s.
	firstPatience = 3 * time.Second
	maxPatience   = 40 * time.Second
	// restFactor times as long as a try took nothing is tried again.
	restFactor = 4
	// worthTelling is how long a try takes that does not pass in moments.
	worthTelling = time.Second
	// quietTries is how often a failure that may pass by itself, such as a
	// namespace that another work is about to create, stays unreported.
	quietTries = 2
)

// fight counts corrections of one object in a row. The first ones are
// immediate; who changes the field again and again gets an ever longer say.
type fight struct {
	count       int
	since, last time.Time
}

const (
	freeCorrections = 3
	firstFightDelay = time.Second
	// fightOver is how long an object must stay quiet to be forgiven.
	fightOver = 10 * time.Minute
)

// wait says how long a correction has to wait now.
func (f *fight) wait(now time.Time) time.Duration {
	if f.count < freeCorrections || now.Sub(f.last) >= fightOver {
		return 0
	}
	return max(0, f.delay()-now.Sub(f.last))
}

// delay is how long after the last correction the next one may be.
func (f *fight) delay() time.Duration {
	return backoff(firstFightDelay, f.count-freeCorrections, maxRetry)
}

func (f *fight) corrected(now time.Time) {
	if f.count == 0 || now.Sub(f.last) >= fightOver {
		f.count, f.since = 0, now
	}
	f.count++
	f.last = now
}

// recall goes on with a fight that an earlier process reported: a restart gives
// neither side a fresh start.
func (f *fight) recall(finding *kronvoyv1alpha1.Finding) {
	if finding.NextCorrection == nil {
		return
	}
	f.count, f.since = int(finding.Count), finding.FirstSeen.Time
	f.last = finding.NextCorrection.Add(-f.delay())
}

func backoff(first time.Duration, doublings int, limit time.Duration) time.Duration {
	if doublings > 20 {
		return limit
	}
	return min(limit, first<<doublings)
}

// fingerprint is all that decides whether an object must be applied again.
func fingerprint(item *Item, owner types.UID) string {
	if item.Orphan {
		owner = ""
	}
	parts := []string{item.Hash, string(item.Strategy), item.Manager, string(owner)}
	for _, locator := range slices.Concat(item.IgnorePresent, item.IgnoreChanged) {
		parts = append(parts, locator.String())
	}
	return strings.Join(parts, "|")
}

// interest knows which works have to do with an object: for objects that no
// owner reference leads to a work.
type interest struct {
	mu    sync.Mutex
	works map[live.Key]map[string]bool
	keys  map[string]map[live.Key]bool
}

func newInterest() *interest {
	return &interest{works: map[live.Key]map[string]bool{}, keys: map[string]map[live.Key]bool{}}
}

// set says all objects that a work has to do with from now on.
func (i *interest) set(work string, keys map[live.Key]bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if maps.Equal(i.keys[work], keys) {
		return
	}
	for key := range i.keys[work] {
		if !keys[key] {
			delete(i.works[key], work)
			if len(i.works[key]) == 0 {
				delete(i.works, key)
			}
		}
	}
	for key := range keys {
		if i.works[key] == nil {
			i.works[key] = map[string]bool{}
		}
		i.works[key][work] = true
	}
	if len(keys) == 0 {
		delete(i.keys, work)
		return
	}
	i.keys[work] = keys
}

// of lists the works of an object.
func (i *interest) of(key live.Key) []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	names := make([]string, 0, len(i.works[key]))
	for name := range i.works[key] {
		names = append(names, name)
	}
	return names
}

// hashOf reads the manifest hash that an object carries.
func hashOf(obj *unstructured.Unstructured) string {
	return obj.GetAnnotations()[kronvoyv1alpha1.AnnotationHash]
}
