//go:build integration

package lifecycle

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

func TestRule39_EveryFieldOfTheStatusReadsAResourceOrTheInstance(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule39")
	defer s.end()
	const resources = `
resources:
- id: a
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {text: x}}`
	s.refusesEach("Projected", resources,
		mistake{"text", "schema: {apiVersion: v1alpha1, kind: Projected, status: {s: text}}", "status"},
		mistake{"a number", "schema: {apiVersion: v1alpha1, kind: Projected, status: {n: 5}}", "status"},
		mistake{"an expression that reads nothing", "schema: {apiVersion: v1alpha1, kind: Projected, status: {s: \"${'abc'}\"}}", "must refer to a resource or schema"},
	)
	s.active("Projected", `
schema:
  apiVersion: v1alpha1
  kind: Projected
  spec: {size: integer | default=3}
  status:
    text: "${a.data.text} of ${schema.metadata.name}"
    nested: {size: "${schema.spec.size * 2}", list: ["${a.data.text}", {name: "${a.metadata.name}"}]}
    labels: ${a.metadata.labels}`+resources)
	s.create("Projected", "one", "{}")
	s.reaches("Projected", "one", "ACTIVE")
	s.shows("Projected", "one", "text", "x of one")
	s.shows("Projected", "one", "nested", map[string]any{"size": int64(6), "list": []any{"x", map[string]any{"name": "one"}}})
	if got := s.instance("Projected", "one").At("status", "labels", "kro.run/node-id"); got != "a" {
		t.Errorf("status.labels says %v", got)
	}
}

func TestRule40_WhatOfTheStatusIsNotKnownIsLeftOutAndWhatFailsHidesNothing(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule40")
	defer s.end()
	s.active("BestEffort", `
schema:
  apiVersion: v1alpha1
  kind: BestEffort
  spec: {by: integer | default=1}
  status:
    known: ${a.data.text}
    awaited: ${a.data.later}
    divided: ${12 / schema.spec.by + size(a.data.text)}
resources:
- id: a
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {text: x}}`)
	s.create("BestEffort", "one", "{}")
	s.reaches("BestEffort", "one", "ACTIVE")
	s.shows("BestEffort", "one", "known", "x")
	s.shows("BestEffort", "one", "awaited", nil)
	s.shows("BestEffort", "one", "divided", int64(13))
	s.edit("a", "data: {later: now}")
	s.shows("BestEffort", "one", "awaited", "now")
	s.edit("a", "data: {later: null}")
	s.shows("BestEffort", "one", "awaited", nil)

	s.create("BestEffort", "one", "{by: 0}")
	got := s.reaches("BestEffort", "one", "ERROR")
	if issues := fmt.Sprint(got.At("status.fleet.issues")); !strings.Contains(issues, "spec.schema.status.divided") || !strings.Contains(issues, "division by zero") {
		t.Errorf("status.fleet.issues are %s", issues)
	}
	s.shows("BestEffort", "one", "divided", nil)
	s.shows("BestEffort", "one", "known", "x")
	s.edit("a", "data: {later: again}")
	s.shows("BestEffort", "one", "awaited", "again")
	s.create("BestEffort", "one", "{by: 2}")
	s.reaches("BestEffort", "one", "ACTIVE")
	s.shows("BestEffort", "one", "divided", int64(7))
}

func TestRule41_StateIsNeverTheAuthorsAndTheStatusIsReplacedAsAWhole(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule41")
	defer s.end()
	s.active("Stated", `
schema:
  apiVersion: v1alpha1
  kind: Stated
  spec: {text: string | default=MINE}
  status: {state: "${a.data.text}", text: "${a.data.text}", more: "${a.data.more}"}
resources:
- id: a
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {text: "${schema.spec.text}"}}`)
	s.create("Stated", "one", "{}")
	s.reaches("Stated", "one", "ACTIVE")
	s.shows("Stated", "one", "text", "MINE")
	s.cluster.Patch(t, s.defined["Stated"]+"/status", s.ns+"/one", "status: {state: THEIRS, text: theirs, more: theirs}")
	s.create("Stated", "one", "{text: NEW}")
	s.reaches("Stated", "one", "ACTIVE")
	s.shows("Stated", "one", "text", "NEW")
	s.shows("Stated", "one", "more", nil)
}

func TestRule42_TheStateSaysHowAnInstanceStands(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule42")
	defer s.end()
	s.active("Living", `
schema: {apiVersion: v1alpha1, kind: Living, spec: {by: integer | default=1, with: boolean | default=false}}
resources:
- id: gate
  readyWhen: ["${gate.data.?open.orValue('') == 'yes'}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: gate}}
- id: divided
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: divided}, data: {text: "${string(12 / schema.spec.by)}"}}
- id: left
  includeWhen: ["${schema.spec.with}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: left}}`)
	ready := func(instance *probe.Object, want string) {
		t.Helper()
		if got := instance.Condition("Ready").Status; got != want {
			t.Errorf("Ready is %s in state %s", got, instance.Text("status.state"))
		}
	}
	s.create("Living", "one", "{}")
	ready(s.stands("Living", "one", "IN_PROGRESS", "gate waits for gate to be ready"), "False")
	s.edit("gate", "data: {open: \"yes\"}")
	ready(s.reaches("Living", "one", "ACTIVE"), "True")
	s.create("Living", "one", "{by: 0}")
	ready(s.stands("Living", "one", "ERROR", "divided: "), "False")
	s.edit("gate", "data: {open: \"no\"}")
	s.node("Living", "one", "gate", "Progressing", "gate to be ready")
	ready(s.stands("Living", "one", "ERROR", "divided: "), "False")
	s.create("Living", "one", "{by: 1}")
	ready(s.stands("Living", "one", "IN_PROGRESS", "gate waits for"), "False")

	s.edit("gate", "metadata: {finalizers: [example.com/hold]}")
	s.cluster.Delete(t, s.defined["Living"], s.ns+"/one")
	probe.Eventually(t, "the instance to be DELETING", func() error {
		got := s.instance("Living", "one")
		if resources := got.Condition("ResourcesReady"); got.Text("status.state") != "DELETING" || resources.Status != "Unknown" || resources.Reason != "UnderDeletion" {
			return fmt.Errorf("its status is %v", got.At("status"))
		}
		return nil
	})
	s.edit("gate", "metadata: {finalizers: null}")
	s.goes(s.defined["Living"], "one")
	for _, name := range []string{"gate", "divided"} {
		if s.get("configmaps", name) != nil {
			t.Errorf("%s is left", name)
		}
	}
}
