package steer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/rollout"
)

// Past is what there is of one instance, newest first.
type Past struct {
	Instance  string
	Revisions []appsv1.ControllerRevision
}

// Good is the name of the revision that the newest would be taken back to: the
// last other one that succeeded; empty for none.
func (p *Past) Good() string { return rollout.Good(p.Revisions[1:], &p.Revisions[0]) }

// Before is the revision of a number, or with 0 the good one, or else that before
// the newest; nil where there is none.
func (p *Past) Before(number int64) (*appsv1.ControllerRevision, error) {
	good := p.Good()
	for i := range p.Revisions {
		r := &p.Revisions[i]
		if number != 0 && r.Revision == number || number == 0 && (r.Name == good || good == "" && i == 1) {
			return r, nil
		}
	}
	if number != 0 {
		return nil, fmt.Errorf("instance %s has no revision %d: \"kronvoy rollout history\" lists them", p.Instance, number)
	}
	return nil, nil
}

// History are the instances of a rollout that have revisions, by name.
func History(ctx context.Context, c client.Reader, r *kronvoyv1alpha1.Rollout) ([]Past, error) {
	wanted, kind, err := instancesOf(ctx, c, r)
	if err != nil {
		return nil, err
	}
	var list appsv1.ControllerRevisionList
	if err := c.List(ctx, &list, client.InNamespace(r.Namespace), client.HasLabels{kronvoyv1alpha1.LabelInstance}); err != nil {
		return nil, fmt.Errorf("listing revisions in namespace %s: %w", r.Namespace, NeedsRole(err, RoleOperator, r.Namespace))
	}
	found := map[string]*Past{}
	for i := range list.Items {
		owner := metav1.GetControllerOf(&list.Items[i])
		if owner == nil || schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).GroupKind() != kind || !wanted(owner.Name) {
			continue
		}
		if found[owner.Name] == nil {
			found[owner.Name] = &Past{Instance: owner.Name}
		}
		found[owner.Name].Revisions = append(found[owner.Name].Revisions, list.Items[i])
	}
	out := make([]Past, 0, len(found))
	for _, p := range found {
		slices.SortFunc(p.Revisions, func(a, b appsv1.ControllerRevision) int { return cmp.Compare(b.Revision, a.Revision) })
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b Past) int { return cmp.Compare(a.Instance, b.Instance) })
	if len(out) == 0 {
		return nil, fmt.Errorf("no instance of Rollout %s has a revision", r.Name)
	}
	return out, nil
}

// instancesOf says which instances a rollout is of: one, or those that its
// Distribution selects.
func instancesOf(ctx context.Context, c client.Reader, r *kronvoyv1alpha1.Rollout) (wanted func(name string) bool, kind schema.GroupKind, err error) {
	owner := metav1.GetControllerOf(r)
	if owner == nil {
		return nil, kind, fmt.Errorf("the Rollout %s belongs to nothing: the hub did not make it", r.Name)
	}
	if owner.Kind != "Distribution" {
		return func(name string) bool { return name == owner.Name }, schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).GroupKind(), nil
	}
	d := &kronvoyv1alpha1.Distribution{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: owner.Name}, d); err != nil {
		return nil, kind, fmt.Errorf("reading Distribution %s/%s: %w", r.Namespace, owner.Name, NeedsRole(err, RoleOperator, r.Namespace))
	}
	kind = policy.KindOf(d)
	if d.Spec.Instances.Selector == nil {
		return func(string) bool { return true }, kind, nil
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.FromAPIVersionAndKind(d.Spec.Instances.APIVersion, d.Spec.Instances.Kind+"List"))
	if err := c.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		return nil, kind, fmt.Errorf("listing instances of %s in namespace %s, since the Distribution selects them by labels: %w", kind.Kind, r.Namespace, NeedsRole(err, RoleOperator, r.Namespace))
	}
	names := map[string]bool{}
	for i := range list.Items {
		selects, err := policy.Selects(&d.Spec, list.Items[i].GetLabels())
		if err != nil {
			return nil, kind, err
		}
		names[list.Items[i].GetName()] = selects
	}
	return func(name string) bool { return names[name] }, kind, nil
}

// Version is what people are told of a revision.
type Version struct {
	Instance   string `json:"instance"`
	Number     int64  `json:"number"`
	Revision   string `json:"revision"`
	Definition string `json:"definition"`
	Newest     bool   `json:"newest,omitempty"`
	// Good is the revision that the newest would be taken back to.
	Good        bool        `json:"good,omitempty"`
	SucceededAt string      `json:"succeededAt,omitempty"`
	RejectedAt  string      `json:"rejectedAt,omitempty"`
	Created     metav1.Time `json:"created"`
}

// Versions are all revisions of some instances.
func Versions(all []Past) []Version {
	var out []Version
	for _, p := range all {
		for i := range p.Revisions {
			r := &p.Revisions[i]
			state, _ := revision.ParseInstance(r)
			out = append(out, Version{
				Instance: p.Instance, Number: r.Revision, Revision: r.Name, Definition: state.Definition, Newest: i == 0, Good: r.Name == p.Good(),
				SucceededAt: r.Annotations[kronvoyv1alpha1.AnnotationSucceededAt], RejectedAt: r.Annotations[kronvoyv1alpha1.AnnotationRejectedAt],
				Created: r.CreationTimestamp,
			})
		}
	}
	return out
}

// State is what has become of it, in words.
func (v Version) State() string {
	var words []string
	for _, w := range []struct {
		is   bool
		word string
	}{{v.Newest, "newest"}, {v.RejectedAt != "", "rejected"}, {v.SucceededAt != "", "succeeded"}, {v.Good, "good"}} {
		if w.is {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ", ")
}

// Pins take instances back to an earlier revision: all to the last that
// succeeded, or one of them, by its number.
func Pins(all []Past, instance string, to int64) ([]kronvoyv1alpha1.RolloutPin, error) {
	if to != 0 && instance == "" && len(all) > 1 {
		return nil, fmt.Errorf("numbers of revisions are an instance's own, and there are %d: say which with --instance", len(all))
	}
	var pins []kronvoyv1alpha1.RolloutPin
	for i := range all {
		p := &all[i]
		if instance != "" && p.Instance != instance {
			continue
		}
		before, err := p.Before(to)
		if err != nil {
			return nil, err
		}
		if before == nil {
			return nil, fmt.Errorf("instance %s has no earlier revision to go back to", p.Instance)
		}
		if revision.Release(before) != revision.Release(&p.Revisions[0]) {
			return nil, fmt.Errorf("another release of Kronvoy made revision %d of instance %s, and the one that runs does not render as that did: to have it again state its spec again, which \"kronvoy rollout diff --instance %s --from %d\" shows",
				before.Revision, p.Instance, p.Instance, before.Revision)
		}
		pins = append(pins, kronvoyv1alpha1.RolloutPin{Name: p.Instance, From: p.Revisions[0].Name, To: before.Name})
	}
	if len(pins) == 0 {
		return nil, fmt.Errorf("the rollout has no instance %s", instance)
	}
	return pins, nil
}
