package compare

import (
	"fmt"
	"maps"
	"slices"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	upstreamv1alpha1 "github.com/kubernetes-sigs/kro/api/v1alpha1"
	krograph "github.com/kubernetes-sigs/kro/pkg/graph"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/hub/convert"
)

// Engines are both engines, reading the same types.
type Engines struct {
	kro   *Kro
	types schema.Resolver
}

// NewEngines returns both engines over some types.
func NewEngines(types schema.Resolver) (*Engines, error) {
	kro, err := NewKro(types)
	if err != nil {
		return nil, err
	}
	return &Engines{kro: kro, types: types}, nil
}

// Input is one definition, and what it is evaluated with.
type Input struct {
	// RGD is the definition as YAML.
	RGD []byte
	// Instance as its author wrote it; nil when only compiling is compared.
	Instance map[string]any
	// Live is what a cluster adds to the objects of a node. A reference to one
	// object exists when its node is in it; a reference by selector finds what it
	// lists.
	Live Objects
	// Observed are further observations by name, object by object.
	Observed map[string]Objects
}

// Run gives the input to both engines.
func (e *Engines) Run(in Input) (kro, ours Outcome, err error) {
	kroGraph, kro, err := e.buildKro(in.RGD)
	if err != nil {
		return kro, ours, err
	}
	ourGraph, ours, err := e.compileOurs(in.RGD)
	if err != nil || kroGraph == nil || ourGraph == nil || in.Instance == nil {
		return kro, ours, err
	}
	instance, err := defaulted(kroGraph.CRD, in.Instance)
	if err != nil {
		return kro, ours, err
	}
	observations, err := e.kro.observations(kroGraph, instance, in.Live)
	if err != nil {
		return kro, ours, err
	}
	maps.Copy(observations, in.Observed)
	for name, observed := range observations {
		if kro.Passes[name], err = e.kro.Pass(kroGraph, runtime.DeepCopyJSON(instance), observed); err != nil {
			return kro, ours, err
		}
		ours.Passes[name] = PassOfOurs(ourGraph, instance, observed)
	}
	return kro, ours, nil
}

func (e *Engines) buildKro(text []byte) (*krograph.Graph, Outcome, error) {
	var rgd upstreamv1alpha1.ResourceGraphDefinition
	if err := yaml.UnmarshalStrict(text, &rgd); err != nil {
		return nil, Outcome{}, fmt.Errorf("decoding the definition for kro: %w", err)
	}
	g, err := e.kro.Build(&rgd)
	if err != nil {
		return nil, Outcome{Refused: true, Refusal: err.Error()}, nil //nolint:nilerr // a refusal is an outcome
	}
	return g, describeKro(g), nil
}

func (e *Engines) compileOurs(text []byte) (*graph.Graph, Outcome, error) {
	var rgd krov1alpha1.ResourceGraphDefinition
	if err := yaml.UnmarshalStrict(text, &rgd); err != nil {
		return nil, Outcome{}, fmt.Errorf("decoding the definition for us: %w", err)
	}
	src, err := convert.Source(&rgd)
	if err != nil {
		return nil, Outcome{Refused: true, Refusal: err.Error()}, nil //nolint:nilerr // a refusal is an outcome
	}
	g, issues := graph.Compile(src, e.types)
	if len(issues) > 0 {
		return nil, refusalOf(issues), nil
	}
	return g, describeOurs(g), nil
}

// defaulted fills in the defaults of the generated kind as the API server does.
func defaulted(crd *apiextensionsv1.CustomResourceDefinition, instance map[string]any) (map[string]any, error) {
	out := runtime.DeepCopyJSON(instance)
	var props apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, &props, nil); err != nil {
		return nil, fmt.Errorf("reading the generated schema: %w", err)
	}
	structural, err := structuralschema.NewStructural(&props)
	if err != nil {
		return nil, fmt.Errorf("reading the generated schema: %w", err)
	}
	defaulting.Default(out, structural)
	return out, nil
}

// observations are what a cluster reports as it proceeds: none, part (the first
// half of the nodes is there) and all.
func (k *Kro) observations(g *krograph.Graph, instance map[string]any, live Objects) (map[string]Objects, error) {
	none, part, all := Objects{}, Objects{}, Objects{}
	if err := k.observe(g, instance, live, all, g.TopologicalOrder); err != nil {
		return nil, err
	}
	half := g.TopologicalOrder[:(len(g.TopologicalOrder)+1)/2]
	for _, id := range half {
		if objects, exists := all[id]; exists {
			part[id] = objects
		}
	}
	for _, observed := range []Objects{none, part} {
		if err := k.observe(g, instance, live, observed, nil); err != nil {
			return nil, err
		}
	}
	return map[string]Objects{"none": none, "part": part, "all": all}, nil
}

// observe adds what becomes visible when some nodes are applied, until nothing
// more comes: their objects, and always what selectors find. A node that is not
// reached yet is not looked at.
func (k *Kro) observe(g *krograph.Graph, instance map[string]any, live, observed Objects, applied []string) error {
	for range len(g.Nodes) + 1 {
		pass, err := k.Pass(g, runtime.DeepCopyJSON(instance), observed)
		if err != nil {
			return err
		}
		for id, node := range pass.Nodes {
			_, exists := live[id]
			kind := g.Nodes[id].Meta.Type
			switch {
			case node.State != Ready && node.State != Progressing:
			case kind == krograph.NodeTypeExternalCollection:
				observed[id] = live[id]
			case !slices.Contains(applied, id) || kind == krograph.NodeTypeExternal && !exists:
			default:
				if objects := overlaid(node.Objects, live[id]); len(objects) > 0 {
					observed[id] = objects
				}
			}
		}
	}
	return nil
}

// overlaid puts what a cluster adds over the rendered objects.
func overlaid(rendered []map[string]any, additions []map[string]any) []map[string]any {
	out := slices.Clone(rendered)
	for i := range out {
		out[i] = runtime.DeepCopyJSON(out[i])
		if i < len(additions) {
			overlay(out[i], additions[i])
		}
	}
	return out
}

func overlay(into, from map[string]any) {
	for key, value := range from {
		a, ok1 := into[key].(map[string]any)
		b, ok2 := value.(map[string]any)
		if ok1 && ok2 {
			overlay(a, b)
			continue
		}
		into[key] = runtime.DeepCopyJSONValue(value)
	}
}
