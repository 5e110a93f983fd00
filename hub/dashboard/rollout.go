package dashboard

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/hash"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/dashboard/view"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/internal/steer"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// maxCompared is of how many instances a page shows what their newest revisions
// change.
const maxCompared = 20

func mayRollout(verb, namespace, name string) Right {
	return Right{Verb: verb, Group: kronvoyGroup, Resource: "rollouts", Namespace: namespace, Name: name}
}

func mayRevisions(namespace string) Right {
	return Right{Verb: "list", Group: appsv1.GroupName, Resource: "controllerrevisions", Namespace: namespace}
}

// rollouts are those that the viewer may list.
func (s *Server) rollouts(ctx context.Context, v *session) ([]kronvoyv1alpha1.Rollout, error) {
	var list kronvoyv1alpha1.RolloutList
	if err := s.opts.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	var out []kronvoyv1alpha1.Rollout
	for i := range list.Items {
		allowed, err := v.May(ctx, mayList("rollouts", list.Items[i].Namespace))
		if err != nil {
			return nil, err
		}
		if allowed {
			out = append(out, list.Items[i])
		}
	}
	return out, nil
}

func (s *Server) listRollouts(r *http.Request, v *session) (content, error) {
	all, err := s.rollouts(r.Context(), v)
	if err != nil {
		return content{}, err
	}
	rows := make([]view.ListedRollout, 0, len(all))
	for i := range all {
		rows = append(rows, view.NewListedRollout(&all[i]))
	}
	key := func(l view.ListedRollout) string { return l.Namespace + "/" + l.Name }
	slices.SortFunc(rows, func(a, b view.ListedRollout) int { return strings.Compare(key(a), key(b)) })
	page := paginate(r, rows, key)
	view.SortRollouts(page.Rows)
	return content{template: "rollouts", title: "Rollouts", data: page, topics: []string{topicRollouts}}, nil
}

// revisionChange is what a revision changes of an instance with a page.
type revisionChange struct {
	steer.RevisionChange
	Address string
}

// rolloutPage is a rollout, and what the viewer may do about it.
type rolloutPage struct {
	view.Rollout
	// Question is what it waits for; nil when it waits for nobody, or for what the
	// viewer may not see.
	Question *approvalRow
	Changes  []revisionChange
	// More is how many instances are not compared.
	More     int
	Versions []steer.Version
	// HistoryUnknown says why there are none.
	HistoryUnknown string
	// Instances and their pages, for a choice of which to take back.
	Instances []instanceLink
	// Seen stands for the newest revisions: an undo counts for those alone.
	Seen string
	// May is set for whoever steers.
	May  bool
	CSRF string
	Next string
}

type instanceLink struct{ Name, Address string }

func (s *Server) showRollout(r *http.Request, v *session) (content, error) {
	ctx, namespace, name := r.Context(), r.PathValue("namespace"), r.PathValue("name")
	if err := requireRight(r, v, mayRollout("get", namespace, name)); err != nil {
		return content{}, err
	}
	found := &kronvoyv1alpha1.Rollout{}
	err := s.opts.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, found)
	if apierrors.IsNotFound(err) {
		return content{}, errNotFound
	}
	if err != nil {
		return content{}, err
	}
	targets, err := s.targetsOf(ctx, v, found)
	if err != nil {
		return content{}, err
	}
	strategy, err := s.strategyOf(ctx, v, found, targets)
	if err != nil {
		return content{}, err
	}
	page := rolloutPage{Rollout: view.NewRollout(found, strategy, targets), CSRF: v.CSRF(), Next: view.RolloutAddress(namespace, name)}
	if page.Question, err = s.question(ctx, v, found); err != nil {
		return content{}, err
	}
	if page.May, err = v.May(ctx, mayRollout("patch", namespace, name)); err != nil {
		return content{}, err
	}
	if err := s.addHistory(ctx, v, found, &page); err != nil {
		return content{}, err
	}
	return content{template: "rollout", title: "Rollout " + name, data: page, topics: []string{topicRollout(namespace, name), topicApprovals}}, nil
}

// rolloutOf is one by name; nil where there is none, or none that the viewer may
// see.
func (s *Server) rolloutOf(ctx context.Context, v *session, namespace, name string) (*view.ListedRollout, error) {
	if name == "" {
		return nil, nil
	}
	if allowed, err := v.May(ctx, mayRollout("get", namespace, name)); err != nil || !allowed {
		return nil, err
	}
	found := &kronvoyv1alpha1.Rollout{}
	if err := s.opts.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, found); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	row := view.NewListedRollout(found)
	return &row, nil
}

// targetsOf are those that a rollout moves, as far as the viewer may see them.
func (s *Server) targetsOf(ctx context.Context, v *session, r *kronvoyv1alpha1.Rollout) ([]kronvoyv1alpha1.Target, error) {
	distribution := view.OwnerOf(r)
	var all kronvoyv1alpha1.TargetList
	if err := s.opts.Client.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	var out []kronvoyv1alpha1.Target
	for i := range all.Items {
		t := &all.Items[i]
		own := t.Name == r.Name
		if distribution != "" {
			own = t.Spec.Distribution == distribution && t.Spec.Instance.Namespace == r.Namespace
		}
		if !own {
			continue
		}
		allowed, err := v.May(ctx, mayList("targets", t.Namespace))
		if err != nil {
			return nil, err
		}
		if allowed {
			out = append(out, *t)
		}
	}
	return out, nil
}

// strategyOf is what the Distribution of a rollout says; nil where the viewer may
// not see it, and where it says what cannot be used.
func (s *Server) strategyOf(ctx context.Context, v *session, r *kronvoyv1alpha1.Rollout, targets []kronvoyv1alpha1.Target) (*rollout.Strategy, error) {
	name := view.OwnerOf(r)
	if name == "" && len(targets) > 0 {
		name = targets[0].Spec.Distribution
	}
	right := Right{Verb: "get", Group: kronvoyGroup, Resource: "distributions", Namespace: r.Namespace, Name: name}
	if allowed, err := v.May(ctx, right); err != nil || !allowed || name == "" {
		return nil, err
	}
	d := &kronvoyv1alpha1.Distribution{}
	if err := s.opts.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: name}, d); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	strategy, err := convert.Strategy(d.Spec.Rollout)
	if err != nil {
		return nil, nil //nolint:nilerr // the Distribution's condition says it, and the rollout goes by what it was before
	}
	return &strategy, nil
}

// addHistory adds the revisions, and what the newest of them change.
func (s *Server) addHistory(ctx context.Context, v *session, r *kronvoyv1alpha1.Rollout, page *rolloutPage) error {
	for _, right := range []Right{mayRevisions(r.Namespace), mayList("distributions", r.Namespace)} {
		allowed, err := v.May(ctx, right)
		if err != nil {
			return err
		}
		if !allowed {
			page.HistoryUnknown = "it takes the right to " + right.String()
			return nil
		}
	}
	all, err := steer.History(ctx, s.opts.Client, r)
	if err != nil {
		page.HistoryUnknown = err.Error()
		return nil //nolint:nilerr // the page says it in the place of the history
	}
	page.Versions, page.Seen = steer.Versions(all), newest(all)
	for i := range all {
		p := &all[i]
		link := instanceLink{Name: p.Instance}
		if owner := metav1.GetControllerOf(&p.Revisions[0]); owner != nil {
			namespace := r.Namespace
			if view.OwnerOf(r) == "" && r.Namespace == s.opts.Namespace {
				namespace = "" // that of instances without one
			}
			link.Address = view.Address(kronvoyv1alpha1.InstanceReference{APIVersion: owner.APIVersion, Kind: owner.Kind, Namespace: namespace, Name: owner.Name})
		}
		page.Instances = append(page.Instances, link)
		if i >= maxCompared {
			page.More++
			continue
		}
		change, err := s.change(ctx, v, r, p)
		if err != nil {
			return err
		}
		page.Changes = append(page.Changes, revisionChange{change, link.Address})
	}
	return nil
}

// newest stands for the newest revisions of some instances.
func newest(all []steer.Past) string {
	names := make([]string, 0, len(all))
	for _, p := range all {
		names = append(names, p.Revisions[0].Name)
	}
	return hash.Of(names)
}

// change is what clusters are moved from and to: to the newest revision of an
// instance from the good one, or away from it.
func (s *Server) change(ctx context.Context, v *session, r *kronvoyv1alpha1.Rollout, p *steer.Past) (steer.RevisionChange, error) {
	from, err := p.Before(0)
	if err != nil {
		return steer.RevisionChange{}, err
	}
	to := &p.Revisions[0]
	if back := takenBack(r, p); back != nil {
		from, to = to, back
	}
	wanted, err := s.known(ctx, v, to)
	if err != nil {
		return steer.RevisionChange{}, err
	}
	var before *steer.Revision
	if from != nil {
		if before, err = s.known(ctx, v, from); err != nil {
			return steer.RevisionChange{}, err
		}
	}
	return steer.NewRevisionChange(p.Instance, before, wanted)
}

// takenBack is the revision that an instance goes back to: since somebody ordered
// it, or since its newest one was rejected; nil if it does not.
func takenBack(r *kronvoyv1alpha1.Rollout, p *steer.Past) *appsv1.ControllerRevision {
	newest, to := &p.Revisions[0], ""
	if newest.Annotations[kronvoyv1alpha1.AnnotationRejectedAt] != "" {
		to = p.Good()
	}
	if r.Spec.Undo != nil {
		for _, pin := range r.Spec.Undo.Instances {
			if pin.Name == p.Instance && pin.From == newest.Name {
				to = pin.To
			}
		}
	}
	for i := range p.Revisions {
		if p.Revisions[i].Name == to {
			return &p.Revisions[i]
		}
	}
	return nil
}

// known is a revision with what the viewer may know of its definition. Which of its
// values are secret the definition says, whoever looks.
func (s *Server) known(ctx context.Context, v *session, stored *appsv1.ControllerRevision) (*steer.Revision, error) {
	parsed, err := revision.ParseInstance(stored)
	if err != nil {
		return nil, err
	}
	out := &steer.Revision{Name: stored.Name, Instance: parsed}
	if out.Graph, err = s.opts.Graphs.Shown(ctx, parsed.Definition); err != nil {
		s.log.V(1).Info("The graph of a revision is not known", "revision", stored.Name, "reason", err.Error())
		out.Graph = (*graph.Graph)(nil)
	}
	definition := &appsv1.ControllerRevision{}
	err = s.opts.Client.Get(ctx, client.ObjectKey{Namespace: s.opts.Namespace, Name: parsed.Definition}, definition)
	if err != nil {
		return out, client.IgnoreNotFound(err)
	}
	d, err := revision.ParseDefinition(definition)
	if err != nil {
		return nil, err
	}
	if allowed, err := v.May(ctx, mayDefinition(d.Name)); err != nil || !allowed {
		return out, err
	}
	out.Spec = d.Spec
	return out, nil
}

// steerRollout gives an order with the viewer's own token, as the command line
// does: admission checks that it is in his name.
func (s *Server) steerRollout(w http.ResponseWriter, r *http.Request, v *session) {
	key := client.ObjectKey{Namespace: r.PathValue("namespace"), Name: r.PathValue("name")}
	reason := r.PostFormValue("reason")
	own, err := s.as(v.viewer)
	if err != nil {
		s.fail(w, r, v, err)
		return
	}
	changes := map[string]steer.Change{"pause": steer.Pause, "resume": steer.Resume, "retry": steer.Retry, "cancel": steer.Cancel}
	change, known := changes[r.PostFormValue("order")]
	if r.PostFormValue("order") == "undo" {
		known = true
		if change, err = undo(r, own, key); err != nil {
			s.refuse(w, r, v, err)
			return
		}
	}
	if !known || len(reason) > maxReason {
		s.write(w, r, http.StatusBadRequest, v, failure("Nothing was ordered", "An order is pause, resume, retry, undo or cancel, with a reason of "+strconv.Itoa(maxReason)+" bytes at most."))
		return
	}
	order := kronvoyv1alpha1.RolloutOrder{At: metav1.NewTime(s.opts.Clock.Now()), By: v.viewer.Name, Reason: reason}
	if _, err := steer.Order(r.Context(), own, key, order, change); err != nil {
		s.refuse(w, r, v, err)
		return
	}
	http.Redirect(w, r, view.RolloutAddress(key.Namespace, key.Name), http.StatusSeeOther)
}

// undo takes back what the viewer saw, and nothing that is newer: revision is
// INSTANCE/NUMBER, or empty for the last that succeeded: of all instances, or of
// those that were chosen.
func undo(r *http.Request, own client.Client, key client.ObjectKey) (steer.Change, error) {
	found, err := steer.Read(r.Context(), own, key)
	if err != nil {
		return nil, err
	}
	all, err := steer.History(r.Context(), own, found)
	if err != nil {
		return nil, err
	}
	if newest(all) != r.PostFormValue("seen") {
		return nil, errChanged
	}
	instance, number, _ := strings.Cut(r.PostFormValue("revision"), "/")
	to := int64(0)
	if number != "" {
		if to, err = strconv.ParseInt(number, 10, 64); err != nil {
			return nil, err
		}
	}
	chosen := []string{instance}
	if instance == "" && len(r.PostForm["instance"]) > 0 {
		chosen = slices.Compact(slices.Sorted(slices.Values(r.PostForm["instance"])))
	}
	var pins []kronvoyv1alpha1.RolloutPin
	for _, name := range chosen {
		some, err := steer.Pins(all, name, to)
		if err != nil {
			return nil, err
		}
		pins = append(pins, some...)
	}
	return steer.Undo(pins), nil
}

// question is what a rollout waits for.
func (s *Server) question(ctx context.Context, v *session, r *kronvoyv1alpha1.Rollout) (*approvalRow, error) {
	if r.Status.ApprovalRequest == "" {
		return nil, nil
	}
	allowed, err := v.May(ctx, mayList("approvalrequests", r.Namespace))
	if err != nil || !allowed {
		return nil, err
	}
	request := &kronvoyv1alpha1.ApprovalRequest{}
	if err := s.opts.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.Status.ApprovalRequest}, request); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	row, err := approvalOf(ctx, v, request)
	return &row, err
}
