package view_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/yaml"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/dashboard/view"
	"github.com/kronvoy/kronvoy/internal/diagram"
	"github.com/kronvoy/kronvoy/internal/golden"
)

// models is all that the pages of one scenario show.
type models struct {
	Clusters    []view.Cluster         `json:"clusters,omitempty"`
	OnCluster   []view.InstanceRow     `json:"onCluster,omitempty"`
	Definition  *view.Definition       `json:"definition,omitempty"`
	Refusals    []view.Refusal         `json:"refusals,omitempty"`
	Listed      *view.ListedDefinition `json:"listedDefinition,omitempty"`
	Instance    *view.Instance         `json:"instance,omitempty"`
	Row         *view.Listed           `json:"listedInstance,omitempty"`
	Nodes       []*view.NodeDetail     `json:"nodes,omitempty"`
	OfInstance  []*view.ClusterDetail  `json:"ofInstance,omitempty"`
	Manifests   map[string]string      `json:"manifests,omitempty"`
	Differences map[string][]view.Line `json:"differences,omitempty"`
}

// objects of a scenario, read from its objects.yaml.
type objects struct {
	clusters   []*clusterv1.ManagedCluster
	definition *krov1alpha1.ResourceGraphDefinition
	instance   *unstructured.Unstructured
	targets    []kronvoyv1alpha1.Target
	works      map[string][]*workv1.ManifestWork // by cluster
}

// TestScenarios compares what pages show with testdata/<sentence>/expected.yaml.
func TestScenarios(t *testing.T) {
	scenarios, err := filepath.Glob("testdata/*/objects.yaml")
	if err != nil || len(scenarios) == 0 {
		t.Fatalf("there are no scenarios: %v", err)
	}
	for _, path := range scenarios {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			all, err := yaml.Marshal(show(t, read(t, path)))
			if err != nil {
				t.Fatal(err)
			}
			var shown any
			if err := yaml.Unmarshal(all, &shown); err != nil {
				t.Fatal(err)
			}
			got, err := yaml.Marshal(said(shown))
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, filepath.Join(dir, "expected.yaml"), string(got))
			if strings.Contains(string(got), "hunter2") || strings.Contains(string(got), "aHVudGVyMg") {
				t.Error("a value of a Secret is shown")
			}
		})
	}
}

// said leaves out what a page says nothing about.
func said(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, entry := range value {
			if value[key] = said(entry); value[key] == nil {
				delete(value, key)
			}
		}
		if len(value) == 0 {
			return nil
		}
	case []any:
		for i := range value {
			value[i] = said(value[i])
		}
	case string:
		if value == "" || value == "0001-01-01T00:00:00Z" {
			return nil
		}
	case float64:
		if value == 0 {
			return nil
		}
	case bool:
		if !value {
			return nil
		}
	}
	return value
}

func read(t *testing.T, path string) objects {
	t.Helper()
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, clusterv1.Install, workv1.Install, krov1alpha1.AddToScheme, kronvoyv1alpha1.AddToScheme} {
		if err := add(known); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	o := objects{works: map[string][]*workv1.ManifestWork{}}
	for part := range strings.SplitSeq(string(text), "\n---\n") {
		u := &unstructured.Unstructured{}
		asJSON, err := yaml.YAMLToJSON([]byte(part))
		if err == nil {
			err = u.UnmarshalJSON(asJSON)
		}
		if err != nil {
			t.Fatalf("reading %s: %v", part, err)
		}
		typed, err := known.New(u.GroupVersionKind())
		if runtime.IsNotRegisteredError(err) {
			o.instance = u
			continue
		}
		if err == nil {
			err = yaml.UnmarshalStrict([]byte(part), typed)
		}
		if err != nil {
			t.Fatalf("reading %s: %v", part, err)
		}
		switch typed := typed.(type) {
		case *clusterv1.ManagedCluster:
			o.clusters = append(o.clusters, typed)
		case *krov1alpha1.ResourceGraphDefinition:
			o.definition = typed
		case *kronvoyv1alpha1.Target:
			o.targets = append(o.targets, *typed)
		case *workv1.ManifestWork:
			o.works[typed.Namespace] = append(o.works[typed.Namespace], typed)
		default:
			t.Fatalf("no page shows %s", u.GroupVersionKind())
		}
	}
	return o
}

func show(t *testing.T, o objects) models {
	t.Helper()
	var m models
	for _, c := range o.clusters {
		m.Clusters = append(m.Clusters, view.NewCluster(c, view.NewTile(c, nil)))
	}
	m.OnCluster = view.InstanceRows(o.targets)
	var g *graph.Graph
	if o.definition != nil {
		g = define(t, o, &m)
	}
	if o.instance == nil {
		return m
	}
	page, row := view.NewInstance(o.instance), view.NewListed(o.instance)
	page.SetTargets(o.targets)
	m.Instance, m.Row = &page, &row
	for i := range o.targets {
		m.OfInstance = append(m.OfInstance, view.NewClusterDetail(&o.targets[i]))
	}
	if g == nil {
		return m
	}
	layout, err := diagram.Arrange(view.Boxes(g))
	if err != nil {
		t.Fatal(err)
	}
	drawn := view.Draw(g, layout, view.NodeStates(o.targets), "", nil)
	page.Graph = &drawn
	for _, n := range g.Nodes() {
		m.Nodes = append(m.Nodes, view.NewNodeDetail(g, n.ID, o.targets, nil))
	}
	compare(t, g, o, &m)
	return m
}

// define fills in the definition's own pages.
func define(t *testing.T, o objects, m *models) *graph.Graph {
	t.Helper()
	source, err := convert.Source(o.definition)
	if err != nil {
		t.Fatal(err)
	}
	g, issues := graph.Compile(source, builtin.Resolver())
	page, row := view.NewDefinition(o.definition, g, issues), view.NewListedDefinition(o.definition)
	m.Definition, m.Listed = &page, &row
	kind := view.KindOf(o.definition)
	m.Refusals = view.Refusals(schema.GroupKind{Group: kind.Group, Kind: kind.Kind}, o.targets)
	return g
}

// compare shows what is shipped, and how it differs from the first cluster's.
func compare(t *testing.T, g *graph.Graph, o objects, m *models) {
	t.Helper()
	m.Manifests, m.Differences = map[string]string{}, map[string][]view.Line{}
	var clusters []string
	for cluster, works := range o.works {
		manifests, err := view.Manifests(g, works)
		if err != nil {
			t.Fatal(err)
		}
		m.Manifests[cluster] = view.Text(manifests)
		clusters = append(clusters, cluster)
	}
	slices.Sort(clusters)
	for _, cluster := range clusters {
		if diff := view.Diff(m.Manifests[clusters[0]], m.Manifests[cluster]); len(diff) > 0 {
			m.Differences[cluster] = diff
		}
	}
}
