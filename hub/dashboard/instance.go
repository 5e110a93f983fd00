package dashboard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/singleflight"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/dashboard/view"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/plan"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/diagram"
)

// maxRead is on how many clusters the values of a node are looked for.
const maxRead = 50

// definitionOf finds the definition that generates a kind: others are no
// instances, and are not looked at whoever asks.
func (s *Server) definitionOf(ctx context.Context, gvk schema.GroupVersionKind) (*krov1alpha1.ResourceGraphDefinition, error) {
	var list krov1alpha1.ResourceGraphDefinitionList
	if err := s.opts.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing definitions: %w", err)
	}
	for i := range list.Items {
		if view.KindOf(&list.Items[i]) == gvk {
			return &list.Items[i], nil
		}
	}
	return nil, errNotFound
}

// instanceRight is one on instances of a kind.
func (s *Server) instanceRight(verb string, gvk schema.GroupVersionKind, namespace, name string) (Right, error) {
	mapping, err := s.opts.Client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if apimeta.IsNoMatchError(err) {
		return Right{}, errNotFound
	}
	if err != nil {
		return Right{}, fmt.Errorf("finding the resource of %s: %w", gvk, err)
	}
	return Right{Verb: verb, Group: gvk.Group, Resource: mapping.Resource.Resource, Namespace: namespace, Name: name}, nil
}

func mayDefinition(name string) Right {
	return Right{Verb: "get", Group: krov1alpha1.GroupVersion.Group, Resource: "resourcegraphdefinitions", Name: name}
}

func (s *Server) listInstances(r *http.Request, v *session) (content, error) {
	ctx := r.Context()
	var definitions krov1alpha1.ResourceGraphDefinitionList
	if err := s.opts.Client.List(ctx, &definitions, client.UnsafeDisableDeepCopy); err != nil {
		return content{}, err
	}
	var rows []view.Listed
	for i := range definitions.Items {
		gvk := view.KindOf(&definitions.Items[i])
		if _, err := s.instanceRight("list", gvk, "", ""); errors.Is(err, errNotFound) {
			continue // not served, or not yet
		}
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		if err := s.opts.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return content{}, fmt.Errorf("listing %s: %w", gvk, err)
		}
		for n := range list.Items {
			right, err := s.instanceRight("list", gvk, list.Items[n].GetNamespace(), "")
			if err != nil {
				return content{}, err
			}
			allowed, err := v.May(ctx, right)
			if err != nil {
				return content{}, err
			}
			if allowed {
				rows = append(rows, view.NewListed(&list.Items[n]))
			}
		}
	}
	key := func(l view.Listed) string { return l.Namespace + "/" + l.Kind + "/" + l.Name }
	slices.SortFunc(rows, func(a, b view.Listed) int { return strings.Compare(key(a), key(b)) })
	return content{template: "instances", title: "Instances", data: paginate(r, rows, key), topics: []string{topicTargets}}, nil
}

// instanceScope is an instance with what the viewer may know of it.
type instanceScope struct {
	object   *unstructured.Unstructured
	identity work.Identity
	// targets are those that may be seen, by cluster.
	targets []kronvoyv1alpha1.Target
	// graph is nil where unknown says why.
	graph   *graph.Graph
	unknown string
}

func (s *Server) instance(r *http.Request, v *session) (*instanceScope, error) {
	ctx := r.Context()
	gvk := schema.GroupVersionKind{Group: r.PathValue("group"), Version: r.PathValue("version"), Kind: r.PathValue("kind")}
	namespace, name := r.PathValue("namespace"), r.PathValue("name")
	if namespace == "-" {
		namespace = ""
	}
	definition, err := s.definitionOf(ctx, gvk)
	if err != nil {
		return nil, err
	}
	right, err := s.instanceRight("get", gvk, namespace, name)
	if err != nil {
		return nil, err
	}
	if err := requireRight(r, v, right); err != nil {
		return nil, err
	}
	scope := &instanceScope{object: kinds.Object(gvk)}
	err = s.opts.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, scope.object)
	if apierrors.IsNotFound(err) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s/%s: %w", gvk.Kind, namespace, name, err)
	}
	scope.identity = work.IdentityOfInstance(scope.object)
	all, err := index.Targets(ctx, s.opts.Client, scope.identity)
	if err != nil {
		return nil, err
	}
	for i := range all {
		allowed, err := v.May(ctx, mayList("targets", all[i].Namespace))
		if err != nil {
			return nil, err
		}
		if allowed {
			scope.targets = append(scope.targets, all[i])
		}
	}
	return scope, s.findGraph(ctx, v, scope, definition)
}

// findGraph is the graph of the newest revision that a cluster should have, or
// else of the definition as it is.
func (s *Server) findGraph(ctx context.Context, v *session, scope *instanceScope, definition *krov1alpha1.ResourceGraphDefinition) error {
	right := mayDefinition(definition.Name)
	allowed, err := v.May(ctx, right)
	if err != nil {
		return err
	}
	if !allowed {
		scope.unknown = "it takes the right to " + right.String()
		return nil
	}
	var newest *appsv1.ControllerRevision
	for i := range scope.targets {
		found, err := s.revision(ctx, scope.identity, scope.targets[i].Spec.Revision)
		if err != nil {
			return err
		}
		if found != nil && (newest == nil || found.Revision > newest.Revision) {
			newest = found
		}
	}
	if newest == nil {
		g, issues := s.opts.Graphs.Compile(definition)
		if scope.graph = g; g == nil {
			scope.unknown = "the definition does not compile: " + issues.Err().Error()
		}
		return nil
	}
	parsed, err := revision.ParseInstance(newest)
	if err == nil {
		scope.graph, err = s.opts.Graphs.Shown(ctx, parsed.Definition)
	}
	if err != nil {
		scope.unknown = err.Error()
	}
	return nil
}

// revision of an instance; nil when it is gone.
func (s *Server) revision(ctx context.Context, identity work.Identity, name string) (*appsv1.ControllerRevision, error) {
	namespace := identity.Namespace
	if namespace == "" {
		namespace = s.opts.Namespace
	}
	found := &appsv1.ControllerRevision{}
	err := s.opts.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, found)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return found, err
}

func (s *Server) showInstance(r *http.Request, v *session) (content, error) {
	ctx := r.Context()
	scope, err := s.instance(r, v)
	if err != nil {
		return content{}, err
	}
	page := view.NewInstance(scope.object)
	page.SetTargets(scope.targets)
	page.GraphUnknown = scope.unknown
	if page.Rollout, err = s.rolloutOf(ctx, v, cmp.Or(scope.identity.Namespace, s.opts.Namespace), page.RolloutName); err != nil {
		return content{}, err
	}
	q := r.URL.Query()
	chosen, node := q.Get("cluster"), q.Get("node")
	if chosen != "" {
		if page.Cluster, err = s.clusterDetail(ctx, v, scope, chosen, q.Get("against")); err != nil {
			return content{}, err
		}
	}
	if scope.graph != nil {
		if node != "" {
			if page.Node, err = s.nodeDetail(ctx, v, scope, node); err != nil {
				return content{}, err
			}
		}
		if err := s.draw(scope, &page, chosen, node); err != nil {
			page.GraphUnknown = err.Error()
		}
	}
	topics := []string{topicInstance(scope.identity.Hash())}
	if page.Rollout != nil {
		topics = append(topics, topicRollout(page.Rollout.Namespace, page.Rollout.Name))
	}
	return content{template: "instance", title: page.Kind + " " + page.Name, data: page, topics: topics}, nil
}

// draw shows the states of all clusters, or of the chosen one.
func (s *Server) draw(scope *instanceScope, page *view.Instance, chosen, node string) error {
	targets := scope.targets
	if chosen != "" {
		targets = slices.DeleteFunc(slices.Clone(targets), func(t kronvoyv1alpha1.Target) bool { return t.Namespace != chosen })
	}
	layout, err := s.drawings.of(scope.graph)
	if err != nil {
		return err
	}
	drawn := view.Draw(scope.graph, layout, view.NodeStates(targets), node, func(id string) string {
		q := url.Values{"node": {id}}
		if chosen != "" {
			q.Set("cluster", chosen)
		}
		return page.Address + "?" + q.Encode() + "#node"
	})
	page.Graph = &drawn
	return nil
}

// nodeDetail reads what came back of a node, on as many clusters as is cheap.
func (s *Server) nodeDetail(ctx context.Context, v *session, scope *instanceScope, id string) (*view.NodeDetail, error) {
	feedback, unknown := map[string]work.Feedback{}, ""
	for i := range scope.targets {
		cluster := scope.targets[i].Namespace
		missing, err := v.missing(ctx, mayWorks("list", cluster), mayList("workreports", cluster))
		switch {
		case err != nil:
			return nil, err
		case missing != nil:
			unknown = "values are not shown: it takes the right to " + missing.String()
			continue
		case len(feedback) >= maxRead:
			unknown = fmt.Sprintf("values are shown of the first %d clusters: choose a cluster", maxRead)
			continue
		}
		works, reports, err := index.Works(ctx, s.opts.Client, cluster, scope.identity)
		if err != nil {
			return nil, err
		}
		agent, err := s.agentOf(ctx, cluster)
		if err != nil {
			return nil, err
		}
		if feedback[cluster], err = work.Read(scope.graph, works, reports, agent); err != nil {
			unknown = err.Error()
		}
	}
	detail := view.NewNodeDetail(scope.graph, id, scope.targets, feedback)
	if detail != nil {
		detail.ValuesUnknown = unknown
	}
	return detail, nil
}

func mayWorks(verb, cluster string) Right {
	return Right{Verb: verb, Group: workGroup, Resource: "manifestworks", Namespace: cluster}
}

// agentOf is what a cluster's agent can do.
func (s *Server) agentOf(ctx context.Context, cluster string) (work.Capabilities, error) {
	var c clusterv1.ManagedCluster
	if err := s.opts.Client.Get(ctx, client.ObjectKey{Name: cluster}, &c, client.UnsafeDisableDeepCopy); err != nil {
		return work.Capabilities{}, client.IgnoreNotFound(err)
	}
	return work.ParseCapabilities(convert.Claims(&c)[kronvoyv1alpha1.ClaimFeatures]), nil
}

func (s *Server) clusterDetail(ctx context.Context, v *session, scope *instanceScope, cluster, against string) (*view.ClusterDetail, error) {
	i := slices.IndexFunc(scope.targets, func(t kronvoyv1alpha1.Target) bool { return t.Namespace == cluster })
	if i < 0 {
		return nil, errNotFound
	}
	detail := view.NewClusterDetail(&scope.targets[i])
	for _, t := range scope.targets {
		if t.Namespace != cluster {
			detail.Others = append(detail.Others, t.Namespace)
		}
	}
	var err error
	detail.Manifests, detail.Unknown, err = s.manifests(ctx, v, scope, cluster)
	if err != nil || detail.Unknown != "" {
		return detail, err
	}
	if detail.Revisions, err = s.revisionNames(ctx, v, scope); err != nil {
		return detail, err
	}
	var other []view.Manifest
	named, isRevision := strings.CutPrefix(against, view.RevisionMark)
	switch {
	case isRevision && slices.Contains(detail.Revisions, named):
		other, detail.AgainstUnknown, err = s.foreseen(ctx, scope, &scope.targets[i], named)
	case !isRevision && slices.Contains(detail.Others, against):
		other, detail.AgainstUnknown, err = s.manifests(ctx, v, scope, against)
	default:
		return detail, nil
	}
	detail.Against = against
	if err != nil || detail.AgainstUnknown != "" {
		return detail, err
	}
	detail.Diff = view.Diff(view.Text(detail.Manifests), view.Text(other))
	detail.Same = len(detail.Diff) == 0
	return detail, nil
}

// revisionNames are the instance's, the newest first, for those who may see them.
func (s *Server) revisionNames(ctx context.Context, v *session, scope *instanceScope) ([]string, error) {
	namespace := cmp.Or(scope.identity.Namespace, s.opts.Namespace)
	if allowed, err := v.May(ctx, mayRevisions(namespace)); err != nil || !allowed || s.opts.Plans == nil {
		return nil, err
	}
	var list appsv1.ControllerRevisionList
	if err := s.opts.Client.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{kronvoyv1alpha1.LabelInstance: scope.identity.Hash()}); err != nil {
		return nil, fmt.Errorf("listing revisions: %w", err)
	}
	own := revision.Own(list.Items, scope.object)
	slices.SortFunc(own, func(a, b appsv1.ControllerRevision) int { return cmp.Compare(b.Revision, a.Revision) })
	names := make([]string, 0, len(own))
	for i := range own {
		names = append(names, own[i].Name)
	}
	return names, nil
}

// foreseen is what a cluster would have in the end with another revision: by the
// functions that the hub goes by, and written nowhere.
func (s *Server) foreseen(ctx context.Context, scope *instanceScope, t *kronvoyv1alpha1.Target, name string) (found []view.Manifest, unknown string, err error) {
	supposed := t.DeepCopy()
	if supposed.Spec.Revision != name {
		// They are of what the other revision reads.
		supposed.Spec.Revision, supposed.Spec.Inputs = name, nil
	}
	gathered, err := s.opts.Plans.Gather(ctx, supposed)
	switch {
	case err != nil:
		return nil, "", err
	case gathered.Missing:
		return nil, "something that it takes is not there any more", nil
	case gathered.Blocked != "":
		return nil, gathered.Blocked, nil
	}
	in := gathered.Input
	in.Suspended = false
	p := plan.Evaluate(in)
	for _, next := range []func(plan.Plan) plan.Plan{func(p plan.Plan) plan.Plan { return p }, func(p plan.Plan) plan.Plan { return p.Foresee(in) }} {
		if p = next(p); p.Blocked != "" {
			return nil, p.Blocked, nil
		}
		if p.Wants != nil {
			if err := s.opts.Plans.Look(ctx, &in, p.Wants.References()); err != nil {
				return nil, "", err
			}
		}
		if p.Build(in); p.Blocked != "" {
			return nil, p.Blocked, nil
		}
	}
	contents, err := work.Contents(append(slices.Clone(p.Works.Works), p.Works.Donors...), in.Agent)
	if err != nil {
		return nil, err.Error(), nil //nolint:nilerr // it is what the page shows
	}
	for _, id := range p.Works.Leaving {
		delete(contents, id)
	}
	found, err = view.Contents(in.Graph, contents)
	return found, "", err
}

// manifests are what is shipped to a cluster, with values of Secrets masked.
func (s *Server) manifests(ctx context.Context, v *session, scope *instanceScope, cluster string) (found []view.Manifest, unknown string, err error) {
	right := mayWorks("list", cluster)
	if allowed, err := v.May(ctx, right); err != nil || !allowed {
		return nil, "it takes the right to " + right.String(), err
	}
	if scope.graph == nil {
		return nil, "without the graph nobody knows which values come from Secrets", nil
	}
	works, _, err := index.Works(ctx, s.opts.Client, cluster, scope.identity)
	if err != nil {
		return nil, "", err
	}
	found, err = view.Manifests(scope.graph, works)
	if err != nil {
		unknown = err.Error()
	}
	return found, unknown, nil
}

// drawings are layouts by the hash of their graph.
type drawings struct {
	group singleflight.Group

	mu    sync.Mutex
	known map[string]diagram.Layout
}

// maxDrawings bounds what is kept.
const maxDrawings = 256

func (d *drawings) of(g *graph.Graph) (diagram.Layout, error) {
	// What is drawn is in the hash, but for the definition's name.
	key := g.Name() + " " + g.Hash()
	d.mu.Lock()
	layout, found := d.known[key]
	d.mu.Unlock()
	if found {
		return layout, nil
	}
	made, err, _ := d.group.Do(key, func() (any, error) { return diagram.Arrange(view.Boxes(g)) })
	if err != nil {
		return diagram.Layout{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil || len(d.known) >= maxDrawings {
		d.known = map[string]diagram.Layout{}
	}
	d.known[key] = made.(diagram.Layout)
	return d.known[key], nil
}
