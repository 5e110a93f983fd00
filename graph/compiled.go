package graph

import (
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/schema"
)

// Graph is a compiled source: immutable, and safe for concurrent use.
type Graph struct {
	name  string
	hash  string
	gvk   runtimeschema.GroupVersionKind
	scope Scope
	crd   *apiextensionsv1.CustomResourceDefinition

	// nodes and plans are parallel, in topological order.
	nodes []*Node
	plans []*nodePlan
	index map[string]int
	// instance and cluster declare the variables of those names.
	instance, cluster *schema.Decl
	// clusterShadowed is true when a node is called cluster.
	clusterShadowed bool
	status          *statusPlan
	conditions      []conditionPlan
	// statusProps is the schema of the author's status; nil for none.
	statusProps *apiextensionsv1.JSONSchemaProps
	aggregates  *Aggregates
	// clusterReads are what expressions read of the cluster.
	clusterReads ClusterReads
	secretUses   []SecretUse
	// secrets are the expressions that read values of Secrets, with the texts that
	// stand in them as they are.
	secrets map[*expr.Expr]map[string]bool
	// secretFields hold them, by node, up to the first list.
	secretFields map[string][][]string
	// secretInputs are the fields of instances that become values of Secrets.
	secretInputs [][]string
}

// nodePlan is how one node is evaluated.
type nodePlan struct {
	path string
	// dependencies are indices into Graph.nodes, ascending.
	dependencies []int
	decl         *schema.Decl
	include      []condition
	forEach      []dimension
	// template of the object; for an external reference of its identity.
	template *plan
	// fillNamespace puts the instance's namespace where the object comes out
	// without one.
	fillNamespace bool
	ready         []condition
	collection    bool
	// kindKey names the kind among all kinds, whatever its version; rivals is true
	// when another node renders objects of it.
	kindKey string
	rivals  bool
	// selects is true for an external reference by selector, whose template is the
	// selection.
	selects bool
}

// condition is one entry of readyWhen or includeWhen.
type condition struct {
	path         string
	expr         *expr.Expr
	dependencies []int
}

// dimension is one list of a forEach.
type dimension struct {
	path     string
	iterator string
	expr     *expr.Expr
}

// Name of the definition.
func (g *Graph) Name() string { return g.name }

// Hash names the content of the source, with the version of the hashing rules.
// It does not depend on the order of the nodes, nor of a node's conditions.
func (g *Graph) Hash() string { return g.hash }

// GroupVersionKind of the instances.
func (g *Graph) GroupVersionKind() runtimeschema.GroupVersionKind { return g.gvk }

// Scope of the instances.
func (g *Graph) Scope() Scope { return g.scope }

// Nodes in topological order; where the dependencies leave a choice, in the
// order of the source.
func (g *Graph) Nodes() []*Node { return slices.Clone(g.nodes) }

// Node finds a node by its id; nil when there is none.
func (g *Graph) Node(id string) *Node {
	if i, found := g.index[id]; found {
		return g.nodes[i]
	}
	return nil
}

// CRD returns a copy of the CustomResourceDefinition of the instances.
func (g *Graph) CRD() *apiextensionsv1.CustomResourceDefinition { return g.crd.DeepCopy() }

// Reads returns, by node id, the observed fields that the graph reads; nodes
// that nothing is read from are left out.
func (g *Graph) Reads() map[string][]Read {
	out := make(map[string][]Read, len(g.nodes))
	for _, n := range g.nodes {
		if len(n.Reads) > 0 {
			out[n.ID] = slices.Clone(n.Reads)
		}
	}
	return out
}
