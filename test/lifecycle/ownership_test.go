//go:build integration

package lifecycle

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

const owning = `
schema: {apiVersion: v1alpha1, kind: KIND, spec: {words: "[]string"}}
resources:
- id: single
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: single}, data: {text: ours}}
- id: several
  forEach: [{word: "${schema.spec.words}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "item-${word}"}, data: {text: ours}}`

// labelled finds fault with an object that is not an instance's.
func labelled(obj *probe.Object, instance string) error {
	if obj == nil || obj.GetLabels()["kro.run/instance-name"] != instance {
		return fmt.Errorf("it is %v", obj)
	}
	return nil
}

// kro takes any object that is in no other ApplySet.
func TestRule43_AnObjectThatExistsIsTakenOverOnlyIfItIsAsWanted(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule43")
	defer s.end()
	s.active("Taking", strings.Replace(owning, "KIND", "Taking", 1))
	equal := s.give(s.ns, "single", "{team: blue}", "{text: ours}")
	different := s.give(s.ns, "item-a", "{team: red}", "{text: theirs}")
	s.create("Taking", "one", "{words: [a, b]}")
	s.stands("Taking", "one", "ERROR", "several: ", "item-a", "data.text", "takeover policy IfNoDiff")
	s.appears("configmaps", "item-b")
	s.unwritten(different)
	probe.Eventually(t, "the object that is as wanted to be taken", func() error {
		return labelled(s.get("configmaps", "single"), "one")
	})
	if taken := s.get("configmaps", "single"); taken.GetUID() != equal.GetUID() || taken.GetLabels()["team"] != "blue" {
		t.Errorf("it was %v, is %v", equal, taken)
	}

	s.edit("item-a", "data: {text: ours}")
	s.reaches("Taking", "one", "ACTIVE")
	if taken := s.get("configmaps", "item-a"); taken.GetUID() != different.GetUID() {
		t.Error("the object was replaced")
	}
	s.removes("Taking", "one")
	for _, name := range []string{"single", "item-a", "item-b"} {
		if s.get("configmaps", name) != nil {
			t.Errorf("%s is left", name)
		}
	}
}

func TestRule43_AnObjectThatAnotherToolManagesIsLeftToIt(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule43-tools")
	defer s.end()
	s.active("Yielding", strings.Replace(owning, "KIND", "Yielding", 1))
	theirs := s.give(s.ns, "single", "{app.kubernetes.io/managed-by: Helm}", "{text: ours}")
	s.create("Yielding", "one", "{words: []}")
	s.stands("Yielding", "one", "ERROR", "single: ", "app.kubernetes.io/managed-by", "Helm")
	s.unwritten(theirs)
	s.cluster.Delete(t, "configmaps", s.ns+"/single")
	s.reaches("Yielding", "one", "ACTIVE")
}

// kro sees the objects of others in a collection only by its own label, and
// takes them.
func TestRule43_AnObjectOfAnotherInstanceIsAConflictUntilItIsFree(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule43-others")
	defer s.end()
	s.active("Sharing", strings.Replace(owning, "KIND", "Sharing", 1))
	s.create("Sharing", "first", "{words: [a]}")
	s.reaches("Sharing", "first", "ACTIVE")
	single, item := s.get("configmaps", "single"), s.get("configmaps", "item-a")
	s.create("Sharing", "second", "{words: [a, b]}")
	got := s.stands("Sharing", "second", "ERROR", "single: ")
	s.node("Sharing", "second", "single", "Failed", "single")
	s.node("Sharing", "second", "several", "Failed", "item-a")
	s.unwritten(single)
	s.unwritten(item)
	s.stands("Sharing", "first", "ACTIVE")
	if got.Condition("Ready").Status != "False" {
		t.Errorf("Ready is %v", got.Condition("Ready"))
	}
	s.removes("Sharing", "first")
	s.reaches("Sharing", "second", "ACTIVE")
	if err := labelled(s.get("configmaps", "single"), "second"); err != nil {
		t.Error(err)
	}
}

func TestRule44_TwoResourcesThatRenderOneObjectFailAndNameEachOther(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule44")
	defer s.end()
	s.active("Rivals", `
schema: {apiVersion: v1alpha1, kind: Rivals, spec: {left: string | default=one, right: string | default=two}}
resources:
- id: left
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.left}"}, data: {text: left}}
- id: right
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.spec.right}"}, data: {text: right}}
- id: beside
  template: {apiVersion: v1, kind: Secret, metadata: {name: "${schema.spec.left}"}}`)
	s.create("Rivals", "rivals", "{left: same, right: same}")
	s.stands("Rivals", "rivals", "ERROR", "is rendered by more than one resource: left, right")
	s.appears("secrets", "same")
	if s.get("configmaps", "same") != nil {
		t.Error("it was made, by one of the two")
	}
	s.create("Rivals", "rivals", "{}")
	s.reaches("Rivals", "rivals", "ACTIVE")
	s.holds("one", "text", "left")
	before := s.holds("two", "text", "right")
	s.create("Rivals", "rivals", "{right: one}")
	s.stands("Rivals", "rivals", "ERROR", "left, right")
	s.unwritten(before)
	s.create("Rivals", "rivals", "{left: two, right: one}")
	s.reaches("Rivals", "rivals", "ACTIVE")
	s.holds("one", "text", "right")
	s.holds("two", "text", "left")
}

// kro names an ApplySet after an instance's name, namespace, kind and group.
func TestRule46_InstancesOfOneNameAndTwoKindsHaveAnInventoryEach(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule46")
	defer s.end()
	for _, kind := range []string{"Apple", "Pear"} {
		s.active(kind, `
schema: {apiVersion: v1alpha1, kind: `+kind+`}
resources:
- id: a
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "`+strings.ToLower(kind)+`-${schema.metadata.name}"}}`)
		s.create(kind, "same", "{}")
		s.reaches(kind, "same", "ACTIVE")
	}
	apple, pear := s.get("configmaps", "apple-same"), s.get("configmaps", "pear-same")
	owners := map[string]bool{}
	for _, child := range []*probe.Object{apple, pear} {
		refs := child.GetOwnerReferences()
		if len(refs) != 1 || refs[0].Kind != "AppliedManifestWork" {
			t.Fatalf("the owners of %s are %v", child.GetName(), refs)
		}
		owners[string(refs[0].UID)] = true
		for key := range child.GetLabels() {
			if strings.HasPrefix(key, "applyset.kubernetes.io/") {
				t.Errorf("%s carries %s", child.GetName(), key)
			}
		}
	}
	if len(owners) != 2 {
		t.Error("both are in one inventory")
	}
	s.removes("Apple", "same")
	s.goes("configmaps", "apple-same")
	s.unwritten(pear)
}

func TestRule47_WhatAUserWritesIsNeverEvaluated(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule47")
	defer s.end()
	s.active("Quoted", `
schema:
  apiVersion: v1alpha1
  kind: Quoted
  spec: {text: string, words: "[]string", labels: "map[string]string"}
  status: {text: "${a.data.text}"}
resources:
- id: a
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {text: "${schema.spec.text}", within: "<${schema.spec.text}>"}}
- id: b
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {text: "${a.data.text}", joined: "${schema.spec.words.join(' ')}"}}
- id: c
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: "${schema.spec.labels}"}`)
	const text = "${schema.metadata.name} ${1 / 0} ${"
	s.create("Quoted", "one", "{text: '"+text+"', words: ['${a.data.text}', '}'], labels: {key: '"+text+"'}}")
	s.reaches("Quoted", "one", "ACTIVE")
	s.holds("a", "text", text)
	s.holds("a", "within", "<"+text+">")
	s.holds("b", "text", text)
	s.holds("b", "joined", "${a.data.text} }")
	s.holds("c", "key", text)
	s.shows("Quoted", "one", "text", text)
	if reason := s.refused("Unquoted", `
schema: {apiVersion: v1alpha1, kind: Unquoted}
resources:
- id: a
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {text: "`+text+`"}}`); !strings.Contains(reason, "spec.resources[0].template.data.text") {
		t.Errorf("what an author writes is evaluated; the message is %q", reason)
	}
}
