package steer

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/plain"
)

// Answer is one to what the hub asks.
type Answer struct {
	Decision kronvoyv1alpha1.ApprovalDecision
	// By is who gives it, which admission checks.
	By     string
	At     time.Time
	Reason string
	// Question is the UID of the ApprovalRequest that was looked at: another one
	// may have its name by now. Empty for whichever has it.
	Question types.UID
}

// Verb is what an answer does, and Done that it has been done.
func Verb(d kronvoyv1alpha1.ApprovalDecision) (verb, done string) {
	if d == kronvoyv1alpha1.Approved {
		return "approve", "approved"
	}
	return "reject", "rejected"
}

// Give answers a question. An answer that stands already is no error, and another
// one is.
func (a Answer) Give(ctx context.Context, c client.Client, key client.ObjectKey) (*kronvoyv1alpha1.ApprovalRequest, error) {
	verb, _ := Verb(a.Decision)
	request := &kronvoyv1alpha1.ApprovalRequest{}
	err := c.Get(ctx, key, request)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no ApprovalRequest %s in namespace %s: another one may have taken its place; \"kronvoy rollout approvals -n %s\" lists them", key.Name, key.Namespace, key.Namespace)
	case err != nil:
		return nil, fmt.Errorf("reading ApprovalRequest %s: %w", key, NeedsRole(err, RoleApprover, key.Namespace))
	case a.Question != "" && a.Question != request.UID:
		return nil, fmt.Errorf("ApprovalRequest %s is another question by now: look at it again with \"kronvoy rollout approvals -n %s\"", key.Name, key.Namespace)
	case request.Status.Decision == a.Decision:
		return request, nil
	case request.Status.Decision != "":
		_, done := Verb(request.Status.Decision)
		return nil, fmt.Errorf("%s has %s ApprovalRequest %s already: to have the hub ask again, delete it with \"kubectl delete approvalrequests.kronvoy.io %s -n %s\"",
			plain.Line(request.Status.DecidedBy), done, key.Name, key.Name, key.Namespace)
	}
	at := metav1.NewTime(a.At)
	patch, err := json.Marshal(map[string]any{
		// Of the question that was read, and not of one that has its name since.
		"metadata": map[string]any{"uid": request.UID, "resourceVersion": request.ResourceVersion},
		"status":   kronvoyv1alpha1.ApprovalRequestStatus{Decision: a.Decision, DecidedBy: a.By, DecidedAt: &at, Reason: a.Reason},
	})
	if err != nil {
		return nil, fmt.Errorf("encoding the decision: %w", err)
	}
	err = c.Status().Patch(ctx, request, client.RawPatch(types.MergePatchType, patch), client.FieldOwner("kronvoy"))
	switch {
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("%s may not %s ApprovalRequest %s: %w", a.By, verb, key.Name, NeedsRole(err, RoleApprover, key.Namespace))
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return nil, fmt.Errorf("ApprovalRequest %s changed meanwhile: look at it again with \"kronvoy rollout approvals -n %s\": %w", key.Name, key.Namespace, err)
	case err != nil:
		return nil, fmt.Errorf("deciding about ApprovalRequest %s: %w", key, err)
	}
	return request, nil
}
