package plan_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/plan"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
)

func TestWhatAnAgentCanDoIsReadFromItsClusterOrItsWorks(t *testing.T) {
	claims := func(claims ...clusterv1.ManagedClusterClaim) clusterv1.ManagedClusterStatus {
		return clusterv1.ManagedClusterStatus{ClusterClaims: claims}
	}
	reports := map[string]*kronvoyv1alpha1.WorkReport{"shop-0": {}}
	for name, test := range map[string]struct {
		status    clusterv1.ManagedClusterStatus
		reports   map[string]*kronvoyv1alpha1.WorkReport
		agent     work.Capabilities
		described bool
	}{
		"nobody has described it": {},
		"nobody does any more":    {reports: reports, agent: work.Capabilities{Reports: true}},
		"OCM's agent": {
			status: clusterv1.ManagedClusterStatus{Version: clusterv1.ManagedClusterVersion{Kubernetes: "v1.36.3"}}, described: true,
		},
		"OCM's agent after Kronvoy's": {
			status: clusterv1.ManagedClusterStatus{Version: clusterv1.ManagedClusterVersion{Kubernetes: "v1.36.3"}}, reports: reports, described: true,
		},
		"Kronvoy's agent": {
			status:    claims(clusterv1.ManagedClusterClaim{Name: "x", Value: "y"}, clusterv1.ManagedClusterClaim{Name: kronvoyv1alpha1.ClaimFeatures, Value: "WorkReport"}),
			described: true, agent: work.Capabilities{Reports: true},
		},
		"Kronvoy's agent beside OCM's registration agent": {
			status:    claims(clusterv1.ManagedClusterClaim{Name: "features.agent.kronvoy.io", Value: "WorkReport"}),
			described: true, agent: work.Capabilities{Reports: true},
		},
		"an agent that says it can do nothing": {
			status: claims(clusterv1.ManagedClusterClaim{Name: kronvoyv1alpha1.ClaimFeatures}), reports: reports, described: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			agent, described := plan.Meet(&clusterv1.ManagedCluster{Status: test.status}, test.reports)
			if agent != test.agent || described != test.described {
				t.Errorf("%+v, described %t; want %+v, %t", agent, described, test.agent, test.described)
			}
		})
	}
}

// copies is the graph of an App that copies a value of an external object.
func copies(t *testing.T, from string) *graph.Graph {
	t.Helper()
	g, issues := graph.Compile(graph.Source{
		Name:   "app",
		Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "App", Scope: graph.Namespaced, Spec: map[string]any{"n": "integer | default=1"}},
		Nodes: []graph.NodeSource{
			{ID: "it", External: &graph.ExternalSource{APIVersion: "v1", Kind: from, Name: "it"}},
			{ID: "copy", Template: map[string]any{
				"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "copy"}, "data": map[string]any{"key": "${string(it.data.key)}"},
			}},
			{ID: "own", Template: map[string]any{
				"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "own"}, "data": map[string]any{"n": "${string(schema.spec.n)}"},
			}},
		},
	}, builtin.Resolver())
	if g == nil {
		t.Fatal(issues.Err())
	}
	return g
}

// input is an App in namespace shop on cluster eu-west, whose agent is
// Kronvoy's and may use its own rights.
func input(t *testing.T, from string, change ...func(*plan.Input)) plan.Input {
	t.Helper()
	instance := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "kro.run/v1alpha1", "kind": "App", "metadata": map[string]any{"name": "web", "namespace": "shop", "uid": "u"},
		"spec": map[string]any{"n": int64(99)},
	}}
	in := plan.Input{
		Identity: work.IdentityOfInstance(instance), Instance: instance,
		RevisionName: "r1", Revision: revision.Instance{Spec: map[string]any{"n": int64(2)}}, Graph: copies(t, from),
		ClusterName: "eu-west", Cluster: &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: "eu-west", Labels: map[string]string{"size": "small"}}},
		Agent: work.Capabilities{Reports: true}, Described: true,
		ActsFor: policy.Identity{Namespace: "shop", Marked: "shop", AllowAgent: true}, Reserved: plan.Reserved{Hub: "hub-system"},
	}
	for _, c := range change {
		c(&in)
	}
	return in
}

func TestWhatKeepsAnInstanceFromACluster(t *testing.T) {
	local := func(in *plan.Input) { in.ClusterName = kronvoyv1alpha1.LocalCluster }
	namespace := func(name string) func(*plan.Input) {
		return func(in *plan.Input) { in.Identity.Namespace = name }
	}
	distribution := func(path string) func(*plan.Input) {
		return func(in *plan.Input) {
			in.Distribution = &kronvoyv1alpha1.Distribution{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: kronvoyv1alpha1.DistributionSpec{
				Policies: []kronvoyv1alpha1.DistributionPolicy{{Paths: []string{path}, Drift: kronvoyv1alpha1.DriftIgnore}},
			}}
		}
	}
	for name, tc := range map[string]struct {
		from   string
		change []func(*plan.Input)
		// reason and says of what blocks it; nothing does without says.
		reason, says string
	}{
		"nothing": {from: "ConfigMap"},
		"a value of a Secret would leave the cluster": {
			from: "Secret", reason: kronvoyv1alpha1.ReasonSecretValues, says: "spec.resources[1].template.data.key reads it.data.key",
		},
		"values of Secrets go nowhere on the hub's own":   {from: "Secret", change: []func(*plan.Input){local}},
		"the definition lets values of Secrets travel":    {from: "Secret", change: []func(*plan.Input){func(in *plan.Input) { in.SecretValuesTravel = true }}},
		"a suspended instance moves nothing":              {from: "Secret", change: []func(*plan.Input){func(in *plan.Input) { in.Suspended = true }}},
		"a namespace that holds clusters together":        {from: "ConfigMap", change: []func(*plan.Input){namespace("kube-system")}, says: "reserved"},
		"the hub's namespace":                             {from: "ConfigMap", change: []func(*plan.Input){namespace("hub-system")}, says: "--allow-namespace=hub-system"},
		"the same namespace, where it is that of the hub": {from: "ConfigMap", change: []func(*plan.Input){namespace("hub-system"), local}},
		"a reserved namespace that is allowed": {from: "ConfigMap", change: []func(*plan.Input){namespace("default"), func(in *plan.Input) {
			in.Reserved.Allowed = []string{"default"}
		}}},
		"a Distribution that is wrong": {
			from: "ConfigMap", change: []func(*plan.Input){distribution("spec..x")}, reason: kronvoyv1alpha1.ReasonInvalidDistribution,
			says: "Distribution d cannot be used: spec.policies[0].paths[0]",
		},
		"a Distribution that is right": {from: "ConfigMap", change: []func(*plan.Input){distribution("spec.x")}},
		"nobody in whose name": {
			from: "ConfigMap", change: []func(*plan.Input){func(in *plan.Input) { in.ActsFor.AllowAgent = false }},
			reason: kronvoyv1alpha1.ReasonNoServiceAccount, says: "kubectl annotate namespace shop",
		},
		"an agent that lacks something": {
			from: "ConfigMap", change: []func(*plan.Input){func(in *plan.Input) { in.Agent, in.Graph = work.Capabilities{}, lists(t) }},
			reason: "AgentLacksWorkReport", says: "it lists objects by a selector",
		},
		"an agent that nobody has described lacks nothing": {
			from: "ConfigMap", change: []func(*plan.Input){func(in *plan.Input) { in.Agent, in.Described, in.Graph = work.Capabilities{}, false, lists(t) }},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan.Evaluate(input(t, tc.from, tc.change...))
			if p.Reason != tc.reason || (p.Blocked == "") != (tc.says == "") || !strings.Contains(p.Blocked, tc.says) {
				t.Errorf("blocked: %q, reason %q; want %q and %q", p.Blocked, p.Reason, tc.says, tc.reason)
			}
		})
	}
}

// lists is a graph that finds objects by a selector.
func lists(t *testing.T) *graph.Graph {
	t.Helper()
	g, issues := graph.Compile(graph.Source{
		Name:   "app",
		Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "App", Scope: graph.Namespaced},
		Nodes: []graph.NodeSource{{ID: "them", External: &graph.ExternalSource{
			APIVersion: "v1", Kind: "ConfigMap", Selector: map[string]any{"matchLabels": map[string]any{"a": "b"}},
		}}},
	}, builtin.Resolver())
	if g == nil {
		t.Fatal(issues.Err())
	}
	return g
}
