package join

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/spoke/notice"
)

// topic of the notices.
const topic notice.Topic = "certificate"

// OCM's condition about the agent's certificate, and its reasons.
const (
	conditionRotated = "ClusterCertificateRotated"
	reasonRotated    = "ClientCertificateUpdated"
	reasonNotRotated = "ClientCertificateUpdateFailed"
)

func (j *Joiner) tell(ctx context.Context, n notice.Notice) { j.options.Board.Tell(ctx, topic, n) }

// rest tells how things are when there is no bootstrap to join by.
func (j *Joiner) rest(ctx context.Context, p plan) {
	id := j.identity
	switch {
	case id == nil && !j.lookedForBootstrap():
		j.tell(ctx, notice.Notice{Reason: notice.Starting, Message: "The agent looks for its Secrets in namespace " + j.options.Namespace, Unready: true})
	case id == nil:
		j.tell(ctx, notice.Notice{Reason: notice.NoBootstrapSecret, Problem: true, Unready: true, Message: fmt.Sprintf(
			"The cluster has joined no hub, and there is no Secret %s/%s to join by: run `kronvoy hub token --cluster NAME` on the hub and give what it prints to `kronvoy join`",
			j.options.Namespace, j.options.BootstrapSecret)})
	case p.expired:
		j.tell(ctx, notice.Notice{Reason: notice.CertificateExpired, Problem: true, Unready: true, Message: fmt.Sprintf(
			"The certificate of cluster %s has ended at %s; the cluster is kept as it is. Come back with `kronvoy hub token --cluster %s --rejoin | kronvoy join`",
			id.cluster, id.notAfter().UTC().Format(time.RFC3339), id.cluster)})
	case !p.renew:
		j.tell(ctx, notice.Notice{Reason: notice.Joined, Message: fmt.Sprintf(
			"Cluster %s has joined the hub %s; its certificate is good until %s", id.cluster, id.server.Server, id.notAfter().UTC().Format(time.RFC3339))})
	}
}

// condition is what the hub is to be told about the certificate; nil for nothing
// new.
func (j *Joiner) condition(p plan) *metav1.Condition {
	id := j.identity
	if id == nil || p.expired {
		return nil
	}
	c := &metav1.Condition{
		Type: conditionRotated, Status: metav1.ConditionTrue, Reason: reasonRotated,
		Message: fmt.Sprintf("client certificate good from %s to %s",
			id.certificate.Leaf.NotBefore.UTC().Format(time.RFC3339), id.notAfter().UTC().Format(time.RFC3339)),
	}
	if n := j.options.Board.Notice(topic); p.renew && n.Problem {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, reasonNotRotated, n.Message
	}
	if j.told != nil && *j.told == *c {
		return nil
	}
	return c
}

// report writes a condition into the ManagedCluster's status.
func (j *Joiner) report(ctx context.Context, condition metav1.Condition) error {
	hub, err := NewClient(j.currentHub().Config)
	if err != nil {
		return fmt.Errorf("making a client of the hub: %w", err)
	}
	cluster := &clusterv1.ManagedCluster{}
	if err := hub.Get(ctx, client.ObjectKey{Name: j.identity.cluster}, cluster); apierrors.IsNotFound(err) {
		j.told = &condition // a hub without ManagedClusters has nobody to tell
		return nil
	} else if err != nil {
		return fmt.Errorf("reading ManagedCluster %s: %w", j.identity.cluster, err)
	}
	before := cluster.DeepCopy()
	if apimeta.SetStatusCondition(&cluster.Status.Conditions, condition) {
		if err := hub.Status().Patch(ctx, cluster, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return fmt.Errorf("writing the status of ManagedCluster %s: %w", j.identity.cluster, err)
		}
	}
	j.told = &condition
	return nil
}
