package dashboard

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/dashboard/view"
)

func (s *Server) listDefinitions(r *http.Request, v *session) (content, error) {
	var list krov1alpha1.ResourceGraphDefinitionList
	if err := s.opts.Client.List(r.Context(), &list, client.UnsafeDisableDeepCopy); err != nil {
		return content{}, err
	}
	var rows []view.ListedDefinition
	for i := range list.Items {
		allowed, err := v.May(r.Context(), mayDefinition(list.Items[i].Name))
		if err != nil {
			return content{}, err
		}
		if allowed {
			rows = append(rows, view.NewListedDefinition(&list.Items[i]))
		}
	}
	name := func(d view.ListedDefinition) string { return d.Name }
	slices.SortFunc(rows, func(a, b view.ListedDefinition) int { return strings.Compare(a.Name, b.Name) })
	return content{template: "definitions", title: "Definitions", data: paginate(r, rows, name), topics: []string{topicDefinitions}}, nil
}

func (s *Server) showDefinition(r *http.Request, v *session) (content, error) {
	ctx, name := r.Context(), r.PathValue("name")
	if err := requireRight(r, v, mayDefinition(name)); err != nil {
		return content{}, err
	}
	var d krov1alpha1.ResourceGraphDefinition
	err := s.opts.Client.Get(ctx, client.ObjectKey{Name: name}, &d)
	if apierrors.IsNotFound(err) {
		return content{}, errNotFound
	}
	if err != nil {
		return content{}, err
	}
	g, issues := s.opts.Graphs.Compile(&d)
	page := view.NewDefinition(&d, g, issues)
	if g != nil {
		layout, err := s.drawings.of(g)
		if err != nil {
			page.GraphUnknown = err.Error()
		} else {
			drawn := view.Draw(g, layout, nil, "", nil)
			page.Graph = &drawn
		}
	}
	var targets kronvoyv1alpha1.TargetList
	if err := s.opts.Client.List(ctx, &targets, client.UnsafeDisableDeepCopy); err != nil {
		return content{}, fmt.Errorf("listing Targets: %w", err)
	}
	for _, refusal := range view.Refusals(view.KindOf(&d).GroupKind(), targets.Items) {
		allowed, err := v.May(ctx, mayList("targets", refusal.Cluster))
		if err != nil {
			return content{}, err
		}
		if allowed {
			page.Refused = append(page.Refused, refusal)
		}
	}
	return content{template: "definition", title: name, data: page, topics: []string{topicDefinition(name)}}, nil
}
