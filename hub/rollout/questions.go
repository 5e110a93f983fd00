package rollout

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/events"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// asker says whose questions people are asked, and where.
type asker struct {
	owner     metav1.OwnerReference
	namespace string
	// readable is what names begin with, and id what tells askers apart.
	readable, id string
	// instance is nil where it is about all of a Distribution.
	instance     *kronvoyv1alpha1.InstanceReference
	labels       map[string]string
	distribution string
}

// asksAbout is who asks about one instance.
func asksAbout(identity work.Identity, namespace string, owner metav1.OwnerReference, distribution *kronvoyv1alpha1.Distribution) asker {
	reference := identity.Reference()
	a := asker{
		owner: owner, namespace: namespace, readable: identity.Name, id: identity.Hash(),
		instance: &reference, labels: map[string]string{kronvoyv1alpha1.LabelInstance: identity.Hash()},
	}
	if distribution != nil {
		a.distribution = distribution.Name
	}
	return a
}

// settle says which question to put, nil for none or one that is put already, and
// which are settled. The name of a question stands for its plan hash, so one of
// that name asks the same, if of as many clusters as there were then.
func (a asker) settle(put []kronvoyv1alpha1.ApprovalRequest, q *rollout.Question, action kronvoyv1alpha1.ApprovalAction) (ask *kronvoyv1alpha1.ApprovalRequest, settled []*kronvoyv1alpha1.ApprovalRequest) {
	name := a.name(q)
	if q != nil {
		ask = a.request(q, action)
	}
	for i := range put {
		if name != "" && put[i].Name == name {
			ask = nil
			continue
		}
		settled = append(settled, &put[i])
	}
	return ask, settled
}

// maxClusters is how many clusters an ApprovalRequest names.
const maxClusters = 100

func (a asker) request(q *rollout.Question, action kronvoyv1alpha1.ApprovalAction) *kronvoyv1alpha1.ApprovalRequest {
	request := &kronvoyv1alpha1.ApprovalRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: a.name(q), Labels: a.labels, OwnerReferences: []metav1.OwnerReference{a.owner}},
		Spec: kronvoyv1alpha1.ApprovalRequestSpec{
			Action: action, Distribution: a.distribution, Instance: a.instance, PlanHash: q.PlanHash,
			ClusterCount: int32(len(q.Clusters)),
			Clusters:     q.Clusters[:min(len(q.Clusters), maxClusters)], Message: q.Message,
		},
	}
	if action == kronvoyv1alpha1.ApprovalEnterGroup {
		request.Spec.Group = q.Group.String()
	}
	return request
}

// name is short, since people type it, and the same for the same question; empty
// for none.
func (a asker) name(q *rollout.Question) string {
	if q == nil {
		return ""
	}
	const readable = 40
	sum := sha256.Sum256([]byte(a.id + "\x00" + q.PlanHash))
	name := strings.TrimRight(a.readable[:min(len(a.readable), readable)], "-.")
	return name + "-" + hex.EncodeToString(sum[:4])
}

// answer is what people said to a question.
func answer(r *kronvoyv1alpha1.ApprovalRequest) rollout.Approval {
	return rollout.Approval{PlanHash: r.Spec.PlanHash, Verdict: rollout.Verdict(r.Status.Decision), By: r.Status.DecidedBy}
}

// put deletes the questions that are settled before it puts another: there is
// one at a time, so that its answer is the last word.
func put(ctx context.Context, c client.Client, recorder *events.Recorder, settled []*kronvoyv1alpha1.ApprovalRequest, ask *kronvoyv1alpha1.ApprovalRequest) error {
	for _, request := range settled {
		if err := c.Delete(ctx, request, client.Preconditions{UID: &request.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("withdrawing ApprovalRequest %s/%s: %w", request.Namespace, request.Name, err)
		}
	}
	if ask == nil {
		return nil
	}
	if err := c.Create(ctx, ask); err != nil {
		return fmt.Errorf("asking about %d clusters with ApprovalRequest %s/%s: %w", ask.Spec.ClusterCount, ask.Namespace, ask.Name, err)
	}
	kind := events.ApprovalAsked
	if ask.Spec.Action == kronvoyv1alpha1.ApprovalRemove {
		kind = events.RemovalHeld
	}
	recorder.Tell(subject(ask), ask, kind, "%s; kronvoy rollout approve %s -n %s, or reject", ask.Spec.Message, ask.Name, ask.Namespace)
	return nil
}

// subject is what a question is about: the instance or the Distribution.
func subject(ask *kronvoyv1alpha1.ApprovalRequest) *corev1.ObjectReference {
	owner := ask.OwnerReferences[0]
	ref := &corev1.ObjectReference{APIVersion: owner.APIVersion, Kind: owner.Kind, Namespace: ask.Namespace, Name: owner.Name, UID: owner.UID}
	if ask.Spec.Instance != nil {
		ref.Namespace = ask.Spec.Instance.Namespace // none where it is cluster-scoped
	}
	return ref
}
