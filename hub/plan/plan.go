// Package plan decides what one instance should have on one cluster. It is pure:
// the hub and `kronvoy preview` give it the same, and get the same.
//
//	works, reports ──work.Read──► Feedback ──► Evaluate ──► Evaluation ──► Build ──► Works
//	nested instances, live ──────────┘                          └─► Wants ──► Nested ──┘
//
// It takes two calls, for between them somebody has to look for the nested
// instances that the evaluation asks for.
package plan

import (
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/nested"
	"github.com/kronvoy/kronvoy/hub/override"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
)

// Input is all that is known about one instance on one cluster.
type Input struct {
	Identity work.Identity
	// Instance as it is; what it says is taken from Revision.
	Instance *unstructured.Unstructured
	// RevisionName is the name of the revision that the cluster should have,
	// Revision what it holds, and Graph what its definition compiles to.
	RevisionName string
	Revision     revision.Instance
	Graph        *graph.Graph
	// Overrides spares compiling those of Revision for each cluster; nil is allowed.
	Overrides *override.Cache

	// ClusterName is also the namespace of the works; Cluster may be empty where
	// nothing is evaluated.
	ClusterName string
	Cluster     *clusterv1.ManagedCluster
	// Inputs are what expressions of the revision read of the cluster, as they were
	// assigned to it with the revision; nil is the cluster as it is now. Policies
	// and what the agent can do are always those of now.
	Inputs *graph.Inputs
	// Agent is what the cluster's agent can do. Described is false while nobody
	// has said so: then nothing is shipped. See Meet.
	Agent     work.Capabilities
	Described bool
	// Suspended is true while nothing of the instance may be written here.
	Suspended bool

	// Distribution owns the instance; nil for none.
	Distribution *kronvoyv1alpha1.Distribution
	// ActsFor is in whose name it is applied.
	ActsFor policy.Identity
	// Reserved are namespaces that no instance may use on clusters.
	Reserved Reserved
	// SecretValuesTravel is true where the definition lets values of Secrets leave
	// their cluster.
	SecretValuesTravel bool

	// Works are those of the instance on this cluster, with their reports by name.
	Works   []*workv1.ManifestWork
	Reports map[string]*kronvoyv1alpha1.WorkReport
	// Observed stands in the place of what works and reports tell, where there is
	// no cluster that could; nil otherwise.
	Observed map[string]graph.Observed
	// Decisions are what people decided about drift here.
	Decisions []kronvoyv1alpha1.DriftDecision
	// Children are the nested instances that the Target lists, and Live what was
	// found of those, and of those that are wanted.
	Children []kronvoyv1alpha1.ChildReference
	Live     nested.Live
}

// Plan is what the instance should have on the cluster, and how that was found.
type Plan struct {
	// Blocked says why nothing can be decided; then the works stay as they are.
	// Reason is a word for it, where somebody can do something about it.
	Blocked, Reason string

	// Overridden are the fields of the spec that overrides give other values here.
	Overridden []graph.OverriddenField

	Feedback   work.Feedback
	Bindings   graph.Bindings
	Evaluation graph.Evaluation
	Issues     graph.Issues
	// Policies and Executor are those of the works, where nothing is suspended.
	Policies policy.Policies
	Executor *workv1.ManifestWorkExecutor

	// Wants are the nested instances that are asked for; nil where there are none,
	// nor have been. Nested is what is to be done about them; nil when nothing was
	// decided.
	Wants  *nested.Wants
	Nested *nested.Plan

	Works work.Plan
}

// Evaluate finds out what the cluster should have, up to the nested instances
// that have to be looked for: those of Wants that Live does not know.
func Evaluate(in Input) Plan {
	var p Plan
	if p.govern(in); p.Blocked != "" {
		return p
	}
	var err error
	if p.Feedback, err = work.Read(in.Graph, in.Works, in.Reports, in.Agent); err != nil {
		p.block("", err.Error())
		return p
	}
	if refused := in.Reserved.refuse(in.ClusterName, in.Identity.Namespace); refused != "" {
		p.block("", refused)
		return p
	}
	if in.Observed != nil {
		p.Feedback.Observed = maps.Clone(in.Observed)
	}
	cluster, err := in.cluster()
	if err != nil {
		p.block("", err.Error())
		return p
	}
	parent := in.parent()
	nested.Observe(in.Graph, in.Children, in.Live, parent, p.Feedback.Observed)
	nested.Health(in.Graph, in.Children, in.Live, parent, p.Feedback.Health)
	p.Bindings = graph.Bindings{
		Instance: nested.Called(map[string]any{
			"apiVersion": in.Instance.GetAPIVersion(),
			"kind":       in.Instance.GetKind(),
			"metadata":   in.Instance.Object["metadata"],
			"spec":       in.Revision.Spec,
		}, in.calledAs()),
		Cluster:  cluster,
		Observed: p.Feedback.Observed,
	}
	if p.override(in); p.Blocked != "" {
		return p
	}
	p.Evaluation, p.Issues = in.Graph.Evaluate(p.Bindings)
	if !in.Suspended && in.nests() {
		wants := nested.Wanted(in.Graph, p.Evaluation, parent)
		p.Wants = &wants
	}
	return p
}

// override changes the spec for this cluster. Overrides are the revision's: the
// Distribution may have other ones by now, or none.
func (p *Plan) override(in Input) {
	list, err := in.Overrides.Compile(in.Graph, in.Revision.Overrides)
	if err != nil {
		p.block(kronvoyv1alpha1.ReasonInvalidOverride, "the overrides of its Distribution cannot be used: "+err.Error())
		return
	}
	spec, overridden, err := list.On(p.Bindings.Instance, p.Bindings.Cluster)
	if err != nil {
		p.block(kronvoyv1alpha1.ReasonInvalidOverride, "the overrides of its Distribution cannot be used on this cluster: "+err.Error())
		return
	}
	if p.Overridden = overridden; len(overridden) > 0 {
		p.Bindings.Instance = maps.Clone(p.Bindings.Instance)
		p.Bindings.Instance["spec"] = spec
	}
}

// Build decides about nested instances, and plans the works that bring what was
// evaluated.
func (p *Plan) Build(in Input) {
	if in.Suspended {
		p.Works = work.Suspend(in.Works)
		return
	}
	if p.Wants != nil {
		decided := nested.Decide(*p.Wants, in.Children, in.Live, in.parent())
		p.Nested = &decided
		for id, failure := range decided.Failures {
			p.Fail(id, failure)
		}
	}
	var err error
	p.Works, err = work.Build(work.Input{
		Identity: in.Identity, InstanceUID: string(in.Instance.GetUID()),
		Cluster: in.ClusterName, Revision: in.RevisionName,
		Graph: in.Graph, Evaluation: p.Evaluation,
		Previous: in.Works, Reports: in.Reports, Elsewhere: p.elsewhere(),
		Policies: p.Policies, Executor: p.Executor, Decisions: in.Decisions, Capabilities: in.Agent,
	})
	if err != nil {
		p.block("", err.Error())
	}
}

// Teardown plans the next step of removing everything. It needs no graph: waves
// were recorded when the works were built.
func Teardown(in Input) (Plan, error) {
	left := nested.Decide(nested.Wants{}, in.Children, in.Live, in.parent())
	p := Plan{Nested: &left}
	var err error
	p.Works, err = work.Build(work.Input{
		Identity: in.Identity, Cluster: in.ClusterName, Revision: in.RevisionName,
		Previous: in.Works, Reports: in.Reports, Elsewhere: p.elsewhere(), Capabilities: in.Agent,
	})
	if err != nil {
		return Plan{}, fmt.Errorf("taking %s down on cluster %s: %w", in.Identity, in.ClusterName, err)
	}
	return p, nil
}

// Fail marks a node that cannot be carried out on the hub.
func (p *Plan) Fail(id, message string) {
	p.Feedback.Failures[id] = message
	for i := range p.Evaluation.Nodes {
		if p.Evaluation.Nodes[i].ID == id {
			p.Evaluation.Nodes[i].State = graph.Failed
		}
	}
}

func (p *Plan) block(reason, message string) { p.Reason, p.Blocked = reason, message }

// elsewhere is what works must know of nested instances.
func (p *Plan) elsewhere() work.Elsewhere {
	if p.Nested == nil {
		return work.Elsewhere{}
	}
	return work.Elsewhere{Leaving: p.Nested.Waves(), Unsettled: p.Nested.Unsettled}
}
