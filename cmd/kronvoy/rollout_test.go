package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
)

func question(namespace, name string, decision kronvoyv1alpha1.ApprovalDecision) *kronvoyv1alpha1.ApprovalRequest {
	r := &kronvoyv1alpha1.ApprovalRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "1", CreationTimestamp: metav1.NewTime(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))},
		Spec: kronvoyv1alpha1.ApprovalRequestSpec{
			Action: kronvoyv1alpha1.ApprovalRemove, Instance: &kronvoyv1alpha1.InstanceReference{APIVersion: "kro.run/v1alpha1", Kind: "WebApp", Namespace: namespace, Name: "web"},
			PlanHash: "delete-1", ClusterCount: 2, Clusters: []string{"a", "b"}, Message: "remove the instance from a, b? no cluster is left in its placement",
		},
	}
	if decision != "" {
		r.Status = kronvoyv1alpha1.ApprovalRequestStatus{Decision: decision, DecidedBy: "bob"}
	}
	return r
}

// approvals is a hub with questions, see approvalsOf.
func approvals(t *testing.T, allowed error, requests ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(kronvoyv1alpha1.AddToScheme(scheme), authenticationv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(requests...).WithStatusSubresource(&kronvoyv1alpha1.ApprovalRequest{}).Build()
	return approvalsOf(c, allowed)
}

// approvalsOf is a hub as alice sees it. allowed is what it says to her decisions.
func approvalsOf(c client.WithWatch, allowed error) client.Client {
	return interceptor.NewClient(c, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if review, is := obj.(*authenticationv1.SelfSubjectReview); is {
				review.Status.UserInfo.Username = "alice"
				return nil
			}
			return c.Create(ctx, obj, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			if allowed != nil {
				return allowed
			}
			return c.SubResource(sub).Patch(ctx, obj, patch, opts...)
		},
	})
}

func TestQuestionsAreListed(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 5, 0, 0, time.UTC)
	open, answered := question("shop", "web-1", ""), question("shop", "web-0", kronvoyv1alpha1.Rejected)
	tests := map[string]struct {
		requests   []client.Object
		options    approvalListOptions
		everywhere bool
		want       string
		status     exit.Code
	}{
		"none":           {options: approvalListOptions{exitCode: true}, want: "the hub asks nothing\n"},
		"as a table":     {requests: []client.Object{open, answered}, want: "shop        web-0   WebApp/web   Remove   2          Rejected   bob   5m    remove the instance from a, b?"},
		"by name":        {requests: []client.Object{open, answered}, options: approvalListOptions{approvalFlags: approvalFlags{output: "name"}}, want: "web-0\nweb-1\n"},
		"as JSON":        {requests: []client.Object{open}, options: approvalListOptions{approvalFlags: approvalFlags{output: "json"}, exitCode: true}, want: `"clusterCount": 2,`, status: 2},
		"of a namespace": {requests: []client.Object{question("other", "web-1", "")}, options: approvalListOptions{exitCode: true}, want: "the hub asks nothing\n"},
		"of all":         {requests: []client.Object{question("other", "web-1", "")}, options: approvalListOptions{exitCode: true}, everywhere: true, want: "other       web-1", status: 2},
		"answered ones":  {requests: []client.Object{answered}, options: approvalListOptions{exitCode: true}, want: "Rejected"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.options.output == "" {
				tc.options.output = "table"
			}
			namespace := "shop"
			if tc.everywhere {
				namespace = ""
			}
			var out bytes.Buffer
			err := tc.options.run(t.Context(), &out, approvals(t, nil, tc.requests...), namespace, now)
			var status exit.Code
			if err != nil && !errors.As(err, &status) {
				t.Fatal(err)
			}
			if status != tc.status || !strings.Contains(out.String(), tc.want) {
				t.Errorf("status %d, want %d, out %q, want %q", status, tc.status, out.String(), tc.want)
			}
		})
	}
}

func TestADecisionIsMadeOnceInOnesOwnName(t *testing.T) {
	forbidden := apierrors.NewForbidden(kronvoyv1alpha1.GroupVersion.WithResource("approvalrequests").GroupResource(), "web-1", errors.New("no"))
	tests := map[string]struct {
		names    []string
		decision kronvoyv1alpha1.ApprovalDecision
		allowed  error
		out      string
		// errs are parts of the error, and by who has decided about web-1 then.
		errs []string
		by   string
	}{
		"one":                         {names: []string{"web-1"}, decision: kronvoyv1alpha1.Approved, out: "web-1 approved by alice: remove the instance from a, b?", by: "alice"},
		"one that stands":             {names: []string{"web-0"}, decision: kronvoyv1alpha1.Rejected, out: "web-0 rejected by bob"},
		"one that is made otherwise":  {names: []string{"web-0"}, decision: kronvoyv1alpha1.Approved, errs: []string{"bob has rejected ApprovalRequest web-0 already", "kubectl delete approvalrequests.kronvoy.io web-0 -n shop"}},
		"one that is not there":       {names: []string{"web-9"}, decision: kronvoyv1alpha1.Approved, errs: []string{"there is no ApprovalRequest web-9 in namespace shop", "kronvoy rollout approvals -n shop"}},
		"those that are":              {names: []string{"web-9", "web-1"}, decision: kronvoyv1alpha1.Rejected, out: "web-1 rejected by alice", errs: []string{"web-9"}, by: "alice"},
		"without the right to decide": {names: []string{"web-1"}, decision: kronvoyv1alpha1.Approved, allowed: forbidden, errs: []string{"alice may not approve ApprovalRequest web-1: that needs ClusterRole kronvoy-approver in namespace shop"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := approvals(t, tc.allowed, question("shop", "web-1", ""), question("shop", "web-0", kronvoyv1alpha1.Rejected))
			opts := approvalDecideOptions{decision: tc.decision, reason: "because", approvalFlags: approvalFlags{output: "table"}}
			var out bytes.Buffer
			err := opts.run(t.Context(), &out, c, "shop", tc.names)
			if (err == nil) != (len(tc.errs) == 0) {
				t.Errorf("the error is %v", err)
			}
			for _, want := range tc.errs {
				if err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in the error %v", want, err)
				}
			}
			if !strings.HasPrefix(out.String(), tc.out) {
				t.Errorf("out is %q, want %q", out.String(), tc.out)
			}
			request := &kronvoyv1alpha1.ApprovalRequest{}
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "web-1"}, request); err != nil {
				t.Fatal(err)
			}
			if request.Status.DecidedBy != tc.by || tc.by != "" && (request.Status.Decision != tc.decision || request.Status.Reason != "because" || request.Status.DecidedAt.IsZero()) {
				t.Errorf("the status is %+v", request.Status)
			}
		})
	}
}
