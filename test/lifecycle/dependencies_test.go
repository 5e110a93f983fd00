//go:build integration

package lifecycle

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRule17_AnyReferenceIsADependencyEvenOneThatIsNotTaken(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule17")
	defer s.end()
	s.active("Edges", `
schema:
  apiVersion: v1alpha1
  kind: Edges
  spec: {flag: boolean | default=true}
resources:
- id: gate
  readyWhen: ["${gate.data.?open.orValue('') == 'yes'}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: gate}, data: {word: a}}
- id: untaken
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: untaken}, data: {text: "${schema.spec.flag ? 'flag' : gate.data.word}"}}
- id: optional
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: optional}, data: {text: "${gate.data.?nothing.orValue('none')}"}}
- id: repeated
  forEach: [{word: "${[gate.data.word, 'b']}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "repeated-${word}"}}
- id: conditional
  includeWhen: ["${schema.spec.flag || gate.data.word == 'a'}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: conditional}}
- id: free
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: free}}`)
	rgd := s.cluster.Get(t, "resourcegraphdefinitions.kro.run", "edges")
	got := map[string]string{}
	for _, node := range rgd.List("status.resources") {
		for _, dependency := range node.List("dependencies") {
			got[node.Text("id")] += dependency.Text("id")
		}
	}
	want := map[string]string{"untaken": "gate", "optional": "gate", "repeated": "gate", "conditional": "gate"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dependencies in the definition's status (-want +got):\n%s", diff)
	}

	seen := s.cluster.Record(t, s.ns, "configmaps")
	s.create("Edges", "one", "{}")
	for id := range want {
		s.node("Edges", "one", id, "Held", "gate to be ready")
	}
	s.appears("configmaps", "free")
	opened := s.edit("gate", "data: {open: \"yes\"}")
	s.reaches("Edges", "one", "ACTIVE")
	for _, name := range []string{"untaken", "optional", "repeated-a", "repeated-b", "conditional"} {
		s.comesAfter(seen, opened.Version(), "ADDED", name)
	}
}

func TestRule17_ACycleIsRefusedWithItsPath(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule17-cycle")
	defer s.end()
	s.refusesEach("Cycle", "schema: {apiVersion: v1alpha1, kind: Cycle}",
		mistake{"two templates", `
resources:
- id: a
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {text: "${b.data.text}"}}
- id: b
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {text: "${a.data.text}"}}`, "a -> b -> a"},
		mistake{"a condition", `
resources:
- id: a
  includeWhen: ["${b.data.text == 'x'}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
- id: b
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {text: "${a.metadata.name}"}}`, "a -> b -> a"},
		mistake{"itself", `
resources:
- id: a
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {text: "${a.metadata.name}"}}`, "self references are not allowed"},
	)
}

func TestRule18_ResourcesComeInTopologicalOrderTiesAsWrittenAndGoInReverse(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule18")
	defer s.end()
	s.active("Ordered", `
schema: {apiVersion: v1alpha1, kind: Ordered}
resources:
- id: third
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: third}, data: {of: "${second.metadata.uid}"}}
- id: lone
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: lone}}
- id: second
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: second}, data: {of: "${first.metadata.uid}"}}
- id: first
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: first}}`)
	rgd := s.cluster.Get(t, "resourcegraphdefinitions.kro.run", "ordered")
	if diff := cmp.Diff([]any{"lone", "first", "second", "third"}, rgd.At("status.topologicalOrder")); diff != "" {
		t.Errorf("status.topologicalOrder (-want +got):\n%s", diff)
	}
	seen := s.cluster.Record(t, s.ns, "configmaps")
	s.create("Ordered", "one", "{}")
	s.reaches("Ordered", "one", "ACTIVE")
	s.comesAfter(seen, seen.Await(t, "ADDED", "first").Version(), "ADDED", "second")
	s.comesAfter(seen, seen.Await(t, "ADDED", "second").Version(), "ADDED", "third")
	s.removes("Ordered", "one")
	s.comesAfter(seen, seen.Await(t, "DELETED", "third").Version(), "DELETED", "second")
	s.comesAfter(seen, seen.Await(t, "DELETED", "second").Version(), "DELETED", "first")
}

func TestRule19_AReferenceToACollectionIsAList(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule19")
	defer s.end()
	const schema = `
schema:
  apiVersion: v1alpha1
  kind: Listed
  spec: {words: "[]string"}
  status: {names: "${parts.map(p, p.metadata.name)}"}`
	const parts = `
resources:
- id: parts
  forEach: [{word: "${schema.spec.words}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "part-${word}"}, data: {word: "${word}"}}
- id: sum
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: sum}
    data: `
	s.active("Listed", schema+parts+`{first: "${parts[0].metadata.name}", all: "${parts.map(p, p.data.word).join('+')}", count: "${string(size(parts))}"}`)
	s.create("Listed", "one", "{words: [a, b, c]}")
	got := s.reaches("Listed", "one", "ACTIVE")
	if diff := cmp.Diff([]any{"part-a", "part-b", "part-c"}, got.At("status.names")); diff != "" {
		t.Errorf("status.names (-want +got):\n%s", diff)
	}
	want := map[string]any{"first": "part-a", "all": "a+b+c", "count": "3"}
	if diff := cmp.Diff(want, s.get("configmaps", "sum").At("data")); diff != "" {
		t.Errorf("the data of sum (-want +got):\n%s", diff)
	}
	s.removes("Listed", "one")
	s.refusesEach("Listed", schema, mistake{"a field of a list", parts + `{text: "${parts.metadata.name}"}`, "a list has no fields"})
}
