package override_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/override"
	"github.com/kronvoy/kronvoy/hub/policy"
)

func shop(t testing.TB) *graph.Graph {
	t.Helper()
	g, issues := graph.Compile(graph.Source{Name: "shop", Schema: graph.SchemaSource{
		Group: "kro.run", Version: "v1alpha1", Kind: "Shop",
		Spec: map[string]any{
			"replicas": "integer | default=3 minimum=0 maximum=10",
			"most":     `integer | default=10 validation="self > 1"`,
			"host":     "string | required=true",
			"tags":     "[]string | uniqueItems=true",
			"limits":   "map[string]integer",
			"extra":    "object",
			"ports":    "[]Port",
		},
		Types: map[string]any{"Port": map[string]any{"name": "string | required=true", "port": "integer | required=true"}},
	}}, builtin.Resolver())
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

func patch(text string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(text)} }

func labels(of ...string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{of[0]: of[1]}}
}

func TestAnOverrideThatDoesNotFitTheKindIsSaidWithItsPlace(t *testing.T) {
	g := shop(t)
	cases := map[string]struct {
		overrides            []kronvoyv1alpha1.Override
		field, reason, cause string
	}{
		"a field of the patch": {
			[]kronvoyv1alpha1.Override{{}, {Spec: patch(`{"replica": 1, "most": "x"}`)}},
			"spec.overrides[1].spec.most", "InvalidOverride", "expected integer, got a string; and 1 more",
		},
		"an expression, in its second line": {
			[]kronvoyv1alpha1.Override{{Expressions: map[string]string{"host": "${\n  cluster.nam}"}}},
			"spec.overrides[0].expressions.host:2:11", "InvalidOverride", `unknown field "nam" (did you mean name?)`,
		},
		"a selector": {
			[]kronvoyv1alpha1.Override{{ClusterSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}}},
			"spec.overrides[0].clusterSelector", "InvalidSelector", `"Like" is not a valid label selector operator`,
		},
		"a patch that is no object": {
			[]kronvoyv1alpha1.Override{{Spec: patch(`[1]`)}},
			"spec.overrides[0].spec", "InvalidOverride", "json: cannot unmarshal array into Go value of type map[string]interface {}",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := override.Compile(g, tc.overrides)
			var invalid *policy.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("error %v, want an InvalidError", err)
			}
			if diff := cmp.Diff([]string{tc.field, tc.reason, tc.cause}, []string{invalid.Field, invalid.Reason, invalid.Err.Error()}); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestWhatOverridesComeToIsJudgedAsAnAPIServerDoes(t *testing.T) {
	g := shop(t)
	cases := map[string]struct {
		overrides []kronvoyv1alpha1.Override
		// want is the error on cluster eu-west, whose size is small.
		want string
	}{
		"what is right": {overrides: []kronvoyv1alpha1.Override{{Spec: patch(`{"replicas": 1}`)}}},
		"a number out of bounds, named with who made it": {
			[]kronvoyv1alpha1.Override{{Spec: patch(`{"most": 4}`)}, {Expressions: map[string]string{"replicas": "${size(cluster.name) * 10}"}}},
			"with spec.overrides[1], spec.replicas: Invalid value: 70: spec.replicas in body should be less than or equal to 10",
		},
		"a rule in CEL": {
			[]kronvoyv1alpha1.Override{{}, {ClusterSelector: labels("size", "small"), Spec: patch(`{"most": 1}`)}},
			"with spec.overrides[1], spec.most: Invalid value: 1: validation failed",
		},
		"the same, for another cluster": {
			overrides: []kronvoyv1alpha1.Override{{ClusterSelector: labels("size", "large"), Spec: patch(`{"most": 1}`)}},
		},
		"what is required is taken away": {
			[]kronvoyv1alpha1.Override{{Spec: patch(`{"host": null}`)}},
			"with spec.overrides[0], spec.host: Required value",
		},
		"a set with two of one kind": {
			[]kronvoyv1alpha1.Override{{Spec: patch(`{"tags": ["a", "a"]}`)}},
			`with spec.overrides[0], spec.tags[1]: Duplicate value: "a"`,
		},
		"a type that only the value shows": {
			[]kronvoyv1alpha1.Override{{Expressions: map[string]string{"host": "${json.unmarshal('1')}"}}},
			"with spec.overrides[0], spec.host: Invalid value: \"number\": spec.host in body must be of type string: \"number\"",
		},
		"a field that an API server would drop": {
			[]kronvoyv1alpha1.Override{{Expressions: map[string]string{"ports": `${json.unmarshal('[{"name": "a", "port": 1, "prot": "x"}]')}`}}},
			"with spec.overrides[0], spec.ports[0].prot: unknown field",
		},
		"a key of a map": {
			[]kronvoyv1alpha1.Override{{Expressions: map[string]string{"limits['a.b']": "${json.unmarshal('\"x\"')}"}}},
			"with spec.overrides[0], spec.limits.a.b: Invalid value: \"string\": spec.limits.a.b in body must be of type integer: \"string\"",
		},
		"a label that the cluster does not have": {
			[]kronvoyv1alpha1.Override{{Expressions: map[string]string{"host": "${cluster.labels.zone}"}}},
			"spec.overrides[0].expressions.host: cluster eu-west has no label zone",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			list, err := override.Compile(g, tc.overrides)
			if err != nil {
				t.Fatal(err)
			}
			instance := map[string]any{"apiVersion": "kro.run/v1alpha1", "kind": "Shop", "metadata": map[string]any{"name": "a", "namespace": "b"},
				"spec": map[string]any{"replicas": int64(3), "most": int64(10), "host": "a"}}
			spec, _, err := list.On(instance, graph.Cluster{Name: "eu-west", Labels: map[string]string{"size": "small"}})
			got := ""
			if err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || (spec == nil) != (err != nil) {
				t.Errorf("spec %v, error (-want +got):\n%s", spec, diff)
			}
		})
	}
}

func TestOverridesAreCompiledOnceForAGraph(t *testing.T) {
	g := shop(t)
	overrides := []kronvoyv1alpha1.Override{{Spec: patch(`{"replicas": 1}`)}}
	cache := &override.Cache{}
	first, err := cache.Compile(g, overrides)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		g         *graph.Graph
		overrides []kronvoyv1alpha1.Override
		same      bool
	}{
		"the same":         {g, []kronvoyv1alpha1.Override{{Spec: patch(`{"replicas": 1}`)}}, true},
		"other overrides":  {g, []kronvoyv1alpha1.Override{{Spec: patch(`{"replicas": 2}`)}}, false},
		"for other graphs": {shop(t), overrides, false},
	} {
		if again, err := cache.Compile(tc.g, tc.overrides); (again == first) != tc.same || err != nil {
			t.Errorf("%s: the same list %v, error %v", name, again == first, err)
		}
	}
	broken := []kronvoyv1alpha1.Override{{Spec: patch(`{"x": 1}`)}}
	_, err = cache.Compile(g, broken)
	if _, again := cache.Compile(g, broken); err == nil || again == nil || !strings.Contains(again.Error(), "unknown field") {
		t.Errorf("errors %v, then %v", err, again)
	}
}

// BenchmarkOnOneCluster is what two overrides cost for one more cluster, with the
// judgement of what comes of them.
func BenchmarkOnOneCluster(b *testing.B) {
	list, err := override.Compile(shop(b), []kronvoyv1alpha1.Override{
		{ClusterSelector: labels("size", "small"), Spec: patch(`{"replicas": 1, "tags": ["a"]}`)},
		{Expressions: map[string]string{"host": "${schema.metadata.name}.${cluster.name}.example.com"}},
	})
	if err != nil {
		b.Fatal(err)
	}
	instance := map[string]any{"apiVersion": "kro.run/v1alpha1", "kind": "Shop", "metadata": map[string]any{"name": "a", "namespace": "b"},
		"spec": map[string]any{"replicas": int64(3), "most": int64(10), "host": "a"}}
	cluster := graph.Cluster{Name: "eu-west", Labels: map[string]string{"size": "small"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, fields, err := list.On(instance, cluster); err != nil || len(fields) != 3 {
			b.Fatal(fields, err)
		}
	}
}
