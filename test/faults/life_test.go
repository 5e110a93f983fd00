//go:build integration

package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/probe"
	"github.com/kronvoy/kronvoy/test/proxy"
)

const (
	namespace = "voyage"
	instance  = namespace + "/one"
	// moved is the cluster that a move leaves, for west.
	moved = "us-east"
)

// definition is a chain of three, where each takes a value from the cluster of
// the one before, and a Deployment.
const definition = `
apiVersion: v1
kind: Namespace
metadata: {name: voyage}
---
apiVersion: cluster.open-cluster-management.io/v1beta2
kind: ManagedClusterSetBinding
metadata: {name: global, namespace: voyage}
spec: {clusterSet: global}
---
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: everywhere, namespace: voyage}
spec: {clusterSets: [global]}
---
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: west, namespace: voyage}
spec:
  clusterSets: [global]
  predicates: [{requiredClusterSelector: {labelSelector: {matchLabels: {region: eu-west}}}}]
---
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: voyage}
spec:
  schema:
    apiVersion: v1alpha1
    kind: Voyage
    spec: {text: string, replicas: integer}
    status:
      text: ${third.data.text}
      available: ${web.status.availableReplicas}
  resources:
  - id: first
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: first}
      data: {text: "${schema.spec.text}", region: "${cluster.labels.region}"}
  - id: second
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: second}
      data: {text: "${first.data.text}", before: "${first.metadata.uid}"}
  - id: third
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: third}
      data: {text: "${second.data.text}", before: "${second.metadata.uid}"}
  - id: web
    readyWhen: ["${web.status.availableReplicas == web.spec.replicas}"]
    template:
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: web}
      spec:
        replicas: ${schema.spec.replicas}
        selector: {matchLabels: {app: web}}
        template:
          metadata: {labels: {app: web}}
          spec: {containers: [{name: web, image: "registry.k8s.io/pause:3.10", env: [{name: TEXT, value: "${first.data.text}"}]}]}`

// canary is one more instance, of its own kind: what passes through every
// process once that is at work again.
const canary = `
apiVersion: v1
kind: Namespace
metadata: {name: canary}
---
apiVersion: cluster.open-cluster-management.io/v1beta2
kind: ManagedClusterSetBinding
metadata: {name: global, namespace: canary}
spec: {clusterSet: global}
---
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: everywhere, namespace: canary}
spec: {clusterSets: [global]}
---
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: canary}
spec:
  schema:
    apiVersion: v1alpha1
    kind: Canary
    spec: {text: string}
    status: {text: "${song.data.text}"}
  resources:
  - id: song
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: song}
      data: {text: "${schema.spec.text}"}`

// waves are the objects of the chain, in their order.
var waves = []string{"first", "second", "third"}

// life is one instance from its creation to its deletion.
type life struct {
	*world
	// uids of the objects by cluster and name, from creation on.
	uids map[string]string
	// end is the state at the end of the phase, in a form that is the same in
	// every life.
	end map[string]string
	// clean is the life that this one must be like; nil where this is that one.
	clean *outcome
}

// outcome is what a life without faults leaves: the end of each phase, how many
// writes it took, and what was asked on the way to that, where there is a proxy.
type outcome struct {
	ends     [phases]map[string]string
	writes   [phases]int
	requests [phases][]proxy.Request
}

func (w *world) begin(clean *outcome) life {
	return life{world: w, uids: map[string]string{}, clean: clean}
}

// live runs all phases without faults.
func (w *world) live(t *testing.T) outcome {
	t.Helper()
	var o outcome
	l := w.begin(nil)
	for p := range phases {
		if w.proxy != nil {
			w.proxy.Run(nil)
		}
		r := l.run(t, p, func(*record) {})
		o.ends[p], o.writes[p] = l.end, r.total
		if w.proxy != nil {
			for _, entry := range w.proxy.Log() {
				o.requests[p] = append(o.requests[p], entry.Request)
			}
		}
	}
	t.Logf("without faults, creation, update, move and deletion make %d writes", o.writes)
	return o
}

// run takes the instance through one phase, with something happening
// meanwhile, waits until all is as in the clean life, and quiet, and checks
// what must hold in any case.
func (l *life) run(t *testing.T, p phase, during func(*record)) *record {
	t.Helper()
	r := l.record(t)
	switch p {
	case creation:
		l.apply(t, "everywhere", "one", 1)
	case update:
		l.apply(t, "everywhere", "two", 2)
	case move:
		l.apply(t, "west", "two", 2)
	case deletion:
		l.hub.Delete(t, "voyages.kro.run", instance)
	}
	during(r)
	switch p {
	case creation:
		l.ready(t, "one", len(l.spokes))
	case update:
		l.ready(t, "two", len(l.spokes))
	case move:
		l.goneFrom(t, moved)
		l.ready(t, "two", len(l.spokes)-1)
	case deletion:
		l.gone(t)
	}
	r.total = r.writes(t)
	l.sing(t)
	if l.clean != nil {
		probe.Within(t, patience, "all to be as without faults", func() error {
			if diff := cmp.Diff(l.clean.ends[p], l.state(t)); diff != "" {
				return fmt.Errorf("(-clean +faulty):\n%s", diff)
			}
			return nil
		})
	}
	l.audit.Quiet(t, quiet)
	l.end = l.state(t)
	l.check(t, p, r)
	return r
}

// quiet is for how long nothing may be written once all is in place. It is
// longer than the pace of any status, and than the two seconds after which an
// agent writes down what it has applied.
const quiet = 3 * time.Second

// patience is how long to wait for what must come. Watches that broke several
// times in a row begin again after half a minute only.
const patience = 2 * time.Minute

// sing changes the canary and waits until that has reached every cluster and
// come back: by then whatever was killed is at work again.
func (w *world) sing(t *testing.T) {
	t.Helper()
	w.songs++
	text := fmt.Sprintf("song %d", w.songs)
	w.hub.Apply(t, fmt.Sprintf(`{apiVersion: kro.run/v1alpha1, kind: Canary, metadata: {name: songbird, namespace: canary, labels: {kronvoy.io/placement: everywhere}},
		spec: {text: %s}}`, text))
	probe.Within(t, patience, "the canary to be heard everywhere", func() error {
		c := w.hub.Get(t, "canaries.kro.run", "canary/songbird")
		if c.Condition("Ready").Status != "True" || c.Text("status.text") != text || c.Int("status.fleet.ready") != int64(len(w.spokes)) {
			return fmt.Errorf("its status is %v", c.At("status"))
		}
		return nil
	})
}

// mine leaves out what is there for the canary.
func mine(objects []*probe.Object) []*probe.Object {
	return slices.DeleteFunc(objects, func(obj *probe.Object) bool {
		return strings.Contains(obj.GetName(), "songbird-") || strings.HasSuffix(obj.GetName(), "namespace-canary")
	})
}

func (l *life) apply(t *testing.T, placement, text string, replicas int) {
	t.Helper()
	l.hub.Apply(t, fmt.Sprintf(`{apiVersion: kro.run/v1alpha1, kind: Voyage, metadata: {name: one, namespace: %s, labels: {kronvoy.io/placement: %s}},
		spec: {text: %s, replicas: %d}}`, namespace, placement, text, replicas))
}

func (l *life) ready(t *testing.T, text string, clusters int) {
	t.Helper()
	probe.Within(t, patience, fmt.Sprintf("the instance to be ready on %d clusters", clusters), func() error {
		v := l.hub.Get(t, "voyages.kro.run", instance)
		ready := v.Condition("Ready")
		if ready.Status != "True" || ready.ObservedGeneration != v.GetGeneration() || v.Int("status.fleet.ready") != int64(clusters) || v.Int("status.fleet.placed") != int64(clusters) || v.Text("status.text") != text {
			return fmt.Errorf("its status is %v", v.At("status"))
		}
		return nil
	})
}

// gone waits until nothing is left of the instance, here or there.
func (l *life) gone(t *testing.T) {
	t.Helper()
	probe.Within(t, patience, "the instance to be gone", func() error {
		if v := l.hub.Get(t, "voyages.kro.run", instance); v != nil {
			return fmt.Errorf("it is there: %v", v.At("status"))
		}
		for _, obj := range l.hub.List(t, "controllerrevisions.apps", namespace) {
			return fmt.Errorf("revision %s is left on the hub", obj.GetName())
		}
		return nil
	})
	for name := range l.spokes {
		l.goneFrom(t, name)
	}
}

// goneFrom waits until nothing is left of the instance for a cluster, on the hub
// or there.
func (l *life) goneFrom(t *testing.T, cluster string) {
	t.Helper()
	probe.Within(t, patience, "everything to be gone from "+cluster, func() error {
		for _, resource := range []string{"targets.kronvoy.io", "manifestworks.work.open-cluster-management.io", "workreports.kronvoy.io"} {
			for _, obj := range mine(l.hub.List(t, resource, cluster)) {
				return fmt.Errorf("%s %s/%s is left on the hub", resource, obj.GetNamespace(), obj.GetName())
			}
		}
		spoke := l.spokes[cluster]
		for _, obj := range mine(spoke.List(t, "appliedmanifestworks.work.open-cluster-management.io", "")) {
			return fmt.Errorf("inventory %s is left", obj.GetName())
		}
		for _, resource := range []string{"configmaps", "deployments.apps", "replicasets.apps", "pods"} {
			for _, obj := range spoke.List(t, resource, namespace) {
				if obj.GetName() != "kube-root-ca.crt" {
					return fmt.Errorf("%s %s is left", resource, obj.GetName())
				}
			}
		}
		return nil
	})
}

// check is what must hold whatever went wrong.
func (l *life) check(t *testing.T, p phase, r *record) {
	t.Helper()
	for cluster, seen := range r.seen {
		leaves, stays := p == deletion || p == move && cluster == moved, p == move && cluster != moved
		first, last := map[string]int64{}, map[string]int64{}
		for _, event := range seen.Events(t) {
			name := event.GetName()
			key, uid := cluster+"/"+event.GetKind()+"/"+name, string(event.GetUID())
			if name == "kube-root-ca.crt" {
				continue
			}
			if known := l.uids[key]; known == "" && p == creation {
				l.uids[key] = uid
			} else if known != uid {
				t.Errorf("%s: %s is another object than before", cluster, event)
			}
			if !leaves && (event.Type == "DELETED" || event.GetDeletionTimestamp() != nil) {
				t.Errorf("%s: %s in a %s", cluster, event, p)
			}
			if leaves && event.Type == "ADDED" {
				t.Errorf("%s: %s in a %s", cluster, event, p)
			}
			if stays {
				t.Errorf("%s: %s though it stays there", cluster, event)
			}
			if first[name] == 0 {
				first[name] = event.Version()
			}
			last[name] = event.Version()
		}
		for i := 1; i < len(waves); i++ {
			before, after := waves[i-1], waves[i]
			if leaves && last[before] < last[after] || !leaves && first[after] < first[before] {
				t.Errorf("%s: %s and %s changed in the wrong order in a %s: %s", cluster, before, after, p, seen.Summary(t))
			}
		}
	}
}

// state is all that people can see of the instance, without what differs from
// life to life: UIDs, versions, times, and hashes, which depend on them.
func (l *life) state(t *testing.T) map[string]string {
	t.Helper()
	objects := map[string]*probe.Object{}
	if v := l.hub.Get(t, "voyages.kro.run", instance); v != nil {
		objects["hub/voyage"] = v
	}
	for _, obj := range l.hub.List(t, "controllerrevisions.apps", namespace) {
		objects["hub/revision/"+obj.GetName()] = obj
	}
	for name, spoke := range l.spokes {
		for _, resource := range []string{"configmaps", "deployments.apps"} {
			for _, obj := range spoke.List(t, resource, namespace) {
				objects[name+"/"+resource+"/"+obj.GetName()] = obj
			}
		}
		for _, obj := range mine(spoke.List(t, "appliedmanifestworks.work.open-cluster-management.io", "")) {
			objects[name+"/inventory/"+obj.GetName()] = obj
		}
		for _, resource := range []string{"targets.kronvoy.io", "manifestworks.work.open-cluster-management.io", "workreports.kronvoy.io"} {
			for _, obj := range mine(l.hub.List(t, resource, name)) {
				objects["hub/"+resource+"/"+name+"/"+obj.GetName()] = obj
			}
		}
	}
	var uids []string
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		uids = append(uids, string(objects[key].GetUID()), "(uid of "+key+")")
	}
	names := strings.NewReplacer(uids...)
	state := map[string]string{}
	for key, obj := range objects {
		state[key] = names.Replace(normalise(t, obj))
	}
	return state
}
