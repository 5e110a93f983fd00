//go:build integration

package lifecycle

import (
	"testing"
)

func TestRule38_AnExternalReferenceByNameIsWaitedForAndOnlyRead(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule38")
	defer s.end()
	s.active("Reading", `
schema:
  apiVersion: v1alpha1
  kind: Reading
  spec: {name: string | default=shared}
  status: {text: "${shared.data.text}"}
resources:
- id: shared
  externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.name}"}}
- id: copied
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: copied}, data: {text: "${shared.data.text}"}}
- id: free
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: free}}`)
	seen := s.cluster.Record(t, s.ns, "configmaps")
	s.create("Reading", "one", "{}")
	s.appears("configmaps", "free")
	s.stands("Reading", "one", "IN_PROGRESS", "shared")
	s.node("Reading", "one", "shared", "Progressing", "shared to exist")
	s.node("Reading", "one", "copied", "Held", "shared to be ready")

	shared := s.give(s.ns, "shared", "{}", "{text: here}")
	if got := s.reaches("Reading", "one", "ACTIVE"); got.Text("status.text") != "here" {
		t.Errorf("status.text is %q", got.Text("status.text"))
	}
	s.comesAfter(seen, shared.Version(), "ADDED", "copied")
	s.unwritten(shared)
	shared = s.edit("shared", "data: {text: there}")
	s.holds("copied", "text", "there")

	other := s.give(s.ns, "other", "{}", "{text: elsewhere}")
	s.create("Reading", "one", "{name: other}")
	s.reaches("Reading", "one", "ACTIVE")
	s.holds("copied", "text", "elsewhere")
	s.removes("Reading", "one")
	s.unwritten(shared)
	s.unwritten(other)
}

func TestRule38_WhatASelectorFindsIsFollowedAndOnlyRead(t *testing.T) {
	t.Parallel()
	s, beyond := begin(t, "rule38-selector"), begin(t, "rule38-beyond")
	defer beyond.end()
	defer s.end()
	s.active("Selecting", `
schema:
  apiVersion: v1alpha1
  kind: Selecting
  status: {found: "${found.map(f, f.metadata.namespace + '/' + f.metadata.name)}"}
resources:
- id: found
  externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {selector: {matchLabels: {pick: rule38}}}}
- id: sum
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: sum}, data: {text: "${found.map(f, f.data.text).join('+')}"}}`)
	s.create("Selecting", "one", "{}")
	s.reaches("Selecting", "one", "ACTIVE")
	s.shows("Selecting", "one", "found", []any{})
	s.holds("sum", "text", "")

	near := s.give(s.ns, "near", "{pick: rule38}", "{text: a}")
	s.give(beyond.ns, "far", "{pick: rule38}", "{text: b}")
	s.give(s.ns, "unpicked", "{}", "{text: c}")
	s.holds("sum", "text", "b+a")
	s.shows("Selecting", "one", "found", []any{"rule38-beyond/far", "rule38-selector/near"})
	s.cluster.Delete(t, "configmaps", beyond.ns+"/far")
	s.holds("sum", "text", "a")
	s.removes("Selecting", "one")
	s.unwritten(near)
}

func TestRule38_AnExternalReferenceNamesOrSelectsAndIsNotRepeated(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule38-refused")
	defer s.end()
	s.refusesEach("Referring", "schema: {apiVersion: v1alpha1, kind: Referring}",
		mistake{"repeated", `
resources:
- id: a
  forEach: [{word: "${['a']}"}]
  externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${word}"}}`, "forEach"},
		mistake{"by name and by selector", `
resources:
- id: a
  externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {name: a, selector: {matchLabels: {a: b}}}}`, "spec.resources[0].externalRef.metadata"},
		mistake{"by neither", `
resources:
- id: a
  externalRef: {apiVersion: v1, kind: ConfigMap, metadata: {namespace: a}}`, "spec.resources[0].externalRef.metadata"},
	)
}
