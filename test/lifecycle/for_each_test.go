//go:build integration

package lifecycle

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// places are the index and the size that items of a collection carry, by name.
func (s *scene) places(node string) map[string]string {
	s.Helper()
	places := map[string]string{}
	for _, obj := range s.cluster.List(s, "configmaps", s.ns) {
		if labels := obj.GetLabels(); labels["kro.run/node-id"] == node {
			places[obj.GetName()] = labels["kro.run/collection-index"] + " of " + labels["kro.run/collection-size"]
		}
	}
	return places
}

func TestRule34_ForEachTakesAList(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule34")
	defer s.end()
	const header = `
schema: {apiVersion: v1alpha1, kind: Each, spec: {words: "[]string", labels: "map[string]string", any: object}}
resources:
- id: a`
	const rest = `
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "a-${word}"}}`
	s.refusesEach("Each", header,
		mistake{"a map", `  forEach: [{word: "${schema.spec.labels}"}]` + rest, "forEach needs a list, but the expression is a map of string"},
		mistake{"a value of unknown type", `  forEach: [{word: "${schema.spec.any.words}"}]` + rest, "forEach needs a list, but the expression is dynamic"},
		mistake{"text", `  forEach: [{word: "${'abc'}"}]` + rest, "forEach needs a list, but the expression is a string"},
	)
	s.active("Each", header+`
  forEach: [{word: "${schema.spec.words}"}]`+rest+`
- id: copies
  forEach: [{of: "${a}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "copy-of-${of.metadata.name}"}, data: {uid: "${of.metadata.uid}"}}
- id: literal
  forEach: [{word: "${['x', 'z']}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "literal-${word}"}}`)
	s.create("Each", "one", "{words: [b, c]}")
	s.reaches("Each", "one", "ACTIVE")
	s.holds("copy-of-a-c", "uid", string(s.get("configmaps", "a-c").GetUID()))
	if diff := cmp.Diff(map[string]string{"literal-x": "0 of 2", "literal-z": "1 of 2"}, s.places("literal")); diff != "" {
		t.Errorf("the items of a literal list (-want +got):\n%s", diff)
	}
}

func TestRule35_EveryIteratorIsInTheNameAndNoneReadsAnother(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule35")
	defer s.end()
	const header = `
schema: {apiVersion: v1alpha1, kind: Iterated, spec: {words: "[]string"}}
resources:
- id: a`
	s.refusesEach("Iterated", header,
		mistake{"one is not used", `  forEach: [{i: "${schema.spec.words}"}, {j: "${schema.spec.words}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "a-${i}"}, data: {j: "${j}"}}`, "all forEach dimensions must be used to produce a unique resource identity"},
		mistake{"one reads another", `  forEach: [{i: "${schema.spec.words}"}, {j: "${[i]}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "a-${i}-${j}"}}`, "i"},
	)
	s.active("Iterated", header+`
  forEach: [{i: "${schema.spec.words}"}, {j: "${schema.spec.words}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "a-${i}-${j}"}}`)
	s.create("Iterated", "one", "{words: [b]}")
	s.reaches("Iterated", "one", "ACTIVE")
	s.appears("configmaps", "a-b-b")
}

func TestRule36_TheLastDimensionIsTheFastestAndItemsCarryTheirPlace(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule36")
	defer s.end()
	s.active("Grid", `
schema:
  apiVersion: v1alpha1
  kind: Grid
  spec: {rows: "[]string", columns: "[]string"}
  status: {cells: "${cells.map(c, c.metadata.name)}"}
resources:
- id: cells
  forEach: [{row: "${schema.spec.rows}"}, {column: "${schema.spec.columns}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${row}-${column}", labels: {row: "${row}"}}}
- id: count
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: count}, data: {cells: "${string(size(cells))}"}}`)
	s.create("Grid", "one", "{rows: [b, a], columns: [x, z]}")
	got := s.reaches("Grid", "one", "ACTIVE")
	if diff := cmp.Diff([]any{"b-x", "b-z", "a-x", "a-z"}, got.At("status.cells")); diff != "" {
		t.Errorf("status.cells (-want +got):\n%s", diff)
	}
	want := map[string]string{"b-x": "0 of 4", "b-z": "1 of 4", "a-x": "2 of 4", "a-z": "3 of 4"}
	if diff := cmp.Diff(want, s.places("cells")); diff != "" {
		t.Errorf("the places of the cells (-want +got):\n%s", diff)
	}
	if labels := s.get("configmaps", "count").GetLabels(); labels["kro.run/collection-size"] != "" || s.get("configmaps", "a-x").GetLabels()["row"] != "a" {
		t.Errorf("the labels of what is no collection are %v", labels)
	}

	s.create("Grid", "one", "{rows: [b, a], columns: []}")
	s.goes("configmaps", "a-x")
	s.holds("count", "cells", "0")
	if got := s.reaches("Grid", "one", "ACTIVE"); len(got.At("status.cells").([]any)) != 0 {
		t.Errorf("status.cells is %v", got.At("status.cells"))
	}
}

func TestRule36_ACollectionThatIsTooLargeOrNamesAnItemTwiceIsAnErrorThatMends(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule36-limits")
	defer s.end()
	s.active("Ranged", `
schema: {apiVersion: v1alpha1, kind: Ranged, spec: {count: integer | default=0, words: "[]string"}}
resources:
- id: numbered
  forEach: [{i: "${lists.range(schema.spec.count)}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "n-${string(i)}"}}
- id: named
  forEach: [{word: "${schema.spec.?words.orValue([])}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "w-${word}"}}`)
	s.create("Ranged", "one", "{count: 2, words: [a]}")
	s.reaches("Ranged", "one", "ACTIVE")
	before := s.get("configmaps", "n-1")
	s.create("Ranged", "one", "{count: 1001, words: [a, b]}")
	s.stands("Ranged", "one", "ERROR", "numbered: ", "more than 1000 items")
	s.appears("configmaps", "w-b")
	s.unwritten(before)
	s.create("Ranged", "one", "{count: 2, words: [a, b, a]}")
	s.stands("Ranged", "one", "ERROR", "named: ", "identity collision")
	s.create("Ranged", "one", "{count: 1, words: [b]}")
	s.reaches("Ranged", "one", "ACTIVE")
	s.goes("configmaps", "n-1")
	s.goes("configmaps", "w-a")

	var dimensions, name string
	for i := range 11 {
		dimensions += fmt.Sprintf("\n  - d%d: \"${['a']}\"", i)
		name += fmt.Sprintf("${d%d}", i)
	}
	s.refusesEach("Deep", "schema: {apiVersion: v1alpha1, kind: Deep}", mistake{"eleven dimensions", `
resources:
- id: a
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "` + name + `"}}
  forEach:` + dimensions, "10"})
}

func TestRule37_AListThatShrinksPrunesAndThatGrowsAddsAndTheRestStays(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule37")
	defer s.end()
	s.active("Sized", `
schema:
  apiVersion: v1alpha1
  kind: Sized
  spec: {words: "[]string"}
  status: {names: "${entries.map(i, i.metadata.name)}"}
resources:
- id: entries
  forEach: [{word: "${schema.spec.words}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "item-${word}"}, data: {word: "${word}"}}`)
	s.create("Sized", "one", "{words: [a, b, c]}")
	s.reaches("Sized", "one", "ACTIVE")
	uids := map[string]string{}
	for _, name := range []string{"item-b", "item-c"} {
		uids[name] = string(s.get("configmaps", name).GetUID())
	}
	steps := []struct {
		words  string
		status []any
		places map[string]string
	}{
		{"[b, c]", []any{"item-b", "item-c"}, map[string]string{"item-b": "0 of 2", "item-c": "1 of 2"}},
		{"[c, d, b]", []any{"item-c", "item-d", "item-b"}, map[string]string{"item-c": "0 of 3", "item-d": "1 of 3", "item-b": "2 of 3"}},
	}
	for _, step := range steps {
		s.create("Sized", "one", "{words: "+step.words+"}")
		got := s.reaches("Sized", "one", "ACTIVE")
		if diff := cmp.Diff(step.status, got.At("status.names")); diff != "" {
			t.Errorf("%s: status.names (-want +got):\n%s", step.words, diff)
		}
		if diff := cmp.Diff(step.places, s.places("entries")); diff != "" {
			t.Errorf("%s: the places of the items (-want +got):\n%s", step.words, diff)
		}
	}
	for name, uid := range uids {
		if now := s.get("configmaps", name); string(now.GetUID()) != uid {
			t.Errorf("%s was replaced", name)
		}
	}
}
