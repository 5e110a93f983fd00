//go:build integration

package lifecycle

import (
	"testing"
)

func TestRule31_WhatWaitsForDataNamesItHoldsNothingElseUpAndPrunesNothing(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule31")
	defer s.end()
	s.active("Patient", `
schema: {apiVersion: v1alpha1, kind: Patient, spec: {text: string | default=one, extra: boolean | default=true}}
resources:
- id: source
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: source}, data: {for: us}}
- id: reader
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: reader}, data: {text: "${source.data.address}"}}
- id: beside
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: beside}, data: {text: "${schema.spec.text}"}}
- id: extra
  includeWhen: ["${schema.spec.extra}"]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: extra}}`)
	seen := s.cluster.Record(t, s.ns, "configmaps")
	s.create("Patient", "one", "{}")
	s.stands("Patient", "one", "IN_PROGRESS", "reader waits for source.data.address")
	s.node("Patient", "one", "reader", "Pending", "source.data.address")
	s.appears("configmaps", "beside")
	s.appears("configmaps", "extra")
	known := s.edit("source", "data: {address: here}")
	s.reaches("Patient", "one", "ACTIVE")
	s.comesAfter(seen, known.Version(), "ADDED", "reader")
	before := s.holds("reader", "text", "here")

	s.edit("source", "data: {address: null}")
	s.node("Patient", "one", "reader", "Pending", "source.data.address")
	s.create("Patient", "one", "{text: two, extra: false}")
	s.holds("beside", "text", "two")
	s.stands("Patient", "one", "IN_PROGRESS", "reader waits for source.data.address")
	s.unwritten(before)
	again := s.edit("source", "data: {address: there}")
	s.reaches("Patient", "one", "ACTIVE")
	s.holds("reader", "text", "there")
	s.comesAfter(seen, again.Version(), "DELETED", "extra")
}

// kro waits for ever.
func TestRule31_AMissingInputIsANamedErrorAndHoldsNothingElseUp(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule31-input")
	defer s.end()
	s.active("Unfilled", `
schema: {apiVersion: v1alpha1, kind: Unfilled, spec: {host: string}}
resources:
- id: strict
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: strict}, data: {host: "${schema.spec.host}"}}
- id: lenient
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: lenient}, data: {host: "${schema.spec.?host.orValue('none')}"}}`)
	s.create("Unfilled", "one", "{}")
	s.stands("Unfilled", "one", "ERROR", "strict: ", "input missing: schema.spec.host")
	s.node("Unfilled", "one", "strict", "Failed", "input missing: schema.spec.host")
	s.holds("lenient", "host", "none")
	if s.get("configmaps", "strict") != nil {
		t.Error("it was made without its input")
	}
	s.create("Unfilled", "one", "{host: here}")
	s.reaches("Unfilled", "one", "ACTIVE")
	s.holds("strict", "host", "here")
}

func TestRule32_AnExpressionThatFailsIsAnErrorThatNamesItAndMends(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule32")
	defer s.end()
	s.active("Failing", `
schema: {apiVersion: v1alpha1, kind: Failing, spec: {by: integer | default=1}}
resources:
- id: source
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: source}, data: {by: "${string(schema.spec.by)}"}}
- id: divided
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: divided}, data: {text: "${string(12 / schema.spec.by)}"}}
- id: converted
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: converted}, data: {text: "${string(int(source.data.?number.orValue('1')))}"}}
- id: behind
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: behind}, data: {text: "${divided.data.text}"}}`)
	s.create("Failing", "one", "{by: 3}")
	s.reaches("Failing", "one", "ACTIVE")
	before := s.holds("divided", "text", "4")

	s.create("Failing", "one", "{by: 0}")
	s.stands("Failing", "one", "ERROR", "divided: ", "spec.resources[1].template.data.text", "division by zero")
	s.node("Failing", "one", "behind", "Held", "divided to be ready")
	s.holds("source", "by", "0")
	s.unwritten(before)
	s.create("Failing", "one", "{by: 6}")
	s.reaches("Failing", "one", "ACTIVE")
	s.holds("behind", "text", "2")

	s.edit("source", "data: {number: many}")
	s.stands("Failing", "one", "ERROR", "converted: ", "type conversion error")
	s.edit("source", "data: {number: \"7\"}")
	s.holds("converted", "text", "7")
	s.reaches("Failing", "one", "ACTIVE")
}

func TestRule33_ValuesFollowTheInstanceAndTheClusterWithoutAnyOfThemBeingKept(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule33")
	defer s.end()
	s.active("Following", `
schema:
  apiVersion: v1alpha1
  kind: Following
  spec: {text: string | default=one}
  status: {both: "${mixed.data.text}"}
resources:
- id: source
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: source}, data: {for: us}}
- id: mixed
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: mixed}, data: {text: "${schema.spec.text + source.data.?mark.orValue('')}"}}`)
	s.create("Following", "one", "{}")
	s.holds("mixed", "text", "one")
	s.edit("source", "data: {mark: \"!\"}")
	s.holds("mixed", "text", "one!")
	s.create("Following", "one", "{text: two}")
	s.holds("mixed", "text", "two!")
	s.edit("source", "data: {mark: null}")
	s.holds("mixed", "text", "two")
	s.reaches("Following", "one", "ACTIVE")
	s.shows("Following", "one", "both", "two")
}
