package work

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

func TestTheClaimSaysWhatAnAgentCanDo(t *testing.T) {
	for claim, want := range map[string]Capabilities{
		"":                            {},
		"WorkReport":                  {Reports: true},
		"WorkReport,Health":           {Reports: true, Health: true},
		"Something, WorkReport ,Else": {Reports: true},
		"workreport":                  {},
		"WorkReports":                 {},
		",,":                          {},
	} {
		if got := ParseCapabilities(claim); got != want {
			t.Errorf("%q: %+v, want %+v", claim, got, want)
		}
	}
}

// reader is a ConfigMap that holds a value.
func reader(value string) graph.NodeSource {
	return graph.NodeSource{ID: "reader", Template: configMap("reader", value)}
}

func service(readyWhen ...string) graph.NodeSource {
	return graph.NodeSource{ID: "service", ReadyWhen: readyWhen, Template: map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "service"},
		"spec": map[string]any{"selector": map[string]any{"app": "x", "example.com/tier": "web"}, "ports": []any{map[string]any{"port": int64(80)}}},
	}}
}

func TestWhatAGraphNeedsAndAnAgentLacksIsNamed(t *testing.T) {
	external := func(name string, selector any) graph.NodeSource {
		return graph.NodeSource{ID: "found", External: &graph.ExternalSource{APIVersion: "v1", Kind: "ConfigMap", Name: name, Selector: selector}}
	}
	for name, test := range map[string]struct {
		nodes []graph.NodeSource
		// node and field of the message; none when nothing is lacking.
		node, field string
	}{
		"a scalar":                          {nodes: []graph.NodeSource{service(), reader("${service.spec.clusterIP}")}},
		"a map that the template states":    {nodes: []graph.NodeSource{service(), reader("${service.spec.selector.app}")}},
		"such a map as a whole":             {nodes: []graph.NodeSource{service(), reader("${string(size(service.spec.selector))}")}},
		"a map that it does not":            {nodes: []graph.NodeSource{service(), reader("${string(size(service.metadata.annotations))}")}, node: "service", field: "metadata.annotations"},
		"a list":                            {nodes: []graph.NodeSource{service(), reader("${string(service.spec.ports[0].nodePort)}")}, node: "service", field: "spec.ports"},
		"an object":                         {nodes: []graph.NodeSource{service(), reader("${string(has(service.status.loadBalancer))}")}, node: "service", field: "status.loadBalancer"},
		"a list that readyWhen alone reads": {nodes: []graph.NodeSource{service("${service.spec.ports.all(p, p.port > 0)}")}},
		"one that OCM's agent cannot judge": {nodes: []graph.NodeSource{service(`${sets.contains(service.spec.ports.map(p, p.port), [80])}`)}, node: "service", field: "spec.ports"},
		"a scalar for such a readyWhen":     {nodes: []graph.NodeSource{service(`${sets.contains(["ClusterIP"], [service.spec.type])}`)}},
		"a scalar of an external reference": {nodes: []graph.NodeSource{external("x", nil), reader("${found.data.value}")}},
		"data of an external reference":     {nodes: []graph.NodeSource{external("x", nil), reader("${string(size(found.data))}")}, node: "found", field: "data"},
		"a selector":                        {nodes: []graph.NodeSource{external("", map[string]any{"matchLabels": map[string]any{"a": "b"}}), reader("${string(size(found))}")}, node: "found", field: "selector"},
	} {
		t.Run(name, func(t *testing.T) {
			g := compile(t, test.nodes...)
			if lacks := kronvoys.Lacks(g); lacks != nil {
				t.Errorf("Kronvoy's agent lacks %v", lacks)
			}
			lacks := Capabilities{}.Lacks(g)
			if test.node == "" {
				if lacks != nil {
					t.Errorf("it lacks %v", lacks)
				}
				return
			}
			if lacks == nil {
				t.Fatal("it lacks nothing")
			}
			if lacks.Reason() != "AgentLacksWorkReport" || !strings.Contains(lacks.String(), `node "`+test.node+`"`) || !strings.Contains(lacks.For, test.field) {
				t.Errorf("%s: %v; want node %s and field %s", lacks.Reason(), lacks, test.node, test.field)
			}
		})
	}
}

// feedback is what a status says of an object: its values and conditions.
type feedback struct {
	values     map[string]workv1.FieldValue
	conditions []metav1.Condition
}

// TestReadingOCMsFeedback is about one object of a node and what counts of it.
func TestReadingOCMsFeedback(t *testing.T) {
	text := func(s string) workv1.FieldValue { return workv1.FieldValue{Type: workv1.String, String: &s} }
	condition := func(kind string, status metav1.ConditionStatus, generation int64) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, ObservedGeneration: generation, Message: "status.ratio is a float64"}
	}
	applied, available, observed := condition("Applied", "True", 7), condition("Available", "True", 0), condition("Observed", "True", 7)
	values := map[string]workv1.FieldValue{"spec.clusterIP": text("10.0.0.1"), "spec.selector.app": text("x"), `spec.selector['example\.com/tier']`: text("web")}
	whole := map[string]any{"clusterIP": "10.0.0.1", "selector": map[string]any{"app": "x", "example.com/tier": "web"}}

	g := compile(t, service(`${sets.contains(["ClusterIP"], [service.spec.?type.orValue("ClusterIP")])}`),
		reader("${service.spec.clusterIP + string(size(service.spec.selector))}"))
	evaluation, issues := g.Evaluate(graph.Bindings{Instance: map[string]any{
		"apiVersion": "kro.run/v1alpha1", "kind": "Chain", "metadata": map[string]any{"name": "shop", "namespace": "shop"},
		"spec": map[string]any{"value": "one", "short": false},
	}})
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	plan, err := Build(Input{Identity: shop, InstanceUID: "uid-1", Cluster: "c1", Graph: g, Evaluation: evaluation})
	if err != nil || len(plan.Works) != 1 {
		t.Fatalf("%d works: %v", len(plan.Works), err)
	}

	for name, test := range map[string]struct {
		feedback
		current bool
		spec    map[string]any
		failure string
	}{
		"all is well":                     {feedback{values, []metav1.Condition{applied, available, observed}}, true, whole, ""},
		"a map without a key":             {feedback{map[string]workv1.FieldValue{"spec.selector.app": text("x")}, []metav1.Condition{applied, available, observed}}, true, map[string]any{"selector": map[string]any{"app": "x"}}, ""},
		"values of an earlier generation": {feedback{values, []metav1.Condition{applied, available, condition("Observed", "True", 6)}}, false, whole, ""},
		"values of another manifest":      {feedback{values, []metav1.Condition{applied, available, condition("Observed", "False", 7)}}, false, whole, ""},
		"values that nobody certifies":    {feedback{values, []metav1.Condition{applied, available}}, false, whole, ""},
		"not applied as it stands":        {feedback{values, []metav1.Condition{condition("Applied", "True", 6), available, observed}}, false, whole, ""},
		"gone since":                      {feedback{values, []metav1.Condition{applied, condition("Available", "False", 0), observed}}, false, whole, ""},
		"a value that cannot travel": {
			feedback{values, []metav1.Condition{applied, available, observed, condition("StatusFeedbackSynced", "False", 0)}}, false, whole, "cannot return what is read: status.ratio is a float64",
		},
		"such a value of before": {
			feedback{values, []metav1.Condition{applied, available, condition("Observed", "True", 6), condition("StatusFeedbackSynced", "False", 0)}}, false, whole, "",
		},
		"a long value": {
			feedback{map[string]workv1.FieldValue{"spec.clusterIP": text(strings.Repeat("x", 60<<10))}, []metav1.Condition{applied, available, observed}},
			true, map[string]any{"clusterIP": strings.Repeat("x", 60<<10)}, "",
		},
		"a value that is too large": {
			feedback{map[string]workv1.FieldValue{"spec.clusterIP": text(strings.Repeat("x", 65<<10))}, []metav1.Condition{applied, available, observed}},
			false, map[string]any{}, "spec.clusterIP is larger than what is taken",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := plan.Works[0].DeepCopy()
			w.Generation = 7
			id := w.Spec.ManifestConfigs[0].ResourceIdentifier
			status := workv1.ManifestCondition{
				ResourceMeta: workv1.ManifestResourceMeta{Group: id.Group, Resource: id.Resource, Namespace: id.Namespace, Name: id.Name}, Conditions: test.conditions,
			}
			test.values[kronvoyv1alpha1.FeedbackHash] = text(shippedHash(w.Spec.Workload.Manifests[0].Raw))
			for name, value := range test.values {
				status.StatusFeedbacks.Values = append(status.StatusFeedbacks.Values, workv1.FeedbackValue{Name: name, Value: value})
			}
			w.Status.ResourceStatus.Manifests = []workv1.ManifestCondition{status}
			// Reports of an agent before this one say nothing.
			stale := map[string]*kronvoyv1alpha1.WorkReport{w.Name: {Status: kronvoyv1alpha1.WorkReportStatus{
				Deleting: []kronvoyv1alpha1.DeletingObject{{}}, FindingCount: 3,
			}}}
			got, err := Read(g, []*workv1.ManifestWork{w}, stale, Capabilities{})
			if err != nil {
				t.Fatal(err)
			}
			object := got.Observed["service"].Objects[0]
			spec, _ := object.Object["spec"].(map[string]any)
			if spec == nil {
				spec = map[string]any{}
			}
			want(t, "spec", test.spec, spec)
			want(t, "current", test.current, object.Current)
			if object.Verdict != nil || !object.Judgeable {
				t.Errorf("the hub does not judge readyWhen: %+v", object)
			}
			if failure := got.Failures["service"]; !strings.Contains(failure, test.failure) || test.failure == "" && failure != "" {
				t.Errorf("failure %q, want %q", failure, test.failure)
			}
			if len(got.Deleting) > 0 || got.Drift.Objects > 0 {
				t.Errorf("a report of before counts: %+v", got)
			}
		})
	}
}

func TestOCMsAgentIsAskedForScalarsAndForItsVerdict(t *testing.T) {
	g := compile(t, service("${service.spec.clusterIP != ''}"), reader("${service.spec.clusterIP + string(size(service.spec.selector))}"))
	object := map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "service", "namespace": "shop"},
		"spec": map[string]any{"selector": map[string]any{"app": "x", "example.com/tier": "web"}},
	}
	m, err := newManifest(Input{Identity: shop}, g.Node("service"), 0, object)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "feedback", []workv1.JsonPath{
		{Name: kronvoyv1alpha1.FeedbackHash, Path: kronvoyv1alpha1.FeedbackHashPath},
		{Name: "spec.clusterIP", Path: ".spec.clusterIP"},
		{Name: "spec.selector.app", Path: ".spec.selector.app"},
		{Name: `spec.selector['example\.com/tier']`, Path: `.spec.selector['example\.com/tier']`},
	}, m.config.FeedbackRules[0].JsonPaths)
	certificate := certify(shippedHash(m.raw))
	rules := map[string][]string{}
	for _, rule := range m.config.ConditionRules {
		rules[rule.Condition] = rule.CelExpressions
	}
	want(t, "rules", map[string][]string{"Observed": {certificate}, "Ready": {certificate, `object.spec.clusterIP != ""`}}, rules)
	if len(m.observe) > 0 {
		t.Errorf("it is asked for %q in a report", m.observe)
	}
}
