package work

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/policy"
)

var shop = Identity{Group: "kro.run", Version: "v1alpha1", Kind: "Chain", Namespace: "shop", Name: "shop"}

// chain is a ── b ── c: each ConfigMap takes a value of the one before. c is
// left out when spec.short is true.
func chain(t *testing.T) *graph.Graph {
	t.Helper()
	return compile(t, graph.NodeSource{ID: "a", Template: configMap("a", "${schema.spec.value}")},
		graph.NodeSource{ID: "b", Template: configMap("b", "${a.data.value}")},
		graph.NodeSource{ID: "c", Template: configMap("c", "${b.data.value}"), IncludeWhen: []string{"${!schema.spec.short}"}})
}

func configMap(name, value string) map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": name},
		"data":     map[string]any{"value": value},
	}
}

func compile(t *testing.T, nodes ...graph.NodeSource) *graph.Graph {
	t.Helper()
	g, issues := graph.Compile(graph.Source{
		Name: "chain",
		Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "Chain", Scope: graph.Namespaced, Spec: map[string]any{
			"value": "string | default=one", "short": "boolean | default=false",
		}},
		Nodes: nodes,
	}, builtin.Resolver())
	if g == nil {
		t.Fatal(issues.Err())
	}
	return g
}

// world plays hub and agent: it writes what Build plans, answers as an agent
// does, and reads back.
type world struct {
	t         *testing.T
	graph     *graph.Graph
	spec      map[string]any
	works     []*workv1.ManifestWork
	reports   map[string]*kronvoyv1alpha1.WorkReport
	last      graph.Evaluation
	suspended bool
	// mute keeps the agent from answering; stuck names objects that do not go.
	mute  bool
	stuck map[string]bool
	// unready names objects whose live state lags behind their manifest.
	unready map[string]bool
	// missing names objects that are not on the cluster.
	missing map[string]bool
	// elsewhere is what no work holds.
	elsewhere Elsewhere
	policies  policy.Policies
	executor  *workv1.ManifestWorkExecutor
	agent     Capabilities
	// ocm plays OCM's own agent, where the cluster has that one.
	ocm       *ocmAgent
	decisions []kronvoyv1alpha1.DriftDecision
}

// kronvoys are the capabilities of Kronvoy's own agent.
var kronvoys = Capabilities{Reports: true}

func newWorld(t *testing.T, g *graph.Graph) *world {
	return &world{t: t, graph: g, agent: kronvoys, spec: map[string]any{"value": "one", "short": false},
		reports: map[string]*kronvoyv1alpha1.WorkReport{}, stuck: map[string]bool{}, unready: map[string]bool{}, missing: map[string]bool{}}
}

// step is one reconciliation of the hub and one of the agent.
func (w *world) step(teardown bool) Plan {
	w.t.Helper()
	in := Input{Identity: shop, InstanceUID: "uid-1", Cluster: "c1", Revision: "r1", Previous: w.works, Reports: w.reports, Elsewhere: w.elsewhere,
		Policies: w.policies, Executor: w.executor, Decisions: w.decisions, Capabilities: w.agent}
	if !teardown {
		feedback, err := Read(w.graph, w.works, w.reports, w.agent)
		if err != nil {
			w.t.Fatal(err)
		}
		w.last, _ = w.graph.Evaluate(graph.Bindings{
			Instance: map[string]any{
				"apiVersion": "kro.run/v1alpha1", "kind": "Chain",
				"metadata": map[string]any{"name": "shop", "namespace": "shop"}, "spec": w.spec,
			},
			Cluster:  graph.Cluster{Name: "c1"},
			Observed: feedback.Observed,
		})
		in.Graph, in.Evaluation = w.graph, w.last
	}
	plan, err := Build(in)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.suspended && !teardown {
		plan = Suspend(w.works)
	}
	w.write(plan)
	if !w.mute {
		w.answer()
	}
	return plan
}

// write does what hub/target does with a plan.
func (w *world) write(plan Plan) {
	for _, planned := range slices.Concat(plan.Works, plan.Donors) {
		i := slices.IndexFunc(w.works, func(x *workv1.ManifestWork) bool { return x.Name == planned.Name })
		if i < 0 {
			planned.Generation = 1
			w.works = append(w.works, planned)
			continue
		}
		live := w.works[i]
		if HashOf(live) == planned.Annotations[kronvoyv1alpha1.AnnotationHash] {
			continue
		}
		planned.Generation = live.Generation + 1
		planned.Status = live.Status
		w.works[i] = planned
	}
	w.works = slices.DeleteFunc(w.works, func(x *workv1.ManifestWork) bool {
		if slices.Contains(plan.Delete, x.Name) {
			delete(w.reports, x.Name)
			if w.ocm != nil {
				// Its finalizer keeps it.
				x.DeletionTimestamp = &metav1.Time{}
				return false
			}
			return true
		}
		return false
	})
}

// answer is the agent: it has applied everything at once.
func (w *world) answer() {
	if w.ocm != nil {
		w.ocm.answer(w)
		return
	}
	for _, x := range w.works {
		report := w.reports[x.Name]
		if report == nil {
			report = &kronvoyv1alpha1.WorkReport{}
			w.reports[x.Name] = report
		}
		report.Status.Deleting = nil
		for _, old := range x.Status.ResourceStatus.Manifests {
			gone := !slices.ContainsFunc(x.Spec.ManifestConfigs, func(c workv1.ManifestConfigOption) bool { return c.ResourceIdentifier.Name == old.ResourceMeta.Name })
			if gone && w.stuck[old.ResourceMeta.Name] {
				report.Status.Deleting = append(report.Status.Deleting, kronvoyv1alpha1.DeletingObject{
					ObjectReference: kronvoyv1alpha1.ObjectReference{Kind: "ConfigMap", Namespace: "shop", Name: old.ResourceMeta.Name}})
			}
		}
		if len(report.Status.Deleting) == 0 {
			x.Status.ResourceStatus.Manifests = nil
		}
		report.Status.ObservedHash = x.Annotations[kronvoyv1alpha1.AnnotationHash]
		report.Status.ObservedGeneration = x.Generation
		applied := metav1.Condition{Type: "Applied", Status: "True", ObservedGeneration: x.Generation}
		x.Status.Conditions = []metav1.Condition{applied}
		for i, config := range x.Spec.ManifestConfigs {
			x.Status.ResourceStatus.Manifests = append(x.Status.ResourceStatus.Manifests, w.status(x, i, config, applied))
		}
	}
}

func (w *world) status(x *workv1.ManifestWork, i int, config workv1.ManifestConfigOption, applied metav1.Condition) workv1.ManifestCondition {
	var object map[string]any
	if err := json.Unmarshal(x.Spec.Workload.Manifests[i].Raw, &object); err != nil {
		w.t.Fatal(err)
	}
	id := config.ResourceIdentifier
	available := metav1.Condition{Type: "Available", Status: "True", ObservedGeneration: x.Generation}
	if w.missing[id.Name] {
		available.Status = "False"
	}
	status := workv1.ManifestCondition{
		ResourceMeta: workv1.ManifestResourceMeta{Group: id.Group, Resource: id.Resource, Namespace: id.Namespace, Name: id.Name},
		Conditions:   []metav1.Condition{applied, available},
	}
	if w.missing[id.Name] {
		return status
	}
	for _, path := range config.FeedbackRules[0].JsonPaths {
		var value any = object
		for _, field := range strings.Split(path.Name, ".") {
			inner, _ := value.(map[string]any)
			value = inner[field]
		}
		if path.Name == kronvoyv1alpha1.FeedbackHash {
			value = shippedHash(x.Spec.Workload.Manifests[i].Raw)
			if w.unready[id.Name] {
				value = "v1-0000000000000000"
			}
		}
		if text, ok := value.(string); ok {
			status.StatusFeedbacks.Values = append(status.StatusFeedbacks.Values, workv1.FeedbackValue{
				Name: path.Name, Value: workv1.FieldValue{Type: workv1.String, String: &text}})
		}
	}
	return status
}

// shipped lists the names of all manifests, by work.
func (w *world) shipped() []string {
	var names []string
	for _, x := range w.works {
		for _, config := range x.Spec.ManifestConfigs {
			names = append(names, config.ResourceIdentifier.Name)
		}
	}
	slices.Sort(names)
	return names
}

func (w *world) value(name string) string {
	for _, x := range w.works {
		for i, config := range x.Spec.ManifestConfigs {
			var object struct{ Data map[string]string }
			if config.ResourceIdentifier.Name == name && json.Unmarshal(x.Spec.Workload.Manifests[i].Raw, &object) == nil {
				return object.Data["value"]
			}
		}
	}
	return ""
}

func want[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestEachWaveIsShippedWhenTheOneBeforeIsReady(t *testing.T) {
	w := newWorld(t, chain(t))
	w.step(false)
	want(t, "first step", []string{"a"}, w.shipped())
	w.step(false)
	want(t, "second step", []string{"a", "b"}, w.shipped())
	w.step(false)
	want(t, "third step", []string{"a", "b", "c"}, w.shipped())
	w.step(false)
	want(t, "all ready", true, w.last.Ready)
	hash := w.works[0].Annotations[kronvoyv1alpha1.AnnotationHash]
	w.step(false)
	want(t, "a settled work does not change", hash, w.works[0].Annotations[kronvoyv1alpha1.AnnotationHash])
}

func TestNothingLaterIsShippedWhileTheAgentIsSilent(t *testing.T) {
	w := newWorld(t, chain(t))
	w.mute = true
	for range 3 {
		w.step(false)
	}
	want(t, "shipped", []string{"a"}, w.shipped())
}

func TestADependencyThatBecomesUnreadyNeverDeletesWhatDependsOnIt(t *testing.T) {
	w := settled(t)
	w.unready["a"] = true
	w.answer()
	for range 3 {
		w.step(false)
	}
	want(t, "state of b", graph.Held, stateOf(w.last, "b"))
	want(t, "shipped", []string{"a", "b", "c"}, w.shipped())
}

func TestAnUpdateReachesDependentsWaveByWave(t *testing.T) {
	w := settled(t)
	w.spec["value"] = "two"
	w.mute = true
	w.step(false)
	want(t, "a is new", "two", w.value("a"))
	want(t, "b waits until a is there", "one", w.value("b"))
	w.step(false)
	want(t, "b still waits", "one", w.value("b"))
	w.mute = false
	for range 4 {
		w.step(false)
	}
	want(t, "c is new", "two", w.value("c"))
	want(t, "ready", true, w.last.Ready)
}

func TestAnExcludedNodeLeavesOnlyWhenAllOthersAreResolved(t *testing.T) {
	w := settled(t)
	w.spec["short"], w.spec["value"] = true, "two"
	w.mute = true
	plan := w.step(false)
	want(t, "withheld", true, plan.Withheld != "")
	want(t, "c stays while b is held", []string{"a", "b", "c"}, w.shipped())
	w.mute = false
	for range 4 {
		w.step(false)
	}
	want(t, "c is gone", []string{"a", "b"}, w.shipped())
	want(t, "the work says that it shrank", kronvoyv1alpha1.ShrunkByUpdate, w.works[0].Annotations[kronvoyv1alpha1.AnnotationShrunk])
}

func TestWhatANodeNoLongerRendersLeavesAfterItsReaderHasTheRest(t *testing.T) {
	repeated := configMap("item-${word}", "${word}")
	for name, test := range map[string]struct {
		nodes         []graph.NodeSource
		before, after []string
		read          string
	}{
		"a list shrinks": {
			nodes: []graph.NodeSource{
				{ID: "a", ForEach: []map[string]string{{"word": "${schema.spec.value.split(',')}"}}, Template: repeated},
				{ID: "b", Template: configMap("b", "${a.map(x, x.data.value).join('+')}")},
			},
			before: []string{"b", "item-one", "item-two"}, after: []string{"b", "item-two"}, read: "two",
		},
		"a list becomes empty": {
			nodes: []graph.NodeSource{
				{ID: "a", ForEach: []map[string]string{{"word": "${schema.spec.value.split(',').filter(w, w == 'one')}"}}, Template: repeated},
				{ID: "b", Template: configMap("b", "${string(size(a))}")},
			},
			before: []string{"b", "item-one"}, after: []string{"b"}, read: "0",
		},
		"an object gets another name": {
			nodes: []graph.NodeSource{
				{ID: "a", Template: configMap("${schema.spec.value.replace(',', '-')}", "${schema.spec.value}")},
				{ID: "b", Template: configMap("b", "${a.data.value}")},
			},
			before: []string{"b", "one-two"}, after: []string{"b", "two"}, read: "two",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, compile(t, test.nodes...))
			w.spec["value"] = "one,two"
			for range 4 {
				w.step(false)
			}
			want(t, "before", test.before, w.shipped())
			w.spec["value"] = "two"
			for range 5 {
				w.step(false)
			}
			want(t, "after", test.after, w.shipped())
			want(t, "its reader", test.read, w.value("b"))
			want(t, "ready", true, w.last.Ready)
		})
	}
}

func TestWhatIsOnlyReadIsWaitedForUntilItExists(t *testing.T) {
	w := newWorld(t, compile(t,
		graph.NodeSource{ID: "read", External: &graph.ExternalSource{APIVersion: "v1", Kind: "ConfigMap", Name: "theirs"}},
		graph.NodeSource{ID: "b", Template: configMap("b", "${read.metadata.name}")}))
	w.missing["theirs"] = true
	for range 3 {
		w.step(false)
	}
	want(t, "it is missing", graph.Progressing, stateOf(w.last, "read"))
	want(t, "its reader waits", graph.Held, stateOf(w.last, "b"))
	want(t, "shipped", []string{"theirs"}, w.shipped())
	w.missing["theirs"] = false
	w.answer()
	for range 3 {
		w.step(false)
	}
	want(t, "its reader", "theirs", w.value("b"))
	want(t, "ready", true, w.last.Ready)
}

func TestAnObjectThatBecomesAnotherKindLeavesThoughItKeepsItsName(t *testing.T) {
	reader := graph.NodeSource{ID: "b", Template: configMap("b", "${a.metadata.name}")}
	w := newWorld(t, compile(t, graph.NodeSource{ID: "a", Template: configMap("a", "x")}, reader))
	for range 4 {
		w.step(false)
	}
	secret := map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "a"}}
	w.graph = compile(t, graph.NodeSource{ID: "a", Template: secret}, reader)
	for range 5 {
		w.step(false)
	}
	want(t, "shipped", []string{"a", "b"}, w.shipped())
	want(t, "ready", true, w.last.Ready)
}

func TestTeardownGoesWaveByWaveAndWaitsForWhatIsStuck(t *testing.T) {
	w := settled(t)
	w.stuck["c"] = true
	w.step(true)
	want(t, "c leaves first", []string{"a", "b"}, w.shipped())
	plan := w.step(true)
	want(t, "b waits for c", []string{"a", "b"}, w.shipped())
	want(t, "and says so", "ConfigMap shop/c is still being deleted", plan.Withheld)
	w.stuck["c"] = false
	w.answer()
	w.step(true)
	want(t, "then b", []string{"a"}, w.shipped())
	w.step(true)
	want(t, "the last one goes with its work", 0, len(w.works))
}

func TestTeardownWaitsForTheAgentsWord(t *testing.T) {
	w := settled(t)
	w.mute = true
	w.step(true)
	for range 3 {
		w.step(true)
	}
	want(t, "only one wave has left", []string{"a", "b"}, w.shipped())
}

func settled(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, chain(t))
	for range 4 {
		w.step(false)
	}
	if !w.last.Ready {
		t.Fatalf("the chain is not ready: %+v", w.last.Nodes)
	}
	return w
}

func stateOf(e graph.Evaluation, id string) graph.NodeState {
	for _, node := range e.Nodes {
		if node.ID == id {
			return node.State
		}
	}
	return ""
}

func TestWorksStayWithinTheirLimits(t *testing.T) {
	cases := map[string]struct {
		count, bytes int
		works        int
		tooLarge     bool
	}{
		"3,000 small objects":           {count: 3000, bytes: 10, works: 12},
		"ten objects of 90 kB":          {count: 10, bytes: 90 << 10, works: 3},
		"one of 500 kB has its own":     {count: 1, bytes: 500 << 10, works: 1},
		"one over 1 MiB fits into none": {count: 1, bytes: 1100 << 10, tooLarge: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := compile(t, graph.NodeSource{ID: "a", Template: configMap("a", "x")})
			evaluation := graph.Evaluation{Nodes: []graph.NodeResult{{ID: "a", State: graph.Progressing}}}
			for i := range tc.count {
				object := configMap(fmt.Sprintf("a-%d", i), strings.Repeat("x", tc.bytes))
				object["metadata"].(map[string]any)["namespace"] = "shop"
				evaluation.Nodes[0].Objects = append(evaluation.Nodes[0].Objects, object)
			}
			in := Input{Identity: shop, Cluster: "c1", Graph: g, Evaluation: evaluation, Capabilities: kronvoys}
			plan, err := Build(in)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "works", tc.works, len(plan.Works))
			want(t, "too large", tc.tooLarge, len(plan.TooLarge) > 0)
			total := 0
			for _, w := range plan.Works {
				raw, err := json.Marshal(w)
				if err != nil {
					t.Fatal(err)
				}
				if len(raw) > 1<<20 {
					t.Errorf("work %s has %d bytes", w.Name, len(raw))
				}
				total += len(w.Spec.Workload.Manifests)
			}
			if !tc.tooLarge {
				want(t, "manifests", tc.count, total)
			}
			// Building again from what was built moves nothing.
			in.Previous = plan.Works
			again, err := Build(in)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "the same works again", hashesOf(plan.Works), hashesOf(again.Works))
		})
	}
}

func TestWhatMovesIsInItsNewWorkBeforeItLeavesTheOldOne(t *testing.T) {
	type sizes = map[string]int // KiB by name
	cases := map[string]struct {
		before, grown sizes
		// chunks are the names in each work.
		chunks [][]string
		// deleting is the chunk whose work is being deleted; none where negative.
		deleting      int
		works, donors map[string][]string
	}{
		"into a new work": {
			before: sizes{"a": 10, "b": 10}, grown: sizes{"a": 300, "b": 200}, chunks: [][]string{{"a", "b"}}, deleting: -1,
			works: map[string][]string{"1": {"b"}}, donors: map[string][]string{"0": {"a"}},
		},
		"into one that is there": {
			before: sizes{"a": 200, "b": 100, "c": 100}, grown: sizes{"b": 210}, chunks: [][]string{{"a", "b"}, {"c"}}, deleting: -1,
			works: map[string][]string{"1": {"b", "c"}}, donors: map[string][]string{"0": {"a"}},
		},
		"out of two that would have room for each other's": {
			before: sizes{"a": 100, "b": 100, "c": 100, "d": 100}, grown: sizes{"a": 250, "b": 160, "c": 230, "d": 180},
			chunks: [][]string{{"a", "b"}, {"c", "d"}}, deleting: -1,
			works: map[string][]string{"2": {"b", "d"}}, donors: map[string][]string{"0": {"a"}, "1": {"c"}},
		},
		"not into one that is being deleted": {
			before: sizes{"a": 200, "b": 100, "d": 100}, grown: sizes{"b": 210}, chunks: [][]string{{"a", "b"}, nil, {"d"}}, deleting: 1,
			works: map[string][]string{"2": {"b", "d"}}, donors: map[string][]string{"0": {"a"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			input := func(size sizes, names ...string) Input {
				nodes := graph.NodeResult{ID: "a", State: graph.Progressing}
				for _, name := range names {
					object := configMap(name, strings.Repeat("x", size[name]<<10))
					object["metadata"].(map[string]any)["namespace"] = "shop"
					nodes.Objects = append(nodes.Objects, object)
				}
				return Input{Capabilities: kronvoys,
					Identity: shop, Cluster: "c1", Graph: compile(t, graph.NodeSource{ID: "a", Template: configMap("a", "x")}),
					Evaluation: graph.Evaluation{Nodes: []graph.NodeResult{nodes}},
				}
			}
			build := func(in Input) Plan {
				plan, err := Build(in)
				if err != nil {
					t.Fatal(err)
				}
				return plan
			}
			var previous []*workv1.ManifestWork
			for chunk, names := range tc.chunks {
				w := &workv1.ManifestWork{}
				if len(names) > 0 {
					w = build(input(tc.before, names...)).Works[0]
				}
				w.Name = shop.WorkName(chunk)
				if chunk == tc.deleting {
					w.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
				}
				previous = append(previous, w)
			}
			size := maps.Clone(tc.before)
			maps.Copy(size, tc.grown)
			in := input(size, slices.Sorted(maps.Keys(size))...)
			in.Previous = previous
			plan := build(in)
			want(t, "works", tc.works, namesIn(plan.Works))
			want(t, "donors", tc.donors, namesIn(plan.Donors))
			want(t, "deleted works", 0, len(plan.Delete))
			// As after a crash of the hub between the two.
			in.Previous = slices.Clone(plan.Works)
			for _, w := range previous {
				if _, written := hashesOf(plan.Works)[w.Name]; !written {
					in.Previous = append(in.Previous, w)
				}
			}
			again := build(in)
			want(t, "works and donors again", hashesOf(slices.Concat(plan.Works, plan.Donors)), hashesOf(slices.Concat(again.Works, again.Donors)))
			read, err := Read(in.Graph, in.Previous, nil, kronvoys)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "objects read back", len(size), len(read.Observed["a"].Objects))
		})
	}
}

// namesIn are the objects in works by chunk.
func namesIn(works []*workv1.ManifestWork) map[string][]string {
	names := map[string][]string{}
	for _, w := range works {
		chunk := w.Name[strings.LastIndex(w.Name, "-")+1:]
		for _, config := range w.Spec.ManifestConfigs {
			names[chunk] = append(names[chunk], config.ResourceIdentifier.Name)
		}
	}
	return names
}

func hashesOf(works []*workv1.ManifestWork) map[string]string {
	hashes := map[string]string{}
	for _, w := range works {
		hashes[w.Name] = w.Annotations[kronvoyv1alpha1.AnnotationHash]
	}
	return hashes
}

func TestTheHashOfAWorkSurvivesTheServer(t *testing.T) {
	w := settled(t)
	raw, err := json.Marshal(w.works[0])
	if err != nil {
		t.Fatal(err)
	}
	var back workv1.ManifestWork
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	want(t, "hash", w.works[0].Annotations[kronvoyv1alpha1.AnnotationHash], HashOf(&back))
	back.Spec.ManifestConfigs[0].UpdateStrategy.Type = workv1.UpdateStrategyTypeUpdate
	if HashOf(&back) == HashOf(w.works[0]) {
		t.Error("an edit by hand does not show in the hash")
	}
}

func TestMarksOfOtherToolsNeverTravel(t *testing.T) {
	node := &graph.Node{ID: "a", Resource: "configmaps", Namespaced: true, Kind: graph.Template}
	object := configMap("a", "x")
	object["metadata"].(map[string]any)["labels"] = map[string]any{"app": "shop", "kustomize.toolkit.fluxcd.io/name": "x"}
	object["metadata"].(map[string]any)["annotations"] = map[string]any{"argocd.argoproj.io/tracking-id": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
	m, err := newManifest(Input{Identity: shop, InstanceUID: "uid-1", Capabilities: kronvoys}, node, 0, object)
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range trackingPrefixes {
		if strings.Contains(string(m.raw), mark) {
			t.Errorf("%s travels", mark)
		}
	}
	if !strings.Contains(string(m.raw), `"app":"shop"`) {
		t.Error("the author's own label was lost")
	}
}

func TestAnOptionalReadOfAnAbsentFieldIsAnsweredAtOnce(t *testing.T) {
	w := newWorld(t, compile(t,
		graph.NodeSource{ID: "a", Template: configMap("a", "x")},
		graph.NodeSource{ID: "b", Template: configMap("b", `${a.data.?missing.orValue("none")}`)}))
	w.step(false)
	w.step(false)
	want(t, "shipped", []string{"a", "b"}, w.shipped())
	want(t, "value", "none", w.value("b"))
}

func TestANodeWhoseReadyWhenFailsIsMendedByItsNextManifest(t *testing.T) {
	w := settled(t)
	w.spec["value"] = "two"
	evaluation := graph.Evaluation{Nodes: []graph.NodeResult{
		{ID: "a", State: graph.Failed, Objects: []map[string]any{configMap("a", "mended")}, Issue: &graph.Issue{}},
		{ID: "b", State: graph.Held}, {ID: "c", State: graph.Held},
	}}
	evaluation.Nodes[0].Objects[0]["metadata"].(map[string]any)["namespace"] = "shop"
	plan, err := Build(Input{Identity: shop, InstanceUID: "uid-1", Cluster: "c1", Graph: w.graph, Evaluation: evaluation, Previous: w.works, Reports: w.reports, Capabilities: w.agent})
	if err != nil {
		t.Fatal(err)
	}
	w.write(plan)
	want(t, "a", "mended", w.value("a"))
	want(t, "all are kept", []string{"a", "b", "c"}, w.shipped())
}
