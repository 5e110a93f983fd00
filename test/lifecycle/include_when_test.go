//go:build integration

package lifecycle

import (
	"testing"
)

func TestRule26_IncludeWhenIsABooleanOfTheInstanceOrOfResources(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule26")
	defer s.end()
	const header = "schema: {apiVersion: v1alpha1, kind: Conditioned, spec: {text: string | default=x, any: object}}\nresources:\n- id: a"
	const rest = "\n  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}"
	s.refusesEach("Conditioned", header,
		mistake{"text", `  includeWhen: ["${schema.spec.text}"]` + rest, "bool"},
		mistake{"a value of unknown type", `  includeWhen: ["${schema.spec.any.flag}"]` + rest, "bool"},
		mistake{"an iterator", `  forEach: [{word: "${['a']}"}]` + "\n" + `  includeWhen: ["${word == 'a'}"]` +
			"\n  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: \"${word}\"}}", "word"},
	)
	s.active("Conditioned", header+`
  includeWhen: ["${bool(schema.spec.any.flag)}", "${schema.spec.text == 'x'}"]`+rest)
	s.create("Conditioned", "both", "{any: {flag: true}}")
	s.reaches("Conditioned", "both", "ACTIVE")
	s.appears("configmaps", "a")
	s.create("Conditioned", "both", "{any: {flag: true}, text: z}")
	s.goes("configmaps", "a")
	s.reaches("Conditioned", "both", "ACTIVE")
}

func TestRule27_WhatDependsOnAnExcludedResourceIsExcludedTooAndPruned(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule27")
	defer s.end()
	s.active("Contagious", `
schema: {apiVersion: v1alpha1, kind: Contagious, spec: {with: boolean | default=true}}
resources:
- id: base
  includeWhen: ["${schema.spec.with}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: base}, data: {word: a}}
- id: reader
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: reader}, data: {text: "${base.data.word}"}}
- id: repeated
  forEach: [{word: "${[base.data.word]}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "repeated-${word}"}}
- id: conditional
  includeWhen: ["${base.data.word == 'a'}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: conditional}}
- id: transitive
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: transitive}, data: {of: "${reader.data.text}"}}
- id: free
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: free}}`)
	infected := []string{"base", "reader", "repeated-a", "conditional", "transitive"}
	s.create("Contagious", "one", "{}")
	s.reaches("Contagious", "one", "ACTIVE")
	free := s.get("configmaps", "free")
	for _, name := range infected {
		s.appears("configmaps", name)
	}
	seen := s.cluster.Record(t, s.ns, "configmaps")
	s.create("Contagious", "one", "{with: false}")
	s.reaches("Contagious", "one", "ACTIVE")
	for _, name := range infected {
		s.goes("configmaps", name)
	}
	s.unwritten(free)
	s.comesAfter(seen, seen.Await(t, "DELETED", "transitive").Version(), "DELETED", "reader")
	for _, name := range []string{"reader", "repeated-a", "conditional"} {
		s.comesAfter(seen, seen.Await(t, "DELETED", name).Version(), "DELETED", "base")
	}

	s.removes("Contagious", "one")
	s.create("Contagious", "never", "{with: false}")
	s.reaches("Contagious", "never", "ACTIVE")
}

func TestRule28_AConditionOnAResourceWaitsUntilThatIsReady(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule28")
	defer s.end()
	s.active("Awaited", `
schema: {apiVersion: v1alpha1, kind: Awaited}
resources:
- id: gate
  readyWhen: ["${gate.data.?open.orValue('') == 'yes'}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: gate}}
- id: wanted
  includeWhen: ["${gate.data.choice == 'wanted'}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: wanted}}
- id: other
  includeWhen: ["${gate.data.choice != 'wanted'}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: other}}`)
	seen := s.cluster.Record(t, s.ns, "configmaps")
	s.create("Awaited", "one", "{}")
	s.stands("Awaited", "one", "IN_PROGRESS")
	s.node("Awaited", "one", "wanted", "Held", "gate to be ready")
	s.node("Awaited", "one", "other", "Held", "gate to be ready")
	s.edit("gate", "data: {open: \"yes\"}")
	s.node("Awaited", "one", "wanted", "Pending", "gate.data.choice")
	if state := s.instance("Awaited", "one").Text("status.state"); state != "IN_PROGRESS" {
		t.Errorf("the state is %s, and a condition is not known", state)
	}
	chosen := s.edit("gate", "data: {choice: wanted}")
	s.reaches("Awaited", "one", "ACTIVE")
	s.comesAfter(seen, chosen.Version(), "ADDED", "wanted")
	if came := seen.Of(t, "ADDED", "other"); len(came) > 0 {
		t.Errorf("what is not wanted was made: %s", seen.Summary(t))
	}
}

func TestRule28_AConditionOnAMissingInputIsAnErrorAndOnAnOptionalOneFalse(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule28-inputs")
	defer s.end()
	s.active("Unasked", `
schema: {apiVersion: v1alpha1, kind: Unasked, spec: {flag: boolean}}
resources:
- id: strict
  includeWhen: ["${schema.spec.flag}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}}`)
	s.create("Unasked", "one", "{}")
	s.stands("Unasked", "one", "ERROR", "strict: ", "input missing: schema.spec.flag")
	s.create("Unasked", "one", "{flag: true}")
	s.reaches("Unasked", "one", "ACTIVE")
	s.appears("configmaps", "one")

	s.active("Asked", `
schema: {apiVersion: v1alpha1, kind: Asked, spec: {flag: boolean}}
resources:
- id: lenient
  includeWhen: ["${schema.spec.?flag}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}}`)
	s.create("Asked", "two", "{}")
	s.reaches("Asked", "two", "ACTIVE")
	if s.get("configmaps", "two") != nil {
		t.Error("it was made without being wanted")
	}
	s.create("Asked", "two", "{flag: true}")
	s.appears("configmaps", "two")
}

func TestRule29_AReaderIsExcludedEvenWhereItWouldNotRead(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule29")
	defer s.end()
	s.active("Alternative", `
schema: {apiVersion: v1alpha1, kind: Alternative, spec: {flag: boolean | default=true}}
resources:
- id: a
  includeWhen: ["${schema.spec.flag}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {text: from a}}
- id: reader
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: reader}, data: {text: "${schema.spec.flag ? a.data.text : 'none'}"}}`)
	s.create("Alternative", "one", "{}")
	s.reaches("Alternative", "one", "ACTIVE")
	s.holds("reader", "text", "from a")
	s.create("Alternative", "one", "{flag: false}")
	s.goes("configmaps", "reader")
	s.reaches("Alternative", "one", "ACTIVE")
}

func TestRule30_AConditionIsJudgedAgainAtEveryChangeAndCreatesAndPrunes(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule30")
	defer s.end()
	s.active("Flipping", `
schema: {apiVersion: v1alpha1, kind: Flipping, spec: {with: boolean | default=false}}
resources:
- id: switch
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: switch}, data: {for: us}}
- id: byInstance
  includeWhen: ["${schema.spec.with}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: by-instance}}
- id: byResource
  includeWhen: ["${switch.data.?state.orValue('no') == 'yes'}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: by-resource}}`)
	s.refusesEach("Switched", "schema: {apiVersion: v1alpha1, kind: Switched}", mistake{"a resource that there is not", `
resources:
- id: a
  includeWhen: ["${nothing.data.on == 'yes'}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`, "nothing"})

	s.create("Flipping", "one", "{}")
	s.reaches("Flipping", "one", "ACTIVE")
	for _, name := range []string{"by-instance", "by-resource"} {
		if s.get("configmaps", name) != nil {
			t.Errorf("%s is there", name)
		}
	}
	s.create("Flipping", "one", "{with: true}")
	first := s.appears("configmaps", "by-instance")
	s.edit("switch", "data: {state: \"yes\"}")
	s.appears("configmaps", "by-resource")
	s.reaches("Flipping", "one", "ACTIVE")
	s.edit("switch", "data: {state: \"no\"}")
	s.goes("configmaps", "by-resource")
	s.create("Flipping", "one", "{with: false}")
	s.goes("configmaps", "by-instance")
	s.create("Flipping", "one", "{with: true}")
	if again := s.appears("configmaps", "by-instance"); again.GetUID() == first.GetUID() {
		t.Error("it is the same object: it never left")
	}
	s.reaches("Flipping", "one", "ACTIVE")
}
