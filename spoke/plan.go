package spoke

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/apply"
	"github.com/kronvoy/kronvoy/spoke/live"
)

func newStaticMapper(*rest.Config, *http.Client) (apimeta.RESTMapper, error) {
	return newHubMapper(), nil
}

// plans keeps the works as they were last read, so that an event costs no
// parsing of a whole work.
type plans struct {
	mapper apply.Mapper
	// reserved is the agent's own namespace, see apply.Work.Reserve.
	reserved string

	mu    sync.Mutex
	known map[string]plan
}

type plan struct {
	uid         types.UID
	generation  int64
	instance    string
	annotations map[string]string
	complete    bool
	work        *apply.Work
}

func newPlans(mapper apply.Mapper, reserved string) *plans {
	return &plans{mapper: mapper, reserved: reserved, known: map[string]plan{}}
}

// of reads a work, or gives it as read before when nothing changed that
// matters. A work with kinds that were not served is read anew.
func (p *plans) of(work *workv1.ManifestWork) *apply.Work {
	annotations := map[string]string{}
	for _, name := range []string{
		kronvoyv1alpha1.AnnotationHash, kronvoyv1alpha1.AnnotationManifestPolicies,
		kronvoyv1alpha1.AnnotationObserve, kronvoyv1alpha1.AnnotationShrunk, kronvoyv1alpha1.AnnotationReconcile,
	} {
		if value, ok := work.Annotations[name]; ok {
			annotations[name] = value
		}
	}
	p.mu.Lock()
	known, ok := p.known[work.Name]
	p.mu.Unlock()
	if ok && known.complete && known.uid == work.UID && known.generation == work.Generation && maps.Equal(known.annotations, annotations) {
		return known.work
	}
	fresh := plan{uid: work.UID, generation: work.Generation, instance: work.Labels[kronvoyv1alpha1.LabelInstance], annotations: annotations, complete: true, work: apply.NewWork(work, p.mapper)}
	fresh.work.Reserve(p.reserved)
	for _, item := range fresh.work.Items {
		if item.Reason == kronvoyv1alpha1.ReasonNoSuchKind {
			fresh.complete = false
		}
	}
	p.mu.Lock()
	p.known[work.Name] = fresh
	p.mu.Unlock()
	return fresh.work
}

// current reads a work without what the hub is moving to another one, as soon
// as that was read: the newer manifest is there, and the one here would put it
// back. The hub takes it out of this work next.
func (p *plans) current(work *workv1.ManifestWork) *apply.Work {
	read := p.of(work)
	p.mu.Lock()
	defer p.mu.Unlock()
	moves := map[live.Key]int{}
	for name, other := range p.known {
		if name == work.Name || other.instance != work.Labels[kronvoyv1alpha1.LabelInstance] {
			continue
		}
		for _, item := range other.work.Items {
			if item.Policy.Moves > 0 {
				moves[item.Key] = max(moves[item.Key], item.Policy.Moves)
			}
		}
	}
	moved := func(item *apply.Item) bool { return item.Policy.Moves < moves[item.Key] }
	if !slices.ContainsFunc(read.Items, moved) {
		return read
	}
	rest := *read
	rest.Items = slices.DeleteFunc(slices.Clone(read.Items), moved)
	return &rest
}

func (p *plans) forget(work string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, work)
}

// wants says whether another work of the same instance wants an object. What
// other instances want does not count: theirs it is once their inventory owns
// it, and until then they are to find it gone.
func (p *plans) wants(works []workv1.ManifestWork, except string, key live.Key) bool {
	var instance *string
	for i := range works {
		if works[i].Name == except {
			label := works[i].Labels[kronvoyv1alpha1.LabelInstance]
			instance = &label
		}
	}
	for i := range works {
		work := &works[i]
		if work.Name == except || !work.DeletionTimestamp.IsZero() {
			continue
		}
		if instance != nil && work.Labels[kronvoyv1alpha1.LabelInstance] != *instance {
			continue
		}
		for _, item := range p.of(work).Items {
			same := item.Key
			same.Resource.Version = key.Resource.Version
			if same == key && !item.ReadOnly() {
				return true
			}
		}
	}
	return false
}

// patientMapper remembers for a moment what the cluster does not serve:
// otherwise every event of a work with an unknown kind would ask again.
type patientMapper struct {
	apimeta.RESTMapper
	clock clock.Clock

	mu      sync.Mutex
	missing map[schema.GroupVersionKind]missingKind
}

type missingKind struct {
	err   error
	until time.Time
	tries int
}

const maxPatience = 30 * time.Second

func newPatientMapper(mapper apimeta.RESTMapper, clk clock.Clock) *patientMapper {
	return &patientMapper{RESTMapper: mapper, clock: clk, missing: map[schema.GroupVersionKind]missingKind{}}
}

// Resource implements apply.Mapper.
func (m *patientMapper) Resource(gvk schema.GroupVersionKind) (schema.GroupVersionResource, bool, error) {
	m.mu.Lock()
	known := m.missing[gvk]
	m.mu.Unlock()
	if known.err != nil && m.clock.Now().Before(known.until) {
		return schema.GroupVersionResource{}, false, known.err
	}
	mapping, err := m.RESTMapping(gvk.GroupKind(), gvk.Version)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		patience := min(maxPatience, 80*time.Millisecond<<min(known.tries, 10))
		m.missing[gvk] = missingKind{err: err, until: m.clock.Now().Add(patience), tries: known.tries + 1}
		return schema.GroupVersionResource{}, false, err
	}
	delete(m.missing, gvk)
	return mapping.Resource, mapping.Scope.Name() == apimeta.RESTScopeNameNamespace, nil
}

// elsewhere says whether another work of the same instance wants an object.
func (r *reconciler) elsewhere(ctx context.Context, work string, key live.Key) (bool, error) {
	works, err := r.hub.works(ctx)
	if err != nil {
		return false, err
	}
	return r.plans.wants(works, work, key), nil
}
