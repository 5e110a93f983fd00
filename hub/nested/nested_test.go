package nested

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/hub/work"
)

func TestName(t *testing.T) {
	long := strings.Repeat("long-", 20)
	names := map[string]string{}
	for _, c := range [][2]string{
		{"db", "local-cluster"}, {"db", "eu-west"}, {"db", "us-west"}, {"db-us", "west"}, {"db-eu", "west"}, {"db", "west"},
		{long + "a", "eu-west"}, {long + "b", "eu-west"}, {long + "a", "us-east"}, {"a.b", "eu-west"}, {strings.Repeat("a.", 40) + "b", "eu-west"},
	} {
		name := Name(c[0], c[1])
		if other, taken := names[name]; taken {
			t.Errorf("%v and %s are both called %s", c, other, name)
		}
		names[name] = c[0] + " on " + c[1]
		if c[1] == kronvoyv1alpha1.LocalCluster {
			if name != c[0] {
				t.Errorf("on the hub's cluster %s is called %s", c[0], name)
			}
			continue
		}
		if len(name) > maxName || len(validation.IsDNS1123Subdomain(name)) > 0 {
			t.Errorf("%v is called %s: %v", c, name, validation.IsDNS1123Subdomain(name))
		}
		if !strings.HasPrefix(name, c[0][:2]) || name != Name(c[0], c[1]) {
			t.Errorf("%v is called %s, then %s", c, name, Name(c[0], c[1]))
		}
	}
}

// kinds knows Database, which the definition "database" generates.
var kinds = schema.Types{{Group: "kro.run", Version: "v1alpha1", Kind: "Database"}: mustType(runtimeschema.GroupVersionKind{
	Group: "kro.run", Version: "v1alpha1", Kind: "Database"})}

func mustType(gvk runtimeschema.GroupVersionKind) *schema.Type {
	g, issues := graph.Compile(graph.Source{
		Name: "database",
		Schema: graph.SchemaSource{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Scope: graph.Namespaced,
			Spec: map[string]any{"size": "string | default=small"}},
	}, schema.Types{})
	if g == nil {
		panic(issues.Err())
	}
	resolver, err := schema.FromCRDs(g.CRD())
	if err != nil {
		panic(err)
	}
	found, err := resolver.Resolve(gvk)
	if err != nil {
		panic(err)
	}
	return found
}

var shop = Parent{
	Identity: work.Identity{Group: "kro.run", Version: "v1alpha1", Kind: "Shop", Namespace: "shop", Name: "one"},
	UID:      "uid-of-one", Cluster: "eu-west",
}

func template(name string) map[string]any {
	return map[string]any{
		"apiVersion": "kro.run/v1alpha1", "kind": "Database",
		"metadata": map[string]any{"name": name}, "spec": map[string]any{"size": "${schema.spec.size}"},
	}
}

func compile(t *testing.T, nodes ...graph.NodeSource) *graph.Graph {
	t.Helper()
	g, issues := graph.Compile(graph.Source{
		Name: "shop",
		Schema: graph.SchemaSource{Group: "kro.run", Version: "v1alpha1", Kind: "Shop", Scope: graph.Namespaced,
			Spec: map[string]any{"size": "string | default=small", "names": "[]string"}},
		Nodes: nodes,
	}, kinds)
	if g == nil {
		t.Fatal(issues.Err())
	}
	return g
}

func TestATenantsInstancesStayInItsNamespace(t *testing.T) {
	elsewhere := template("db")
	elsewhere["metadata"] = map[string]any{"name": "db", "namespace": "bank"}
	reads := graph.NodeSource{ID: "a", External: &graph.ExternalSource{APIVersion: "kro.run/v1alpha1", Kind: "Database", Name: "db", Namespace: "bank"}}
	cases := map[string]struct {
		node graph.NodeSource
		with func(p *Parent)
		want string // a part of the failure; empty for none
	}{
		"its own namespace":                      {node: graph.NodeSource{ID: "a", Template: template("db")}},
		"another one":                            {node: graph.NodeSource{ID: "a", Template: elsewhere}, want: "in namespace bank"},
		"another one, to read there":             {node: reads, want: "in namespace bank"},
		"another one where there are no tenants": {node: graph.NodeSource{ID: "a", Template: elsewhere}, with: func(p *Parent) { p.Confined = false }},
		"another one, made before there were any": {node: graph.NodeSource{ID: "a", Template: elsewhere}, with: func(p *Parent) {
			p.Made = map[Key]bool{{"kro.run", "Database", "bank", Name("db", p.Cluster)}: true}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.node)
			w.parent.Confined = true
			if tc.with != nil {
				tc.with(&w.parent)
			}
			plan := w.decide()
			if got := plan.Failures["a"]; (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
				t.Errorf("the failure is %q", got)
			}
			if tc.want != "" && len(plan.Children)+len(plan.Apply) > 0 {
				t.Errorf("it lists %v and writes %v", plan.Children, plan.Apply)
			}
		})
	}
}

// world plays hub/target and the API server.
type world struct {
	*testing.T
	graph  *graph.Graph
	spec   map[string]any
	parent Parent
	listed []kronvoyv1alpha1.ChildReference
	live   Live
	uid    int
	last   graph.Evaluation
}

func newWorld(t *testing.T, nodes ...graph.NodeSource) *world {
	return &world{T: t, graph: compile(t, nodes...), spec: map[string]any{"size": "small", "names": []any{"a", "b"}}, parent: shop, live: Live{}}
}

// decide is one pass without writes, but for the list.
func (w *world) decide() Plan {
	w.Helper()
	observed := map[string]graph.Observed{}
	Observe(w.graph, w.listed, w.live, w.parent, observed)
	w.last, _ = w.graph.Evaluate(graph.Bindings{
		Instance: map[string]any{"apiVersion": "kro.run/v1alpha1", "kind": "Shop",
			"metadata": map[string]any{"name": "one", "namespace": "shop"}, "spec": w.spec},
		Cluster: graph.Cluster{Name: w.parent.Cluster}, Observed: observed,
	})
	plan := Decide(Wanted(w.graph, w.last, w.parent), w.listed, w.live, w.parent)
	w.listed = plan.Children
	return plan
}

// step is one pass with its writes.
func (w *world) step() Plan {
	w.Helper()
	plan := w.decide()
	for _, write := range plan.Apply {
		key := KeyOf(write.ChildReference)
		object := (&unstructured.Unstructured{Object: write.Object}).DeepCopy()
		object.SetUID(write.UID)
		if write.UID == "" {
			w.uid++
			object.SetUID(types.UID(strings.Repeat("u", w.uid)))
		}
		w.live[key] = object
	}
	return plan
}

func (w *world) state(id string) graph.NodeState {
	for _, n := range w.last.Nodes {
		if n.ID == id {
			return n.State
		}
	}
	return ""
}

func (w *world) names() []string {
	var names []string
	for _, ref := range w.listed {
		name := ref.Name
		if ref.Leaving {
			name += " leaving"
		}
		names = append(names, name)
	}
	return names
}

func want[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestAnInstanceIsListedMadeAndThenLeftAlone(t *testing.T) {
	w := newWorld(t, graph.NodeSource{ID: "db", Template: template("db")})
	plan := w.step()
	name := Name("db", "eu-west")
	want(t, "listed", []string{name}, w.names())
	want(t, "unsettled", "Database shop/"+name+" is not there yet", plan.Unsettled)
	made := w.live[Key{"kro.run", "Database", "shop", name}]
	want(t, "spec", any(map[string]any{"size": "small"}), made.Object["spec"])
	mark, _ := kronvoyv1alpha1.ParseNestedMark(w.listed[0].Reference(), made.GetAnnotations())
	want(t, "mark", kronvoyv1alpha1.NestedMark{Parent: shop.Identity.Reference(), Cluster: "eu-west", Name: "db", Depth: 1, Self: w.listed[0].Reference()}, mark)
	plan = w.step()
	want(t, "the state of one without readyWhen", graph.Ready, w.state("db"))
	want(t, "writes", 0, len(plan.Apply))
	want(t, "unsettled", "", plan.Unsettled)
}

func TestWhatIsPutRight(t *testing.T) {
	tests := map[string]struct {
		change func(*unstructured.Unstructured)
		writes int
	}{
		"a value that was changed":  {func(u *unstructured.Unstructured) { set(u, "huge", "spec", "size") }, 1},
		"a value that was removed":  {func(u *unstructured.Unstructured) { delete(u.Object, "spec") }, 1},
		"a label that was changed":  {func(u *unstructured.Unstructured) { set(u, "else", "metadata", "labels", "kro.run/node-id") }, 1},
		"a mark that was removed":   {func(u *unstructured.Unstructured) { u.SetAnnotations(nil) }, 1},
		"a value of somebody else":  {func(u *unstructured.Unstructured) { set(u, "x", "spec", "more") }, 0},
		"an instance that is going": {func(u *unstructured.Unstructured) { terminate(u) }, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, graph.NodeSource{ID: "db", Template: template("db")})
			w.step()
			test.change(w.live[KeyOf(w.listed[0])])
			plan := w.step()
			want(t, "writes", test.writes, len(plan.Apply))
			want(t, "listed", []string{Name("db", "eu-west")}, w.names())
		})
	}
}

func set(u *unstructured.Unstructured, value string, path ...string) {
	if err := unstructured.SetNestedField(u.Object, value, path...); err != nil {
		panic(err)
	}
}

func terminate(u *unstructured.Unstructured) {
	set(u, "2026-09-04T12:00:00Z", "metadata", "deletionTimestamp")
}

func TestOnlyWhatWasMadeForThisResourceIsTouched(t *testing.T) {
	ref := kronvoyv1alpha1.InstanceReference{APIVersion: "kro.run/v1alpha1", Kind: "Database", Namespace: "shop", Name: Name("db", "eu-west")}
	mark := kronvoyv1alpha1.NestedMark{Parent: shop.Identity.Reference(), Cluster: "eu-west", Name: "db", Depth: 1, Self: ref}
	other, elsewhere, copied := mark, mark, mark
	other.Parent.Name, elsewhere.Cluster, copied.Self.Name = "two", "us-east", "copy"
	tests := map[string]struct {
		mark     string
		labels   map[string]string
		conflict string
	}{
		"its own":                        {mark: mark.String()},
		"one without a mark":             {conflict: "was not made for this resource"},
		"one for another parent":         {mark: other.String(), conflict: "was made for Shop shop/two on cluster eu-west"},
		"one for another cluster":        {mark: elsewhere.String(), conflict: "was made for Shop shop/one on cluster us-east"},
		"a copy of its own":              {mark: copied.String(), conflict: "was not made for this resource"},
		"a mark that says nothing":       {mark: "{", conflict: "was not made for this resource"},
		"kro made it for this parent":    {labels: map[string]string{"kro.run/instance-id": "uid-of-one", "kro.run/node-id": "db"}},
		"kro made it for another node":   {labels: map[string]string{"kro.run/instance-id": "uid-of-one", "kro.run/node-id": "x"}, conflict: "was not made"},
		"kro made it for another parent": {labels: map[string]string{"kro.run/instance-id": "other", "kro.run/node-id": "db"}, conflict: "was not made"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, graph.NodeSource{ID: "db", Template: template("db")})
			found := &unstructured.Unstructured{Object: map[string]any{}}
			found.SetUID("theirs")
			found.SetLabels(test.labels)
			if test.mark != "" {
				found.SetAnnotations(map[string]string{kronvoyv1alpha1.AnnotationNested: test.mark})
			}
			w.live[Key{"kro.run", "Database", "shop", ref.Name}] = found
			plan := w.decide()
			if test.conflict == "" {
				want(t, "writes", 1, len(plan.Apply))
				want(t, "the UID that is written", found.GetUID(), plan.Apply[0].UID)
				want(t, "listed as somebody else's", false, w.listed[0].ReadOnly)
				return
			}
			want(t, "writes", 0, len(plan.Apply))
			if len(w.listed) != 1 || !w.listed[0].ReadOnly {
				t.Errorf("listed %v, want it to be somebody else's", w.listed)
			}
			if !strings.Contains(plan.Failures["db"], test.conflict) || plan.Unsettled == "" {
				t.Errorf("failure %q, unsettled %q; want %q", plan.Failures["db"], plan.Unsettled, test.conflict)
			}
			w.live = Live{}
			plan = w.decide()
			want(t, "writes when it has gone", 1, len(plan.Apply))
			want(t, "listed when it has gone", []string{ref.Name}, w.names())
			w.live = Live{KeyOf(w.listed[0]): found}
			// Nor is it deleted, should it be in the list of before a crash.
			plan = Decide(Wants{}, []kronvoyv1alpha1.ChildReference{{APIVersion: ref.APIVersion, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name, Node: "db"}}, w.live, shop)
			want(t, "deletions", 0, len(plan.Leaving))
			want(t, "listed afterwards", 0, len(plan.Children))
		})
	}
}

func TestAnItemThatIsNotWantedLeavesAndIsListedUntilItIsGone(t *testing.T) {
	w := newWorld(t,
		graph.NodeSource{ID: "dbs", ForEach: []map[string]string{{"n": "${schema.spec.names}"}}, Template: template("${n}")},
		graph.NodeSource{ID: "last", Template: template("last-${dbs.map(d, d.metadata.name).join('-')}")})
	for range 3 {
		w.step()
	}
	want(t, "state", graph.Ready, w.state("last"))
	a, b, last := Name("a", "eu-west"), Name("b", "eu-west"), Name("last-a-b", "eu-west")
	want(t, "listed", []string{a, b, last}, w.names())

	w.spec["names"] = []any{"b"}
	w.step()
	want(t, "listed", []string{a + " leaving", b, last}, w.names())
	want(t, "state while the list says otherwise", graph.Held, w.state("last"))
	plan := w.step()
	want(t, "state", graph.Ready, w.state("dbs"))
	// What depends on it goes by another name now.
	renamed := Name("last-b", "eu-west")
	want(t, "listed", []string{a + " leaving", b, last + " leaving", renamed}, w.names())
	want(t, "waves", []int{0, 1}, plan.Waves())

	delete(w.live, Key{"kro.run", "Database", "shop", last})
	plan = w.step()
	want(t, "listed", []string{a + " leaving", b, renamed}, w.names())
	want(t, "waves", []int{0}, plan.Waves())
	terminate(w.live[Key{"kro.run", "Database", "shop", a}])
	plan = w.step()
	want(t, "terminating", true, plan.Leaving[0].Terminating)
	delete(w.live, Key{"kro.run", "Database", "shop", a})
	w.step()
	want(t, "listed", []string{b, renamed}, w.names())
}

func TestAnInstanceThatAnotherNodeReadsLeavesAllTheSame(t *testing.T) {
	parent := shop
	parent.Cluster = kronvoyv1alpha1.LocalCluster
	w := newWorld(t, graph.NodeSource{ID: "db", Template: template("db")},
		graph.NodeSource{ID: "read", External: &graph.ExternalSource{APIVersion: "kro.run/v1alpha1", Kind: "Database", Name: "db"}})
	w.parent = parent
	w.step()
	want(t, "listed", []string{"db", "db"}, w.names())
	reads := Wants{Instances: []Instance{{ChildReference: w.listed[1]}}}
	plan := Decide(reads, w.listed, w.live, parent)
	want(t, "waves", []int{0}, plan.Waves())
}

func TestANodeThatIsNotResolvedKeepsWhatItHas(t *testing.T) {
	w := newWorld(t,
		graph.NodeSource{ID: "db", Template: template("db"), ReadyWhen: []string{"${db.spec.size == 'small'}"}},
		graph.NodeSource{ID: "next", Template: template("${db.metadata.name}-next")})
	for range 3 {
		w.step()
	}
	names := w.names()
	want(t, "how many are listed", 2, len(names))
	w.spec["size"] = "large"
	for range 3 {
		w.step()
	}
	want(t, "state", graph.Held, w.state("next"))
	want(t, "listed", names, w.names())
	want(t, "what the held one says", any("small"), w.live[KeyOf(w.listed[1])].Object["spec"].(map[string]any)["size"])
}

func TestAStatusOfAnEarlierSpecSaysNothing(t *testing.T) {
	w := newWorld(t, graph.NodeSource{ID: "db", Template: template("db")})
	w.step()
	found := w.live[KeyOf(w.listed[0])]
	found.SetGeneration(2)
	found.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Ready", "observedGeneration": int64(1)}}}
	w.step()
	want(t, "state", graph.Progressing, w.state("db"))
	found.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Ready", "observedGeneration": int64(2)}}}
	w.step()
	want(t, "state", graph.Ready, w.state("db"))
}

func TestHealthOfNestedInstancesIsTheirOwnWord(t *testing.T) {
	w := newWorld(t, graph.NodeSource{ID: "db", Template: template("db")},
		graph.NodeSource{ID: "other", External: &graph.ExternalSource{APIVersion: "kro.run/v1alpha1", Kind: "Database", Name: "other"}})
	w.step()
	w.live[Key{"kro.run", "Database", "shop", "other"}] = &unstructured.Unstructured{Object: map[string]any{}}
	db := w.live[KeyOf(w.listed[0])]
	health := func() map[string]work.Health {
		into := map[string]work.Health{}
		Health(w.graph, w.listed, w.live, w.parent, into)
		return into
	}
	name := "Database shop/" + db.GetName()
	unknown := map[string]work.Health{"db": {State: kronvoyv1alpha1.HealthUnknown, Message: name + " has not said yet how it is"}}
	want(t, "without a status", unknown, health())
	says := func(generation int64, fleet map[string]any) {
		db.SetGeneration(2)
		db.Object["status"] = map[string]any{"fleet": fleet, "conditions": []any{map[string]any{"type": "Ready", "observedGeneration": generation}}}
	}
	says(2, map[string]any{"placed": int64(1), "healthy": int64(1)})
	want(t, "well", map[string]work.Health{"db": {State: kronvoyv1alpha1.Healthy}}, health())
	says(1, map[string]any{"placed": int64(1), "healthy": int64(1)})
	want(t, "before its change", unknown, health())
	says(2, map[string]any{"placed": int64(1), "healthy": int64(0), "clusters": []any{map[string]any{"health": "Failed", "message": "web timed out"}}})
	want(t, "failed", map[string]work.Health{"db": {State: kronvoyv1alpha1.HealthFailed, Message: name + ": web timed out"}}, health())
	gone := metav1.Now()
	db.SetDeletionTimestamp(&gone)
	want(t, "on its way out", unknown, health())
}

func TestNestingEnds(t *testing.T) {
	w := newWorld(t, graph.NodeSource{ID: "db", Template: template("db")})
	w.parent.Depth = MaxDepth - 1
	want(t, "failures", 0, len(w.decide().Failures))
	w = newWorld(t, graph.NodeSource{ID: "db", Template: template("db")})
	w.parent.Depth = MaxDepth
	if failure := w.decide().Failures["db"]; !strings.Contains(failure, "8 levels deep") {
		t.Errorf("failure %q", failure)
	}
}

func TestAnExternalInstanceIsReadOnTheHub(t *testing.T) {
	w := newWorld(t,
		graph.NodeSource{ID: "db", External: &graph.ExternalSource{APIVersion: "kro.run/v1alpha1", Kind: "Database", Name: "main"}},
		graph.NodeSource{ID: "copy", Template: template("${db.spec.size}")})
	plan := w.step()
	want(t, "listed", []string{"main"}, w.names())
	want(t, "writes", 0, len(plan.Apply))
	w.live[Key{"kro.run", "Database", "shop", "main"}] = &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "kro.run/v1alpha1", "kind": "Database",
		"metadata": map[string]any{"name": "main", "namespace": "shop"}, "spec": map[string]any{"size": "large"},
	}}
	w.step()
	want(t, "state", graph.Ready, w.state("db"))
	want(t, "listed", []string{Name("large", "eu-west"), "main"}, w.names())
	plan = Decide(Wants{}, w.listed, w.live, w.parent)
	want(t, "what leaves in teardown", []int{1}, plan.Waves())
}

func TestASelectorOfInstancesIsRefusedByName(t *testing.T) {
	w := newWorld(t, graph.NodeSource{ID: "dbs", External: &graph.ExternalSource{APIVersion: "kro.run/v1alpha1", Kind: "Database",
		Selector: map[string]any{"matchLabels": map[string]any{"a": "b"}}}})
	if failure := w.decide().Failures["dbs"]; !strings.Contains(failure, "generated by definition database") {
		t.Errorf("failure %q", failure)
	}
}

func TestExpressionsSeeTheNameOfTheTemplate(t *testing.T) {
	object := map[string]any{"metadata": map[string]any{"name": "db-eu-west-123456", "namespace": "shop"}, "spec": map[string]any{}}
	want(t, "called", map[string]any{"metadata": map[string]any{"name": "db", "namespace": "shop"}, "spec": map[string]any{}}, Called(object, "db"))
	want(t, "the object", any("db-eu-west-123456"), object["metadata"].(map[string]any)["name"])
}
