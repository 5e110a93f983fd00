package view

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/yaml"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/internal/golden"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// compare compares with testdata/<the test's name>.txt.
func compare(t *testing.T, got string) {
	t.Helper()
	golden.Compare(t, filepath.Join("testdata", strings.ReplaceAll(filepath.Base(t.Name()), "_", " ")+".txt"), got)
}

func instance(t *testing.T, text string) unstructured.Unstructured {
	t.Helper()
	var obj unstructured.Unstructured
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	// Integers are int64, as they come from an API server.
	if err := utiljson.Unmarshal(raw, &obj.Object); err != nil {
		t.Fatal(err)
	}
	return obj
}

// shop is an instance whose definition has conditions of its own, on clusters
// where one node waits and another one is wrong.
const shop = `
apiVersion: kro.run/v1alpha1
kind: WebApp
metadata: {namespace: shop, name: shop}
status:
  state: ERROR
  conditions:
  - {type: Ready, status: "True", message: the author's}
  fleet:
    revision: shop-7f
    placed: 5
    ready: 2
    failed: 1
    progressing: 1
    unreachable: 1
    drifted: 1
    rollout: {name: shop, phase: Paused, group: us-east}
    conditions:
    - {type: Ready, status: "False", message: 2 of 5 clusters are ready}
    clusters:
    - name: ap-south
      region: ap-south
      state: Unreachable
      ready: 3/3
      revision: shop-6a
      since: "2026-11-22T09:00:00Z"
      message: "the agent has not reported since 09:00"
    - name: eu-east
      region: eu-east
      state: Ready
      ready: 3/3
      revision: shop-7f
      since: "2026-11-20T12:00:00Z"
      drifted: 2
      drift: "Reported: Deployment shop/web spec.replicas from 3 to 7 by kubectl-edit"
      values: {host: a.example.org, replicas: 3}
    - name: eu-west
      region: eu-west
      state: Failed
      ready: 1/3
      revision: shop-7f
      since: "2026-11-22T11:48:00Z"
      nodes:
      - {id: web, state: Pending, waitsFor: [db.status.host, db.status.port]}
      - {id: dns, state: Failed, message: division by zero}
      - {id: api, state: Ready, health: Failed, message: "deployments.apps shop/api: timed out"}
    - {name: us-east, region: us-east, state: Progressing, ready: 2/3, revision: shop-7f, since: "2026-11-22T11:59:30Z", message: web is not ready}
    - {name: us-west, region: us-west, state: Ready, ready: 3/3, revision: shop-7f, since: "2026-11-20T12:00:00Z", drift: "Corrected: an old story", values: {host: a.example.org, replicas: 3}}
`

const quiet = `
apiVersion: kro.run/v1alpha1
kind: Cache
metadata: {namespace: infra, name: sessions}
status:
  state: ACTIVE
  fleet: {placed: 1, ready: 1, revision: sessions-1, clusters: [{name: eu-west, state: Ready, ready: 1/1, health: Healthy}]}
`

func cluster(name string, available metav1.ConditionStatus) clusterv1.ManagedCluster {
	c := clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: clusterv1.ManagedClusterSpec{HubAcceptsClient: true}}
	if available != "" {
		c.Status.Conditions = []metav1.Condition{{Type: clusterv1.ManagedClusterConditionAvailable, Status: available}}
	}
	return c
}

func fleet(t *testing.T) Fleet {
	return NewFleet(Objects{
		Clusters:  []clusterv1.ManagedCluster{cluster("eu-west", metav1.ConditionTrue), cluster("ap-south", metav1.ConditionUnknown), cluster("new", "")},
		Instances: []unstructured.Unstructured{instance(t, quiet), instance(t, shop)},
		Rollouts: []kronvoyv1alpha1.Rollout{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop"}, Status: kronvoyv1alpha1.RolloutStatus{
			Phase: kronvoyv1alpha1.RolloutPaused, Group: "eu-west", Message: "stopped: 1 cluster of group eu-west failed, 0 may",
			Clusters: []kronvoyv1alpha1.RolloutCluster{{Name: "eu-west", Group: "eu-west", State: "Failed"}},
		}}},
		Questions: []kronvoyv1alpha1.ApprovalRequest{
			{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop-1f0c", CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))}, Spec: kronvoyv1alpha1.ApprovalRequestSpec{Message: "remove the instance from a, b?"}},
			{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "old"}, Status: kronvoyv1alpha1.ApprovalRequestStatus{Decision: kronvoyv1alpha1.Approved}},
		},
	})
}

// crowd is a fleet in which an instance has more clusters out of line than the hub
// names.
func crowd(t *testing.T) Fleet {
	many := instance(t, quiet)
	var rows []any
	for n := range 50 {
		rows = append(rows, map[string]any{"name": fmt.Sprintf("edge-%02d", n), "state": "Unreachable", "since": "2026-11-22T10:00:00Z", "message": "the agent does not report"})
	}
	many.Object["status"] = map[string]any{"state": "IN_PROGRESS", "fleet": map[string]any{"placed": int64(2000), "ready": int64(1688), "unreachable": int64(312), "clusters": rows}}
	objects := Objects{Instances: []unstructured.Unstructured{instance(t, shop), many}}
	for n := range 20 {
		other := instance(t, quiet)
		other.SetName(fmt.Sprintf("sessions-%02d", n))
		objects.Instances = append(objects.Instances, other)
	}
	return NewFleet(objects)
}

func TestAFleet(t *testing.T) {
	tests := map[string]struct {
		fleet func(*testing.T) Fleet
		look  Look
	}{
		"the most urgent comes first, with why and since when":                         {fleet: fleet},
		"a terminal of sixteen lines shows the worst and says how many more there are": {fleet: crowd, look: Look{Height: 16}},
		"colours say the same as words":                                                {fleet: fleet, look: Look{Style: output.Style{Color: true}}},
		"who may not read clusters sees the rest": {fleet: func(t *testing.T) Fleet {
			return NewFleet(Objects{Instances: []unstructured.Unstructured{instance(t, quiet)}, Unseen: []string{`managedclusters is forbidden: User "ann" cannot list`}})
		}},
		"a fleet without instances": {fleet: func(*testing.T) Fleet {
			return NewFleet(Objects{Clusters: []clusterv1.ManagedCluster{}})
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.look.Now = now
			var out bytes.Buffer
			if err := WriteFleet(&out, tc.fleet(t), tc.look); err != nil {
				t.Fatal(err)
			}
			if lines := strings.Count(out.String(), "\n"); tc.look.Height > 0 && lines > tc.look.Height {
				t.Errorf("%d lines, and there are %d", lines, tc.look.Height)
			}
			compare(t, out.String())
		})
	}
}

// targets of shop: one more than the hub names.
func targets() []kronvoyv1alpha1.Target {
	since := metav1.NewTime(now.Add(-3 * time.Minute))
	target := func(cluster string, s kronvoyv1alpha1.TargetStatus) kronvoyv1alpha1.Target {
		return kronvoyv1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: cluster}, Status: s}
	}
	leaving := target("us-west", kronvoyv1alpha1.TargetStatus{State: kronvoyv1alpha1.TargetReady, Revision: "shop-7f"})
	leaving.Spec.Removal = &kronvoyv1alpha1.TargetRemoval{Held: "2 of 5 clusters would leave at once: approve shop-1f0c"}
	return []kronvoyv1alpha1.Target{
		leaving,
		target("eu-west", kronvoyv1alpha1.TargetStatus{
			State: kronvoyv1alpha1.TargetPending, Clocks: kronvoyv1alpha1.Clocks{StateSince: &since}, Nodes: []kronvoyv1alpha1.NodeStatus{
				{ID: "db", State: "Ready", Health: kronvoyv1alpha1.Healthy}, {ID: "web", State: "Pending", WaitsFor: []string{"db.status.host"}},
				{ID: "api", State: "Ready", Health: kronvoyv1alpha1.HealthFailed, HealthMessage: "timed out"},
			},
		}),
		target("zu-rich", kronvoyv1alpha1.TargetStatus{
			State: kronvoyv1alpha1.TargetReady, Suspended: "frozen by ann: inventory", Clocks: kronvoyv1alpha1.Clocks{StateSince: &since},
			Drift: kronvoyv1alpha1.DriftSummary{Last: "Corrected: an old story"},
		}),
	}
}

func TestAnInstance(t *testing.T) {
	tests := map[string]struct {
		targets []kronvoyv1alpha1.Target
		labels  map[string]map[string]string
		look    Look
	}{
		"its clusters and the nodes that are not ready":                {},
		"wide tells all in full":                                       {look: Look{Wide: true}},
		"targets tell of all clusters, and groups are those of labels": {targets: targets(), labels: map[string]map[string]string{"zu-rich": {"region": "ch", "ring": "last"}, "eu-west": {"ring": "first"}}},
		"eleven lines show the most urgent clusters":                   {look: Look{Height: 11}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			obj := instance(t, shop)
			i := read(&obj)
			if tc.targets != nil {
				i.addTargets(tc.targets)
				i.addLabels(tc.labels, "ring")
			}
			tc.look.Now = now
			var out bytes.Buffer
			if err := WriteInstance(&out, i, tc.look); err != nil {
				t.Fatal(err)
			}
			compare(t, out.String())
		})
	}
}

func TestALogSaysWhatChanged(t *testing.T) {
	before := fleet(t)
	after := fleet(t)
	shop := &after.Instances[0]
	shop.State, shop.Ready = "IN_PROGRESS", 3
	shop.Clusters[2] = Cluster{Name: "eu-west", State: "Ready"}
	shop.Clusters[4].Drifted, shop.Clusters[4].Drift = 1, "Reported: Service shop/web was deleted"
	after.Instances[1].Name = "other"
	compare(t, strings.Join(Changes(before.Instances, after.Instances), "\n")+"\n")
	if same := Changes(before.Instances, fleet(t).Instances); len(same) > 0 {
		t.Errorf("nothing has changed, but %q", same)
	}
}

func TestTheMessageIsThatOfTheBuiltInConditionsThenOfTheAuthorsStatus(t *testing.T) {
	obj := instance(t, shop)
	if got := read(&obj).Message; got != "2 of 5 clusters are ready" {
		t.Errorf("the message is %q", got)
	}
	fleet := obj.Object["status"].(map[string]any)["fleet"].(map[string]any)
	fleet["conditions"] = []any{map[string]any{"type": "Ready", "status": "True"}}
	fleet["issues"] = []any{"on eu-west: spec.schema.status.n: division by zero"}
	if got := read(&obj).Message; got != "on eu-west: spec.schema.status.n: division by zero" {
		t.Errorf("the message is %q", got)
	}
	delete(fleet, "issues")
	fleet["unhealthy"] = int64(1)
	if got := read(&obj).Message; got != "ready, but not healthy on 1 of 5 clusters" {
		t.Errorf("the message is %q", got)
	}
}
