package view

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// Mark is a state in the words of what it is a state of.
type Mark struct {
	State       State
	Glyph, Word string
}

// The marks of phases, groups and clusters, by the words that the API has.
var (
	phases = map[kronvoyv1alpha1.RolloutPhase]Mark{
		kronvoyv1alpha1.RolloutProgressing:        {Progressing, "↻", "progressing"},
		kronvoyv1alpha1.RolloutWaitingForApproval: {Held, "?", "waits for approval"},
		kronvoyv1alpha1.RolloutPaused:             {Held, "‖", "paused"},
		kronvoyv1alpha1.RolloutRollingBack:        {Drifted, "↶", "rolling back"},
		kronvoyv1alpha1.RolloutRolledBack:         {Drifted, "↶", "rolled back"},
		kronvoyv1alpha1.RolloutSucceeded:          {Ready, "✓", "succeeded"},
		kronvoyv1alpha1.RolloutFailed:             {Failed, "✕", "failed"},
		"":                                        {Unknown, "…", "not begun"},
	}
	groups = map[rollout.GroupState]Mark{
		rollout.GroupWaiting:       {Idle, "…", "waits"},
		rollout.GroupNeedsApproval: {Held, "?", "needs approval"},
		rollout.GroupProgressing:   {Progressing, "↻", "progressing"},
		rollout.GroupSoaking:       {Progressing, "◔", "soaking"},
		rollout.GroupStopped:       {Failed, "✕", "stopped"},
		rollout.GroupPassed:        {Ready, "✓", "passed"},
	}
	members = map[rollout.ClusterState]Mark{
		rollout.ClusterMoving:   {Progressing, "→", "moving"},
		rollout.ClusterHeld:     {Idle, "…", "waits"},
		rollout.ClusterSkipped:  {Unreachable, "⌁", "skipped"},
		rollout.ClusterInFlight: {Progressing, "↻", "in flight"},
		rollout.ClusterSoaking:  {Progressing, "◔", "soaking"},
		rollout.ClusterUnready:  {Pending, "!", "not ready any more"},
		rollout.ClusterFailed:   {Failed, "✕", "failed"},
		rollout.ClusterReady:    {Ready, "✓", "passed"},
	}
)

func markOf[K ~string](marks map[K]Mark, word K) Mark {
	if mark, known := marks[word]; known {
		return mark
	}
	return Mark{Unknown, "?", string(word)}
}

// ListedRollout is a rollout in the list of all.
type ListedRollout struct {
	Address, Namespace, Name, Group, Message string
	Phase                                    Mark
	Counts                                   kronvoyv1alpha1.RolloutCounts
	Bar                                      []Cell
	Started                                  time.Time
}

// underWay says whether a rollout has not come to its good end.
func underWay(r *kronvoyv1alpha1.Rollout) bool {
	return r.Status.Phase != kronvoyv1alpha1.RolloutSucceeded && r.Status.Phase != ""
}

// RolloutAddress is that of a rollout's page.
func RolloutAddress(namespace, name string) string {
	return "/rollouts/" + url.PathEscape(namespace) + "/" + url.PathEscape(name)
}

// NewListedRollout is its row.
func NewListedRollout(r *kronvoyv1alpha1.Rollout) ListedRollout {
	row := ListedRollout{
		Address: RolloutAddress(r.Namespace, r.Name), Namespace: r.Namespace, Name: r.Name, Group: r.Status.Group, Message: r.Status.Message,
		Phase: markOf(phases, r.Status.Phase), Counts: r.Status.Counts, Bar: bar(r.Status.Counts),
	}
	if r.Status.StartedAt != nil {
		row.Started = r.Status.StartedAt.Time
	}
	return row
}

// barWidth is that of a bar, in its own units.
const barWidth = 100

// bar divides a width among what clusters do: those that passed first, as a bar
// fills.
func bar(c kronvoyv1alpha1.RolloutCounts) []Cell {
	passed := max(0, min(c.Updated, c.Total-c.Skipped)-c.InFlight-c.Failed)
	rest := max(0, c.Total-passed-c.InFlight-c.Failed-c.Skipped)
	var cells []Cell
	x := 0.0
	for _, part := range []struct {
		state State
		count int32
	}{{Ready, passed}, {Progressing, c.InFlight}, {Failed, c.Failed}, {Unreachable, c.Skipped}, {Idle, rest}} {
		if part.count == 0 {
			continue
		}
		width := barWidth * float64(part.count) / float64(max(1, passed+rest+c.InFlight+c.Failed+c.Skipped))
		cells = append(cells, Cell{part.state, x, width, int(part.count)})
		x += width
	}
	return cells
}

// Rollout is the page of one rollout.
type Rollout struct {
	ListedRollout
	// Entered is false while the group that it is at is only reached.
	Entered bool
	Groups  []RolloutGroup
	// Clusters are those that have not passed; Unnamed is how many more there are.
	Clusters []RolloutCluster
	Unnamed  int32
	// Paused, Retried and Undone are what people have ordered.
	Paused, Retried *kronvoyv1alpha1.RolloutOrder
	Undone          *kronvoyv1alpha1.RolloutUndo
	// Rules are those of the strategy that it goes by.
	Rules []Pair
	// Approval is the name of the question that it waits for.
	Approval string
}

// RolloutGroup is a step of the timeline.
type RolloutGroup struct {
	Name, Message string
	Mark          Mark
	// At is set on the group that the rollout is at.
	At       bool
	Counts   kronvoyv1alpha1.RolloutCounts
	Bar      []Cell
	SoakEnds time.Time
	Says     string
	Clusters []RolloutCluster
}

// RolloutCluster is a cluster that has not passed.
type RolloutCluster struct {
	Name, Group, Reason, Message string
	Mark                         Mark
	// Moved is when it was, and Deadline when it counts as failed; zero where that is
	// not known, or where there is none.
	Moved, Deadline time.Time
}

// NewRollout is the page, with the Targets that the viewer may see. Strategy is
// that of the Distribution, nil where it is not known.
func NewRollout(r *kronvoyv1alpha1.Rollout, strategy *rollout.Strategy, targets []kronvoyv1alpha1.Target) Rollout {
	s := &r.Status
	page := Rollout{
		ListedRollout: NewListedRollout(r), Entered: s.Entered, Approval: s.ApprovalRequest,
		Paused: r.Spec.Paused, Retried: r.Spec.Retry, Undone: r.Spec.Undo, Rules: rules(strategy),
	}
	moved := movedAt(targets)
	for _, c := range s.Clusters {
		row := RolloutCluster{Name: c.Name, Group: c.Group, Reason: c.Reason, Message: c.Message, Mark: markOf(members, rollout.ClusterState(c.State))}
		switch rollout.ClusterState(c.State) {
		case rollout.ClusterInFlight, rollout.ClusterSoaking, rollout.ClusterFailed:
			row.Moved = moved[c.Name]
		}
		if rollout.ClusterState(c.State) == rollout.ClusterInFlight && rollout.Reason(c.Reason) == rollout.ReasonNotReady && !row.Moved.IsZero() && strategy != nil && strategy.ProgressDeadline > 0 {
			begun := row.Moved
			if s.Retry != nil && s.Retry.At.After(begun) {
				begun = s.Retry.At.Time
			}
			row.Deadline = begun.Add(strategy.ProgressDeadline)
		}
		page.Clusters = append(page.Clusters, row)
	}
	for i := range s.Groups {
		page.Groups = append(page.Groups, groupOf(&s.Groups[i], s, page.Clusters))
	}
	passed := s.Counts.Updated - s.Counts.InFlight - s.Counts.Failed
	page.Unnamed = max(0, s.Counts.Total-max(0, passed)-int32(len(page.Clusters)))
	return page
}

func groupOf(g *kronvoyv1alpha1.RolloutGroup, s *kronvoyv1alpha1.RolloutStatus, clusters []RolloutCluster) RolloutGroup {
	id := rollout.GroupID{Name: g.Name, Index: int(g.Index)}
	out := RolloutGroup{
		Name: g.Name, Message: g.Message, Mark: markOf(groups, rollout.GroupState(g.State)), Counts: g.Counts, Bar: bar(g.Counts),
		At: !s.Succeeded && g.Name == s.Group && g.Index == s.GroupIndex,
	}
	if g.SoakEndsAt != nil {
		out.SoakEnds = g.SoakEndsAt.Time
		if rollout.GroupState(g.State) == rollout.GroupSoaking {
			out.Message = "" // it says nothing but that
		}
	}
	for _, c := range clusters {
		if c.Group == id.String() {
			out.Clusters = append(out.Clusters, c)
		}
	}
	for _, cell := range out.Bar {
		out.Says += fmt.Sprintf(", %d %s", cell.Count, cell.Word())
	}
	return out
}

// barWords are what the parts of a bar stand for.
var barWords = map[State]string{Ready: "passed", Progressing: "in flight", Failed: "failed", Unreachable: "skipped", Idle: "waiting"}

// Word is what a part of a rollout's bar stands for.
func (c Cell) Word() string { return barWords[c.State] }

// movedAt is when each cluster was last given something to have.
func movedAt(targets []kronvoyv1alpha1.Target) map[string]time.Time {
	out := map[string]time.Time{}
	for i := range targets {
		t := &targets[i]
		if at := t.Spec.AssignedAt; at != nil && at.After(out[t.Namespace]) {
			out[t.Namespace] = at.Time
		}
	}
	return out
}

func rules(s *rollout.Strategy) []Pair {
	if s == nil {
		return nil
	}
	atATime := "all"
	if s.MaxConcurrency.Value > 0 {
		atATime = amount(s.MaxConcurrency) + " of a group"
	}
	out := []Pair{{"At a time", atATime}}
	soak := "none"
	if s.MinSuccessTime > 0 {
		soak = s.MinSuccessTime.String()
	}
	deadline := "none"
	if s.ProgressDeadline > 0 {
		deadline = s.ProgressDeadline.String()
	}
	out = append(out, Pair{"Soak", soak}, Pair{"Deadline", deadline}, Pair{"May fail", amount(s.MaxFailures)}, Pair{"Then", string(s.OnFailure)})
	if gates := gatesOf(s.Gates); len(gates) > 0 {
		out = append(out, Pair{"Gates", "ready" + gates})
	}
	return out
}

func amount(a rollout.Amount) string {
	text := strconv.Itoa(a.Value)
	if a.Percent {
		text += "%"
	}
	return text
}

func gatesOf(g rollout.RequiredGates) string {
	text := ""
	for _, gate := range []struct {
		is   bool
		word string
	}{{g.Health, "healthy"}, {g.Expressions, "expressions"}, {g.Drift, "drift"}} {
		if gate.is {
			text += ", " + gate.word
		}
	}
	return text
}

// maxUnderWay is how many rollouts the fleet names.
const maxUnderWay = 5

// RolloutsUnderWay are those that have not come to a good end, those first that
// need somebody.
func RolloutsUnderWay(all []kronvoyv1alpha1.Rollout) []ListedRollout {
	var out []ListedRollout
	for i := range all {
		if underWay(&all[i]) {
			out = append(out, NewListedRollout(&all[i]))
		}
	}
	SortRollouts(out)
	return out[:min(len(out), maxUnderWay)]
}

// SortRollouts puts those first that need somebody, then those under way.
func SortRollouts(list []ListedRollout) {
	slices.SortFunc(list, func(a, b ListedRollout) int {
		return cmp.Or(a.Phase.State.rank()-b.Phase.State.rank(), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// OwnerOf is the Distribution of a rollout; empty where an instance moves by itself.
func OwnerOf(r *kronvoyv1alpha1.Rollout) string {
	if owner := metav1.GetControllerOf(r); owner != nil && owner.Kind == "Distribution" {
		return owner.Name
	}
	return ""
}
