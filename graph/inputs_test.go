package graph_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
)

// reader is a definition whose parts hold expressions.
type reader struct {
	data, status map[string]any
	include      []string
	forEach      []map[string]string
	conditions   []string
	id, name     string
}

func (r reader) source() graph.Source {
	src := graph.Source{Name: "x", Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "X", Scope: graph.Namespaced,
		Spec: map[string]any{"key": "string"}, Status: r.status}}
	node := graph.NodeSource{ID: "it", IncludeWhen: r.include, ForEach: r.forEach, Template: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "it" + r.name}, "data": r.data,
	}}
	if r.id != "" {
		node.ID = r.id
	}
	node.ReadyWhen = []string{"${" + "it.metadata.name != ''}"}
	if len(r.forEach) > 0 || r.id != "" {
		node.ReadyWhen = nil
	}
	src.Nodes = []graph.NodeSource{node}
	if len(r.conditions) > 0 {
		src.Schema.Status = map[string]any{"conditions": anyOf(r.conditions)}
	}
	return src
}

func anyOf(texts []string) []any {
	out := make([]any, len(texts))
	for i, text := range texts {
		out[i] = text
	}
	return out
}

func data(expression string) reader { return reader{data: map[string]any{"a": expression}} }

func TestWhatExpressionsReadOfTheClusterIsKnown(t *testing.T) {
	everything := "cluster.allocatable cluster.annotations cluster.capacity cluster.claims cluster.labels cluster.version"
	cases := map[string]struct {
		reader
		want string
	}{
		"nothing":                        {data("${schema.metadata.name}"), ""},
		"the name never changes":         {data("${cluster.name}"), ""},
		"a label":                        {data("${cluster.labels.region}"), "cluster.labels.region"},
		"the key of a label in brackets": {data("${cluster.labels['a.b/c']}"), "cluster.labels['a.b/c']"},
		"a label that need not be there": {data("${cluster.labels.?tier.orValue('x')}"), "cluster.labels.tier"},
		"a label that is asked for":      {data("${has(cluster.labels.tier) ? 'a' : 'b'}"), "cluster.labels.tier"},
		"several, once each":             {data("${cluster.labels.b + cluster.labels.a + cluster.version + cluster.labels.b}"), "cluster.labels.a cluster.labels.b cluster.version"},
		"a key that is computed":         {data("${cluster.labels[schema.spec.key]}"), "cluster.labels"},
		"a macro over all of them":       {data("${cluster.claims.map(k, k + cluster.claims.x).join(',')}"), "cluster.claims"},
		"all of them hold one of them":   {data("${cluster.labels.a + string(size(cluster.labels))}"), "cluster.labels"},
		"a name of a macro":              {data("${['a'].map(cluster, cluster + 'x').join(',')}"), ""},
		"the whole cluster":              {data("${json.marshal(cluster)}"), everything},
		"text with several expressions":  {data("a ${cluster.capacity.cpu} b ${cluster.allocatable.cpu}"), "cluster.allocatable.cpu cluster.capacity.cpu"},
		"includeWhen":                    {reader{include: []string{"${cluster.labels.env == 'prod'}"}}, "cluster.labels.env"},
		"forEach":                        {reader{name: "-${x}", forEach: []map[string]string{{"x": "${cluster.claims.zones.split(',')}"}}}, "cluster.claims.zones"},
		"an iterator of that name": {reader{name: "-${cluster}", forEach: []map[string]string{{"cluster": "${[cluster.labels.a]}"}}, include: []string{"${cluster.labels.b == 'x'}"},
			data: map[string]any{"a": "${cluster.split(',').join(cluster)}"}}, "cluster.labels.a cluster.labels.b"},
		"a resource of that name":         {reader{id: "cluster", status: map[string]any{"a": "${cluster.data.a}"}}, ""},
		"the author's status":             {reader{status: map[string]any{"a": "${it.metadata.name + cluster.annotations.owner}"}}, "cluster.annotations.owner"},
		"the author's conditions":         {reader{conditions: []string{"${runtime.newCondition({type: 'A', status: has(cluster.labels.a) && it.metadata.name != '' ? 'True' : 'False'})}"}}, "cluster.labels.a"},
		"what is the key of another read": {data("${cluster.labels[cluster.claims.x]}"), "cluster.claims.x cluster.labels"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g, issues := graph.Compile(tc.source(), builtin.Resolver())
			if err := issues.Err(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, texts(g.ClusterReads())); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func texts(reads graph.ClusterReads) string {
	var out []string
	for _, r := range reads {
		out = append(out, r.String())
	}
	return strings.Join(out, " ")
}

func TestWhatOverridesReadOfTheClusterIsKnown(t *testing.T) {
	// In this definition a resource is called cluster; for overrides the cluster is.
	g := shop(t)
	overrides, issues := g.CompileOverrides(sources(t, `[{spec: {replicas: 1}, expressions: {host: "${cluster.labels.zone}.${cluster.name}"}}, {expressions: {ingress.host: "${cluster.claims.?domain.orValue('x')}"}}]`))
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("cluster.claims.domain cluster.labels.zone", texts(overrides.ClusterReads())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if reads := g.ClusterReads(); reads != nil {
		t.Errorf("the graph reads %v", reads)
	}
}

func TestInputsAreWhatWasReadAndNothingElse(t *testing.T) {
	cluster := graph.Cluster{Name: "eu-west", Version: "v1.36.3", Labels: map[string]string{"region": "eu", "zone": "a"},
		Claims: map[string]string{"x": "1", "y": "2"}, Capacity: map[string]string{"cpu": "4"}}
	cases := map[string]struct {
		reads graph.ClusterReads
		want  map[string]any
	}{
		"single keys":         {graph.NewClusterReads(graph.ClusterRead{Field: "labels", Key: "region"}, graph.ClusterRead{Field: "capacity", Key: "cpu"}), map[string]any{"labels": map[string]any{"region": "eu"}, "capacity": map[string]any{"cpu": "4"}}},
		"what is absent":      {graph.NewClusterReads(graph.ClusterRead{Field: "labels", Key: "tier"}, graph.ClusterRead{Field: "annotations"}), map[string]any{}},
		"all of a field":      {graph.NewClusterReads(graph.ClusterRead{Field: "claims"}).With(graph.ClusterRead{Field: "claims", Key: "x"}), map[string]any{"claims": map[string]any{"x": "1", "y": "2"}}},
		"the version":         {graph.NewClusterReads(graph.ClusterRead{Field: "version"}), map[string]any{"version": "v1.36.3"}},
		"nothing has nothing": {nil, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			inputs, err := tc.reads.Inputs(cluster)
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == nil {
				if inputs != nil {
					t.Errorf("inputs are %v", inputs)
				}
				return
			}
			if diff := cmp.Diff(tc.want, inputs.Values); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTheHashOfInputsChangesWithWhatIsReadAlone(t *testing.T) {
	reads := graph.NewClusterReads(graph.ClusterRead{Field: "labels", Key: "region"}, graph.ClusterRead{Field: "claims"})
	of := func(change func(*graph.Cluster)) string {
		c := graph.Cluster{Name: "eu-west", Labels: map[string]string{"region": "eu", "zone": "a"}, Claims: map[string]string{"x": "1"}}
		change(&c)
		inputs, err := reads.Inputs(c)
		if err != nil {
			t.Fatal(err)
		}
		return inputs.Hash
	}
	before := of(func(*graph.Cluster) {})
	for name, tc := range map[string]struct {
		change func(*graph.Cluster)
		same   bool
	}{
		"a label that nothing reads": {func(c *graph.Cluster) { c.Labels["zone"] = "b" }, true},
		"one that is new":            {func(c *graph.Cluster) { c.Labels["other"] = "b" }, true},
		"another version":            {func(c *graph.Cluster) { c.Version = "v2" }, true},
		"a label that is read":       {func(c *graph.Cluster) { c.Labels["region"] = "us" }, false},
		"one that is gone":           {func(c *graph.Cluster) { delete(c.Labels, "region") }, false},
		"one that is empty":          {func(c *graph.Cluster) { c.Labels["region"] = "" }, false},
		"any of a field":             {func(c *graph.Cluster) { c.Claims["new"] = "" }, false},
	} {
		if after := of(tc.change); (after == before) != tc.same {
			t.Errorf("%s: the same hash %t, want %t", name, after == before, tc.same)
		}
	}
}

func TestInputsThatAreTooLargeAreNamed(t *testing.T) {
	c := graph.Cluster{Name: "eu-west", Labels: map[string]string{"a": strings.Repeat("x", 32<<10), "b": "y"}, Claims: map[string]string{"c": "z"}}
	for field, want := range map[graph.ClusterRead]string{
		{Field: "labels"}: "what expressions read of cluster eu-west is 32773 bytes, and 32768 are the most that is kept: " +
			"cluster.labels is 32771 of them; let expressions read single keys of it, as in cluster.labels.a",
		{Field: "labels", Key: "a"}: "what expressions read of cluster eu-west is 32771 bytes, and 32768 are the most that is kept: cluster.labels.a is 32769 of them",
		{Field: "labels", Key: "b"}: "",
	} {
		inputs, err := graph.NewClusterReads(field, graph.ClusterRead{Field: "claims", Key: "c"}).Inputs(c)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want || (inputs == nil) != (want != "") {
			t.Errorf("%s: inputs %v, error %q, want %q", field, inputs, got, want)
		}
	}
}

func TestStoredInputsThatAreNoneAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"labels":{"a":"b"},"version":"v1"}`: "",
		`{"labels":{"a":1}}`:                  "the inputs of cluster eu-west cannot be read: cluster.labels is no value of a cluster",
		`{"nodes":{"a":"b"}}`:                 "the inputs of cluster eu-west cannot be read: cluster.nodes is no value of a cluster",
		`{"version":{}}`:                      "the inputs of cluster eu-west cannot be read: cluster.version is no value of a cluster",
		`{"labels":"x"}`:                      "the inputs of cluster eu-west cannot be read: cluster.labels is no value of a cluster",
	} {
		inputs := &graph.Inputs{Values: decodeYAML[map[string]any](t, text)}
		got := ""
		if _, err := inputs.Cluster("eu-west"); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestEvaluationNeedsNothingOfAClusterButItsInputs evaluates every scenario with
// what was kept of its cluster, stored and read back: the results are the same,
// what is missing and how that is said included.
func TestEvaluationNeedsNothingOfAClusterButItsInputs(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*", "instance.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	some := false
	for _, file := range files {
		dir := filepath.Dir(file)
		if _, err := os.Stat(filepath.Join(dir, "expected.yaml")); err != nil {
			continue // nothing comes out of it
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			g, issues := graph.Compile(readSource(t, filepath.Join(dir, "rgd.yaml")), scenarioResolver(t, dir))
			if err := issues.Err(); err != nil {
				t.Fatal(err)
			}
			b, _ := scenarioBindings(t, dir)
			want, wantIssues := g.Evaluate(b)
			inputs, err := g.ClusterReads().Inputs(b.Cluster)
			if err != nil {
				t.Fatal(err)
			}
			name := b.Cluster.Name
			if b.Cluster = (graph.Cluster{Name: name}); inputs != nil {
				some = true
				stored, err := json.Marshal(inputs.Values)
				if err != nil {
					t.Fatal(err)
				}
				back := &graph.Inputs{Values: decodeYAML[map[string]any](t, string(stored))}
				if b.Cluster, err = back.Cluster(name); err != nil {
					t.Fatal(err)
				}
			}
			got, gotIssues := g.Evaluate(b)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("evaluation (-live +inputs):\n%s", diff)
			}
			if diff := cmp.Diff(wantIssues, gotIssues); diff != "" {
				t.Errorf("issues (-live +inputs):\n%s", diff)
			}
		})
	}
	if !some {
		t.Error("no scenario reads anything of its cluster")
	}
}
