// Package preview says what a change would do to a fleet before it is made. It
// takes what is on the hub into memory, lays files over it, and runs the functions
// that the hub's controllers run: placement, owner, revision, removal, evaluation,
// works. What comes out is compared with the works as they were shipped. Nothing
// is written.
//
//	hub ──load──► memory ◄──overlay── files
//	                │ schedule   Placements ─► PlacementDecisions
//	                │ instance   owner, clusters, revision ─► Targets, leaving clusters
//	                │ target     Target ─► hub/plan ─► works
//	                ▼
//	            differences ──► Result
package preview

import "github.com/kronvoy/kronvoy/internal/fields"

// Result is what a change comes to.
type Result struct {
	Summary Summary `json:"summary"`
	// Definitions that are changed, and what is wrong with them.
	Definitions []Definition `json:"definitions,omitempty"`
	// Instances for which something changes, or that have issues.
	Instances []Instance `json:"instances,omitempty"`
	// Rollouts in which instances move to what is new; without one they all do at
	// once.
	Rollouts []Rollout `json:"rollouts,omitempty"`
}

// Summary counts. A resource counts once on each cluster.
type Summary struct {
	Clusters  int `json:"clusters"`
	Resources int `json:"resources"`
	Created   int `json:"created"`
	Changed   int `json:"changed"`
	Deleted   int `json:"deleted"`
	Orphaned  int `json:"orphaned"`
	// Joins and Leaves count instances on clusters; Held are those of Leaves that
	// nothing happens to until somebody does something.
	Joins  int `json:"joins"`
	Leaves int `json:"leaves"`
	Held   int `json:"held"`
	// Blocked counts instances on clusters that would get nothing, and Issues what
	// is wrong with definitions and instances.
	Blocked int `json:"blocked"`
	Issues  int `json:"issues"`
}

// Definition is a ResourceGraphDefinition that is changed.
type Definition struct {
	Name string `json:"name"`
	// Issues keep the hub from serving it: what is served stays.
	Issues []string `json:"issues,omitempty"`
}

// Instance is what a change comes to for one instance.
type Instance struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	// Distribution that would own it, and what says where it runs.
	Distribution string `json:"distribution,omitempty"`
	PlacedBy     string `json:"placedBy,omitempty"`
	// Message says what is not decided, or has no effect.
	Message string `json:"message,omitempty"`
	// Issues keep the instance from being changed.
	Issues   []string  `json:"issues,omitempty"`
	Clusters []Cluster `json:"clusters,omitempty"`
}

// What happens to an instance on a cluster.
const (
	// Joins: it is placed there.
	Joins = "joins"
	// Leaves: it is removed from there.
	Leaves = "leaves"
)

// Cluster is what a change comes to for one instance on one cluster.
type Cluster struct {
	Name string `json:"name"`
	// Change is Joins or Leaves; empty where it stays.
	Change string `json:"change,omitempty"`
	// Reason and Message say why, or why not yet.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Held is true where it has left its placement and stays until somebody does
	// something.
	Held bool `json:"held,omitempty"`
	// Blocked says why nothing can be decided: what is there stays as it is.
	Blocked string `json:"blocked,omitempty"`
	// Settings are what changes for all resources at once.
	Settings  []Field    `json:"settings,omitempty"`
	Resources []Resource `json:"resources,omitempty"`
	// Waits are nodes that cannot be rendered yet, Failures those that cannot be.
	Waits    []Wait    `json:"waits,omitempty"`
	Failures []Failure `json:"failures,omitempty"`
}

// What happens to a resource.
const (
	Created  = "created"
	Changed  = "changed"
	Deleted  = "deleted"
	Orphaned = "orphaned"
)

// Resource is what happens to one object.
type Resource struct {
	Action     string `json:"action"`
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	// Node of the definition; empty for the namespace of the instance.
	Node string `json:"node,omitempty"`
	// OnHub is true for an instance of another definition: it is on the hub.
	OnHub bool `json:"onHub,omitempty"`
	// After says what happens first.
	After  []string `json:"after,omitempty"`
	Fields []Field  `json:"fields,omitempty"`
}

// Field is one that changes.
type Field = fields.Field

// Value is what a Field changes from, or to.
type Value = fields.Value

// Wait is a node that waits for something.
type Wait struct {
	Node string   `json:"node"`
	For  []string `json:"for"`
}

// Failure is a node that cannot be evaluated, or fits into no work.
type Failure struct {
	Node    string `json:"node"`
	Message string `json:"message"`
}

// Changes says whether anything would happen.
func (r *Result) Changes() bool {
	for i := range r.Instances {
		if len(r.Instances[i].Clusters) > 0 {
			return true
		}
	}
	return false
}

func (c *Cluster) empty() bool {
	return c.Change == "" && c.Blocked == "" && len(c.Settings)+len(c.Resources)+len(c.Waits)+len(c.Failures) == 0
}

func (r *Result) summarize() {
	clusters := map[string]bool{}
	var s Summary
	for _, d := range r.Definitions {
		s.Issues += len(d.Issues)
	}
	for _, i := range r.Instances {
		s.Issues += len(i.Issues)
		for _, c := range i.Clusters {
			clusters[c.Name] = true
			switch c.Change {
			case Joins:
				s.Joins++
			case Leaves:
				s.Leaves++
			}
			if c.Held {
				s.Held++
			}
			if c.Blocked != "" {
				s.Blocked++
			}
			s.Issues += len(c.Failures)
			for _, resource := range c.Resources {
				s.Resources++
				switch resource.Action {
				case Created:
					s.Created++
				case Changed:
					s.Changed++
				case Deleted:
					s.Deleted++
				case Orphaned:
					s.Orphaned++
				}
			}
		}
	}
	s.Clusters = len(clusters)
	r.Summary = s
}
