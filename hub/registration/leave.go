package registration

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	coordinationv1 "k8s.io/api/coordination/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/clusters"
)

// cleanupPriority orders the works of a cluster that is deleted, from 0, the
// default, to 100 (OCM).
const cleanupPriority = "open-cluster-management.io/cleanup-priority"

// belongings are what keeps a cluster that is leaving.
type belongings struct {
	targets []kronvoyv1alpha1.Target
	works   []workv1.ManifestWork
}

func (b belongings) none() bool { return len(b.targets) == 0 && len(b.works) == 0 }

func (r *Clusters) belongings(ctx context.Context, cluster string) (belongings, error) {
	var targets kronvoyv1alpha1.TargetList
	var works workv1.ManifestWorkList
	if err := r.Client.List(ctx, &targets, client.InNamespace(cluster)); err != nil {
		return belongings{}, fmt.Errorf("listing targets of cluster %s: %w", cluster, err)
	}
	if err := r.Client.List(ctx, &works, client.InNamespace(cluster)); err != nil {
		return belongings{}, fmt.Errorf("listing works of cluster %s: %w", cluster, err)
	}
	return belongings{targets: targets.Items, works: works.Items}, nil
}

// teardown lets a deleted cluster go in the order in which its agent can still
// do its part: instances by their own order, then all other works, and the
// rights last. The namespace stays, as with OCM: the hub cannot see whether
// others keep something in it.
func (r *Clusters) teardown(ctx context.Context, c *clusterv1.ManagedCluster) (gone bool, err error) {
	if !controllerutil.ContainsFinalizer(c, kronvoyv1alpha1.FinalizerCluster) {
		return true, nil
	}
	left, err := r.belongings(ctx, c.Name)
	if err != nil {
		return false, err
	}
	if left.none() {
		return true, r.release(ctx, c)
	}
	message := fmt.Sprintf("%d instances and %d works are not gone", len(left.targets), len(left.works))
	if why := unreachable(c); why != "" {
		message += fmt.Sprintf("; %s, or let go of it for good with \"kronvoy detach %s\"", why, c.Name)
	}
	apimeta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{
		Type: clusterv1.ManagedClusterConditionDeleting, Status: metav1.ConditionFalse,
		Reason: clusterv1.ConditionDeletingReasonResourceRemaining, Message: message,
	})
	if err := r.deleteTargets(ctx, left.targets); err != nil || len(left.targets) > 0 {
		return false, err
	}
	for i := range first(left.works) {
		if err := r.deleteWork(ctx, &left.works[i]); err != nil {
			return false, err
		}
	}
	return false, nil
}

// first sorts works by priority, and returns those that go first.
func first(works []workv1.ManifestWork) []workv1.ManifestWork {
	priority := func(w workv1.ManifestWork) int {
		n, err := strconv.Atoi(w.Annotations[cleanupPriority])
		if err != nil {
			return 0
		}
		return min(max(n, 0), 100)
	}
	slices.SortStableFunc(works, func(a, b workv1.ManifestWork) int { return priority(a) - priority(b) })
	end := slices.IndexFunc(works, func(w workv1.ManifestWork) bool { return priority(w) != priority(works[0]) })
	if end < 0 {
		end = len(works)
	}
	return works[:end]
}

// release is the end of a cluster that nothing keeps.
func (r *Clusters) release(ctx context.Context, c *clusterv1.ManagedCluster) error {
	if err := r.revoke(ctx, c); err != nil {
		return err
	}
	// A cluster that joins by the same name later is not there before it is.
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: c.Name, Name: clusters.LeaseName}}
	if err := r.Client.Delete(ctx, lease); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the lease of cluster %s: %w", c.Name, err)
	}
	before := c.DeepCopy()
	controllerutil.RemoveFinalizer(c, kronvoyv1alpha1.FinalizerCluster)
	return client.IgnoreNotFound(r.patch(ctx, before, c))
}

// letGoIfDetached takes from a cluster that is gone for good what waits for its
// agent. Works go without it: an agent that comes back finds them gone, and
// removes what they brought after a time; one that joins again gets works of the
// same names, and keeps the objects.
func (r *Clusters) letGoIfDetached(ctx context.Context, c *clusterv1.ManagedCluster) error {
	if c.Annotations[kronvoyv1alpha1.AnnotationDetached] == "" {
		apimeta.RemoveStatusCondition(&c.Status.Conditions, kronvoyv1alpha1.ConditionDetached)
		return nil
	}
	left, err := r.belongings(ctx, c.Name)
	if err != nil {
		return err
	}
	if err := r.deleteTargets(ctx, left.targets); err != nil {
		return err
	}
	for i := range left.works {
		work := &left.works[i]
		if err := r.deleteWork(ctx, work); err != nil {
			return err
		}
		before := work.DeepCopy()
		if !controllerutil.RemoveFinalizer(work, kronvoyv1alpha1.FinalizerWork) {
			continue
		}
		err := r.Client.Patch(ctx, work, client.MergeFrom(before), client.FieldOwner(kronvoyv1alpha1.FieldManagerHub))
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("letting go of work %s/%s: %w", work.Namespace, work.Name, err)
		}
	}
	condition := metav1.Condition{
		Type: kronvoyv1alpha1.ConditionDetached, Status: metav1.ConditionTrue, Reason: reasonDetached,
		Message: fmt.Sprintf("since %s the hub does not wait for this cluster: \"kronvoy hub token --cluster %s --rejoin\" takes it back",
			c.Annotations[kronvoyv1alpha1.AnnotationDetached], c.Name),
	}
	if !left.none() {
		condition.Status, condition.Reason = metav1.ConditionFalse, reasonLettingGo
		condition.Message = fmt.Sprintf("letting go of %d instances and %d works", len(left.targets), len(left.works))
	}
	apimeta.SetStatusCondition(&c.Status.Conditions, condition)
	return nil
}

func (r *Clusters) deleteTargets(ctx context.Context, targets []kronvoyv1alpha1.Target) error {
	for i := range targets {
		target := &targets[i]
		if target.DeletionTimestamp != nil {
			continue
		}
		uid := target.UID
		if err := r.Client.Delete(ctx, target, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting target %s/%s: %w", target.Namespace, target.Name, err)
		}
	}
	return nil
}

func (r *Clusters) deleteWork(ctx context.Context, work *workv1.ManifestWork) error {
	if work.DeletionTimestamp != nil {
		return nil
	}
	uid := work.UID
	if err := r.Client.Delete(ctx, work, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting work %s/%s: %w", work.Namespace, work.Name, err)
	}
	return nil
}
