package graph

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kronvoy/kronvoy/graph/dag"
	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/hash"
	"github.com/kronvoy/kronvoy/graph/internal/path"
	"github.com/kronvoy/kronvoy/graph/schema"
)

// The bounds of a source.
const (
	// MaxNodes of one graph.
	MaxNodes = 10_000
	// maxDepth of a template.
	maxDepth = 100
	// maxIssues that one Compile reports.
	maxIssues = 1_000
	// maxExpressions of one graph.
	maxExpressions = 50_000
)

// Compile checks a source and prepares it for evaluation. Schemas of the nodes'
// kinds come from the resolver. It returns either a graph or everything that is
// wrong with the source, sorted; a source never yields both.
func Compile(src Source, r schema.Resolver) (*Graph, Issues) {
	c := &compiler{src: src, resolver: r, compilations: map[compilation]compiled{}}
	g := c.compile()
	if len(c.issues) > 0 {
		c.issues.sort()
		return nil, c.issues
	}
	return g, nil
}

// compiler is the state of one Compile.
type compiler struct {
	src      Source
	resolver schema.Resolver
	issues   Issues

	spec     *apiextensionsv1.JSONSchemaProps
	instance *schema.Decl
	cluster  *schema.Decl
	// nodes are the drafts in source order.
	nodes []*draft
	byID  map[string]*draft
	env   *expr.Env
	// compilations so far.
	compilations map[compilation]compiled
	// expressions counts them, for the bound.
	expressions int
	status      *statusPlan
	conditions  []conditionPlan
	statusProps *apiextensionsv1.JSONSchemaProps
}

// draft is a node under construction.
type draft struct {
	index int
	src   NodeSource
	path  string
	node  *Node
	plan  *nodePlan
	typ   *schema.Type
	env   *expr.Env
	// usable drafts have an id that expressions can refer to.
	usable bool
	// refs are the ids that the node depends on.
	refs map[string]bool
}

func (c *compiler) compile() *Graph {
	if len(c.src.Nodes) > MaxNodes {
		c.issue(Issue{Path: "spec.resources", Offset: -1, Reason: "TooMany",
			Message: fmt.Sprintf("the graph has %d resources, at most %d are allowed", len(c.src.Nodes), MaxNodes)})
		return nil
	}
	c.compileSchema()
	c.declareNodes()
	if !c.buildEnv() {
		return nil
	}
	for _, d := range c.nodes {
		c.compileNode(d)
	}
	c.compileStatus()
	order, ok := c.order()
	if !ok || len(c.issues) > 0 {
		return nil
	}
	crd := c.buildCRD()
	if len(c.issues) > 0 {
		return nil
	}
	g := c.assemble(order, crd)
	g.aggregates, c.issues = g.CompileAggregates(c.src.Aggregates, AggregatesPath)
	return g
}

// issue records what is wrong; beyond a bound only the fact that there is more.
func (c *compiler) issue(i Issue) {
	switch {
	case len(c.issues) < maxIssues:
		c.issues = append(c.issues, i)
	case len(c.issues) == maxIssues:
		c.issues = append(c.issues, Issue{Path: "spec", Offset: -1, Reason: "TooMany", Message: "there are more issues than are shown"})
	}
}

// declareNodes checks ids and finds each node's kind, so that all nodes are
// known before the first expression is compiled.
func (c *compiler) declareNodes() {
	c.byID = make(map[string]*draft, len(c.src.Nodes))
	for i, src := range c.src.Nodes {
		d := &draft{index: i, src: src, path: path.Index("spec.resources", i), refs: map[string]bool{}}
		d.node = &Node{ID: src.ID, Kind: Template}
		d.plan = &nodePlan{path: d.path, collection: len(src.ForEach) > 0 || src.External != nil && src.External.Selector != nil}
		c.nodes = append(c.nodes, d)
		d.usable = c.checkID(d)
		if src.External != nil {
			d.node.Kind, d.node.Selects = External, src.External.Selector != nil
			d.plan.selects = d.node.Selects
		}
		d.node.Collection = d.plan.collection
		c.resolveKind(d)
		if d.usable {
			c.byID[src.ID] = d
		}
	}
}

// resolveKind finds the schema of a node's kind. Without one the node counts as
// anything, so that its other faults are still found.
func (c *compiler) resolveKind(d *draft) {
	d.plan.decl = schema.Anything()
	gvk, at, ok := c.nodeKind(d)
	if !ok {
		return
	}
	d.node.GVK = gvk
	d.node.Sensitive = gvk.Group == "" && gvk.Kind == "Secret"
	typ, err := c.resolver.Resolve(gvk)
	if err != nil {
		issue := Issue{Path: at, Offset: -1, Reason: "UnknownKind", Snippet: gvk.Kind,
			Message: fmt.Sprintf("no schema for kind %s in %s", gvk.Kind, gvk.GroupVersion())}
		if !errors.Is(err, schema.ErrNotFound) {
			issue.Reason, issue.Message = "SchemaUnavailable", fmt.Sprintf("reading the schema of %s: %v", gvk, err)
		} else {
			issue.Suggestion = "check apiVersion and kind, or give the CustomResourceDefinition"
		}
		c.issue(issue)
		return
	}
	d.typ = typ
	d.node.Resource, d.node.Namespaced, d.node.Definition = typ.Resource, typ.Namespaced, typ.Definition
	d.plan.decl = typ.Decl(gvk)
}

// buildEnv declares all variables: the instance, the cluster unless a node has
// its name, and the nodes.
func (c *compiler) buildEnv() bool {
	vars := []expr.Variable{{Name: "schema", Decl: c.instance}}
	c.cluster = clusterDecl()
	if _, shadowed := c.byID["cluster"]; !shadowed {
		vars = append(vars, expr.Variable{Name: "cluster", Decl: c.cluster})
	}
	for _, d := range c.nodes {
		if d.usable {
			vars = append(vars, expr.Variable{Name: d.src.ID, Decl: d.plan.decl, List: d.plan.collection})
		}
	}
	env, err := expr.NewEnv(vars...)
	if err != nil {
		c.issue(Issue{Path: "spec.resources", Offset: -1, Reason: "Internal", Message: err.Error()})
		return false
	}
	c.env = env
	return true
}

// clusterDecl declares the variable `cluster`.
func clusterDecl() *schema.Decl {
	text, texts := schema.Text(), schema.MapOf(schema.Text())
	return schema.Object("kronvoy.Cluster", map[string]*schema.Decl{
		"name": text, "labels": texts, "annotations": texts, "claims": texts,
		"version": text, "allocatable": texts, "capacity": texts,
	})
}

// order sorts the nodes, or says along which path they form a cycle.
func (c *compiler) order() (dag.Order, bool) {
	dependencies := make([][]int, len(c.nodes))
	for i, d := range c.nodes {
		for _, id := range slices.Sorted(maps.Keys(d.refs)) {
			dependencies[i] = append(dependencies[i], c.byID[id].index)
		}
		slices.Sort(dependencies[i])
	}
	order, cycle := dag.Sort(dependencies)
	if cycle == nil {
		return order, true
	}
	ids := make([]string, len(cycle))
	for i, n := range cycle {
		ids[i] = c.nodes[n].src.ID
	}
	c.issue(Issue{Path: c.nodes[cycle[0]].path, Offset: -1, Reason: "Cycle",
		Message:    "the graph contains a cycle: " + strings.Join(ids, " -> "),
		Suggestion: "each resource uses a value of the next one; remove one of the references"})
	return order, false
}

// assemble puts the compiled parts together in topological order.
func (c *compiler) assemble(order dag.Order, crd *apiextensionsv1.CustomResourceDefinition) *Graph {
	g := &Graph{
		name: c.src.Name, hash: hash.Of(normalize(c.src)), gvk: c.src.Schema.GroupVersionKind(), scope: c.scope(), crd: crd,
		index: make(map[string]int, len(c.nodes)), instance: c.instance, cluster: c.cluster, status: c.status, conditions: c.conditions,
		statusProps: c.statusProps,
	}
	_, g.clusterShadowed = c.byID["cluster"]
	for _, i := range order.Nodes {
		g.index[c.nodes[i].src.ID] = len(g.nodes)
		g.nodes = append(g.nodes, c.nodes[i].node)
		g.plans = append(g.plans, c.nodes[i].plan)
	}
	g.findRivals()
	reads := c.reads()
	for _, i := range order.Nodes {
		d := c.nodes[i]
		d.node.Dependencies = slices.Sorted(maps.Keys(d.refs))
		d.node.Wave = order.Waves[i]
		d.node.Reads = reads[d.src.ID]
		d.node.ReadyReads = readyReads(d)
		d.plan.dependencies = g.indices(d.node.Dependencies)
		for k := range d.plan.include {
			d.plan.include[k].dependencies = g.indices(d.plan.include[k].expr.Variables)
		}
	}
	g.findClusterReads()
	c.followSecrets(g, order)
	return g
}

// findRivals finds the nodes that may render an object which another one renders.
func (g *Graph) findRivals() {
	count := map[string]int{}
	for i, n := range g.nodes {
		g.plans[i].kindKey = n.GVK.GroupKind().String()
		if n.Kind == Template {
			count[g.plans[i].kindKey]++
		}
	}
	for i, n := range g.nodes {
		g.plans[i].rivals = n.Kind == Template && count[g.plans[i].kindKey] > 1
	}
}

// indices finds the nodes among some variables, ascending.
func (g *Graph) indices(names []string) []int {
	var out []int
	for _, name := range names {
		if i, found := g.index[name]; found {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return out
}

func (c *compiler) scope() Scope {
	if c.src.Schema.Scope == ClusterScoped {
		return ClusterScoped
	}
	return Namespaced
}

// normalize brings a source into the form that its hash is of.
func normalize(src Source) Source {
	src.Nodes = slices.Clone(src.Nodes)
	for i := range src.Nodes {
		n := &src.Nodes[i]
		n.ReadyWhen = slices.Sorted(slices.Values(n.ReadyWhen))
		n.IncludeWhen = slices.Sorted(slices.Values(n.IncludeWhen))
	}
	sort.SliceStable(src.Nodes, func(i, j int) bool { return src.Nodes[i].ID < src.Nodes[j].ID })
	if src.Schema.Scope == "" {
		src.Schema.Scope = Namespaced
	}
	return src
}

// nodeKind reads a node's apiVersion and kind; at is where they stand.
func (c *compiler) nodeKind(d *draft) (gvk runtimeschema.GroupVersionKind, at string, ok bool) {
	var apiVersion, kind any
	switch {
	case d.src.Template != nil && d.src.External != nil:
		c.issue(Issue{Path: d.path, Offset: -1, Reason: "InvalidNode", Message: "exactly one of template or externalRef must be provided, not both"})
		return gvk, at, false
	case d.src.External != nil:
		at = path.Key(d.path, "externalRef")
		apiVersion, kind = d.src.External.APIVersion, d.src.External.Kind
	case d.src.Template != nil:
		at = path.Key(d.path, "template")
		apiVersion, kind = d.src.Template["apiVersion"], d.src.Template["kind"]
	default:
		c.issue(Issue{Path: d.path, Offset: -1, Reason: "InvalidNode", Message: "exactly one of template or externalRef must be provided"})
		return gvk, at, false
	}
	version, ok1 := c.identity(apiVersion, path.Key(at, "apiVersion"))
	name, ok2 := c.identity(kind, path.Key(at, "kind"))
	if !ok1 || !ok2 {
		return gvk, at, false
	}
	gv, err := runtimeschema.ParseGroupVersion(version)
	if err != nil {
		c.issue(Issue{Path: path.Key(at, "apiVersion"), Offset: -1, Reason: "InvalidValue", Snippet: version, Message: "apiVersion is group/version, as in apps/v1"})
		return gvk, at, false
	}
	return gv.WithKind(name), path.Key(at, "kind"), true
}

// identity is a field that must be a plain string.
func (c *compiler) identity(v any, at string) (string, bool) {
	s, ok := v.(string)
	switch {
	case !ok || s == "":
		c.issue(Issue{Path: at, Offset: -1, Reason: "MissingField", Message: at[strings.LastIndexByte(at, '.')+1:] + " must be a string"})
		return "", false
	case strings.Contains(s, "${"):
		c.issue(Issue{Path: at, Offset: strings.Index(s, "${"), Reason: "NotAnExpression", Snippet: shorten(s),
			Message: "the kind of a resource is fixed: no expressions are allowed here"})
		return "", false
	}
	return s, true
}
