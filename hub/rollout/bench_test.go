package rollout

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// crowd answers as an informer's cache does for what there are thousands of, and
// shares it; a stage has the rest.
type crowd struct {
	client.Reader
	clusters map[string]*clusterv1.ManagedCluster
	targets  []*kronvoyv1alpha1.Target
	pages    []*clusterv1beta1.PlacementDecision
}

func (c *crowd) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if out, isCluster := obj.(*clusterv1.ManagedCluster); isCluster {
		*out = *c.clusters[key.Name]
		return nil
	}
	return c.Reader.Get(ctx, key, obj, opts...)
}

func (c *crowd) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	switch out := list.(type) {
	case *kronvoyv1alpha1.TargetList:
		for _, t := range c.targets {
			out.Items = append(out.Items, *t)
		}
		return nil
	case *clusterv1beta1.PlacementDecisionList:
		for _, p := range c.pages {
			out.Items = append(out.Items, *p)
		}
		return nil
	}
	return c.Reader.List(ctx, list, opts...)
}

// newCrowd is a rollout in the middle: of 20 regions the first has passed, in the
// second some clusters soak, and the others wait.
func newCrowd(b *testing.B, n int) (*stage, *crowd) {
	s := newStage(b, kronvoyv1alpha1.ScopeDistribution, func(r *kronvoyv1alpha1.RolloutStrategy) {
		r.MaxConcurrency, r.Gate.MaxDrift = nil, ptr.To[int32](0)
		r.Gate.Expressions = []string{"cluster.labels.?region.orValue('') != ''"}
	})
	s.instance("web", "one")
	s.run()
	old := s.targets()[0]
	s.instance("web", "two")
	s.behaves["two"] = kronvoyv1alpha1.TargetProgressing
	s.settle()
	revision := ""
	for name, text := range s.texts {
		if text == "two" {
			revision = name
		}
	}
	c := &crowd{Reader: s.c, clusters: map[string]*clusterv1.ManagedCluster{}}
	for i := range n {
		name := fmt.Sprintf("region%02d-%05d", i%20, (i*7919)%n)
		cluster := managedCluster(name)
		for k := range 20 {
			cluster.Status.ClusterClaims = append(cluster.Status.ClusterClaims, clusterv1.ManagedClusterClaim{Name: "claim-" + strconv.Itoa(k), Value: "value"})
		}
		c.clusters[name] = cluster
		t := old.DeepCopy()
		t.Namespace = name
		for k := range 20 {
			t.Status.Nodes = append(t.Status.Nodes, kronvoyv1alpha1.NodeStatus{ID: "node" + strconv.Itoa(k), State: "Ready", Health: kronvoyv1alpha1.Healthy})
		}
		if i%20 == 0 || i%20 == 1 && i/20%5 == 0 {
			at := metav1.NewMicroTime(noon.Add(10 * time.Minute))
			t.Spec.Revision, t.Spec.AssignedAt, t.Spec.PassedAt = revision, &at, nil
			t.Status.Revision, t.Status.AssignedAt = revision, &at
			t.Spec.Gates = &kronvoyv1alpha1.TargetGates{Open: true, Since: at}
			if i%20 == 0 {
				t.Spec.PassedAt = &at
			}
		}
		c.targets = append(c.targets, t)
		if i%100 == 0 {
			c.pages = append(c.pages, page("all", "all", i/100, 0, ""))
		}
		last := c.pages[len(c.pages)-1]
		last.Status.Decisions = append(last.Status.Decisions, clusterv1beta1.ClusterDecision{ClusterName: name})
	}
	s.mover.Cached, s.mover.Placer.Reader = c, c
	return s, c
}

// BenchmarkPlanOn10000Clusters is all that a plan costs, from the hub's caches to
// the step.
func BenchmarkPlanOn10000Clusters(b *testing.B) {
	s, _ := newCrowd(b, 10000)
	s.clock.Step(time.Hour)
	look := func() rollout.Step {
		scope, wait, err := s.mover.gather(b.Context(), s.unit)
		if err != nil || wait > 0 || scope.rollout == nil {
			b.Fatal(scope, wait, err)
		}
		how, err := convert.Strategy(scope.owner.Spec.Rollout)
		if err != nil {
			b.Fatal(err)
		}
		if changes, err := scope.adopt(how); err != nil || len(changes) > 0 {
			b.Fatal(len(changes), err)
		}
		return rollout.Next(scope.input(how, scope.owner.Spec.Rollout.Gate, record(&scope.rollout.Status), scope.orders()))
	}
	if step := look(); len(step.Clusters) != 10000 {
		b.Fatalf("there are %d clusters, and it is %s, %s", len(step.Clusters), step.Phase, step.Message)
	}
	b.ReportAllocs()
	for b.Loop() {
		look()
	}
}
