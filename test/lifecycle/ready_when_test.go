//go:build integration

package lifecycle

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/probe"
)

func TestRule20_ReadyWhenIsABooleanOfItsOwnResource(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule20")
	defer s.end()
	const rest = `
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {text: x}}
- id: b
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {text: x}}`
	s.refusesEach("Judged", "schema: {apiVersion: v1alpha1, kind: Judged, spec: {text: string}}\nresources:\n- id: a",
		mistake{"the instance", `  readyWhen: ["${schema.spec.text == 'x'}"]` + rest, "schema"},
		mistake{"another resource", `  readyWhen: ["${b.data.text == 'x'}"]` + rest, "b"},
		mistake{"text", `  readyWhen: ["${a.data.text}"]` + rest, "bool"},
		mistake{"text around it", `  readyWhen: ["is ${a.data.text == 'x'}"]` + rest, "readyWhen"},
	)
	s.active("Judged", `
schema: {apiVersion: v1alpha1, kind: Judged, spec: {text: string}}
resources:
- id: a
  readyWhen: ["${a.data.text == 'x'}", "${a.data.?other.orValue('') == 'good'}"]`+rest)
	s.create("Judged", "one", "{}")
	s.stands("Judged", "one", "IN_PROGRESS", "a waits for")
	s.edit("a", "data: {other: good}")
	s.reaches("Judged", "one", "ACTIVE")
}

func TestRule21_ReadyWhenWaitsForWhatIsMissingAndFailsOnAnyOtherError(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule21")
	defer s.end()
	s.active("Counted", `
schema: {apiVersion: v1alpha1, kind: Counted}
resources:
- id: counter
  readyWhen: ["${int(counter.data.count) >= 2}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: counter}, data: {for: us}}
- id: behind
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: behind}, data: {count: "${counter.data.count}"}}`)
	seen := s.cluster.Record(t, s.ns, "configmaps")
	s.create("Counted", "one", "{}")
	s.stands("Counted", "one", "IN_PROGRESS", "counter waits for")
	s.edit("counter", "data: {count: many}")
	s.stands("Counted", "one", "ERROR", "counter: ", "type conversion error")
	enough := s.edit("counter", "data: {count: \"2\"}")
	s.reaches("Counted", "one", "ACTIVE")
	s.comesAfter(seen, enough.Version(), "ADDED", "behind")
}

func TestRule22_ADependentIsNotAppliedUntilItsDependencyIsReady(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule22")
	defer s.end()
	s.active("Served", `
schema:
  apiVersion: v1alpha1
  kind: Served
  status: {available: "${deployment.status.availableReplicas}"}
resources:
- id: deployment
  readyWhen: ["${deployment.status.availableReplicas == deployment.spec.replicas}"]
  template:
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: app}
    spec:
      replicas: 2
      selector: {matchLabels: {app: app}}
      template:
        metadata: {labels: {app: app}}
        spec: {containers: [{name: app, image: "example.com/app:1"}]}
- id: after
  includeWhen: ["${deployment.metadata.name != ''}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: after}, data: {available: "${string(deployment.status.availableReplicas)}"}}`)
	seen := s.cluster.Record(t, s.ns, "configmaps", "deployments.apps")
	s.create("Served", "one", "{}")
	got := s.reaches("Served", "one", "ACTIVE")
	if got.Int("status.available") != 2 {
		t.Errorf("status.available is %v", got.At("status.available"))
	}
	first := slices.IndexFunc(seen.Events(t), func(e probe.Event) bool { return e.Int("status.availableReplicas") == 2 })
	if first < 0 {
		t.Fatalf("no watch has shown the Deployment ready: %s", seen.Summary(t))
	}
	s.comesAfter(seen, seen.Events(t)[first].Version(), "ADDED", "after")
}

func TestRule22_ADependentIsNotEvaluatedOrChangedAndNothingPrunedUntilItsDependencyIsReady(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule22-held")
	defer s.end()
	s.active("Divided", `
schema:
  apiVersion: v1alpha1
  kind: Divided
  spec: {by: integer | default=0, extra: boolean | default=true}
resources:
- id: divisor
  readyWhen: ["${divisor.data.by != '0'}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: divisor}, data: {by: "${string(schema.spec.by)}"}}
- id: quotient
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: quotient}, data: {text: "${string(10 / int(divisor.data.by))}"}}
- id: extra
  includeWhen: ["${schema.spec.extra}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: extra}}`)
	seen := s.cluster.Record(t, s.ns, "configmaps")
	s.create("Divided", "one", "{by: 0}")
	s.stands("Divided", "one", "IN_PROGRESS")
	s.node("Divided", "one", "quotient", "Held", "divisor to be ready")
	s.create("Divided", "one", "{by: 5}")
	s.reaches("Divided", "one", "ACTIVE")
	before := s.holds("quotient", "text", "2")

	s.create("Divided", "one", "{by: 0, extra: false}")
	s.holds("divisor", "by", "0")
	s.stands("Divided", "one", "IN_PROGRESS")
	s.node("Divided", "one", "quotient", "Held", "divisor to be ready")
	s.unwritten(before)
	s.create("Divided", "one", "{by: 2, extra: false}")
	ready := s.holds("divisor", "by", "2")
	s.reaches("Divided", "one", "ACTIVE")
	s.holds("quotient", "text", "5")
	s.comesAfter(seen, ready.Version(), "DELETED", "extra")
}

func TestRule23_AnOptionalWithoutAValueIsNotReady(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule23")
	defer s.end()
	s.active("Maybe", `
schema: {apiVersion: v1alpha1, kind: Maybe}
resources:
- id: single
  readyWhen: ["${single.?immutable}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: single}}
- id: several
  forEach: [{word: "${['a', 'b']}"}]
  readyWhen: ["${each.?immutable}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "several-${word}"}}`)
	s.create("Maybe", "one", "{}")
	s.stands("Maybe", "one", "IN_PROGRESS")
	s.node("Maybe", "one", "single", "Progressing", "")
	s.node("Maybe", "one", "several", "Progressing", "")
	for _, name := range []string{"single", "several-a"} {
		s.edit(name, "immutable: true")
	}
	s.stands("Maybe", "one", "IN_PROGRESS", "several waits for")
	s.edit("several-b", "immutable: true")
	s.reaches("Maybe", "one", "ACTIVE")
}

// kro judges the raw JSON, in which this is text in base64, and fails.
func TestRule24_ReadyWhenSeesTheBytesOfASecret(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule24")
	defer s.end()
	s.active("Sealed", `
schema: {apiVersion: v1alpha1, kind: Sealed, spec: {token: string}}
resources:
- id: secret
  readyWhen: ["${string(secret.data.token) == 'abc'}"]
  template: {apiVersion: v1, kind: Secret, metadata: {name: secret}, stringData: {token: "${schema.spec.token}"}}
- id: behind
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: behind}, data: {of: "${secret.metadata.name}"}}`)
	s.create("Sealed", "one", "{token: abd}")
	s.stands("Sealed", "one", "IN_PROGRESS", "secret waits for")
	if s.get("configmaps", "behind") != nil {
		t.Error("behind is there although the Secret is not ready")
	}
	s.create("Sealed", "one", "{token: abc}")
	s.reaches("Sealed", "one", "ACTIVE")
}

func TestRule25_ACollectionIsReadyWhenAllOfItIsAndAnEmptyOneAtOnce(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule25")
	defer s.end()
	s.active("Gates", `
schema: {apiVersion: v1alpha1, kind: Gates, spec: {words: "[]string"}}
resources:
- id: gates
  forEach: [{word: "${schema.spec.words}"}]
  readyWhen: ["${each.data.?open.orValue('') == 'yes'}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "gate-${word}"}}
- id: behind
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: behind}, data: {names: "${gates.map(g, g.metadata.name).join(' ')}"}}`)
	s.create("Gates", "one", "{words: []}")
	s.reaches("Gates", "one", "ACTIVE")
	s.holds("behind", "names", "")

	s.create("Gates", "one", "{words: [a, b]}")
	s.appears("configmaps", "gate-a")
	s.appears("configmaps", "gate-b")
	s.edit("gate-a", "data: {open: \"yes\"}")
	s.stands("Gates", "one", "IN_PROGRESS", "gates waits for")
	seen := s.cluster.Record(t, s.ns, "configmaps")
	opened := s.edit("gate-b", "data: {open: \"yes\"}")
	s.reaches("Gates", "one", "ACTIVE")
	s.holds("behind", "names", "gate-a gate-b")
	s.comesAfter(seen, opened.Version(), "MODIFIED", "behind")
}

// In kro what a selector finds can never become ready.
func TestRule25_WhatASelectorFindsBecomesReady(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule25-selected")
	defer s.end()
	s.active("Chosen", `
schema:
  apiVersion: v1alpha1
  kind: Chosen
  status: {names: "${chosen.map(c, c.metadata.name)}"}
resources:
- id: chosen
  externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {namespace: rule25-selected, selector: {matchLabels: {chosen: "true"}}}}
  readyWhen: ["${each.data.state == 'up'}"]`)
	for _, name := range []string{"left", "right"} {
		s.give(s.ns, name, "{chosen: \"true\"}", "{state: down}")
	}
	s.edit("left", "data: {state: up}")
	s.create("Chosen", "one", "{}")
	s.stands("Chosen", "one", "IN_PROGRESS", "chosen waits for")
	s.edit("right", "data: {state: up}")
	got := s.reaches("Chosen", "one", "ACTIVE")
	if diff := cmp.Diff([]any{"left", "right"}, got.At("status.names")); diff != "" {
		t.Errorf("status.names (-want +got):\n%s", diff)
	}
}
