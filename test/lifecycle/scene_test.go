//go:build integration

package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

// scene is one test's own part of the world: a namespace, and the definitions
// it made.
type scene struct {
	*testing.T
	*world
	ns      string
	defined map[string]string // kind to resource
}

// begin makes a namespace; the caller defers end.
func begin(t *testing.T, namespace string) *scene {
	t.Helper()
	s := &scene{T: t, world: shared.Get(t), ns: namespace, defined: map[string]string{}}
	s.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: " + namespace + "}")
	return s
}

// apply applies YAML.
func (s *scene) apply(text string) {
	s.Helper()
	s.cluster.Apply(s, text)
}

// define applies a definition, given as the YAML of its spec, and waits until
// it is active or refused, as state says. kind names its kind, and, in small
// letters, the definition.
func (s *scene) define(kind, state, spec string) *probe.Object {
	s.Helper()
	name := strings.ToLower(kind)
	s.apply(fmt.Sprintf("apiVersion: kro.run/v1alpha1\nkind: ResourceGraphDefinition\nmetadata: {name: %s}\nspec:\n  %s", name,
		strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ")))
	s.defined[kind] = ""
	var rgd *probe.Object
	probe.Eventually(s, "definition "+name+" to be "+state, func() error {
		rgd = s.cluster.Get(s, "resourcegraphdefinitions.kro.run", name)
		accepted := rgd.Condition("GraphAccepted")
		if rgd.Text("status.state") != state || accepted.ObservedGeneration != rgd.GetGeneration() {
			return fmt.Errorf("its status is %v", rgd.At("status"))
		}
		return nil
	})
	for _, crd := range s.cluster.List(s, "customresourcedefinitions.apiextensions.k8s.io", "") {
		if crd.Text("spec.names.kind") == kind {
			s.defined[kind] = crd.GetName()
		}
	}
	return rgd
}

// active is define for a definition that is to be accepted.
func (s *scene) active(kind, spec string) {
	s.Helper()
	s.define(kind, "Active", spec)
}

// refused is define for one that is not; it returns the reason.
func (s *scene) refused(kind, spec string) string {
	s.Helper()
	return s.define(kind, "Inactive", spec).Condition("GraphAccepted").Message
}

// create applies an instance, given as the YAML of its spec.
func (s *scene) create(kind, name, spec string) {
	s.Helper()
	s.apply(fmt.Sprintf("apiVersion: kro.run/v1alpha1\nkind: %s\nmetadata: {name: %s, namespace: %s}\nspec: %s", kind, name, s.ns, spec))
}

func (s *scene) instance(kind, name string) *probe.Object {
	s.Helper()
	return s.cluster.Get(s, s.defined[kind], s.ns+"/"+name)
}

// reaches waits until an instance has a state, as its spec is now, and returns
// it.
func (s *scene) reaches(kind, name, state string) *probe.Object {
	s.Helper()
	var instance *probe.Object
	probe.Eventually(s, kind+" "+name+" to be "+state, func() error {
		instance = s.instance(kind, name)
		if instance.Text("status.state") != state || instance.Condition("Ready").ObservedGeneration != instance.GetGeneration() {
			return fmt.Errorf("its status is %v", instance.At("status"))
		}
		return nil
	})
	return instance
}

// get reads an object of the scene's namespace; nil if there is none.
func (s *scene) get(resource, name string) *probe.Object {
	s.Helper()
	return s.cluster.Get(s, resource, s.ns+"/"+name)
}

// appears waits for an object of the scene's namespace.
func (s *scene) appears(resource, name string) *probe.Object {
	s.Helper()
	var obj *probe.Object
	probe.Eventually(s, resource+" "+name+" to appear", func() error {
		if obj = s.get(resource, name); obj == nil {
			return fmt.Errorf("it is not there")
		}
		return nil
	})
	return obj
}

// goes waits until an object of the scene's namespace is gone.
func (s *scene) goes(resource, name string) {
	s.Helper()
	probe.Eventually(s, resource+" "+name+" to go", func() error {
		if s.get(resource, name) != nil {
			return fmt.Errorf("it is there")
		}
		return nil
	})
}

// end deletes instances and definitions; nothing may be left of them. A failed
// test shows the hub's log instead.
func (s *scene) end() {
	if s.Failed() {
		s.Logf("the hub's log ends with:\n%s", probe.Tail(s.stack.Hub.Log(), 30))
		return
	}
	for _, resource := range s.defined {
		for _, instance := range s.instances(resource) {
			s.cluster.Delete(s, resource, strings.TrimPrefix(instance.GetNamespace()+"/"+instance.GetName(), "/"))
		}
	}
	for kind, resource := range s.defined {
		// A definition that has to wait for them looks only now and then.
		probe.Eventually(s, "the instances of "+kind+" to be gone", func() error {
			if left := s.instances(resource); len(left) > 0 {
				return fmt.Errorf("%s is there: %v", left[0].GetName(), left[0].At("status"))
			}
			return nil
		})
		s.cluster.Delete(s, "resourcegraphdefinitions.kro.run", strings.ToLower(kind))
	}
	probe.Eventually(s, "everything of "+s.ns+" to be gone", func() error {
		for kind := range s.defined {
			if rgd := s.cluster.Get(s, "resourcegraphdefinitions.kro.run", strings.ToLower(kind)); rgd != nil {
				return fmt.Errorf("definition %s is there: %v", kind, rgd.At("status"))
			}
		}
		works := s.cluster.List(s, "manifestworks.work.open-cluster-management.io", "local-cluster")
		if i := slices.IndexFunc(works, s.mine); i >= 0 {
			return fmt.Errorf("work %s is there", works[i].GetName())
		}
		return nil
	})
	s.cluster.Delete(s, "namespaces", s.ns)
}

// instances of a kind, everywhere; none where no kind was made.
func (s *scene) instances(resource string) []*probe.Object {
	s.Helper()
	if resource == "" {
		return nil
	}
	return s.cluster.List(s, resource, "")
}

// mine tells works of the scene's instances from others.
func (s *scene) mine(work *probe.Object) bool {
	return strings.Contains(work.GetAnnotations()["kronvoy.io/instance"], "/"+s.ns+"/")
}
