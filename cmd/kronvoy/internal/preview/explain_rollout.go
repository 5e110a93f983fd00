package preview

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/internal/plain"
	placementrollout "github.com/kronvoy/kronvoy/placement/rollout"
)

// ExplainedRollout is how far the rollout of an instance has come.
type ExplainedRollout struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Phase     string `json:"phase"`
	// Group that it is at.
	Group   string `json:"group,omitempty"`
	Message string `json:"message,omitempty"`
	// Revision that the clusters are to have: the newest, unless that was rejected,
	// or somebody ordered another one.
	Revision string `json:"revision,omitempty"`
	// Command lets it go on where it waits for somebody.
	Command string `json:"command,omitempty"`
}

// ExplainedMove is where a cluster stands in the rollout.
type ExplainedMove struct {
	// Group of the cluster; "-" for those that are in none.
	Group string `json:"group"`
	// State and Reason are a word each, as in Held and WaitsForGroup, and Message a
	// sentence.
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Revision that the cluster gets when it moves; empty where it has that.
	Revision string `json:"revision,omitempty"`
}

// explainRollout adds what the hub does next about the instance, by the strategy of
// its Distribution.
func (s *simulation) explainRollout(p *placing, out *Explained) error {
	if p.owner == nil || p.owner.Spec.Rollout == nil {
		return nil
	}
	if err := s.loadUnit(p.instance, p.owner); err != nil {
		return err
	}
	look, err := s.look(s.memory, unitOf(p.instance, p.owner))
	if err != nil || look == nil {
		return err
	}
	step, to := &look.Step, placementrollout.Wants(look.Input)[p.identity.Name]
	out.Rollout = &ExplainedRollout{
		Namespace: look.Namespace, Name: look.Name, Phase: string(step.Phase), Message: step.Message, Revision: to, Command: commandFor(look),
	}
	if rec := step.Record; !rec.Succeeded && rec.Group != (placementrollout.GroupID{}) {
		out.Rollout.Group = step.Record.Group.String()
	}
	for i := range out.Clusters {
		c := &out.Clusters[i]
		at := slices.IndexFunc(step.Clusters, func(of placementrollout.ClusterStep) bool { return of.Cluster == c.Name })
		if at < 0 {
			continue
		}
		of := step.Clusters[at]
		c.Rollout = &ExplainedMove{Group: of.Group.String(), State: string(of.State), Reason: string(of.Reason), Message: of.Message}
		if c.Wanted != to {
			c.Rollout.Revision = to
		}
	}
	return nil
}

// commandFor lets a rollout go on that waits for somebody; empty for one that does
// not.
func commandFor(look *rollout.Look) string {
	switch {
	case look.Rollout != nil && look.Rollout.Spec.Paused != nil:
		return fmt.Sprintf("kronvoy rollout resume %s -n %s", look.Name, look.Namespace)
	case look.Step.Phase == placementrollout.WaitingForApproval:
		return fmt.Sprintf("kronvoy rollout approve %s -n %s", look.ApprovalRequest, look.Namespace)
	case look.Input.Paused == "" && look.ApprovalRequest == "" && (look.Step.Phase == placementrollout.Paused || look.Step.Phase == placementrollout.Failed):
		return fmt.Sprintf("kronvoy rollout retry %s -n %s", look.Name, look.Namespace)
	}
	return ""
}

func (r *ExplainedRollout) write(w io.Writer) {
	if r == nil {
		return
	}
	at := ""
	if r.Group != "" {
		at = ", at group " + r.Group
	}
	fmt.Fprintf(w, "Rollout %s is %s%s: %s\n", r.Name, r.Phase, at, plain.Line(r.Message))
	if r.Command != "" {
		fmt.Fprintf(w, "To let it go on: %s\n", r.Command)
	}
}

// writeMoves prints where each cluster stands in the rollout, the first groups
// first, as they are in the table above.
func (e *Explained) writeMoves(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	header := "\nCLUSTER\tROLLOUT GROUP\tSTATE\tREASON\tHAS\tGETS\tWAITS FOR\n"
	for _, c := range e.Clusters {
		if c.Rollout == nil {
			continue
		}
		fmt.Fprint(table, header)
		header = ""
		fmt.Fprintln(table, strings.Join([]string{
			c.Name, c.Rollout.Group, c.Rollout.State, orDash(c.Rollout.Reason), orDash(suffix(c.Revision)), orDash(suffix(c.Rollout.Revision)),
			orDash(plain.Line(c.Rollout.Message)),
		}, "\t"))
	}
	return table.Flush()
}

// suffix is the part of a revision's name that tells it from others.
func suffix(revision string) string { return revision[strings.LastIndexByte(revision, '-')+1:] }
