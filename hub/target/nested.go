package target

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/go-multierror"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/nested"
	"github.com/kronvoy/kronvoy/internal/managedfields"
)

// unservedRetry is how often a node is looked at again whose kind no definition
// serves: nothing tells when one does.
const unservedRetry = 2 * time.Second

// listed are the instances that the Target is to list.
func (s *scope) listed() []kronvoyv1alpha1.ChildReference {
	if s.plan.Nested == nil {
		return s.target.Status.Children
	}
	return s.plan.Nested.Children
}

// look reads listed instances that were not read yet. What the cache does not
// show is asked of the server: it may have been made a moment ago.
func (g *Gatherer) look(ctx context.Context, s *scope, refs []kronvoyv1alpha1.ChildReference) error {
	if s.in.Live == nil {
		s.in.Live = nested.Live{}
	}
	for _, ref := range refs {
		key := nested.KeyOf(ref)
		if _, read := s.in.Live[key]; read {
			continue
		}
		found, err := g.child(ctx, ref)
		if err != nil {
			return fmt.Errorf("reading %s %s/%s: %w", ref.Kind, ref.Namespace, ref.Name, err)
		}
		s.in.Live[key] = found
	}
	return nil
}

// child reads one instance; nil if it does not exist.
func (g *Gatherer) child(ctx context.Context, ref kronvoyv1alpha1.ChildReference) (*unstructured.Unstructured, error) {
	gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	readers := []client.Reader{g.Cached, g.Reader}
	if _, watched := g.Store.Serving(gvk.GroupKind()); !watched {
		// The cache would start to watch it, and nobody would end that.
		readers = readers[1:]
	}
	for _, reader := range readers {
		found := kinds.Object(gvk)
		err := reader.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, found)
		if err == nil {
			return found, nil
		}
		if !apierrors.IsNotFound(err) && !apimeta.IsNoMatchError(err) {
			return nil, err
		}
	}
	return nil, nil
}

// nest looks for the instances of generated kinds that the graph asks for.
// wait is true while it is not known whether their kinds are served.
func (r *Reconciler) nest(ctx context.Context, s *scope) (wait bool, err error) {
	wants := s.plan.Wants
	for _, id := range wants.Nodes() {
		unserved, wait, err := r.unserved(ctx, s.in.Graph.Node(id))
		if err != nil || wait {
			return wait, err
		}
		if unserved != "" {
			wants.Refuse(id, unserved)
			s.retryAfter(unservedRetry)
		}
	}
	return false, r.look(ctx, s, wants.References())
}

// unserved says why no instances of a node's kind can be made or watched. wait
// is true while this process, just started, has not looked at its definition.
func (r *Reconciler) unserved(ctx context.Context, node *graph.Node) (reason string, wait bool, err error) {
	kind := node.GVK.GroupKind()
	if r.Store.Yielded(kind) {
		return fmt.Sprintf("kro's controller looks after definition %s, which generates %s", node.Definition, node.GVK.Kind), false, nil
	}
	if _, served := r.Store.Serving(kind); served {
		return "", false, nil
	}
	err = r.Client.Get(ctx, client.ObjectKey{Name: node.Definition}, &krov1alpha1.ResourceGraphDefinition{})
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("definition %s, which generates %s, does not exist", node.Definition, node.GVK.Kind), false, nil
	case err != nil:
		return "", false, fmt.Errorf("reading definition %s: %w", node.Definition, err)
	case !r.Store.Judged(node.Definition):
		return "", true, nil
	}
	return fmt.Sprintf("definition %s does not serve %s: its conditions say why", node.Definition, node.GVK.Kind), false, nil
}

// applyChildren lists what is going to be made, and then makes it: after a crash
// in between, nothing is there that is not in the list.
func (r *Reconciler) applyChildren(ctx context.Context, s *scope) error {
	if s.plan.Nested == nil {
		return nil
	}
	if err := r.listChildren(ctx, s); err != nil {
		return err
	}
	var errs *multierror.Error
	for _, w := range s.plan.Nested.Apply {
		err := r.applyChild(ctx, w)
		if refusedForGood(err) {
			s.plan.Fail(w.Node, fmt.Sprintf("the hub refuses %s %s/%s: %v", w.Kind, w.Namespace, w.Name, err))
			s.retryAfter(blockedRetry)
		} else if err != nil {
			errs = multierror.Append(errs, fmt.Errorf("applying %s %s/%s: %w", w.Kind, w.Namespace, w.Name, err))
		}
	}
	return errs.ErrorOrNil()
}

// applyChild creates an instance, or puts right one that is known: without
// force nothing is taken over that came in between, nor with another UID.
func (r *Reconciler) applyChild(ctx context.Context, w nested.Write) error {
	object := &unstructured.Unstructured{Object: w.Object}
	if w.FromKro {
		if err := r.inherit(ctx, object); err != nil {
			return err
		}
	}
	opts := []client.ApplyOption{client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)}
	if w.UID != "" {
		object.SetUID(w.UID)
		opts = append(opts, client.ForceOwnership)
	}
	return r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), opts...)
}

// inherit takes over the fields that kro applied, so that those which leave the
// template later leave the instance too.
func (r *Reconciler) inherit(ctx context.Context, object *unstructured.Unstructured) error {
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(object.GroupVersionKind())
	if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(object), live); err != nil {
		return err
	}
	patch, kind, err := managedfields.Handover(live, managedfields.Kro, kronvoyv1alpha1.FieldManagerHub, nil)
	if err != nil || patch == nil {
		return err
	}
	return r.Client.Patch(ctx, live, client.RawPatch(kind, patch))
}

// refusedForGood tells what the author has to mend from what another try may.
func refusedForGood(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsBadRequest(err) ||
		apimeta.IsNoMatchError(err)
}

// listChildren writes the instances that are the Target's.
func (r *Reconciler) listChildren(ctx context.Context, s *scope) error {
	if equality.Semantic.DeepEqual(s.target.Status.Children, s.plan.Nested.Children) {
		return nil
	}
	before := s.target.DeepCopy()
	s.target.Status.Children = s.plan.Nested.Children
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Status().Patch(ctx, s.target, patch, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil {
		return fmt.Errorf("listing the instances of target %s/%s: %w", s.target.Namespace, s.target.Name, err)
	}
	return nil
}

// deleteChildren deletes the instances of the wave that leaves. They go as any
// instance does, and the next wave waits for them.
func (r *Reconciler) deleteChildren(ctx context.Context, s *scope) error {
	if s.plan.Nested == nil || !s.plan.Works.Leaves {
		return nil
	}
	var errs *multierror.Error
	for _, leaving := range s.plan.Nested.Leaving {
		if int(leaving.Wave) != s.plan.Works.Wave {
			continue
		}
		if s.plan.Works.Withheld == "" {
			s.plan.Works.Withheld = leaving.String() + " is still being deleted"
		}
		if leaving.Terminating {
			continue
		}
		object := kinds.Object(schema.FromAPIVersionAndKind(leaving.APIVersion, leaving.Kind))
		object.SetNamespace(leaving.Namespace)
		object.SetName(leaving.Name)
		// Not another one of that name.
		err := r.Client.Delete(ctx, object, client.Preconditions{UID: &leaving.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
		if apierrors.IsForbidden(err) {
			s.plan.Works.Withheld = fmt.Sprintf("the hub cannot delete %s: %v", leaving, err)
			s.retryAfter(blockedRetry)
		} else if client.IgnoreNotFound(err) != nil {
			errs = multierror.Append(errs, fmt.Errorf("deleting %s: %w", leaving, err))
		}
	}
	return errs.ErrorOrNil()
}

// retryAfter asks for another look when no event may come.
func (s *scope) retryAfter(d time.Duration) {
	if s.retry == 0 || d < s.retry {
		s.retry = d
	}
}

// orRetry brings another look forward, if one is wanted.
func (s *scope) orRetry(result reconcile.Result) reconcile.Result {
	if s.retry > 0 && (result.RequeueAfter == 0 || s.retry < result.RequeueAfter) {
		result.RequeueAfter = s.retry
	}
	return result
}
