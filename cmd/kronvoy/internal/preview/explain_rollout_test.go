package preview

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub"
	hubkinds "github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/internal/golden"
)

// TestExplainRollout plays a rollout from region eu to us, as the hub would carry
// it out, and explains the instance in its middle.
func TestExplainRollout(t *testing.T) {
	for name, play := range map[string]func(*playing){
		"clusters move, soak and wait": func(p *playing) {
			p.report("eu-1", kronvoyv1alpha1.TargetReady)
			p.after(0)
			p.after(4 * time.Minute)
		},
		"one is in maintenance and one is out of reach": func(p *playing) {
			p.cluster("eu-3", func(c *clusterv1.ManagedCluster) {
				metav1.SetMetaDataAnnotation(&c.ObjectMeta, kronvoyv1alpha1.AnnotationMaintenance, "Talos is upgraded")
			})
			p.cluster("us-1", func(c *clusterv1.ManagedCluster) {
				c.Status.Conditions = []metav1.Condition{{Type: clusterv1.ManagedClusterConditionAvailable, Status: metav1.ConditionUnknown}}
			})
			p.report("eu-1", kronvoyv1alpha1.TargetReady)
			p.after(0)
			p.after(11 * time.Minute)
		},
		"it waits for approval": func(p *playing) {
			for _, cluster := range []string{"eu-1", "eu-2", "eu-3"} {
				p.report(cluster, kronvoyv1alpha1.TargetReady)
				p.after(0)
				p.after(10 * time.Minute)
			}
			p.after(10 * time.Minute)
		},
		"somebody paused it": func(p *playing) {
			r := p.stored()
			r.Spec.Paused = &kronvoyv1alpha1.RolloutOrder{At: metav1.NewTime(p.s.Now), By: "ada", Reason: "incident 4711"}
			p.put(r)
			p.report("eu-1", kronvoyv1alpha1.TargetReady)
			p.after(0)
			p.after(20 * time.Minute)
		},
		"one has failed": func(p *playing) {
			p.report("eu-2", kronvoyv1alpha1.TargetFailed)
			p.after(time.Hour)
		},
		"it was undone": func(p *playing) {
			p.report("eu-1", kronvoyv1alpha1.TargetReady)
			p.after(0)
			p.after(11 * time.Minute)
			r := p.stored()
			r.Spec.Undo = &kronvoyv1alpha1.RolloutUndo{
				RolloutOrder: kronvoyv1alpha1.RolloutOrder{At: metav1.NewTime(p.s.Now), By: "ada"},
				Instances:    []kronvoyv1alpha1.RolloutPin{{Name: "app", From: p.second, To: p.first}},
			}
			p.put(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlaying(t)
			play(p)
			explained, err := p.s.explain(p.instance)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := explained.Write(&out, false); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, filepath.Join("testdata", "rollout", name+".txt"), out.String())
		})
	}
}

// playing is a hub whose controllers the test plays.
type playing struct {
	t             *testing.T
	s             *simulation
	instance      *unstructured.Unstructured
	first, second string
}

// newPlaying has an instance on three clusters in eu and one in us, and an image
// that has just been changed.
func newPlaying(t *testing.T) *playing {
	t.Helper()
	scheme, err := hub.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 9, 4, 12, 0, 0, 0, time.UTC)
	p := &playing{t: t, s: newSimulation(t.Context(), Options{
		Scheme: scheme, Resolver: builtin.Resolver(), Namespace: "shop", HubNamespace: "kronvoy-system", AgentIdentity: policy.AgentIdentityTrue,
		Now: noon.Add(-24 * time.Hour),
	})}
	base := fiveNodes + `---
apiVersion: kronvoy.io/v1alpha1
kind: Distribution
metadata: {name: calm, namespace: shop}
spec:
  instances: {apiVersion: kro.run/v1alpha1, kind: App}
  rollout: {groupBy: {label: region}, maxConcurrency: 2, minSuccessTime: 10m, progressDeadline: 30m, approval: {beforeGroups: [us]}}
`
	for _, name := range []string{"eu-1", "eu-2", "eu-3", "us-1"} {
		base += fmt.Sprintf("---\n{apiVersion: cluster.open-cluster-management.io/v1, kind: ManagedCluster, metadata: {name: %s, labels: {region: %s}}, spec: {hubAcceptsClient: true}}\n", name, name[:2])
	}
	documents := read(t, base)
	for _, err := range []error{p.s.loadFleet(), p.s.found(documents), p.s.suppose(documents)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if p.instance, err = p.s.find("app/app"); err != nil {
		t.Fatal(err)
	}
	p.step()
	p.first = p.newest()
	p.s.Now = noon
	// The instance alone is changed: what is done about it the test does.
	changed := p.instance.DeepCopy()
	if err := unstructured.SetNestedField(changed.Object, "nginx:1", "spec", "image"); err != nil {
		t.Fatal(err)
	}
	p.instance = changed
	targets := p.targets()
	if _, err := p.s.change(read(t, "{apiVersion: kro.run/v1alpha1, kind: App, metadata: {name: app, namespace: shop}, spec: {image: \"nginx:1\"}}")); err != nil {
		t.Fatal(err)
	}
	for i := range targets {
		p.put(&targets[i])
	}
	p.second = p.newest()
	p.after(0)
	return p
}

func (p *playing) newest() string {
	p.t.Helper()
	name, err := p.s.newest(&placing{instance: p.instance})
	if err != nil {
		p.t.Fatal(err)
	}
	return name
}

func (p *playing) put(obj client.Object) {
	p.t.Helper()
	if err := p.s.memory.put(obj); err != nil {
		p.t.Fatal(err)
	}
}

func (p *playing) targets() []kronvoyv1alpha1.Target {
	p.t.Helper()
	var list kronvoyv1alpha1.TargetList
	if err := p.s.memory.List(p.t.Context(), &list); err != nil {
		p.t.Fatal(err)
	}
	for i := range list.Items {
		list.Items[i] = *list.Items[i].DeepCopy()
	}
	return list.Items
}

func (p *playing) stored() *kronvoyv1alpha1.Rollout {
	p.t.Helper()
	r := &kronvoyv1alpha1.Rollout{}
	if err := p.s.memory.Get(p.t.Context(), client.ObjectKey{Namespace: "shop", Name: "calm"}, r); err != nil {
		p.t.Fatal(err)
	}
	return r.DeepCopy()
}

// step plays hub/rollout: it carries out what there is to do now.
func (p *playing) step() (moved bool) {
	p.t.Helper()
	owner := &kronvoyv1alpha1.Distribution{}
	if err := p.s.memory.Get(p.t.Context(), client.ObjectKey{Namespace: "shop", Name: "calm"}, owner); err != nil {
		p.t.Fatal(err)
	}
	look, err := p.s.look(p.s.memory, rollout.UnitOf(hubkinds.RequestFor(p.instance), owner))
	if err != nil || look == nil {
		p.t.Fatalf("there is no rollout: %v", err)
	}
	r := &kronvoyv1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{
		Namespace: look.Namespace, Name: look.Name, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, kronvoyv1alpha1.GroupVersion.WithKind("Distribution"))},
	}}
	if look.Rollout != nil {
		r = look.Rollout.DeepCopy()
	}
	rec := look.Step.Record
	r.Status = kronvoyv1alpha1.RolloutStatus{
		Plan: rec.Plan, StartedAt: &metav1.MicroTime{Time: rec.Started}, Group: rec.Group.Name, GroupIndex: int32(rec.Group.Index), Entered: rec.Entered, Succeeded: rec.Succeeded,
	}
	p.put(r)
	targets := p.targets()
	for i := range targets {
		target := &targets[i]
		for _, found := range look.Step.Found {
			if found.Cluster == target.Namespace {
				target.Spec.Gates = &kronvoyv1alpha1.TargetGates{Open: found.Open, Since: metav1.MicroTime{Time: found.Since}}
				p.put(target)
			}
		}
		for _, key := range look.Step.Passed {
			if key.Cluster == target.Namespace {
				target.Spec.PassedAt = &metav1.MicroTime{Time: p.s.Now}
				p.put(target)
			}
		}
		for _, move := range look.Step.Moves {
			if move.Cluster == target.Namespace {
				target.Spec.Revision, target.Spec.AssignedAt, target.Spec.PassedAt, target.Spec.Gates = move.Revision, &metav1.MicroTime{Time: p.s.Now}, nil, nil
				p.put(target)
				p.report(target.Namespace, kronvoyv1alpha1.TargetProgressing)
			}
		}
	}
	return len(look.Step.Moves)+len(look.Step.Found)+len(look.Step.Passed) > 0
}

// report plays hub/target: a cluster is found to be in a state, from now on.
func (p *playing) report(cluster string, state kronvoyv1alpha1.TargetState) {
	p.t.Helper()
	targets := p.targets()
	for i := range targets {
		target := &targets[i]
		if target.Namespace != cluster {
			continue
		}
		now := metav1.NewTime(p.s.Now)
		target.Status.ObservedGeneration, target.Status.AssignedAt, target.Status.Revision = 1, target.Spec.AssignedAt, target.Spec.Revision
		target.Status.State, target.Status.Health, target.Status.Nodes, target.Status.Message = state, kronvoyv1alpha1.Healthy, nil, ""
		if state != kronvoyv1alpha1.TargetReady {
			target.Status.Health, target.Status.Message = kronvoyv1alpha1.HealthProgressing, "deployment is "+string(state)
		}
		target.Status.Clocks = kronvoyv1alpha1.Clocks{StateSince: &now, HealthSince: &now, WritableSince: &metav1.Time{Time: p.s.Now.Add(-time.Hour)}}
		p.put(target)
	}
}

func (p *playing) cluster(name string, change func(*clusterv1.ManagedCluster)) {
	p.t.Helper()
	c := &clusterv1.ManagedCluster{}
	if err := p.s.memory.Get(p.t.Context(), client.ObjectKey{Name: name}, c); err != nil {
		p.t.Fatal(err)
	}
	c = c.DeepCopy()
	change(c)
	p.put(c)
}

// after some time all is done that there is to do.
func (p *playing) after(d time.Duration) {
	p.t.Helper()
	p.s.Now = p.s.Now.Add(d)
	for p.step() {
	}
}
