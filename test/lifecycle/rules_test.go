//go:build integration

package lifecycle

import (
	"fmt"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/probe"
)

// Tests named after rules run side by side: each has a namespace and kinds of
// its own. A gate in them is a ConfigMap that is ready once somebody has written
// open: "yes" into it.

// stands waits until an instance has a state, as its spec is now, and ResourcesReady
// says all parts.
func (s *scene) stands(kind, name, state string, parts ...string) *probe.Object {
	s.Helper()
	var instance *probe.Object
	probe.Eventually(s, fmt.Sprintf("%s %s to be %s and to say %q", kind, name, state, parts), func() error {
		instance = s.instance(kind, name)
		resources := instance.Condition("ResourcesReady")
		if instance.Text("status.state") != state || resources.ObservedGeneration != instance.GetGeneration() {
			return fmt.Errorf("its status is %v", instance.At("status"))
		}
		for _, part := range parts {
			if !strings.Contains(resources.Message, part) {
				return fmt.Errorf("it says %q", resources.Message)
			}
		}
		return nil
	})
	return instance
}

// node waits until a resource of an instance that is not ready stands as said:
// its state, and what it waits for or what is wrong.
func (s *scene) node(kind, name, id, state, why string) {
	s.Helper()
	probe.Eventually(s, fmt.Sprintf("%s of %s %s to be %s: %s", id, kind, name, state, why), func() error {
		instance := s.instance(kind, name)
		for _, row := range instance.List("status.fleet.clusters") {
			for _, node := range row.List("nodes") {
				if node.Text("id") == id && node.Text("state") == state &&
					strings.Contains(fmt.Sprint(node.At("waitsFor"), node.Text("message")), why) {
					return nil
				}
			}
		}
		return fmt.Errorf("its status is %v", instance.At("status"))
	})
}

// edit merges YAML into a ConfigMap of the scene, as somebody at a keyboard.
func (s *scene) edit(name, text string) *probe.Object {
	s.Helper()
	return s.cluster.Patch(s, "configmaps", s.ns+"/"+name, text)
}

// holds waits until a ConfigMap of the scene has a text under a key of its data.
func (s *scene) holds(name, key, want string) *probe.Object {
	s.Helper()
	var obj *probe.Object
	probe.Eventually(s, fmt.Sprintf("%s of ConfigMap %s to be %q", key, name, want), func() error {
		obj = s.get("configmaps", name)
		if got, there := obj.At("data", key).(string); !there || got != want {
			return fmt.Errorf("it is %v", obj.At("data"))
		}
		return nil
	})
	return obj
}

// comesAfter holds that the first event of a type about an object came after a
// version.
func (s *scene) comesAfter(seen *probe.Recording, version int64, eventType, name string) {
	s.Helper()
	if event := seen.Await(s, eventType, name); event.Version() <= version {
		s.Errorf("%s at %d, before %d: %s", event, event.Version(), version, seen.Summary(s))
	}
}

// unwritten holds that an object is as it was, to the version.
func (s *scene) unwritten(before *probe.Object) {
	s.Helper()
	after := s.get("configmaps", before.GetName())
	if after == nil || after.GetResourceVersion() != before.GetResourceVersion() {
		s.Errorf("ConfigMap %s was %v, is %v", before.GetName(), before, after)
	}
}

// removes deletes an instance and waits until it is gone.
func (s *scene) removes(kind, name string) {
	s.Helper()
	s.cluster.Delete(s, s.defined[kind], s.ns+"/"+name)
	s.goes(s.defined[kind], name)
}

// mistake is a definition's resources, or what else follows its schema, and a
// part of the message that refuses it.
type mistake struct{ what, yaml, message string }

// refusesEach holds that each of the mistakes is refused, beside a schema.
func (s *scene) refusesEach(kind, schema string, mistakes ...mistake) {
	s.Helper()
	for _, m := range mistakes {
		if got := s.refused(kind, schema+"\n"+m.yaml); !strings.Contains(got, m.message) {
			s.Errorf("%s: the message is %q, want %q in it", m.what, got, m.message)
		}
	}
}

// give makes a ConfigMap in a namespace, as its author.
func (s *scene) give(namespace, name, labels, data string) *probe.Object {
	s.Helper()
	s.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: " + namespace + ", labels: " + labels + "}\ndata: " + data)
	return s.cluster.Get(s, "configmaps", namespace+"/"+name)
}

// shows waits until a field of an instance's status has a value; nil for none.
func (s *scene) shows(kind, name, field string, want any) {
	s.Helper()
	probe.Eventually(s, fmt.Sprintf("status.%s of %s %s to be %v", field, kind, name, want), func() error {
		instance := s.instance(kind, name)
		if diff := cmp.Diff(want, instance.At("status."+field)); diff != "" {
			return fmt.Errorf("(-want +got):\n%s\nits status is %v", diff, instance.At("status"))
		}
		return nil
	})
}
