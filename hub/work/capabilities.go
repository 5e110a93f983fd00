package work

import (
	"fmt"
	"slices"
	"strings"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

// Capabilities are what a cluster's agent can do beyond OCM's own work agent.
// The zero value is that agent.
type Capabilities struct {
	// Reports: the agent answers in WorkReports. Values of any kind and size come
	// back, lists by selector are made, and what leaves a work is reported until
	// it is gone. Suspension, drift and takeover policies came with it.
	Reports bool
	// Health: the agent judges the health of what it applies.
	Health bool
}

// ParseCapabilities reads the value of the claim ClaimFeatures; features that
// this hub does not know are left alone.
func ParseCapabilities(claim string) Capabilities {
	var c Capabilities
	for feature := range strings.SplitSeq(claim, ",") {
		switch strings.TrimSpace(feature) {
		case kronvoyv1alpha1.FeatureWorkReport:
			c.Reports = true
		case kronvoyv1alpha1.FeatureHealth:
			c.Health = true
		}
	}
	return c
}

// Lack is what an agent is short of for a graph.
type Lack struct {
	// Feature as the claim would name it.
	Feature string
	// Node that needs it, and for what.
	Node, For string
}

// Reason is one word for it.
func (l *Lack) Reason() string { return kronvoyv1alpha1.ReasonAgentLacks + l.Feature }

// String says who needs what and what to do.
func (l *Lack) String() string {
	return fmt.Sprintf("node %q needs an agent with the feature %s: %s; run Kronvoy's agent on this cluster, or change the definition", l.Node, l.Feature, l.For)
}

// Lacks says what of a graph the agent cannot do; nil when it can do all. It
// depends on the graph alone, so that nothing is shipped of what could not be
// finished.
func (c Capabilities) Lacks(g *graph.Graph) *Lack {
	if c.Reports {
		return nil
	}
	for _, node := range g.Nodes() {
		if node.Definition != "" {
			// The hub makes it, and reads it there.
			continue
		}
		if why := needsReports(node, c.reads(node)); why != "" {
			return &Lack{Feature: kronvoyv1alpha1.FeatureWorkReport, Node: node.ID, For: why}
		}
	}
	return nil
}

func needsReports(node *graph.Node, reads []graph.Read) string {
	if node.Selects {
		return "it lists objects by a selector"
	}
	i := slices.IndexFunc(reads, func(r graph.Read) bool { return !r.Scalar && !r.Stated })
	switch {
	case i < 0:
		return ""
	case len(reads[i].Fields) == 0:
		return "the whole object is read of it, and OCM's feedback returns integers, strings and booleans"
	default:
		return reads[i].Path + " is read of it, which may be a list, an object or a fraction, and OCM's feedback returns integers, strings and booleans"
	}
}

// reads are what the hub needs back of a node's objects.
func (c Capabilities) reads(node *graph.Node) []graph.Read {
	if c.judges(node) {
		return node.Reads
	}
	return node.AllReads()
}

// judges is true when the agent judges readyWhen, where it is a rule that can
// travel; else the hub does.
func (c Capabilities) judges(node *graph.Node) bool { return c.Reports || node.BasicRules }
