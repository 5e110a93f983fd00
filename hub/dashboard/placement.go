package dashboard

import (
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/kronvoy/kronvoy/internal/explain"
)

func mayPlacement(verb, namespace, name string) Right {
	return Right{Verb: verb, Group: clusterGroup, Resource: "placements", Namespace: namespace, Name: name}
}

// placementRow is a Placement in the list of all.
type placementRow struct {
	Namespace, Name string
	Selected        int32
	Conditions      []string
}

func (s *Server) listPlacements(r *http.Request, v *session) (content, error) {
	var list clusterv1beta1.PlacementList
	if err := s.opts.Client.List(r.Context(), &list, client.UnsafeDisableDeepCopy); err != nil {
		return content{}, err
	}
	var rows []placementRow
	for i := range list.Items {
		p := &list.Items[i]
		allowed, err := v.May(r.Context(), mayPlacement("list", p.Namespace, ""))
		if err != nil {
			return content{}, err
		}
		if !allowed {
			continue
		}
		row := placementRow{Namespace: p.Namespace, Name: p.Name, Selected: p.Status.NumberOfSelectedClusters}
		for _, c := range p.Status.Conditions {
			// Of being misconfigured, and of what has no message, only the news counts.
			if text := c.Type + " is " + string(c.Status); c.Message != "" {
				row.Conditions = append(row.Conditions, text+": "+c.Message)
			} else if c.Status != metav1.ConditionFalse {
				row.Conditions = append(row.Conditions, text)
			}
		}
		rows = append(rows, row)
	}
	key := func(p placementRow) string { return p.Namespace + "/" + p.Name }
	slices.SortFunc(rows, func(a, b placementRow) int { return strings.Compare(key(a), key(b)) })
	return content{template: "placements", title: "Placements", data: paginate(r, rows, key), topics: []string{topicPlacements}}, nil
}

// placementPage is a decision, with the clusters that the viewer may see.
type placementPage struct {
	explain.Placement
	Page   listPage[explain.Cluster]
	Hidden int
}

func (s *Server) showPlacement(r *http.Request, v *session) (content, error) {
	ctx, namespace, name := r.Context(), r.PathValue("namespace"), r.PathValue("name")
	if err := requireRight(r, v, mayPlacement("get", namespace, name)); err != nil {
		return content{}, err
	}
	var p clusterv1beta1.Placement
	if err := s.opts.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &p); apierrors.IsNotFound(err) {
		return content{}, errNotFound
	} else if err != nil {
		return content{}, err
	}
	objects, err := explain.Gather(ctx, s.opts.Client)
	if err != nil {
		return content{}, err
	}
	decided, err := objects.Of(namespace, name, s.opts.Clock.Now())
	if err != nil {
		return content{}, err
	}
	page := placementPage{Placement: decided}
	var rows []explain.Cluster
	for _, c := range decided.Clusters {
		allowed, err := v.May(ctx, mayCluster(c.Name))
		if err != nil {
			return content{}, err
		}
		if allowed {
			rows = append(rows, c)
		} else {
			page.Hidden++
		}
	}
	if page.Hidden > 0 {
		// Numbers would tell of the others.
		page.Selected = 0
		for _, c := range rows {
			if c.Selected {
				page.Selected++
			}
		}
	}
	slices.SortFunc(rows, func(a, b explain.Cluster) int { return strings.Compare(a.Name, b.Name) })
	page.Page = paginate(r, rows, func(c explain.Cluster) string { return c.Name })
	return content{template: "placement", title: "Placement " + name, data: page, topics: []string{topicPlacements}}, nil
}
