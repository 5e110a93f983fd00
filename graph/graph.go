// Package graph is the engine: it compiles a definition once and evaluates it
// for any number of clusters. It is pure: values in, values out; it knows no
// client, clock, logger or API type of its own project.
//
//	Source ──Compile──► *Graph ──Evaluate(Bindings)──► Evaluation
//	            ▲                     ▲
//	     schema.Resolver      instance, cluster, observed
package graph

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// NodeKind tells what a node is.
type NodeKind string

// The kinds of nodes.
const (
	// Template nodes are rendered and applied.
	Template NodeKind = "Template"
	// External nodes are read, never written.
	External NodeKind = "External"
)

// Node is what Compile found out about one resource of a graph. Nodes are
// immutable and shared: treat every field as read-only.
type Node struct {
	ID   string
	Kind NodeKind
	GVK  schema.GroupVersionKind
	// Resource is the plural name that the API serves the kind under.
	Resource   string
	Namespaced bool
	// Definition is the name of the definition that generates the kind, where the
	// resolver knows it. Such an object is an instance of its own: the hub creates
	// it, no cluster gets it.
	Definition string
	// Collection nodes stand for any number of objects, and expressions see a
	// list: a forEach, or an external reference by selector.
	Collection bool
	// Selects is true for an external reference by selector. What it looks for is
	// in NodeResult.Selection; the whole list is to be observed (Observed.Listed).
	Selects bool
	// Dependencies are the ids this node refers to, sorted.
	Dependencies []string
	// Wave is the length of the longest path of dependencies below the node:
	// 0 for a node without any. Deletion runs from the highest wave down.
	Wave int
	// Reads are the fields of this node's live object that any expression of
	// the graph reads, sorted by path; ReadyWhen's own reads are only in it
	// when ReadyRules cannot be evaluated on the spoke.
	Reads []Read
	// ReadyRules are the readyWhen expressions rewritten for the spoke: each is
	// a CEL expression over the variable `object` (the whole live object as
	// plain JSON) that yields a bool. All must hold. Empty when the author gave
	// none, when one of them cannot be judged there (it uses a function that
	// agents lack), and for a node that Selects: then Reads has what they read.
	ReadyRules []string
	// BasicRules is true when ReadyRules use no more functions than OCM's own
	// agent has.
	BasicRules bool
	// ReadyReads are the fields that readyWhen reads, sorted by path: for an agent
	// that cannot judge ReadyRules.
	ReadyReads []Read
	// Sensitive nodes hold secret values (kind Secret): whatever is read from
	// them is masked outside of manifests.
	Sensitive bool
}

// Read is one field of a live object that the hub needs back.
type Read struct {
	// Path in JSONPath form without the leading dot: status.availableReplicas,
	// metadata.annotations['example.com/a'], status.conditions. It ends before
	// the first index, wildcard or dynamic key.
	Path string
	// Fields is Path split into its steps.
	Fields []string
	// Scalar is true for integers, strings and booleans, which OCM's feedback
	// can carry; everything else travels in a WorkReport.
	Scalar bool
	// Stated is true for a map of such values (labels, a selector, data) that
	// the node's template states. Its keys are then known from the manifest, and
	// each can travel alone.
	Stated bool
}

// Cluster is the value of the CEL variable `cluster`.
type Cluster struct {
	Name                        string
	Labels, Annotations, Claims map[string]string
	// Version is the Kubernetes version, as in v1.36.3.
	Version string
	// Allocatable and Capacity are quantities by resource name.
	Allocatable, Capacity map[string]string
}

// Bindings are the inputs of one evaluation.
type Bindings struct {
	// Instance is the whole instance object: apiVersion, kind, metadata, spec.
	Instance map[string]any
	Cluster  Cluster
	// Observed holds what came back from the cluster, by node id; a node that
	// is missing here was never observed.
	Observed map[string]Observed
	// Conditions are the built-in conditions of the instance, which the author's
	// own may read with runtime.condition(schema, …): InstanceManaged,
	// GraphResolved, ResourcesReady, Ready. Nil makes Evaluate take what it finds
	// out itself.
	Conditions []Condition
}

// Observed is what came back for one node.
type Observed struct {
	// Objects in any order: expressions see those of a collection in the order in
	// which they are rendered, and those of a node that Selects by namespace and
	// name. What the node does not render any more is not seen.
	Objects []ObservedObject
	// Listed, for a node that Selects, is true when Objects are all that match.
	// None may match: that is an answer. False means that nobody has looked yet.
	Listed bool
	// SelectionHash is the Hash of the Selection that was listed. When this
	// evaluation looks for something else, the list says nothing. Empty means
	// that it is not known, and the check is left out.
	SelectionHash string
}

// ObservedObject is what is known about one live object.
type ObservedObject struct {
	// Object holds the fields of Reads that have a value, or the whole live
	// object; apiVersion, kind and metadata's name and namespace are always in it.
	Object map[string]any
	// Current is true when the report is about the manifest shipped last: only
	// then does a missing field count as absent. Otherwise it is unobserved.
	Current bool
	// ManifestHash is hash.Of the rendered object that was shipped last. When
	// this evaluation renders another one, the node is Progressing and its
	// dependents are Held, whatever was observed of the old manifest. Empty
	// means that nothing is known of it, and the check is left out.
	ManifestHash string
	// Partial is true when Object holds the fields of Reads only. What nothing but
	// readyWhen reads then counts as unobserved: without a Verdict the node is not
	// ready. Leave it false for a whole live object.
	Partial bool
	// Judgeable is true when a partial Object holds the fields of ReadyReads, too:
	// readyWhen is judged by them.
	Judgeable bool
	// Verdict on readyWhen by the spoke; nil makes Evaluate judge Object itself.
	Verdict *Verdict
}

// Verdict is the spoke's answer to a node's ReadyRules.
type Verdict struct {
	Ready bool
	// Err is set when a rule could not be evaluated.
	Err string
}

// NodeState says where one node stands in one evaluation.
type NodeState string

// The states of a node.
const (
	// Pending: a value it needs has not been observed yet (see WaitsFor).
	Pending NodeState = "Pending"
	// Held: a dependency is not ready yet.
	Held NodeState = "Held"
	// Excluded: includeWhen is false, here or in a dependency.
	Excluded NodeState = "Excluded"
	// Failed: an expression failed; the Issue says why.
	Failed NodeState = "Failed"
	// Progressing: rendered, but not ready yet.
	Progressing NodeState = "Progressing"
	// Ready: rendered, observed at this manifest, readyWhen holds.
	Ready NodeState = "Ready"
)

// Wait is one thing a node waits for, readable as it stands.
type Wait struct {
	// Node that is waited for.
	Node string
	// Path of the unobserved field, as in service.spec.clusterIP; for a Held
	// node or one that is not ready the condition waited for, as in
	// "deployment to be ready".
	Path string
	// Field of the instance that is left out meanwhile, as in status.address;
	// only set in StatusWaits.
	Field string
}

// NodeResult is one node's part of an Evaluation.
type NodeResult struct {
	ID    string
	State NodeState
	// Objects are the rendered manifests (none while Pending, Held, Excluded
	// or Failed), each with its namespace filled in; they are the caller's to
	// change. A node that Failed in readyWhen keeps them: it is applied, and may
	// be mended by a new manifest. For a named external reference it holds one
	// object: apiVersion, kind, metadata.
	Objects []map[string]any
	// Applied is true when the cluster has all Objects as they were rendered now,
	// so that what is known of them is about these.
	Applied bool
	// Selection is what an external reference by selector looks for; nil for
	// every other node, and while it is not known.
	Selection *Selection
	// WaitsFor is sorted and only set for Pending, Held and Progressing.
	WaitsFor []Wait
	// Issue is set for Failed.
	Issue *Issue
}

// Evaluation is what one cluster should get, and what is known about it.
type Evaluation struct {
	// Nodes in topological order.
	Nodes []NodeResult
	// Status is the author's projection; fields whose inputs are unknown are
	// left out.
	Status map[string]any
	// StatusWaits names the fields that were left out and what they wait for.
	StatusWaits []Wait
	// Conditions are the author's, in the order of the source. They stand in the
	// place of the built-in ones (see HasConditions).
	Conditions []Condition
	// ConditionsIncomplete is true when an entry waits or failed, or made a type
	// twice: what an earlier evaluation said of the types that are not in
	// Conditions then stays.
	ConditionsIncomplete bool
	// ConditionWaits names the entries that wait, and what for.
	ConditionWaits []Wait
	// Ready is true when every node is Ready or Excluded.
	Ready bool
	// Cost of all expressions, in CEL's cost units.
	Cost uint64
}
