package main

import (
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/test/compare"
)

// benchmark is one piece of work that both engines do.
type benchmark struct {
	name, what string
	// target in milliseconds, and the most that ratios may be; 0 without one.
	target, ratio, bytesRatio float64
	prepare                   func() (kro, ours func(), err error)
}

var benchmarks = []benchmark{
	{name: "compile-webapp", what: "compile a Deployment, a Service and an Ingress", ratio: 0.2, bytesRatio: 0.2, prepare: compiling(webapp())},
	{name: "compile-50-deployments", what: "compile 50 Deployments", ratio: 0.05, prepare: compiling(deployments(50))},
	{name: "compile-100-chain", what: "compile a chain of 100 ConfigMaps", ratio: 0.2, prepare: compiling(chain(100))},
	{name: "compile-1000-nodes", what: "compile a chain of 1000 ConfigMaps", target: 1000, prepare: compiling(chain(1000))},
	{name: "evaluate-100-chain", what: "evaluate a chain of 100 ConfigMaps that all exist", ratio: 0.1, prepare: evaluating(chain(100), 0)},
	{name: "evaluate-foreach-1000", what: "evaluate a collection of 1000 ConfigMaps that all exist", ratio: 0.3, prepare: evaluating(forEach(), 1000)},
	{name: "evaluate-layered-w2-d9", what: "evaluate 9 layers of 2 ConfigMaps that each read the layer before", prepare: evaluating(layered(2, 9), 0)},
	{name: "evaluate-layered-w2-d18", what: "evaluate 18 such layers: linear with us, doubling with each layer in kro", prepare: evaluating(layered(2, 18), 0)},
}

// compiling compares the work for one version of a definition.
func compiling(rgd map[string]any) func() (kro, ours func(), err error) {
	return func() (func(), func(), error) {
		engines, in, err := inputs(rgd, 0)
		if err != nil {
			return nil, nil, err
		}
		pair, err := engines.Prepare(in)
		if err != nil {
			return nil, nil, err
		}
		return pair.BuildKro, pair.CompileOurs, nil
	}
}

// evaluating compares one pass over a compiled graph, with everything observed
// and ready.
func evaluating(rgd map[string]any, names int) func() (kro, ours func(), err error) {
	return func() (func(), func(), error) {
		engines, in, err := inputs(rgd, names)
		if err != nil {
			return nil, nil, err
		}
		pair, err := engines.Prepare(in)
		if err != nil {
			return nil, nil, err
		}
		if err := pair.ObserveAll(); err != nil {
			return nil, nil, err
		}
		return pair.EvaluateKro, pair.EvaluateOurs, nil
	}
}

func inputs(rgd map[string]any, names int) (*compare.Engines, compare.Input, error) {
	engines, err := compare.NewEngines(builtin.Resolver())
	if err != nil {
		return nil, compare.Input{}, err
	}
	text, err := yaml.Marshal(rgd)
	if err != nil {
		return nil, compare.Input{}, fmt.Errorf("writing the definition: %w", err)
	}
	return engines, compare.Input{RGD: text, Instance: instance(names)}, nil
}
