package definition

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// kro's controller and the hub must not act on one definition: each would undo
// the other's CRD, and both apply the same resources. kro v0.9.4 shows that it
// is at work by
//
//   - renewing its Lease, where it elects a leader: the Helm chart's default;
//   - writing the status of definitions, which nobody else does. It does so
//     whenever the hub has changed a CRD, too, so that a kro without a Lease
//     gives itself away at the hub's first step.
//
// GraphRevisions, finalizers and labels are none: they stay when kro has gone.
const (
	// kroLease is the name of kro's Lease, in whatever namespace kro runs.
	kroLease = "controller.kro.run"
	// kroQuiet is how long after a status that somebody else wrote kro counts as
	// live; also how often, at most, the hub and a kro without a Lease meet.
	kroQuiet = 5 * time.Minute
	// kroRecheck is how often the hub looks whether kro has gone.
	kroRecheck = 5 * time.Second
	// kroLeaseFresh is how long Leases that were read count: after a start all
	// definitions are looked at, and need not read them each.
	kroLeaseFresh = 250 * time.Millisecond
)

// statusWrite is that somebody wrote the status of a definition.
type statusWrite struct {
	manager string
	at      time.Time
}

// liveKro says what shows that kro's controller is at work; empty if nothing
// does. foreign is the last write of the status by somebody else. The text is
// the same for as long as the sign is.
func liveKro(now time.Time, leases []coordinationv1.Lease, foreign statusWrite) string {
	var ended time.Time
	for i := range leases {
		lease := &leases[i]
		if lease.Spec.RenewTime == nil || lease.Spec.LeaseDurationSeconds == nil || lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
			continue
		}
		duration := time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second
		// Twice, as the clocks of kro's machine and of the hub's may differ.
		if now.Before(lease.Spec.RenewTime.Add(2 * duration)) {
			return fmt.Sprintf("Lease %s/%s is held by %s", lease.Namespace, lease.Name, *lease.Spec.HolderIdentity)
		}
		if until := lease.Spec.RenewTime.Add(duration); until.After(ended) {
			ended = until
		}
	}
	// What was written before a Lease ended was written by who held it.
	if foreign.manager != "" && foreign.at.After(ended) && now.Before(foreign.at.Add(kroQuiet)) {
		return fmt.Sprintf("%s wrote the definition's status at %s", foreign.manager, foreign.at.UTC().Format(time.RFC3339))
	}
	return ""
}

// foreignWrite is the last write of a status by another controller: neither by
// this one nor by a person. kro's name there is that of its binary, whatever it
// was built as.
func foreignWrite(managed []metav1.ManagedFieldsEntry) statusWrite {
	var last statusWrite
	for _, entry := range managed {
		if entry.Subresource != "status" || entry.Time == nil || entry.Manager == kronvoyv1alpha1.FieldManagerHub || strings.HasPrefix(entry.Manager, "kubectl") {
			continue
		}
		if entry.Time.After(last.at) {
			last = statusWrite{entry.Manager, entry.Time.Time}
		}
	}
	return last
}

// kroWatch looks for kro's controller. It is safe for concurrent use.
type kroWatch struct {
	mu     sync.Mutex
	leases []coordinationv1.Lease
	read   time.Time
	// wrote are the last foreign writes by definition: when the hub says in a
	// status that it yields, the API server forgets who wrote it before.
	wrote map[string]statusWrite
	// gone is when the last foreign write was, by definition, whose writer is
	// known to have gone: it stays gone when its Lease is cleaned away.
	gone map[string]time.Time
}

// live reads what liveKro judges from the API server: caches hold neither.
func (w *kroWatch) live(ctx context.Context, reader client.Reader, now time.Time, definition string) (string, error) {
	meta := &metav1.PartialObjectMetadata{}
	meta.SetGroupVersionKind(krov1alpha1.GroupVersion.WithKind("ResourceGraphDefinition"))
	if err := reader.Get(ctx, client.ObjectKey{Name: definition}, meta); err != nil {
		return "", fmt.Errorf("reading who writes definition %s: %w", definition, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.read.IsZero() || now.Sub(w.read) >= kroLeaseFresh {
		var list coordinationv1.LeaseList
		if err := reader.List(ctx, &list, client.MatchingFields{"metadata.name": kroLease}); err != nil {
			return "", fmt.Errorf("looking for kro's Lease: %w", err)
		}
		w.leases, w.read = list.Items, now
	}
	last := foreignWrite(meta.ManagedFields)
	if before := w.wrote[definition]; before.at.After(last.at) {
		last = before
	}
	if !last.at.After(w.gone[definition]) {
		last = statusWrite{}
	}
	if w.wrote == nil {
		w.wrote, w.gone = map[string]statusWrite{}, map[string]time.Time{}
	}
	w.wrote[definition] = last
	sign := liveKro(now, w.leases, last)
	if sign == "" && last.manager != "" {
		w.gone[definition] = last.at
	}
	return sign, nil
}

func (w *kroWatch) forget(definition string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.wrote, definition)
	delete(w.gone, definition)
}
