package dashboard

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/drift"
)

// maxReason bounds what is recorded with a decision, as on the command line.
const maxReason = 256

// driftPage is every finding and every decision that the viewer may see.
type driftPage struct {
	listPage[drift.Finding]
	Accepted []drift.Decision
	// May says on which clusters the viewer decides.
	May map[string]bool
	// Open counts those that wait for somebody.
	Open int
	CSRF string
}

func (s *Server) showDrift(r *http.Request, v *session) (content, error) {
	ctx := r.Context()
	var targets kronvoyv1alpha1.TargetList
	var reports kronvoyv1alpha1.WorkReportList
	for _, list := range []client.ObjectList{&targets, &reports} {
		if err := s.opts.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return content{}, fmt.Errorf("listing drift: %w", err)
		}
	}
	// Rights are asked for on clusters that have something to tell.
	reports.Items = slices.DeleteFunc(slices.Clone(reports.Items), func(w kronvoyv1alpha1.WorkReport) bool { return len(w.Status.Findings) == 0 })
	visible := map[string]bool{}
	sees := func(cluster string) (bool, error) {
		if known, asked := visible[cluster]; asked {
			return known, nil
		}
		allowed, err := v.seesWorkloads(ctx, cluster)
		visible[cluster] = allowed
		return allowed, err
	}
	ownReports, ownTargets := []kronvoyv1alpha1.WorkReport{}, []kronvoyv1alpha1.Target{}
	for i := range reports.Items {
		allowed, err := sees(reports.Items[i].Namespace)
		if err != nil {
			return content{}, err
		}
		if allowed {
			ownReports = append(ownReports, reports.Items[i])
		}
	}
	for i := range targets.Items {
		t := &targets.Items[i]
		if _, told := visible[t.Namespace]; !told && t.Annotations[kronvoyv1alpha1.AnnotationDriftDecisions] == "" {
			continue
		}
		allowed, err := sees(t.Namespace)
		if err != nil {
			return content{}, err
		}
		if allowed {
			ownTargets = append(ownTargets, *t)
		}
	}
	all, err := drift.Of(ownTargets, ownReports)
	if err != nil {
		return content{}, err
	}
	key := func(f drift.Finding) string {
		return strings.Join([]string{f.Cluster, f.Namespace, f.Kind, f.Name, f.ID}, "/")
	}
	// What is open comes first, and what has been for longest of that.
	place := func(f drift.Finding) string {
		return fmt.Sprintf("%t %s %s", !f.Open, f.Since.UTC().Format(time.RFC3339), key(f))
	}
	slices.SortFunc(all.Findings, func(a, b drift.Finding) int { return strings.Compare(place(a), place(b)) })
	page := driftPage{listPage: paginateBy(r, all.Findings, key, place), Accepted: all.Accepted(), May: map[string]bool{}, Open: all.Open(), CSRF: v.CSRF()}
	for cluster, allowed := range visible {
		if !allowed {
			continue
		}
		if page.May[cluster], err = v.May(ctx, Right{Verb: "patch", Group: kronvoyGroup, Resource: "targets", Namespace: cluster}); err != nil {
			return content{}, err
		}
	}
	return content{template: "drift", title: "Drift", data: page, topics: []string{topicDrift}}, nil
}

// decideDrift records a decision with the viewer's own token, as the command
// line does.
func (s *Server) decideDrift(w http.ResponseWriter, r *http.Request, v *session) {
	cluster, id, reason := r.PostFormValue("cluster"), r.PostFormValue("id"), r.PostFormValue("reason")
	verdict := kronvoyv1alpha1.DriftVerdict(r.PostFormValue("verdict"))
	if verdict != kronvoyv1alpha1.DriftAccept && verdict != kronvoyv1alpha1.DriftPutRight || cluster == "" || id == "" || len(reason) > maxReason {
		s.write(w, r, http.StatusBadRequest, v, failure("Nothing was decided", fmt.Sprintf("A decision names a finding of a cluster, is Accept or Correct, and its reason has at most %d bytes.", maxReason)))
		return
	}
	own, err := s.as(v.viewer)
	if err != nil {
		s.fail(w, r, v, err)
		return
	}
	found, err := drift.Gather(r.Context(), own, drift.Scope{Cluster: cluster, IDs: []string{id}})
	if err != nil {
		s.fail(w, r, v, err)
		return
	}
	changes, _, err := found.Decide(drift.Order{Verdict: verdict, IDs: []string{id}, By: v.viewer.Name, At: s.opts.Clock.Now(), Reason: reason})
	if err != nil {
		s.write(w, r, http.StatusConflict, v, failure("Nothing was decided", err.Error()))
		return
	}
	if err := drift.Record(r.Context(), own, changes); err != nil {
		s.fail(w, r, v, err)
		return
	}
	http.Redirect(w, r, "/drift?"+url.Values{"text": {r.PostFormValue("text")}}.Encode(), http.StatusSeeOther)
}
