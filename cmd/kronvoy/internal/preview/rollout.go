package preview

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	hubkinds "github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/plain"
	placementrollout "github.com/kronvoy/kronvoy/placement/rollout"
)

// Rollout is in which steps a change would go to its clusters.
type Rollout struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Distribution whose strategy it is.
	Distribution string `json:"distribution"`
	// Groups that move, one after the other.
	Groups []RolloutGroup `json:"groups,omitempty"`
	// MinSuccessTime is how long each cluster must have been ready.
	MinSuccessTime metav1.Duration `json:"minSuccessTime"`
	// Shortest is how long it takes if clusters become ready as soon as they are
	// moved, and people approve at once; AtLeast is true where it takes longer than
	// that, by more steps than were followed.
	Shortest metav1.Duration `json:"shortest"`
	AtLeast  bool            `json:"atLeast,omitempty"`
	// Ends is the phase in which it ends if nothing fails, and EndMessage says more
	// where that is not Succeeded.
	Ends       string `json:"ends"`
	EndMessage string `json:"endMessage,omitempty"`
	// Paused says why nothing moves now.
	Paused string `json:"paused,omitempty"`
	// Hindered clusters cannot be moved now.
	Hindered []RolloutCluster `json:"hindered,omitempty"`
}

// RolloutGroup is one step of it.
type RolloutGroup struct {
	// Name of the group; "-" for the clusters that are in none.
	Name string `json:"name"`
	// Total clusters of it, and those that move, in this order.
	Total    int      `json:"total"`
	Clusters []string `json:"clusters"`
	// Moves are how many clusters move at first, and then each time that others have
	// passed. AtOnce is how many are on their way at most.
	Moves  []int `json:"moves"`
	AtOnce int   `json:"atOnce"`
	// Approval is asked for before it.
	Approval bool `json:"approval,omitempty"`
	// Begins and Ends are the earliest, from when the change is made.
	Begins metav1.Duration `json:"begins"`
	Ends   metav1.Duration `json:"ends"`
}

// RolloutCluster is one that cannot be moved now.
type RolloutCluster struct {
	Name    string `json:"name"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// at is a clock that stands still.
type at time.Time

func (a at) Now() time.Time                  { return time.Time(a) }
func (a at) Since(t time.Time) time.Duration { return time.Time(a).Sub(t) }

// look plans a unit as the hub does, by what the reader says.
func (s *simulation) look(reader client.Reader, unit rollout.Unit) (*rollout.Look, error) {
	g := rollout.Gatherer{
		Cached: reader, Namespaces: s.memory, Namespace: s.HubNamespace, Placer: s.placer, Store: s.store, Clock: at(s.Now),
	}
	return g.Look(s.ctx, unit)
}

// unitOf is what an instance moves together with.
func unitOf(instance *unstructured.Unstructured, owner *kronvoyv1alpha1.Distribution) rollout.Unit {
	return rollout.UnitOf(hubkinds.RequestFor(instance), owner)
}

// loadUnit takes into memory what a unit's plan depends on: the Rollouts of its
// namespace, questions, and of each instance the revisions and the Targets.
func (s *simulation) loadUnit(instance *unstructured.Unstructured, owner *kronvoyv1alpha1.Distribution) error {
	for _, list := range []client.ObjectList{&kronvoyv1alpha1.RolloutList{}, &kronvoyv1alpha1.ApprovalRequestList{}} {
		if err := s.loadOnce(list, instance.GetNamespace()); err != nil {
			return err
		}
	}
	if err := s.loadInstanceRevisions(instance); err != nil {
		return err
	}
	if !rollout.Together(owner) {
		return nil
	}
	siblings, err := s.ofKind(instance.GroupVersionKind())
	if err != nil {
		return err
	}
	for i := range siblings {
		if siblings[i].GetNamespace() != owner.Namespace {
			continue
		}
		if err := s.loadInstanceRevisions(&siblings[i]); err != nil {
			return err
		}
		of := client.MatchingLabels{kronvoyv1alpha1.LabelInstance: work.IdentityOfInstance(&siblings[i]).Hash()}
		if err := s.load(&kronvoyv1alpha1.TargetList{}, of); err != nil {
			return err
		}
	}
	return nil
}

// loadOnce takes all objects of a kind in a namespace into memory, once.
func (s *simulation) loadOnce(list client.ObjectList, namespace string) error {
	key := fmt.Sprintf("%T %s", list, namespace)
	if s.listed[key] {
		return nil
	}
	s.listed[key] = true
	return s.load(list, client.InNamespace(namespace))
}

// loadInstanceRevisions takes the revisions of an instance into memory, once.
func (s *simulation) loadInstanceRevisions(instance *unstructured.Unstructured) error {
	hash := work.IdentityOfInstance(instance).Hash()
	if s.listed[hash] {
		return nil
	}
	s.listed[hash] = true
	return s.load(&appsv1.ControllerRevisionList{}, client.InNamespace(rollout.RevisionNamespace(instance, s.HubNamespace)),
		client.MatchingLabels{kronvoyv1alpha1.LabelInstance: hash})
}

// instanceRevisions are those that are kept of an instance.
func (s *simulation) instanceRevisions(instance *unstructured.Unstructured) ([]appsv1.ControllerRevision, error) {
	if err := s.loadInstanceRevisions(instance); err != nil {
		return nil, err
	}
	var stored appsv1.ControllerRevisionList
	err := s.memory.List(s.ctx, &stored, client.InNamespace(rollout.RevisionNamespace(instance, s.HubNamespace)),
		client.MatchingLabels{kronvoyv1alpha1.LabelInstance: work.IdentityOfInstance(instance).Hash()})
	return stored.Items, err
}

// storeInstance makes a state of an instance the newest revision, as hub/instance
// does: one that was there before becomes so again.
func (s *simulation) storeInstance(instance *unstructured.Unstructured, wanted revision.Instance) (*appsv1.ControllerRevision, error) {
	existing, err := s.instanceRevisions(instance)
	if err != nil {
		return nil, err
	}
	owner := *metav1.NewControllerRef(instance, instance.GroupVersionKind())
	number := int64(1)
	if newest := revision.Newest(existing); newest != nil {
		if revision.Hash(newest) == wanted.Hash() && metav1.IsControlledBy(newest, instance) {
			return newest, nil
		}
		number = newest.Revision + 1
	}
	at := slices.IndexFunc(existing, func(r appsv1.ControllerRevision) bool { return revision.Hash(&r) == wanted.Hash() })
	if at >= 0 {
		again := existing[at].DeepCopy()
		revision.Renew(again, number, owner)
		return again, s.memory.put(again)
	}
	stored, err := wanted.Object(rollout.RevisionNamespace(instance, s.HubNamespace), work.IdentityOfInstance(instance), number, owner)
	if err != nil {
		return nil, err
	}
	return stored, s.memory.put(stored)
}

// earlier is memory with Targets as they were before a change; nil for those that
// it made.
type earlier struct {
	*memory
	targets map[client.ObjectKey]*kronvoyv1alpha1.Target
}

// Get implements client.Reader.
func (e earlier) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	target, isTarget := into.(*kronvoyv1alpha1.Target)
	was, changed := e.targets[key]
	switch {
	case !isTarget || !changed:
		return e.memory.Get(ctx, key, into, opts...)
	case was == nil:
		return apierrors.NewNotFound(schema.GroupResource{Group: kronvoyv1alpha1.GroupVersion.Group, Resource: "targets"}, key.String())
	}
	*target = *was
	return nil
}

// List implements client.Reader.
func (e earlier) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	if err := e.memory.List(ctx, into, opts...); err != nil {
		return err
	}
	list, ofTargets := into.(*kronvoyv1alpha1.TargetList)
	if !ofTargets {
		return nil
	}
	list.Items = slices.DeleteFunc(list.Items, func(t kronvoyv1alpha1.Target) bool {
		was, changed := e.targets[client.ObjectKeyFromObject(&t)]
		return changed && was == nil
	})
	for i := range list.Items {
		if was := e.targets[client.ObjectKeyFromObject(&list.Items[i])]; was != nil {
			list.Items[i] = *was
		}
	}
	return nil
}

// note a Target as it was before the change, nil for none.
func (s *simulation) note(key client.ObjectKey, was *kronvoyv1alpha1.Target) {
	if _, known := s.before[key]; !known {
		s.before[key] = was
	}
}

// rollouts says in which steps the instances move that are concerned and have a
// strategy.
func (s *simulation) rollouts(result *Result) error {
	for _, unit := range s.units {
		s.Progress("planning the rollout of " + unit.owner.Name)
		if err := s.loadUnit(unit.instance, unit.owner); err != nil {
			return err
		}
		look, err := s.look(earlier{s.memory, s.before}, unit.Unit)
		if err != nil {
			return fmt.Errorf("planning the rollout of Distribution %s/%s: %w", unit.owner.Namespace, unit.owner.Name, err)
		}
		if look == nil {
			continue
		}
		if r := rolloutOf(look); len(r.Groups) > 0 || r.EndMessage != "" {
			result.Rollouts = append(result.Rollouts, r)
		}
	}
	return nil
}

// rolling is a unit that has a strategy, and one of its instances.
type rolling struct {
	rollout.Unit
	instance *unstructured.Unstructured
	owner    *kronvoyv1alpha1.Distribution
}

// rolls notes the unit of an instance.
func (s *simulation) rolls(instance *unstructured.Unstructured, owner *kronvoyv1alpha1.Distribution) {
	if owner == nil || owner.Spec.Rollout == nil {
		return
	}
	unit := unitOf(instance, owner)
	if !slices.ContainsFunc(s.units, func(u rolling) bool { return reflect.DeepEqual(u.Unit, unit) }) {
		s.units = append(s.units, rolling{unit, instance, owner})
	}
}

func rolloutOf(look *rollout.Look) Rollout {
	forecast := placementrollout.Foresee(look.Input)
	r := Rollout{
		Namespace: look.Namespace, Name: look.Name, Distribution: look.Distribution.Name,
		MinSuccessTime: metav1.Duration{Duration: look.Input.Strategy.MinSuccessTime},
		Shortest:       metav1.Duration{Duration: forecast.Duration}, AtLeast: !forecast.Complete,
		Ends: string(forecast.Phase), Paused: look.Input.Paused,
	}
	if forecast.Complete && forecast.Phase != placementrollout.Succeeded {
		r.EndMessage = forecast.Message
	}
	for _, g := range forecast.Groups {
		if len(g.Clusters) == 0 {
			continue
		}
		r.Groups = append(r.Groups, RolloutGroup{
			Name: g.Group.String(), Total: g.Total, Clusters: g.Clusters, Moves: g.Moves, AtOnce: g.AtOnce, Approval: g.Approval,
			Begins: metav1.Duration{Duration: g.Begins}, Ends: metav1.Duration{Duration: max(g.Ends, 0)},
		})
	}
	for _, c := range look.Step.Clusters {
		switch c.Reason {
		case placementrollout.ReasonUnreachable, placementrollout.ReasonMaintenance, placementrollout.ReasonSuspended, placementrollout.ReasonTeardown:
			r.Hindered = append(r.Hindered, RolloutCluster{Name: c.Cluster, Reason: string(c.Reason), Message: c.Message})
		}
	}
	return r
}

func (r *Rollout) write(w io.Writer, wide bool) {
	fmt.Fprintf(w, "\nRollout %s/%s (Distribution %s)%s\n", r.Namespace, r.Name, r.Distribution, r.takes())
	for i, g := range r.Groups {
		fmt.Fprintf(w, "  %d. %s\n", i+1, g.sentence(r.MinSuccessTime.Duration, wide))
	}
	if r.EndMessage != "" {
		fmt.Fprintf(w, "  ends in %s: %s\n", r.Ends, plain.Line(r.EndMessage))
	}
	if r.Paused != "" {
		fmt.Fprintf(w, "  ! nothing moves now: %s\n", plain.Line(r.Paused))
	}
	for i, c := range r.Hindered {
		if !wide && i == maxNamed && len(r.Hindered) > maxNamed+1 {
			fmt.Fprintf(w, "  … and %d other clusters cannot be moved now; -o wide names them\n", len(r.Hindered)-i)
			break
		}
		fmt.Fprintf(w, "  … %s cannot be moved now (%s): %s\n", c.Name, c.Reason, plain.Line(c.Message))
	}
}

// takes says how long all of it takes.
func (r *Rollout) takes() string {
	switch {
	case len(r.Groups) == 0:
		return ""
	case r.AtLeast:
		return ", takes more than " + duration.HumanDuration(r.Shortest.Duration)
	case r.Shortest.Duration == 0:
		return ", takes as long as clusters take to become ready"
	}
	return ", takes " + duration.HumanDuration(r.Shortest.Duration) + " at least"
}

// sentence says how a group moves.
func (g *RolloutGroup) sentence(soak time.Duration, wide bool) string {
	var parts []string
	if g.Approval {
		parts = append(parts, "after approval")
	}
	moves := counted(len(g.Clusters), "cluster", "clusters")
	if len(g.Clusters) < g.Total {
		moves = fmt.Sprintf("%d of %s", len(g.Clusters), counted(g.Total, "cluster", "clusters"))
	}
	parts = append(parts, moves)
	switch {
	case len(g.Moves) == 1 && len(g.Clusters) > 1:
		parts = append(parts, "all at once")
	case len(g.Moves) > 1:
		parts = append(parts, fmt.Sprintf("at most %d at a time", g.AtOnce))
	}
	if soak > 0 {
		parts = append(parts, "each ready for "+duration.HumanDuration(soak))
	}
	if g.Begins.Duration > 0 {
		parts = append(parts, duration.HumanDuration(g.Begins.Duration)+" after the change at the earliest")
	}
	text := g.Name + ": " + strings.Join(parts, ", ")
	names := g.Clusters
	if !wide && len(names) > maxNamed {
		return text + fmt.Sprintf(" (%s and %d more)", strings.Join(names[:maxNamed-2], ", "), len(names)-maxNamed+2)
	}
	return text + " (" + strings.Join(names, ", ") + ")"
}
