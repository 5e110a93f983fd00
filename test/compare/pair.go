package compare

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	upstreamv1alpha1 "github.com/kubernetes-sigs/kro/api/v1alpha1"
	krograph "github.com/kubernetes-sigs/kro/pkg/graph"
	kroruntime "github.com/kubernetes-sigs/kro/pkg/runtime"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/convert"
)

// Pair is one definition in both engines, with everything ready to be measured:
// each method does one engine's work and nothing beside it. They panic when that
// fails, which Prepare has ruled out.
type Pair struct {
	engines  *Engines
	rgd      *upstreamv1alpha1.ResourceGraphDefinition
	ourRGD   *krov1alpha1.ResourceGraphDefinition
	kro      *krograph.Graph
	ours     *graph.Graph
	instance *unstructured.Unstructured
	live     map[string][]*unstructured.Unstructured
	bindings graph.Bindings
}

// Prepare decodes and compiles a definition in both engines.
func (e *Engines) Prepare(in Input) (*Pair, error) {
	p := &Pair{engines: e, rgd: &upstreamv1alpha1.ResourceGraphDefinition{}, ourRGD: &krov1alpha1.ResourceGraphDefinition{}, instance: &unstructured.Unstructured{Object: in.Instance}}
	if err := errors.Join(yaml.UnmarshalStrict(in.RGD, p.rgd), yaml.UnmarshalStrict(in.RGD, p.ourRGD)); err != nil {
		return nil, fmt.Errorf("decoding the definition: %w", err)
	}
	var err error
	if p.kro, err = e.kro.Build(p.rgd); err != nil {
		return nil, fmt.Errorf("kro refuses the definition: %w", err)
	}
	src, err := convert.Source(p.ourRGD)
	if err != nil {
		return nil, fmt.Errorf("we refuse the definition: %w", err)
	}
	var issues graph.Issues
	if p.ours, issues = graph.Compile(src, e.types); len(issues) > 0 {
		return nil, fmt.Errorf("we refuse the definition: %w", issues.Err())
	}
	return p, nil
}

// ObserveAll makes everything exist that the graph renders, and holds that both
// engines then find all of it ready.
func (p *Pair) ObserveAll() error {
	p.live = map[string][]*unstructured.Unstructured{}
	p.bindings = OurBindings(p.ours, p.instance.Object, nil)
	// Node by node in topological order: our engine tells what to apply.
	for {
		e, issues := p.ours.Evaluate(p.bindings)
		if len(issues) > 0 {
			return fmt.Errorf("evaluating the graph: %w", issues.Err())
		}
		if e.Ready {
			break
		}
		before := len(p.bindings.Observed)
		for _, n := range e.Nodes {
			if _, found := p.bindings.Observed[n.ID]; !found && n.Objects != nil {
				p.observe(n)
			}
		}
		if len(p.bindings.Observed) == before {
			return errors.New("the graph does not become ready")
		}
	}
	if !p.passOfKro() {
		return errors.New("kro does not find the graph ready")
	}
	return nil
}

func (p *Pair) observe(n graph.NodeResult) {
	o := graph.Observed{}
	for _, object := range n.Objects {
		o.Objects = append(o.Objects, graph.ObservedObject{Object: object, Current: true})
		p.live[n.ID] = append(p.live[n.ID], &unstructured.Unstructured{Object: object})
	}
	p.bindings.Observed[n.ID] = o
}

// BuildKro compiles with kro.
func (p *Pair) BuildKro() {
	if _, err := p.engines.kro.Build(p.rgd); err != nil {
		panic(err)
	}
}

// CompileOurs compiles with our engine, from the API object on as kro does.
func (p *Pair) CompileOurs() {
	src, err := convert.Source(p.ourRGD)
	if err != nil {
		panic(err)
	}
	if _, issues := graph.Compile(src, p.engines.types); len(issues) > 0 {
		panic(issues.Err())
	}
}

// EvaluateKro makes one pass with kro.
func (p *Pair) EvaluateKro() {
	if !p.passOfKro() {
		panic("kro does not find the graph ready")
	}
}

// EvaluateOurs makes one pass with our engine.
func (p *Pair) EvaluateOurs() {
	if e, issues := p.ours.Evaluate(p.bindings); !e.Ready || len(issues) > 0 {
		panic("the graph is not ready")
	}
}

// passOfKro tells whether everything is ready and the status is made.
func (p *Pair) passOfKro() bool {
	rt, err := kroruntime.FromGraph(p.kro, limits, kroruntime.WithInstance(p.instance))
	if err != nil {
		return false
	}
	for _, node := range rt.Nodes() {
		if ignored, err := node.IsIgnored(); err != nil || ignored {
			return false
		}
		if _, err := node.GetDesired(); err != nil {
			return false
		}
		node.SetObserved(p.live[node.Spec.Meta.ID])
		if node.CheckReadiness() != nil {
			return false
		}
	}
	_, err = rt.Instance().GetDesired()
	return err == nil
}
