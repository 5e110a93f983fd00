package dashboard

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/dashboard/view"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/steer"
)

// approvalRow is a question of the hub's.
type approvalRow struct {
	kronvoyv1alpha1.ApprovalRequest
	// Mine says whether the viewer may answer it.
	Mine bool
	// Rollout is the address of the one that waits for the answer.
	Rollout string
}

// approvalOf is a question with whether the viewer may answer it.
func approvalOf(ctx context.Context, v *session, request *kronvoyv1alpha1.ApprovalRequest) (approvalRow, error) {
	row := approvalRow{ApprovalRequest: *request}
	if request.Spec.Action == kronvoyv1alpha1.ApprovalEnterGroup {
		// One for the Distribution, or where each instance moves by itself one for each.
		name := request.Spec.Distribution
		if request.Spec.Instance != nil {
			name = work.IdentityOf(*request.Spec.Instance).TargetName()
		}
		row.Rollout = view.RolloutAddress(request.Namespace, name)
	}
	if request.Status.Decision != "" {
		return row, nil
	}
	// Admission asks for the same.
	right := Right{Verb: "approve", Group: kronvoyGroup, Resource: "approvalrequests", Namespace: request.Namespace, Name: request.Name}
	var err error
	row.Mine, err = v.May(ctx, right)
	return row, err
}

type approvalsPage struct {
	Rows       []approvalRow
	CSRF, Next string
}

func (s *Server) showApprovals(r *http.Request, v *session) (content, error) {
	ctx := r.Context()
	var list kronvoyv1alpha1.ApprovalRequestList
	if err := s.opts.Client.List(ctx, &list); err != nil {
		return content{}, err
	}
	page := approvalsPage{CSRF: v.CSRF(), Next: "/approvals"}
	for _, request := range list.Items {
		allowed, err := v.May(ctx, mayList("approvalrequests", request.Namespace))
		if err != nil {
			return content{}, err
		}
		if !allowed {
			continue
		}
		row, err := approvalOf(ctx, v, &request)
		if err != nil {
			return content{}, err
		}
		page.Rows = append(page.Rows, row)
	}
	slices.SortFunc(page.Rows, func(a, b approvalRow) int {
		if open := len(a.Status.Decision) - len(b.Status.Decision); (a.Status.Decision == "") != (b.Status.Decision == "") {
			return open
		}
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return content{template: "approvals", title: "Approvals", data: page, topics: []string{topicApprovals}}, nil
}

// decideApproval answers with the viewer's own token: admission checks that it is
// his name, his right, and the first answer.
func (s *Server) decideApproval(w http.ResponseWriter, r *http.Request, v *session) {
	decision := kronvoyv1alpha1.ApprovalDecision(r.PostFormValue("decision"))
	namespace, name, uid, reason := r.PostFormValue("namespace"), r.PostFormValue("name"), r.PostFormValue("uid"), r.PostFormValue("reason")
	if decision != kronvoyv1alpha1.Approved && decision != kronvoyv1alpha1.Rejected || name == "" || uid == "" || len(reason) > maxReason {
		s.write(w, r, http.StatusBadRequest, v, failure("Nothing was decided", "An answer names a question, and is Approved or Rejected."))
		return
	}
	own, err := s.as(v.viewer)
	if err != nil {
		s.fail(w, r, v, err)
		return
	}
	answer := steer.Answer{Decision: decision, By: v.viewer.Name, At: s.opts.Clock.Now(), Reason: reason, Question: types.UID(uid)}
	if _, err := answer.Give(r.Context(), own, client.ObjectKey{Namespace: namespace, Name: name}); err != nil {
		s.refuse(w, r, v, err)
		return
	}
	http.Redirect(w, r, localPath(r.PostFormValue("next")), http.StatusSeeOther)
}
