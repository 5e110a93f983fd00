package preview

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/manifest"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/override"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
)

// serving is what instances of a kind are made for.
type serving struct {
	revision string
	graph    *graph.Graph
}

// definitions lays definitions over those that are there, compiles them, and
// returns all other changes. A definition that cannot be served changes nothing
// that runs.
func (s *simulation) definitions(documents []*manifest.Document, concerned map[work.Identity]*scope, result *Result) ([]change, error) {
	var pending []change
	var rest []*manifest.Document
	for _, d := range documents {
		if d.Kind() != "ResourceGraphDefinition" {
			rest = append(rest, d)
			continue
		}
		c, err := s.overlay(d)
		if err != nil {
			return nil, err
		}
		pending = append(pending, c)
	}
	if err := s.compile(pending, concerned, result); err != nil {
		return nil, err
	}
	changes := make([]change, 0, len(rest))
	for _, d := range rest {
		if d.Kind() == "CustomResourceDefinition" {
			// Its schema is known already.
			continue
		}
		c, err := s.overlay(d)
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// compile compiles definitions until none comes right any more: one may use the
// kind that another generates.
func (s *simulation) compile(pending []change, concerned map[work.Identity]*scope, result *Result) error {
	for {
		var generated []*apiextensionsv1.CustomResourceDefinition
		var left []change
		var issues [][]string
		for _, c := range pending {
			rgd := c.object.(*krov1alpha1.ResourceGraphDefinition)
			s.Progress("compiling definition " + rgd.Name)
			g, wrong := s.store.Compile(rgd)
			if g == nil {
				left = append(left, c)
				issues = append(issues, texts(wrong))
				continue
			}
			found := Definition{Name: rgd.Name}
			var err error
			if found.Issues, err = s.adopt(c, rgd, g, concerned); err != nil {
				return err
			}
			result.Definitions = append(result.Definitions, found)
			generated = append(generated, g.CRD())
		}
		if len(generated) == 0 {
			for i, c := range left {
				result.Definitions = append(result.Definitions, Definition{Name: c.document.Name(), Issues: issues[i]})
			}
			slices.SortFunc(result.Definitions, func(a, b Definition) int { return cmp.Compare(a.Name, b.Name) })
			return nil
		}
		kinds, err := schema.FromCRDs(generated...)
		if err != nil {
			return fmt.Errorf("reading the schemas of generated kinds: %w", err)
		}
		s.resolver, pending = schema.Chain(kinds, s.resolver), left
	}
}

// adopt makes a definition the one that is served, with its revision, unless its
// kind would break.
func (s *simulation) adopt(c change, rgd *krov1alpha1.ResourceGraphDefinition, g *graph.Graph, concerned map[work.Identity]*scope) (issues []string, err error) {
	if !c.isNew {
		old, served, err := s.serving(rgd.Name)
		if err != nil {
			return nil, err
		}
		if served && !definition.BreakingAllowed(rgd) {
			for _, change := range definition.BreakingChanges(old.graph.CRD(), g.CRD()) {
				issues = append(issues, fmt.Sprintf("%s; the annotation %s: \"true\" lets it through", change, definition.AnnotationAllowBreaking))
			}
		}
		if len(issues) > 0 {
			return issues, nil
		}
	}
	if err := s.memory.put(rgd); err != nil {
		return nil, err
	}
	stored, err := s.storeDefinition(rgd, g)
	if err != nil {
		return nil, err
	}
	s.served[rgd.Name] = serving{stored, g}
	return nil, s.concernKind(g.GroupVersionKind(), concerned)
}

func (s *simulation) storeDefinition(rgd *krov1alpha1.ResourceGraphDefinition, g *graph.Graph) (string, error) {
	spec, err := json.Marshal(rgd.Spec)
	if err != nil {
		return "", fmt.Errorf("encoding definition %s: %w", rgd.Name, err)
	}
	owner := metav1.NewControllerRef(rgd, krov1alpha1.GroupVersion.WithKind("ResourceGraphDefinition"))
	stored, err := revision.Definition{Name: rgd.Name, Hash: g.Hash(), Spec: spec}.Object(s.HubNamespace, 1, *owner)
	if err != nil {
		return "", err
	}
	return stored.Name, s.memory.put(stored)
}

// serving is what a definition serves, by its newest revision; served is false
// where there is none, and it does not compile.
func (s *simulation) serving(name string) (found serving, served bool, err error) {
	if found, served = s.served[name]; served {
		return found, true, nil
	}
	if err := s.loadRevisions(name); err != nil {
		return serving{}, false, err
	}
	var stored appsv1.ControllerRevisionList
	err = s.memory.List(s.ctx, &stored, client.InNamespace(s.HubNamespace), client.MatchingLabels(revision.DefinitionSelector(name)))
	if err != nil {
		return serving{}, false, err
	}
	if newest := revision.Newest(stored.Items); newest != nil {
		g, err := s.store.Graph(s.ctx, newest.Name)
		var unusable *definition.UnusableError
		if errors.As(err, &unusable) {
			return serving{}, false, nil
		}
		if err != nil {
			return serving{}, false, err
		}
		s.served[name] = serving{newest.Name, g}
		return s.served[name], true, nil
	}
	return serving{}, false, nil
}

// unfit says what of a Distribution's overrides does not fit the kind of its
// instances, as far as that is served.
func (s *simulation) unfit(d *kronvoyv1alpha1.Distribution) error {
	rgd := s.generated(policy.KindOf(d))
	if rgd == nil {
		return nil
	}
	found, served, err := s.serving(rgd.Name)
	if err != nil || !served {
		return err
	}
	_, err = override.Compile(found.graph, d.Spec.Overrides)
	return err
}

// generated is the definition of a kind; nil for none.
func (s *simulation) generated(kind runtimeschema.GroupKind) *krov1alpha1.ResourceGraphDefinition {
	var list krov1alpha1.ResourceGraphDefinitionList
	if err := s.memory.List(s.ctx, &list); err != nil {
		return nil
	}
	for i := range list.Items {
		if kindOf(&list.Items[i]).GroupKind() == kind {
			return &list.Items[i]
		}
	}
	return nil
}

func kindOf(rgd *krov1alpha1.ResourceGraphDefinition) runtimeschema.GroupVersionKind {
	if rgd.Spec.Schema == nil {
		return runtimeschema.GroupVersionKind{}
	}
	source, err := convert.Source(rgd)
	if err != nil {
		return runtimeschema.GroupVersionKind{}
	}
	return runtimeschema.GroupVersionKind{Group: source.Schema.Group, Version: source.Schema.Version, Kind: source.Schema.Kind}
}

func texts(issues graph.Issues) []string {
	out := make([]string, 0, len(issues))
	for _, issue := range issues {
		out = append(out, issue.Error())
	}
	return out
}
