package work

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/internal/plain"
)

// Input is all that Build depends on.
type Input struct {
	Identity    Identity
	InstanceUID string
	// Cluster is the namespace the works live in.
	Cluster string
	// Revision is the name of the instance revision that was evaluated.
	Revision string
	// Graph and Evaluation say what is wanted; a nil Graph wants nothing: that
	// is teardown, which needs neither.
	Graph      *graph.Graph
	Evaluation graph.Evaluation
	// Previous are the instance's works on this cluster, with their reports by
	// name.
	Previous []*workv1.ManifestWork
	Reports  map[string]*kronvoyv1alpha1.WorkReport
	// Decisions are what people decided about drift here.
	Decisions []kronvoyv1alpha1.DriftDecision
	// Elsewhere are objects of the instance that no work holds; see
	// graph.Node.Definition.
	Elsewhere Elsewhere
	// Policies say what agents do about the instance's objects, and Executor in
	// whose name; nil is the agent itself. Teardown keeps what was shipped.
	Policies policy.Policies
	Executor *workv1.ManifestWorkExecutor
	// Capabilities are those of the cluster's agent, which does not lack anything
	// that the graph needs.
	Capabilities Capabilities
}

// Elsewhere is what the order of removal must know of objects that no work
// holds.
type Elsewhere struct {
	// Leaving are the waves of those that have to leave and are still there.
	Leaving []int
	// Unsettled says which one is not there as it is wanted; nothing leaves
	// meanwhile.
	Unsettled string
}

// Plan is what should be in the cluster's namespace now.
type Plan struct {
	// Works are to be written first.
	Works []*workv1.ManifestWork
	// Donors are works that a manifest moves out of. They are to be written when
	// all of Works are: in no work means deleted.
	Donors []*workv1.ManifestWork
	// Delete names works that nothing is left in.
	Delete []string
	// Leaving are the objects in works that have to leave, in this step or a later
	// one: those that are still in Works and Donors wait for their turn.
	Leaving []workv1.ResourceIdentifier
	// Remaining is the number of objects that still have to leave, in this
	// step or a later one.
	Remaining int
	// Withheld says why objects that should leave are still kept; empty when
	// the next wave is leaving.
	Withheld string
	// Leaves is true when Wave leaves now, in the works and elsewhere.
	Leaves bool
	Wave   int
	// TooLarge lists objects that fit into no work.
	TooLarge []TooLargeError
}

// TooLargeError names an object that fits into no work.
type TooLargeError struct {
	Node   string
	Object string
	Bytes  int
	// Limit is what there is room for.
	Limit int
}

// Error says what, how large and what to do.
func (e TooLargeError) Error() string {
	return fmt.Sprintf("node %q renders %s with %d bytes, and a ManifestWork holds at most %d: split it, or keep its data elsewhere",
		e.Node, e.Object, e.Bytes, e.Limit)
}

// Build plans one step. It never takes away what is merely unresolved: a node
// that is Pending, Held or Failed stays in the works as it was shipped, since
// absent means deleted. Objects leave wave by wave, the highest first, and a
// wave leaves only when nothing of an earlier one is still being deleted.
func Build(in Input) (Plan, error) {
	shipped, selections, err := shippedBefore(in)
	if err != nil {
		return Plan{}, err
	}
	wanted, tooLarge, unresolved, err := wantedManifests(in, shipped)
	if err != nil {
		return Plan{}, err
	}
	chosen, refused := wantedSelections(in, selections)
	if wanted, err = carry(in, wanted, chosen, shipped); err != nil {
		return Plan{}, err
	}
	tooLarge = append(tooLarge, refused...)
	leaving := leavingManifests(shipped, wanted)
	plan := Plan{TooLarge: tooLarge, Remaining: len(leaving) + len(in.Elsewhere.Leaving)}
	for _, m := range leaving {
		plan.Leaving = append(plan.Leaving, m.id)
	}
	if plan.Remaining > 0 {
		if plan.Withheld = withhold(in, unresolved); plan.Withheld == "" {
			plan.Leaves, plan.Wave = true, highestWave(leaving, in.Elsewhere.Leaving)
		}
	}
	if in.Graph == nil {
		plan.awaitDeleted(in)
	}
	if in.Graph != nil {
		for _, manifests := range [][]manifest{wanted, leaving} {
			govern(manifests, in.Policies)
			decide(manifests, in.Decisions, in.Reports)
		}
	}
	chunks, err := plan.distribute(in, wanted, leaving)
	if err != nil {
		return Plan{}, err
	}
	return plan.write(in, chunks), nil
}

// distribute gives every manifest its work, without those that leave now.
func (p *Plan) distribute(in Input, wanted, leaving []manifest) ([][]manifest, error) {
	if in.Capabilities.Reports {
		if p.Leaves {
			leaving = withoutWave(leaving, p.Wave)
		}
		return pack(append(wanted, leaving...), terminating(in.Previous)), nil
	}
	divided, err := divide(in, wanted, leaving)
	if err != nil {
		return nil, err
	}
	if p.Leaves && !divided.remove(p.Wave) {
		p.Leaves, p.Withheld = false, "what leaves is being given works of its own, whose end the agent reports"
	}
	divided.keepRefused(p.Leaves, p.Wave)
	if err := divided.empty(in); err != nil {
		return nil, err
	}
	return divided.chunks(), nil
}

// shippedBefore takes all previous works apart: their manifests, and their
// selections by node. Works that are already being deleted hold nothing any
// more.
func shippedBefore(in Input) (map[workv1.ResourceIdentifier]manifest, map[string]kronvoyv1alpha1.Selection, error) {
	shipped, chosen := map[workv1.ResourceIdentifier]manifest{}, map[string]kronvoyv1alpha1.Selection{}
	for _, w := range in.Previous {
		if w.DeletionTimestamp != nil {
			continue
		}
		manifests, selections, err := in.contents(w)
		if err != nil {
			return nil, nil, err
		}
		for _, m := range manifests {
			if other, found := shipped[m.key()]; !found || other.policy.Moves < m.policy.Moves {
				shipped[m.key()] = m
			}
		}
		for _, s := range selections {
			chosen[s.Node] = s
		}
	}
	return shipped, chosen, nil
}

// wantedManifests are the rendered objects, and for every node that could not
// be rendered now what was shipped of it before. unresolved names such a node.
func wantedManifests(in Input, shipped map[workv1.ResourceIdentifier]manifest) (wanted []manifest, tooLarge []TooLargeError, unresolved string, err error) {
	if in.Graph == nil {
		return nil, nil, "", nil
	}
	seen := map[workv1.ResourceIdentifier]string{}
	var kept []manifest
	for _, result := range in.Evaluation.Nodes {
		node := in.Graph.Node(result.ID)
		if result.State == graph.Excluded {
			continue
		}
		if result.State == graph.Pending || result.State == graph.Held || result.State == graph.Failed {
			unresolved = cmp.Or(unresolved, result.ID)
			// A node may be rendered and fail all the same, in its readyWhen: its
			// manifest is known, and may be what mends it.
			if len(result.Objects) == 0 {
				kept = append(kept, shippedOf(shipped, result.ID)...)
			}
		}
		if node.Definition != "" {
			// No cluster gets it; see hub/nested.
			continue
		}
		for i, object := range result.Objects {
			m, err := newManifest(in, node, i, object)
			if err != nil {
				return nil, nil, "", err
			}
			if other, taken := seen[m.key()]; taken {
				return nil, nil, "", fmt.Errorf("nodes %q and %q both render %s", other, result.ID, describe(m.id))
			}
			seen[m.key()] = result.ID
			if before, found := shipped[m.key()]; found {
				m = m.shippedAs(before)
			}
			if len(m.raw) > maxObjectBytes || m.projected() > maxProjectedBytes {
				tooLarge = append(tooLarge, TooLargeError{Node: result.ID, Object: describe(m.id), Bytes: len(m.raw), Limit: maxObjectBytes})
				unresolved = cmp.Or(unresolved, result.ID)
				if before, found := shipped[m.key()]; found {
					wanted = append(wanted, before)
				}
				continue
			}
			wanted = append(wanted, m)
		}
	}
	// What another node renders now counts, not what this one shipped before.
	for _, m := range kept {
		if _, rendered := seen[m.key()]; !rendered {
			wanted = append(wanted, m)
		}
	}
	return wanted, tooLarge, unresolved, nil
}

func shippedOf(shipped map[workv1.ResourceIdentifier]manifest, node string) []manifest {
	var kept []manifest
	for _, m := range shipped {
		if m.policy.Node == node {
			kept = append(kept, m)
		}
	}
	sortManifests(kept)
	return kept
}

func leavingManifests(shipped map[workv1.ResourceIdentifier]manifest, wanted []manifest) []manifest {
	stays := make(map[workv1.ResourceIdentifier]bool, len(wanted))
	for _, m := range wanted {
		stays[m.key()] = true
	}
	var leaving []manifest
	for key, m := range shipped {
		if !stays[key] {
			m.leaves = true
			leaving = append(leaving, m)
		}
	}
	sortManifests(leaving)
	return leaving
}

// withhold is the gate in front of every removal. It opens when
//   - every node is resolved (else the missing objects may be wanted again),
//     and what is wanted elsewhere is there,
//   - the agent has answered the works as they stand (else this would be
//     decided on a stale state), and nothing failed to apply,
//   - nothing that left earlier is still there (order).
//
// Teardown does not ask whether nodes resolve or manifests applied. An agent
// without reports must have answered then, too: it has let go of what moved.
func withhold(in Input, unresolved string) string {
	if unresolved != "" {
		return fmt.Sprintf("node %q is not resolved", unresolved)
	}
	if in.Elsewhere.Unsettled != "" {
		return in.Elsewhere.Unsettled
	}
	for _, w := range in.Previous {
		if in.going(w) {
			return beingDeleted(w)
		}
		if in.Capabilities.Reports {
			if reason := stillDeleting(w, in.Reports[w.Name]); reason != "" {
				return reason
			}
			if in.Graph == nil {
				continue
			}
		}
		if !answered(w) {
			return fmt.Sprintf("the agent has not answered work %s yet", w.Name)
		}
		if in.Graph == nil {
			continue
		}
		applied := findCondition(w.Status.Conditions, workv1.WorkApplied)
		if applied.Status != "True" {
			return fmt.Sprintf("work %s is not applied: %s", w.Name, plain.Message(applied.Message))
		}
	}
	return ""
}

// awaitDeleted counts what is in works that are on their way out, and says what
// holds them up.
func (p *Plan) awaitDeleted(in Input) {
	for _, w := range in.Previous {
		if in.going(w) {
			p.Remaining += len(w.Spec.Workload.Manifests)
			p.Withheld = cmp.Or(p.Withheld, beingDeleted(w))
		}
	}
}

// answered is true when the agent has looked at the work as it stands.
func answered(w *workv1.ManifestWork) bool {
	applied := findCondition(w.Status.Conditions, workv1.WorkApplied)
	return applied != nil && applied.ObservedGeneration == w.Generation
}

// beingDeleted says so of a work, with what the agent says of it: a right that
// the executor lacks, for one.
func beingDeleted(w *workv1.ManifestWork) string {
	text := fmt.Sprintf("work %s is still being deleted", w.Name)
	if c := findCondition(w.Status.Conditions, workv1.WorkDeleting); c != nil && c.Message != "" {
		text += ": " + plain.Message(c.Message)
	}
	return text
}

// stillDeleting says what of a shrunk work is not gone yet.
func stillDeleting(w *workv1.ManifestWork, report *kronvoyv1alpha1.WorkReport) string {
	if report != nil && len(report.Status.Deleting) > 0 {
		first := report.Status.Deleting[0]
		text := plain.Message(fmt.Sprintf("%s %s/%s is still being deleted", first.Kind, first.Namespace, first.Name))
		if first.Message != "" {
			text += ": " + plain.Message(first.Message)
		}
		return text
	}
	if confirmed(w, report) {
		return ""
	}
	return fmt.Sprintf("the agent has not reported what left work %s", w.Name)
}

// confirmed is true when nothing ever left the work, or the agent reported on
// the work as it stands.
func confirmed(w *workv1.ManifestWork, report *kronvoyv1alpha1.WorkReport) bool {
	if w.Annotations[kronvoyv1alpha1.AnnotationShrunk] == "" {
		return true
	}
	return report != nil && report.Status.ObservedHash == w.Annotations[kronvoyv1alpha1.AnnotationHash]
}

// highestWave is the last wave that something has to leave, in a work or
// elsewhere.
func highestWave(leaving []manifest, elsewhere []int) int {
	highest := -1
	for _, m := range leaving {
		highest = max(highest, m.policy.Wave)
	}
	for _, wave := range elsewhere {
		highest = max(highest, wave)
	}
	return highest
}

func withoutWave(manifests []manifest, wave int) []manifest {
	return slices.DeleteFunc(slices.Clone(manifests), func(m manifest) bool { return m.policy.Wave == wave })
}

// write turns chunks into works and finds those that nothing is left in.
func (p Plan) write(in Input, chunks [][]manifest) Plan {
	previous := map[int]*workv1.ManifestWork{}
	for _, w := range in.Previous {
		previous[chunkOf(w.Name)] = w
	}
	donors := map[int]bool{}
	for chunk, manifests := range chunks {
		for _, m := range manifests {
			if m.chunk >= 0 && m.chunk != chunk {
				donors[m.chunk] = true
			}
		}
	}
	for chunk, manifests := range chunks {
		if len(manifests) == 0 {
			continue
		}
		w := assemble(in, chunk, manifests, previous[chunk])
		if donors[chunk] {
			p.Donors = append(p.Donors, w)
		} else {
			p.Works = append(p.Works, w)
		}
	}
	for _, w := range in.Previous {
		chunk := chunkOf(w.Name)
		if w.DeletionTimestamp == nil && (chunk < 0 || chunk >= len(chunks) || len(chunks[chunk]) == 0) {
			p.Delete = append(p.Delete, w.Name)
		}
	}
	slices.Sort(p.Delete)
	return p
}

// terminating are the chunks whose works are being deleted.
func terminating(previous []*workv1.ManifestWork) map[int]bool {
	chunks := map[int]bool{}
	for _, w := range previous {
		if w.DeletionTimestamp != nil {
			chunks[chunkOf(w.Name)] = true
		}
	}
	return chunks
}

// chunkOf reads the number at the end of a work's name; -1 if there is none.
func chunkOf(name string) int {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '-' {
			chunk, err := strconv.Atoi(name[i+1:])
			if err != nil || chunk < 0 {
				return -1
			}
			return chunk
		}
	}
	return -1
}

func describe(id workv1.ResourceIdentifier) string {
	resource := id.Resource
	if id.Group != "" {
		resource += "." + id.Group
	}
	if id.Namespace == "" {
		return resource + " " + id.Name
	}
	return resource + " " + id.Namespace + "/" + id.Name
}

func sortManifests(manifests []manifest) {
	slices.SortFunc(manifests, func(a, b manifest) int {
		return cmp.Or(
			cmp.Compare(a.policy.Wave, b.policy.Wave),
			cmp.Compare(a.policy.Node, b.policy.Node),
			cmp.Compare(a.policy.Index, b.policy.Index),
			cmp.Compare(a.id.Group, b.id.Group),
			cmp.Compare(a.id.Resource, b.id.Resource),
			cmp.Compare(a.id.Namespace, b.id.Namespace),
			cmp.Compare(a.id.Name, b.id.Name),
		)
	})
}
