//go:build integration

package lifecycle

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

// kro stops everything meanwhile.
func TestRule45_AChildThatIsBeingDeletedIsNamedAndMadeAgain(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule45")
	defer s.end()
	s.active("Losing", `
schema: {apiVersion: v1alpha1, kind: Losing, spec: {text: string | default=one}}
resources:
- id: lost
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: lost}, data: {text: "${schema.spec.text}"}}
- id: behind
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: behind}, data: {text: "${lost.data.text}"}}
- id: beside
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: beside}, data: {text: "${schema.spec.text}"}}`)
	s.create("Losing", "one", "{}")
	s.reaches("Losing", "one", "ACTIVE")
	before := s.edit("lost", "metadata: {finalizers: [example.com/hold]}")
	s.cluster.Delete(t, "configmaps", s.ns+"/lost")
	got := s.stands("Losing", "one", "IN_PROGRESS", "ConfigMap rule45/lost is being deleted", "example.com/hold")
	if ready := got.Condition("ResourcesReady"); ready.Reason != "ResourceDeleting" {
		t.Errorf("ResourcesReady is %v", ready)
	}
	s.create("Losing", "one", "{text: two}")
	s.holds("beside", "text", "two")
	s.holds("behind", "text", "one")
	s.edit("lost", "metadata: {finalizers: null}")
	s.reaches("Losing", "one", "ACTIVE")
	s.holds("behind", "text", "two")
	if after := s.get("configmaps", "lost"); after.GetUID() == before.GetUID() {
		t.Error("it is the same object")
	}
}

// kro lets go of the definition at once, and its instances can never go.
func TestRule48_ADefinitionThatHasInstancesGoesLastAndTheKindStays(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule48")
	defer s.end()
	const definition = `
schema: {apiVersion: v1alpha1, kind: Parting, spec: {text: string | default=one}}
resources:
- id: a
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {text: "${schema.spec.text}"}}`
	s.active("Parting", definition)
	for _, name := range []string{"first", "second"} {
		s.create("Parting", name, "{}")
		s.reaches("Parting", name, "ACTIVE")
	}
	says := func(parts ...string) {
		t.Helper()
		probe.Eventually(t, "the definition to name its instances", func() error {
			rgd := s.cluster.Get(t, "resourcegraphdefinitions.kro.run", "parting")
			ready := rgd.Condition("Ready")
			if rgd == nil || ready.Status != "False" || ready.Reason != "InstancesExist" {
				return fmt.Errorf("it is %v", rgd)
			}
			for _, part := range parts {
				if !strings.Contains(ready.Message, part) {
					return fmt.Errorf("it says %q", ready.Message)
				}
			}
			return nil
		})
	}
	s.cluster.Delete(t, "resourcegraphdefinitions.kro.run", "parting")
	says("rule48/first", "rule48/second", "Delete them")
	s.create("Parting", "first", "{text: two}")
	s.holds("first", "text", "two")
	s.cluster.Delete(t, "configmaps", s.ns+"/second")
	s.holds("second", "text", "one")

	s.removes("Parting", "first")
	s.goes("configmaps", "first")
	if rgd := s.cluster.Get(t, "resourcegraphdefinitions.kro.run", "parting"); rgd == nil {
		t.Error("it has gone before its last instance")
	}
	s.removes("Parting", "second")
	s.goes("configmaps", "second")
	probe.Eventually(t, "the definition to go", func() error {
		if rgd := s.cluster.Get(t, "resourcegraphdefinitions.kro.run", "parting"); rgd != nil {
			return fmt.Errorf("its status is %v", rgd.At("status"))
		}
		return nil
	})
	crd := s.cluster.Get(t, "customresourcedefinitions.apiextensions.k8s.io", "partings.kro.run")
	if crd == nil || crd.GetDeletionTimestamp() != nil {
		t.Fatalf("the kind is %v", crd)
	}

	s.active("Parting", definition)
	s.create("Parting", "third", "{}")
	s.reaches("Parting", "third", "ACTIVE")
}

func TestRule48_ADefinitionWithoutInstancesGoesAtOnce(t *testing.T) {
	t.Parallel()
	s := begin(t, "rule48-none")
	defer s.end()
	s.active("Unused", "schema: {apiVersion: v1alpha1, kind: Unused}\nresources: []")
	s.cluster.Delete(t, "resourcegraphdefinitions.kro.run", "unused")
	probe.Eventually(t, "the definition to go", func() error {
		if rgd := s.cluster.Get(t, "resourcegraphdefinitions.kro.run", "unused"); rgd != nil {
			return fmt.Errorf("its status is %v", rgd.At("status"))
		}
		return nil
	})
}
