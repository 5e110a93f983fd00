//go:build integration

package regions

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

// What people see of an instance is what is so on its clusters: its own values there,
// what its works hold, who changed what, what happened, and all of it as a tree.
func TestPeopleSeeAnInstanceAsItIsOnItsClusters(t *testing.T) {
	t.Parallel()
	s := begin(t, "looked-at")
	defer s.end()
	const kind = "Looked"
	s.define(kind, valued)
	s.distribute("shop", kind, "placement: {clusterSelector: {matchLabels: {tier: gold}}}\npolicies: [{drift: Report}]\noverrides: ["+fmt.Sprintf(east, "east")+"]")
	s.create(kind, "one", "", "note: base")
	s.ready(kind, "one", euWest1, usEast1, apSouth1)
	admin := s.stack.Fleet.Hub().Kubeconfig()
	see := func(into any, args ...string) {
		s.Helper()
		c := s.kronvoy(admin, append(args, "-n", s.ns, "-o", "json")...)
		c.want(s, 0)
		c.decode(s, into)
	}
	hidden := s.spokes[usEast1].Patch(s, "configmaps", s.ns+"/one", `{data: {note: mine}}`)
	s.target(kind, usEast1, "known to differ", func(t *probe.Object) bool { return t.Int("status.drift.objects") == 1 })

	var values []struct {
		Cluster string
		Values  []struct {
			From, Path string
			Value      any
		}
	}
	see(&values, "values", "looked/one", "--cluster", usEast1)
	if len(values) != 1 || values[0].Cluster != usEast1 {
		s.Fatalf("it has values of %+v", values)
	}
	found := map[string]any{}
	for _, v := range values[0].Values {
		found[v.From+" "+v.Path] = v.Value
	}
	for what, want := range map[string]any{"Status status.where": usEast1, "Status status.size": 1.0, "Override spec.text": "east"} {
		if found[what] != want {
			s.Errorf("%s is %v, not %v: %v", what, found[what], want, found)
		}
	}

	var works []struct {
		Cluster, Instance, Applied string
		Manifests                  []struct{ Object, Applied string }
	}
	see(&works, "get", "works")
	on := map[string]bool{}
	for _, w := range works {
		if !strings.Contains(w.Instance, "one") {
			continue // the namespace's own
		}
		on[w.Cluster] = true
		if w.Applied != "Applied" || len(w.Manifests) != 1 || w.Manifests[0].Object != "ConfigMap "+s.ns+"/one" || w.Manifests[0].Applied != "Applied" {
			s.Errorf("a work is %+v", w)
		}
	}
	if len(on) != 3 || !on[euWest1] || !on[usEast1] || !on[apSouth1] {
		s.Errorf("it has works on %v", on)
	}

	var drift struct {
		Findings []struct {
			Cluster, Kind, Name string
			Open                bool
			Details             []struct{ Path string }
		}
	}
	see(&drift, "get", "drift")
	if f := drift.Findings; len(f) != 1 || f[0].Cluster != usEast1 || f[0].Kind != "ConfigMap" || f[0].Name != hidden.GetName() || !f[0].Open || len(f[0].Details) != 1 || f[0].Details[0].Path != "data.note" {
		s.Errorf("the drift is %+v", drift)
	}
	s.kronvoy(admin, "get", "drift", "-n", s.ns, "--exit-code").want(s, 2, usEast1)

	probe.Eventually(s, "events about the instance and its drift", func() error {
		var events []struct{ Type, Reason, Object, Message string }
		see(&events, "events", "looked/one")
		for _, e := range events {
			if strings.Contains(e.Reason+e.Message, "rift") && strings.Contains(e.Message, usEast1) {
				return nil
			}
		}
		return fmt.Errorf("they are %+v", events)
	})

	var tree struct {
		Name     string
		Total    int
		Clusters []struct {
			Name, State, Revision, Wanted string
			Drift                         int
			Nodes                         []struct {
				ID, State string
				Objects   []struct {
					Kind, Name, State string
					Drift             int
					ChangedBy         []string
				}
			}
		}
	}
	see(&tree, "tree", "looked/one", "--all")
	if tree.Name != "one" || tree.Total != 3 || len(tree.Clusters) != 3 {
		s.Fatalf("the tree is %+v", tree)
	}
	for _, c := range tree.Clusters {
		drifted := 0
		if c.Name == usEast1 {
			drifted = 1
		}
		if c.State != "Ready" || c.Revision != tree.Clusters[0].Revision || c.Drift != drifted || len(c.Nodes) != 1 || c.Nodes[0].ID != "settings" || len(c.Nodes[0].Objects) != 1 {
			s.Errorf("a cluster is %+v", c)
			continue
		}
		if o := c.Nodes[0].Objects[0]; o.Kind != "ConfigMap" || o.Name != "one" || o.Drift != drifted || len(o.ChangedBy) != drifted {
			s.Errorf("on %s the object is %+v", c.Name, o)
		}
	}
}
