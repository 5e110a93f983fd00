package plan

import (
	"maps"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/hash"
	"github.com/kronvoy/kronvoy/hub/nested"
)

// Foresee is what the cluster should have in the end, as far as that can be known
// now: all that is rendered is taken for applied and ready, and what was observed
// of it for unchanged but where its manifest says something else. As with
// Evaluate, what Wants asks for has to be looked for before Build.
//
// The hub itself never acts on it: a resource comes when what it depends on is
// ready, not when that is to be expected.
func (p Plan) Foresee(in Input) Plan {
	if p.Blocked != "" || in.Suspended {
		return p
	}
	p.Bindings.Observed = maps.Clone(p.Bindings.Observed)
	if p.Bindings.Observed == nil {
		p.Bindings.Observed = map[string]graph.Observed{}
	}
	for range in.Graph.Nodes() {
		if !expect(p.Bindings.Observed, p.Evaluation) {
			break
		}
		p.Evaluation, p.Issues = in.Graph.Evaluate(p.Bindings)
	}
	p.Feedback.Failures = maps.Clone(p.Feedback.Failures)
	if p.Wants != nil {
		wants := nested.Wanted(in.Graph, p.Evaluation, in.parent())
		p.Wants = &wants
	}
	return p
}

// expect takes what was rendered for applied and ready, and tells whether that
// was anything new.
func expect(observed map[string]graph.Observed, e graph.Evaluation) bool {
	news := false
	for _, n := range e.Nodes {
		if n.State == graph.Failed || n.State == graph.Ready || n.Objects == nil {
			continue
		}
		known := map[[2]string]graph.ObservedObject{}
		for _, o := range observed[n.ID].Objects {
			known[nameOf(o.Object)] = o
		}
		expected := graph.Observed{Listed: true}
		for _, object := range n.Objects {
			rendered := hash.Of(object)
			seen, found := known[nameOf(object)]
			if found && seen.ManifestHash == rendered && seen.Verdict != nil && seen.Verdict.Ready {
				expected.Objects = append(expected.Objects, seen)
				continue
			}
			news = true
			seen.Object, seen.Partial = over(object, seen.Object), seen.Partial || !found
			seen.Current, seen.ManifestHash, seen.Verdict = true, rendered, &graph.Verdict{Ready: true}
			expected.Objects = append(expected.Objects, seen)
		}
		observed[n.ID] = expected
	}
	return news
}

func nameOf(object map[string]any) [2]string {
	metadata, _ := object["metadata"].(map[string]any)
	namespace, _ := metadata["namespace"].(string)
	name, _ := metadata["name"].(string)
	return [2]string{namespace, name}
}

// over lays an object over what is below it, field by field.
func over(above, below map[string]any) map[string]any {
	out := maps.Clone(below)
	if out == nil {
		out = make(map[string]any, len(above))
	}
	for key, value := range above {
		inner, isObject := value.(map[string]any)
		under, alsoObject := out[key].(map[string]any)
		if isObject && alsoObject {
			out[key] = over(inner, under)
			continue
		}
		out[key] = value
	}
	return out
}
