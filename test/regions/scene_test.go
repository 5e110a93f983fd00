//go:build integration

package regions

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
)

// Resources, as kubectl takes them.
const (
	managedClusters = "managedclusters.cluster.open-cluster-management.io"
	placements      = "placements.cluster.open-cluster-management.io"
	manifestWorks   = "manifestworks.work.open-cluster-management.io"
	definitions     = "resourcegraphdefinitions.kro.run"
	distributions   = "distributions.kronvoy.io"
	targets         = "targets.kronvoy.io"
)

// settings is a definition's spec with one object: a ConfigMap of the instance's
// name that says what it was given, and where it is.
const settings = `
schema:
  spec:
    text: string | default="one"
resources:
- id: settings
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}"}
    data: {text: "${schema.spec.text}", cluster: "${cluster.name}"}`

// scene is one test's own part of the world.
type scene struct {
	*testing.T
	*world
	ns    string
	kinds []string
	undo  []func()
	// waves are the clusters that it rolls over, region by region: all, or the gold
	// ones.
	waves [][]string
}

// begin makes a namespace for which agents use their own rights, and which may
// use all clusters; the caller defers end.
func begin(t *testing.T, namespace string) *scene {
	t.Helper()
	s := &scene{T: t, world: shared.Get(t), ns: namespace, waves: waves}
	s.hub.Apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s, annotations: {kronvoy.io/agent-identity: allowed}}
---
apiVersion: cluster.open-cluster-management.io/v1beta2
kind: ManagedClusterSetBinding
metadata: {name: global, namespace: %[1]s}
spec: {clusterSet: global}`, namespace))
	return s
}

// apply makes or changes an object of the scene's namespace on the hub. The text
// is all of it but the namespace.
func (s *scene) apply(text string) {
	s.Helper()
	s.hub.Apply(s, strings.Replace(text, "metadata: {", "metadata: {namespace: "+s.ns+", ", 1))
}

// define makes or changes the definition of a kind and waits until the hub has
// accepted it. The text is the definition's spec.
func (s *scene) define(kind, spec string) {
	s.Helper()
	if !slices.Contains(s.kinds, kind) {
		s.kinds = append(s.kinds, kind)
	}
	s.hub.Define(s, kind, spec)
	s.condition(definitions, strings.ToLower(kind), "Ready", "True", "")
}

// place makes or changes a Placement on the clusters with these labels. The text
// is a label selector, as in {matchLabels: {region: eu-west}}.
func (s *scene) place(name, labelSelector string) {
	s.Helper()
	s.apply(fmt.Sprintf(`
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: %s}
spec:
  clusterSets: [global]
  predicates: [{requiredClusterSelector: {labelSelector: %s}}]`, name, labelSelector))
}

// distribute makes or changes a Distribution for all instances of a kind. The
// text is the rest of its spec.
func (s *scene) distribute(name, kind, spec string) {
	s.Helper()
	s.apply(fmt.Sprintf(`
apiVersion: kronvoy.io/v1alpha1
kind: Distribution
metadata: {name: %s}
spec:
  instances: {apiVersion: kro.run/v1alpha1, kind: %s}
%s`, name, kind, probe.Indent(spec, 2)))
}

// create makes or changes an instance, without the label of a placement where
// placement is empty. The text is its spec.
func (s *scene) create(kind, name, placement, spec string) {
	s.Helper()
	labels := "{}"
	if placement != "" {
		labels = "{kronvoy.io/placement: " + placement + "}"
	}
	if spec == "" {
		spec = "{}"
	}
	s.apply(fmt.Sprintf(`
apiVersion: kro.run/v1alpha1
kind: %s
metadata: {name: %s, labels: %s}
spec:
%s`, kind, name, labels, probe.Indent(spec, 2)))
}

func (s *scene) instance(kind, name string) *probe.Object {
	s.Helper()
	return s.hub.Get(s, probe.Resource(kind), s.ns+"/"+name)
}

// ready waits until an instance is ready as its spec is now, on these clusters
// and no others, and returns it.
func (s *scene) ready(kind, name string, clusters ...string) *probe.Object {
	s.Helper()
	slices.Sort(clusters)
	var instance *probe.Object
	probe.Eventually(s, fmt.Sprintf("%s %s to be ready on %v", kind, name, clusters), func() error {
		instance = s.instance(kind, name)
		ready := instance.Condition("Ready")
		if ready.Status != "True" || ready.ObservedGeneration != instance.GetGeneration() || instance.Int("status.fleet.ready") != int64(len(clusters)) {
			return fmt.Errorf("its status is %v", instance.At("status"))
		}
		if got := slices.Sorted(maps.Keys(s.targets(kind, name))); !slices.Equal(got, clusters) {
			return fmt.Errorf("it is on %v", got)
		}
		return nil
	})
	return instance
}

// condition waits until an object on the hub, of the scene's namespace or of
// none, has a condition that speaks of its spec as it is now, and returns it. An
// empty reason is any.
func (s *scene) condition(resource, name, kind, status, reason string) probe.Condition {
	s.Helper()
	var condition probe.Condition
	if resource != definitions && resource != managedClusters {
		name = s.ns + "/" + name
	}
	probe.Eventually(s, fmt.Sprintf("%s of %s %s to be %s %s", kind, resource, name, status, reason), func() error {
		obj := s.hub.Get(s, resource, name)
		condition = obj.Condition(kind)
		if condition.Status != status || reason != "" && condition.Reason != reason ||
			condition.ObservedGeneration != 0 && condition.ObservedGeneration != obj.GetGeneration() {
			return fmt.Errorf("its status is %v", obj.At("status"))
		}
		return nil
	})
	return condition
}

// targets are the hub's records of an instance, by cluster.
func (s *scene) targets(kind, name string) map[string]*probe.Object {
	s.Helper()
	found := map[string]*probe.Object{}
	for _, t := range s.hub.List(s, targets, "") {
		if t.Text("spec.instance.namespace") == s.ns && t.Text("spec.instance.kind") == kind && t.Text("spec.instance.name") == name {
			found[t.GetNamespace()] = t
		}
	}
	return found
}

// works are an instance's ManifestWorks on a cluster.
func (s *scene) works(cluster, kind, name string) []*probe.Object {
	s.Helper()
	return s.hub.Works(s, cluster, kind, s.ns, name)
}

// on reads an object of the scene's namespace on a spoke; nil if it is absent.
func (s *scene) on(cluster, resource, name string) *probe.Object {
	s.Helper()
	return s.spokes[cluster].Get(s, resource, s.ns+"/"+name)
}

// goes waits until an object of the scene's namespace is not on a spoke.
func (s *scene) goes(cluster, resource, name string) {
	s.Helper()
	s.spokes[cluster].Goes(s, resource, s.ns+"/"+name)
}

// holds waits until a field of an object on a spoke has a value.
func (s *scene) holds(cluster, resource, name, path string, want any) {
	s.Helper()
	s.spokes[cluster].Holds(s, resource, s.ns+"/"+name, path, want)
}

// label gives a cluster a label, as its administrator on the hub does; an empty
// value takes it away. The end of the scene puts it back.
func (s *scene) label(cluster, key, value string) {
	s.Helper()
	before, had := s.hub.Get(s, managedClusters, cluster).GetLabels()[key]
	s.undo = append(s.undo, func() { s.setLabel(cluster, key, before, had) })
	s.setLabel(cluster, key, value, value != "")
}

func (s *scene) setLabel(cluster, key, value string, present bool) {
	s.Helper()
	labels := map[string]any{key: nil}
	if present {
		labels[key] = value
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels}})
	if err != nil {
		s.Fatal(err)
	}
	s.hub.Patch(s, managedClusters, cluster, string(patch))
}

// outage ends the agents of clusters and waits until the hub knows that it
// cannot reach them. What it returns ends the outage, as does the scene's end.
func (s *scene) outage(clusters ...string) (over func()) {
	s.Helper()
	over = s.down(clusters, func(cluster string) *fleet.Process { return s.stack.Agents[cluster] })
	for _, cluster := range clusters {
		probe.Eventually(s, cluster+" to be known as unreachable", func() error {
			if c := s.hub.Get(s, managedClusters, cluster).Condition("ManagedClusterConditionAvailable"); c.Status == "True" {
				return fmt.Errorf("it is %v", c)
			}
			return nil
		})
	}
	return over
}

// blackout ends the API servers of clusters. Their agents go on, and it takes
// them a minute to tell the hub that their cluster is not served.
func (s *scene) blackout(clusters ...string) (over func()) {
	s.Helper()
	return s.down(clusters, func(cluster string) *fleet.Process { return s.stack.Fleet.Cluster(cluster).Process(fleet.APIServer) })
}

// down ends a process of each cluster. What it returns starts them again and
// waits until the clusters are available.
func (s *scene) down(clusters []string, process func(cluster string) *fleet.Process) (up func()) {
	s.Helper()
	var ended []string
	up = func() {
		s.Helper()
		for _, cluster := range ended {
			if err := process(cluster).Start(); err != nil {
				s.Error(err)
			}
		}
		for _, cluster := range ended {
			if err := s.stack.Fleet.Cluster(cluster).WaitReady(s.Context()); err != nil {
				s.Error(err)
			}
			s.condition(managedClusters, cluster, "ManagedClusterConditionAvailable", "True", "")
		}
		ended = nil
	}
	s.undo = append(s.undo, up)
	for _, cluster := range clusters {
		if err := process(cluster).Kill(); err != nil {
			s.Fatal(err)
		}
		ended = append(ended, cluster)
	}
	return up
}

// restartHub ends the hub process and starts another, which knows nothing.
func (s *scene) restartHub() {
	s.Helper()
	s.hubs.Lock()
	defer s.hubs.Unlock()
	if err := s.stack.Hub.Restart(s.Context()); err != nil {
		s.Fatal(err)
	}
}

// end undoes what the scene did to the clusters and deletes all its instances
// and definitions; nothing of them may be left on the hub. A failed test shows
// the logs instead.
func (s *scene) end() {
	s.Helper()
	if s.Failed() {
		s.logs()
	} else {
		defer func() {
			if s.Failed() {
				s.logs()
			}
		}()
	}
	for _, undo := range slices.Backward(s.undo) {
		undo()
	}
	for _, kind := range s.kinds {
		s.hub.Undefine(s, kind, s.ns)
	}
	if s.Failed() {
		return
	}
	probe.Eventually(s, "everything of namespace "+s.ns+" to be gone from the hub", func() error {
		return s.hub.Leftovers(s, s.ns, s.kinds...)
	})
}

// logs shows the ends of the processes' logs.
func (s *scene) logs() {
	s.Helper()
	s.Logf("the hub's log ends with:\n%s", probe.Tail(s.stack.Hub.Log(), 20))
	for _, name := range slices.Sorted(maps.Keys(s.stack.Agents)) {
		s.Logf("the log of %s's agent ends with:\n%s", name, probe.Tail(s.stack.Agents[name].Log(), 5))
	}
}
