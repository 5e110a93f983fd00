package target

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/hashicorp/go-multierror"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/metrics"
	"github.com/kronvoy/kronvoy/hub/work"
)

// distribute makes the cluster's namespace hold the planned works. It compares
// with the hash of what is really there, so that a work edited by hand is
// repaired, and writes nothing that is the same.
func (r *Reconciler) distribute(ctx context.Context, s *scope) error {
	live := make(map[string]*workv1.ManifestWork, len(s.in.Works))
	for _, w := range s.in.Works {
		live[w.Name] = w
	}
	for _, works := range [][]*workv1.ManifestWork{s.plan.Works.Works, s.plan.Works.Donors} {
		// What leaves a work may be on its way into one that was not written: after
		// an error nothing leaves.
		if err := r.writeAll(ctx, s, works, live); err != nil {
			return err
		}
	}
	var errs *multierror.Error
	for _, name := range s.plan.Works.Delete {
		w := live[name]
		preconditions := client.Preconditions{UID: &w.UID, ResourceVersion: &w.ResourceVersion}
		err := client.IgnoreNotFound(r.Client.Delete(ctx, w, preconditions))
		r.Metrics.WorkWritten(metrics.Delete, err)
		if err != nil {
			errs = multierror.Append(errs, fmt.Errorf("deleting work %s/%s: %w", w.Namespace, name, err))
			continue
		}
		r.hashes.forget(w.UID)
	}
	return errs.ErrorOrNil()
}

// writeAll writes works and makes their reports, as many as it can.
func (r *Reconciler) writeAll(ctx context.Context, s *scope, works []*workv1.ManifestWork, live map[string]*workv1.ManifestWork) error {
	var errs *multierror.Error
	for _, w := range works {
		if err := r.write(ctx, s, w, live[w.Name]); err != nil {
			errs = multierror.Append(errs, fmt.Errorf("writing work %s/%s: %w", w.Namespace, w.Name, err))
		}
		if err := r.ensureReport(ctx, s, w, live[w.Name]); err != nil {
			errs = multierror.Append(errs, fmt.Errorf("creating report %s/%s: %w", w.Namespace, w.Name, err))
		}
	}
	return errs.ErrorOrNil()
}

// write creates or updates one work; w ends up as the server has it.
func (r *Reconciler) write(ctx context.Context, s *scope, w, live *workv1.ManifestWork) error {
	if live == nil {
		span := r.shipping(s, w)
		err := r.Client.Create(ctx, w, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
		span.End(r.Clock.Now(), err)
		r.Metrics.WorkWritten(metrics.Create, err)
		if apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("the cache does not show it yet: %w", err)
		}
		return err
	}
	if live == w {
		// It is to be as it stands.
		return nil
	}
	if live.DeletionTimestamp != nil {
		// It is built anew once it is gone; nothing moves into it.
		return nil
	}
	if r.hashes.of(live) == w.Annotations[kronvoyv1alpha1.AnnotationHash] &&
		live.Annotations[kronvoyv1alpha1.AnnotationHash] == w.Annotations[kronvoyv1alpha1.AnnotationHash] {
		return nil
	}
	updated := live.DeepCopy()
	updated.Spec = w.Spec
	updated.Labels = overlay(live.Labels, w.Labels)
	updated.Annotations = overlay(live.Annotations, w.Annotations)
	for _, optional := range []string{kronvoyv1alpha1.AnnotationObserve, kronvoyv1alpha1.AnnotationShrunk, kronvoyv1alpha1.AnnotationReconcile} {
		if _, wanted := w.Annotations[optional]; !wanted {
			delete(updated.Annotations, optional)
		}
	}
	// The version that was decided on must be the one that is replaced.
	span := r.shipping(s, updated)
	err := r.Client.Update(ctx, updated, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	span.End(r.Clock.Now(), err)
	r.Metrics.WorkWritten(metrics.Update, err)
	return err
}

// ensureReport creates the object that the agent answers in beyond the work's
// status; it goes with its work.
func (r *Reconciler) ensureReport(ctx context.Context, s *scope, w, live *workv1.ManifestWork) error {
	if s.in.Reports[w.Name] != nil || !s.in.Agent.Reports {
		return nil
	}
	owner := w
	if live != nil {
		owner = live
	}
	if owner.UID == "" || owner.DeletionTimestamp != nil || !r.hashes.mayReport(owner.UID, r.Clock.Now()) {
		return nil
	}
	if live != nil {
		there, err := r.there(ctx, live)
		if err != nil {
			r.hashes.forgetReport(owner.UID)
		}
		if err != nil || !there {
			return err
		}
	}
	report := &kronvoyv1alpha1.WorkReport{ObjectMeta: metav1.ObjectMeta{
		Namespace: w.Namespace, Name: w.Name, Labels: w.Labels,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, schema.GroupVersion(workv1.GroupVersion).WithKind("ManifestWork"))},
	}}
	err := r.Client.Create(ctx, report, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	r.hashes.forgetReport(owner.UID)
	return err
}

// there asks the server whether a work that the cache shows is there to stay. A
// report goes with its work, and the cache may show the end of the report first:
// a new one would be of a work that is gone.
func (r *Reconciler) there(ctx context.Context, live *workv1.ManifestWork) (bool, error) {
	w := &metav1.PartialObjectMetadata{}
	w.SetGroupVersionKind(schema.GroupVersion(workv1.GroupVersion).WithKind("ManifestWork"))
	err := r.Reader.Get(ctx, client.ObjectKeyFromObject(live), w)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("looking whether the work is there: %w", err)
	}
	return err == nil && w.UID == live.UID && w.DeletionTimestamp == nil, nil
}

func overlay(base, over map[string]string) map[string]string {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, over)
	return out
}

// hashes remembers the hash of live works: a work is decoded and hashed once
// per change of its spec, not once per status of its cluster.
type hashes struct {
	mu    sync.Mutex
	known map[types.UID]knownHash
	// reported is when this process created a work's report.
	reported map[types.UID]time.Time
}

// reportDelay is how long a report that was created may take to show in the
// cache.
const reportDelay = 10 * time.Second

// mayReport is true when no report was created for a work a moment ago: the
// cache may not show it yet, and asking twice would be a write for nothing.
func (h *hashes) mayReport(work types.UID, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if at, created := h.reported[work]; created && now.Sub(at) < reportDelay {
		return false
	}
	if h.reported == nil {
		h.reported = map[types.UID]time.Time{}
	}
	h.reported[work] = now
	return true
}

// forgetReport allows to ask for a report again, after a failure.
func (h *hashes) forgetReport(work types.UID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.reported, work)
}

type knownHash struct {
	generation                           int64
	policies, observe, shrunk, reconcile string
	hash                                 string
}

func (h *hashes) of(w *workv1.ManifestWork) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := knownHash{
		generation: w.Generation,
		policies:   w.Annotations[kronvoyv1alpha1.AnnotationManifestPolicies],
		observe:    w.Annotations[kronvoyv1alpha1.AnnotationObserve],
		shrunk:     w.Annotations[kronvoyv1alpha1.AnnotationShrunk],
		reconcile:  w.Annotations[kronvoyv1alpha1.AnnotationReconcile],
	}
	if known, found := h.known[w.UID]; found {
		if now.hash = known.hash; now == known {
			return known.hash
		}
	}
	now.hash = work.HashOf(w)
	if h.known == nil {
		h.known = map[types.UID]knownHash{}
	}
	h.known[w.UID] = now
	return now.hash
}

func (h *hashes) forget(uid types.UID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.known, uid)
	delete(h.reported, uid)
}
