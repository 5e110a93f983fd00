package dashboard

import (
	"context"
	"net/http"
	"slices"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/dashboard/view"
)

// maxEvents is how many events one answer of the API server has, and maxShownEvents
// how many of them are shown.
const maxEvents, maxShownEvents = 200, 25

func (s *Server) showCluster(r *http.Request, v *session) (content, error) {
	ctx, name := r.Context(), r.PathValue("name")
	if err := requireRight(r, v, mayCluster(name)); err != nil {
		return content{}, err
	}
	var c clusterv1.ManagedCluster
	err := s.opts.Client.Get(ctx, client.ObjectKey{Name: name}, &c)
	if apierrors.IsNotFound(err) {
		return content{}, errNotFound
	}
	if err != nil {
		return content{}, err
	}
	whole, err := v.seesWorkloads(ctx, name)
	if err != nil {
		return content{}, err
	}
	targets, err := s.fleet.on(ctx, name)
	if err != nil {
		return content{}, err
	}
	tile := view.NewTile(&c, targets)
	if !whole {
		tile, targets = tile.Bare(), nil
	}
	page := view.NewCluster(&c, tile)
	page.Workloads, page.Instances = whole, view.InstanceRows(targets)
	if err := s.addRollouts(ctx, v, page.Instances); err != nil {
		return content{}, err
	}
	if page.Works, page.WorksUnknown, err = s.works(ctx, v, name); err != nil {
		return content{}, err
	}
	s.ask(ctx, v, &page)
	return content{template: "cluster", title: name, data: page, topics: []string{topicCluster(name)}}, nil
}

// addRollouts adds those that the viewer may see. One for each instance its own page
// names.
func (s *Server) addRollouts(ctx context.Context, v *session, rows []view.InstanceRow) error {
	known := map[client.ObjectKey]*view.ListedRollout{}
	for i := range rows {
		key := client.ObjectKey{Namespace: rows[i].Namespace, Name: rows[i].Distribution}
		found, asked := known[key]
		if !asked {
			var err error
			if found, err = s.rolloutOf(ctx, v, key.Namespace, key.Name); err != nil {
				return err
			}
			known[key] = found
		}
		rows[i].Rollout = found
	}
	return nil
}

// works are those of a cluster, without what is in them.
func (s *Server) works(ctx context.Context, v *session, cluster string) (rows []view.WorkRow, unknown string, err error) {
	right := mayWorks("list", cluster)
	if allowed, err := v.May(ctx, right); err != nil || !allowed {
		return nil, "it takes the right to " + right.String(), err
	}
	var list workv1.ManifestWorkList
	if err := s.opts.Client.List(ctx, &list, client.InNamespace(cluster), client.UnsafeDisableDeepCopy); err != nil {
		return nil, "", err
	}
	for i := range list.Items {
		w := &list.Items[i]
		row := view.WorkRow{Name: w.Name, Instance: w.Annotations[kronvoyv1alpha1.AnnotationInstance], Manifests: len(w.Spec.Workload.Manifests)}
		if c := apimeta.FindStatusCondition(w.Status.Conditions, workv1.WorkApplied); c != nil {
			row.Applied = string(c.Status)
		}
		if c := apimeta.FindStatusCondition(w.Status.Conditions, workv1.WorkAvailable); c != nil {
			row.Available = string(c.Status)
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b view.WorkRow) int { return strings.Compare(a.Name, b.Name) })
	return rows, "", nil
}

// ask adds what the hub keeps in no cache. The API server answers the viewer
// himself; what it refuses is said in the place of it.
func (s *Server) ask(ctx context.Context, v *session, page *view.Cluster) {
	name := page.Tile.Name
	own, err := s.as(v.viewer)
	if err != nil {
		page.LeaseUnknown, page.EventsUnknown = err.Error(), err.Error()
		return
	}
	var lease coordinationv1.Lease
	if err := own.Get(ctx, client.ObjectKey{Namespace: name, Name: clusters.LeaseName}, &lease); err != nil {
		page.LeaseUnknown = err.Error()
	} else if lease.Spec.RenewTime != nil {
		page.LeaseRenewed = lease.Spec.RenewTime.Time
	}
	for _, options := range [][]client.ListOption{
		{client.InNamespace(name), client.Limit(maxEvents)},
		// Events about what has no namespace are in the default one.
		{client.InNamespace("default"), client.MatchingFields{"regarding.kind": "ManagedCluster", "regarding.name": name}, client.Limit(maxEvents)},
	} {
		var list eventsv1.EventList
		if err := own.List(ctx, &list, options...); err != nil {
			page.EventsUnknown = err.Error()
			continue
		}
		for i := range list.Items {
			page.Events = append(page.Events, eventOf(&list.Items[i]))
		}
	}
	slices.SortFunc(page.Events, func(a, b view.Event) int { return b.Time.Compare(a.Time) })
	page.Events = page.Events[:min(len(page.Events), maxShownEvents)]
}

func eventOf(e *eventsv1.Event) view.Event {
	out := view.Event{
		Time: e.EventTime.Time, Type: e.Type, Reason: e.Reason, Text: e.Note, About: e.Regarding.Kind + " " + e.Regarding.Name, Count: 1,
	}
	if out.Time.IsZero() {
		out.Time = e.CreationTimestamp.Time
	}
	if e.Series != nil {
		out.Time, out.Count = e.Series.LastObservedTime.Time, e.Series.Count
	}
	return out
}
