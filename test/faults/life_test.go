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
	// The clusters, one after the other.
	west, east = "eu-west", "us-east"
)

// phase is a part of an instance's life.
type phase int

const (
	creation phase = iota
	update
	// In a relapse a change fails, and is taken back.
	relapse
	// In a split a manifest outgrows its work and moves to a new one, in a shift
	// to one that is there.
	split
	shift
	// In a move the instance leaves a cluster and comes to another.
	move
	deletion
	phases
)

func (p phase) String() string {
	return []string{"creation", "update", "relapse", "split", "shift", "move", "deletion"}[p]
}

// story is what a life goes through.
type story struct {
	// phases in their order.
	phases []phase
	// wishes by phase; the zero one is not to be.
	wishes map[phase]wish
	// strategy is the instance's Distribution, which comes before it and goes after
	// it; empty for none. What is not ready by the deadline, %s, has failed.
	strategy string
}

// wish is what an instance is to be like in a phase. A work holds 400 KiB of
// manifests.
type wish struct {
	cluster, text                 string
	replicas                      int
	firstKiB, secondKiB, thirdKiB int
}

// bad is a text with which the instance never gets ready.
const bad = "bad"

// plain is a life in which every change comes at once.
var plain = story{
	phases: []phase{creation, update, split, shift, move, deletion},
	wishes: map[phase]wish{
		creation: {west, "one", 1, 0, 0, 0},
		update:   {west, "two", 2, 0, 0, 0},
		split:    {west, "two", 2, 250, 150, 0},
		shift:    {west, "two", 2, 250, 150, 200},
		move:     {east, "two", 2, 250, 150, 200},
	},
}

// rolling is one in which changes are rolled out. Somebody has to approve that
// us-east gets the instance, and that eu-west loses it.
var rolling = story{
	phases: []phase{creation, update, relapse, move, deletion},
	wishes: map[phase]wish{
		creation: {west, "one", 1, 0, 0, 0},
		update:   {west, "two", 2, 0, 0, 0},
		relapse:  {west, bad, 2, 0, 0, 0},
		move:     {east, "two", 2, 0, 0, 0},
	},
	strategy: `
apiVersion: kronvoy.io/v1alpha1
kind: Distribution
metadata: {name: voyage, namespace: voyage}
spec:
  instances: {apiVersion: kro.run/v1alpha1, kind: Voyage}
  removal: {maxPercent: 0, gracePeriod: 0s}
  rollout:
    groupBy: {label: region}
    maxConcurrency: 1
    minSuccessTime: 1s
    progressDeadline: %s
    onFailure: Rollback
    approval: {beforeGroups: [us-east]}`,
}

// definition is a chain of three, each of which takes a value from the cluster
// of the one before, and a Deployment on the way to the last.
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
metadata: {name: eu-west, namespace: voyage}
spec:
  clusterSets: [global]
  predicates: [{requiredClusterSelector: {labelSelector: {matchLabels: {region: eu-west}}}}]
---
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: us-east, namespace: voyage}
spec:
  clusterSets: [global]
  predicates: [{requiredClusterSelector: {labelSelector: {matchLabels: {region: us-east}}}}]
---
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: voyage}
spec:
  schema:
    apiVersion: v1alpha1
    kind: Voyage
    spec: {text: string, replicas: integer, first: string, second: string, third: string}
    status:
      text: ${third.data.text}
      available: ${web.status.availableReplicas}
  resources:
  - id: first
    readyWhen: ["${first.data.text != 'bad'}"]
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: first}
      data: {text: "${schema.spec.text}", region: "${cluster.labels.region}", ballast: "${schema.spec.first}"}
  - id: second
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: second}
      data: {text: "${first.data.text}", before: "${first.metadata.uid}", ballast: "${schema.spec.second}"}
  - id: web
    readyWhen:
    - ${web.status.observedGeneration == web.metadata.generation}
    - ${web.status.availableReplicas == web.spec.replicas && web.status.updatedReplicas == web.spec.replicas && web.status.replicas == web.spec.replicas}
    template:
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: web}
      spec:
        replicas: ${schema.spec.replicas}
        selector: {matchLabels: {app: web}}
        template:
          metadata: {labels: {app: web}}
          spec: {containers: [{name: web, image: "registry.k8s.io/pause:3.10", env: [{name: TEXT, value: "${first.data.text}"}]}]}
  - id: third
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: third}
      data: {text: "${second.data.text}", before: "${second.metadata.uid}", available: "${string(web.status.availableReplicas)}", ballast: "${schema.spec.third}"}`

// dependencies are the edges of the graph, from what comes first.
var dependencies = [][2]string{{"first", "second"}, {"first", "web"}, {"second", "third"}, {"web", "third"}}

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

// life is one instance from its creation to its deletion.
type life struct {
	*world
	// uids of the objects by cluster and name, from their creation on.
	uids map[string]string
	// end is the state at the end of the phase, in a form that is the same in
	// every life.
	end map[string]string
	// clean is the life that this one must be like; nil where this is that one.
	clean *outcome
	// inPlace is when all was as in the clean life.
	inPlace time.Time
	// next is the number of the phase that comes, and at where the instance is until
	// then; empty for nowhere.
	next int
	at   string
}

// outcome is what a life without faults leaves: the end of each phase, and what
// was asked on the way to that.
type outcome struct {
	ends     [phases]map[string]string
	requests [phases][]proxy.Request
	made     [phases]operations
}

func (w *world) begin(clean *outcome) *life {
	return &life{world: w, uids: map[string]string{}, clean: clean}
}

// live runs all phases without faults.
func (w *world) live(t *testing.T) *outcome {
	t.Helper()
	o := &outcome{}
	l := w.begin(nil)
	for _, p := range w.phases {
		begin := time.Now()
		if !t.Run("the "+p.String()+" without faults", func(t *testing.T) { l.run(t, p, nil) }) {
			t.FailNow()
		}
		o.ends[p], o.made[p] = l.end, l.operations(t, begin)
		for _, entry := range w.proxy.Log() {
			o.requests[p] = append(o.requests[p], entry.Request)
		}
	}
	return o
}

// reach brings a life to the beginning of a phase: this one, or the next one
// where the phase is over. It is nil where that fails.
func (l *life) reach(t *testing.T, p phase) *life {
	t.Helper()
	for {
		if l.next == len(l.phases) {
			l = l.begin(l.clean)
		}
		next := l.phases[l.next]
		if next == p {
			return l
		}
		if !t.Run("then the "+next.String(), func(t *testing.T) { l.run(t, next, nil) }) {
			return nil
		}
	}
}

// giveUp ends a life in which something went wrong, for another to begin; it is
// nil where that fails.
func (l *life) giveUp(t *testing.T) *life {
	t.Helper()
	if !t.Run("then its end", func(t *testing.T) {
		l.delete(t)
		l.sing(t)
	}) {
		return nil
	}
	return l.begin(l.clean)
}

// run takes the instance through one phase while a plan goes wrong, waits until
// all is as in the clean life, and checks what must hold in any case; where
// something can go wrong, that all is quiet then too.
func (l *life) run(t *testing.T, p phase, plan proxy.Plan) {
	t.Helper()
	l.next = slices.Index(l.phases, p) + 1
	wish := l.wishes[p]
	seen := l.record(t)
	l.proxy.Run(plan)
	if p == deletion {
		l.delete(t)
	} else {
		l.apply(t, p)
		l.ready(t, p)
	}
	if l.at != "" && l.at != wish.cluster {
		l.goneFrom(t, l.at)
	}
	sung := time.Now()
	if len(plan) > 0 {
		l.sing(t)
	}
	if l.clean != nil {
		probe.Within(t, patience, "all to be as without faults", func() error {
			if diff := cmp.Diff(l.clean.ends[p], l.state(t)); diff != "" {
				return fmt.Errorf("(-clean +faulty):\n%s", diff)
			}
			return nil
		})
		l.inPlace = time.Now()
	}
	if sung.Before(l.proxy.Struck()) {
		l.sing(t)
	}
	if len(plan) > 0 || l.clean == nil {
		l.audit.Settled(t, quiet)
	}
	l.end = l.state(t)
	l.check(t, p, seen)
	l.panics(t)
	l.at = wish.cluster
}

// delete deletes the instance, and waits until nothing is left of it.
func (l *life) delete(t *testing.T) {
	t.Helper()
	l.hub.Delete(t, "voyages.kro.run", instance)
	l.gone(t)
	if l.strategy != "" {
		l.dissolve(t)
	}
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
	w.sung++
	text := fmt.Sprintf("song %d", w.sung)
	w.hub.Apply(t, fmt.Sprintf(`{apiVersion: kro.run/v1alpha1, kind: Canary, metadata: {name: songbird, namespace: canary, labels: {kronvoy.io/placement: everywhere}},
		spec: {text: %s}}`, text))
	probe.Within(t, patience, "the canary to be heard everywhere", func() error {
		c := w.hub.Get(t, "canaries.kro.run", "canary/songbird")
		if c.Condition("Ready").Status != "True" || c.Text("status.text") != text || c.Int("status.fleet.ready") != int64(len(w.spokes)) {
			return fmt.Errorf("its status is %v", c.At("status"))
		}
		return nil
	})
	for name, spoke := range w.spokes {
		uid := string(spoke.Get(t, "configmaps", "canary/song").GetUID())
		if known := w.songs[name]; known != "" && known != uid {
			t.Errorf("%s: the canary's song is another object than before", name)
		}
		w.songs[name] = uid
	}
}

// mine leaves out what is there for the canary.
func mine(objects []*probe.Object) []*probe.Object {
	return slices.DeleteFunc(objects, func(obj *probe.Object) bool {
		return strings.Contains(obj.GetName(), "songbird-") || strings.HasSuffix(obj.GetName(), "namespace-canary")
	})
}

// deadline is short only where the instance is not to get ready: elsewhere nothing
// is to fail because a hub was ended on a busy machine.
func deadline(p phase) time.Duration {
	if p == relapse {
		return 15 * time.Second
	}
	return patience
}

func (l *life) apply(t *testing.T, p phase) {
	t.Helper()
	w := l.wishes[p]
	if l.strategy != "" {
		l.hub.Apply(t, fmt.Sprintf(l.strategy, deadline(p)))
	}
	ballast := func(kib int) string { return strings.Repeat("x", kib<<10) }
	l.hub.Apply(t, fmt.Sprintf(`{apiVersion: kro.run/v1alpha1, kind: Voyage, metadata: {name: one, namespace: %s, labels: {kronvoy.io/placement: %s}},
		spec: {text: %s, replicas: %d, first: "%s", second: "%s", third: "%s"}}`,
		namespace, w.cluster, w.text, w.replicas, ballast(w.firstKiB), ballast(w.secondKiB), ballast(w.thirdKiB)))
}

func (l *life) ready(t *testing.T, p phase) {
	t.Helper()
	w := l.wishes[p]
	if l.strategy != "" {
		l.rolled(t, p)
	}
	if p == relapse {
		return
	}
	probe.Within(t, patience, "the instance to be ready on "+w.cluster, func() error {
		v := l.hub.Get(t, "voyages.kro.run", instance)
		ready := v.Condition("Ready")
		if ready.Status != "True" || ready.ObservedGeneration != v.GetGeneration() || v.Int("status.fleet.ready") != 1 || v.Int("status.fleet.placed") != 1 || v.Text("status.text") != w.text {
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
func (l *life) check(t *testing.T, p phase, seen map[string]*probe.Recording) {
	t.Helper()
	for cluster, seen := range seen {
		was, is := l.at == cluster, l.wishes[p].cluster == cluster
		first, last := map[string]int64{}, map[string]int64{}
		var rolling []int64 // versions at which the Deployment was not ready
		for _, event := range seen.Events(t) {
			name := event.GetName()
			key, uid := cluster+"/"+event.GetKind()+"/"+name, string(event.GetUID())
			if name == "kube-root-ca.crt" {
				continue
			}
			if known := l.uids[key]; known == "" && is && !was {
				l.uids[key] = uid
			} else if known != uid {
				t.Errorf("%s: %s is another object than before", cluster, event)
			}
			if is && (event.Type == "DELETED" || event.GetDeletionTimestamp() != nil) {
				t.Errorf("%s: %s in a %s", cluster, event, p)
			}
			if was && !is && event.Type == "ADDED" {
				t.Errorf("%s: %s in a %s", cluster, event, p)
			}
			if !was && !is {
				t.Errorf("%s: %s though it is not there", cluster, event)
			}
			if first[name] == 0 {
				first[name] = event.Version()
			}
			last[name] = event.Version()
			if event.GetKind() == "Deployment" && !rolledOut(event.Object) {
				rolling = append(rolling, event.Version())
			}
		}
		for _, edge := range dependencies {
			before, after := edge[0], edge[1]
			changes := is && (!was || p == update) // each takes a value from the one before
			if was && !is && last[before] < last[after] || changes && first[after] < first[before] {
				t.Errorf("%s: %s and %s changed in the wrong order in a %s: %s", cluster, before, after, p, seen.Summary(t))
			}
			if changes && before == "web" && slices.ContainsFunc(rolling, func(at int64) bool { return at > first[after] }) {
				t.Errorf("%s: %s changed before %s was ready in a %s: %s", cluster, after, before, p, seen.Summary(t))
			}
		}
	}
}

// rolledOut is the Deployment's readyWhen. Once it is true it stays so.
func rolledOut(d *probe.Object) bool {
	replicas := d.Int("spec.replicas")
	return d.Int("status.observedGeneration") == d.GetGeneration() && d.Int("status.availableReplicas") == replicas &&
		d.Int("status.updatedReplicas") == replicas && d.Int("status.replicas") == replicas
}

// state is all that people can see of the instance, without what differs from
// life to life: UIDs, versions, times, and hashes, which depend on them.
func (l *life) state(t *testing.T) map[string]string {
	t.Helper()
	objects := map[string]*probe.Object{}
	if v := l.hub.Get(t, "voyages.kro.run", instance); v != nil {
		objects["hub/voyage"] = v
	}
	for _, resource := range []string{"controllerrevisions.apps", distributions, rollouts, approvalRequests} {
		for _, obj := range l.hub.List(t, resource, namespace) {
			objects["hub/"+resource+"/"+obj.GetName()] = obj
		}
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
