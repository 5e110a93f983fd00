package work

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/internal/plain"
)

// The most that is taken from one cluster's answer: it is untrusted input.
const (
	maxValueBytes  = 64 << 10
	maxReportBytes = 400 << 10
)

// Feedback is what one cluster answered.
type Feedback struct {
	// Observed by node id, for Evaluate.
	Observed map[string]graph.Observed
	// Failures are manifests that the agent could not apply as they stand, by
	// node id.
	Failures map[string]string
	// Terminating are objects that somebody deleted and that are not gone yet,
	// in a sentence, by node id. The agent applies them again when they are.
	Terminating map[string]string
	// Health of the nodes that have objects of their own, by node id.
	Health map[string]Health
	// Answered is true when the agent has judged every work as it stands.
	Answered bool
	// Deleting lists what left the works and still exists.
	Deleting []kronvoyv1alpha1.DeletingObject
	Drift    kronvoyv1alpha1.DriftSummary
}

// answer is one manifest with what was said of it.
type answer struct {
	manifest
	work   *workv1.ManifestWork
	status *workv1.ManifestCondition
	report *kronvoyv1alpha1.WorkReport
	agent  Capabilities
}

// Read turns the status of an instance's works on one cluster into what was
// observed. A value counts whenever it is there; a field counts as absent only
// if the live object carried the manifest shipped last. Reports of an agent that
// makes none are those of one before it, and are not looked at. Messages are on
// their way to people's terminals: they are bounded, and plain text.
//
// Without a graph nothing is observed, but what agents say of the objects is known.
func Read(g *graph.Graph, works []*workv1.ManifestWork, reports map[string]*kronvoyv1alpha1.WorkReport, agent Capabilities) (Feedback, error) {
	if !agent.Reports {
		reports = nil
	}
	feedback := Feedback{Observed: map[string]graph.Observed{}, Failures: map[string]string{}, Terminating: map[string]string{},
		Health: map[string]Health{}, Answered: true}
	moves := map[workv1.ResourceIdentifier]int{}
	answers := map[string][]answer{}
	nodes := map[string]*graph.Node{}
	for _, w := range works {
		report := reports[w.Name]
		if report != nil {
			feedback.Deleting = append(feedback.Deleting, deletingOf(report)...)
			addDrift(&feedback.Drift, report.Status)
		}
		if w.DeletionTimestamp != nil {
			continue
		}
		applied := findCondition(w.Status.Conditions, workv1.WorkApplied)
		feedback.Answered = feedback.Answered && applied != nil && applied.ObservedGeneration == w.Generation
		manifests, selections, err := takeApart(w)
		if err != nil {
			return Feedback{}, err
		}
		for _, s := range selections {
			if g == nil {
				break
			}
			if node := g.Node(s.Node); node != nil && node.Selects {
				readSelection(&feedback, node, s, report)
			}
		}
		for _, m := range manifests {
			moves[m.key()] = max(moves[m.key()], m.policy.Moves)
			if node := nodeOf(g, m); node != nil {
				nodes[node.ID] = node
				answers[node.ID] = append(answers[node.ID], answer{m, w, statusOf(w, m.id), report, agent})
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(answers)) {
		inPlace := slices.DeleteFunc(answers[id], func(a answer) bool { return a.policy.Moves < moves[a.key()] })
		readNode(&feedback, nodes[id], inPlace)
	}
	if g == nil {
		clear(feedback.Observed)
	}
	return feedback, nil
}

// nodeOf is the node that a manifest was rendered for; nil for none. What was of
// another kind under an earlier definition says nothing. Without a graph it is as
// much of it as was shipped.
func nodeOf(g *graph.Graph, m manifest) *graph.Node {
	if g == nil {
		if m.carries() {
			return nil
		}
		node := &graph.Node{ID: m.policy.Node}
		if readOnly(m.config) {
			node.Kind = graph.External
		}
		return node
	}
	node := g.Node(m.policy.Node)
	if node == nil || node.GVK.Group != m.id.Group || node.Resource != m.id.Resource {
		return nil
	}
	return node
}

func readNode(feedback *Feedback, node *graph.Node, answers []answer) {
	slices.SortFunc(answers, func(a, b answer) int { return cmp.Compare(a.policy.Index, b.policy.Index) })
	observed := graph.Observed{}
	at := map[workv1.ResourceIdentifier]int{}
	for _, a := range answers {
		feedback.note(node.ID, a)
		var object graph.ObservedObject
		switch {
		case a.status == nil:
			// Shipped, not answered: nothing was observed, but which manifest
			// is on its way is known.
			object = graph.ObservedObject{
				Object: identityOf(node, a.id), Partial: true, ManifestHash: shippedHash(a.raw), Verdict: &graph.Verdict{},
			}
		case node.Kind == graph.External && !a.found():
			continue
		default:
			object = a.object(node)
		}
		// One that moves is in two works; what is known of it counts.
		if i, twice := at[a.key()]; !twice {
			at[a.key()] = len(observed.Objects)
			observed.Objects = append(observed.Objects, object)
		} else if !observed.Objects[i].Current {
			observed.Objects[i] = object
		}
	}
	feedback.Observed[node.ID] = observed
	if health, judged := healthOf(node, answers); judged {
		feedback.Health[node.ID] = health
	}
}

// note keeps the first thing that the agent said of a manifest of the node that
// it has not applied as it stands. To wait is no failure.
func (f *Feedback) note(node string, a answer) {
	if a.status == nil {
		return
	}
	if !a.agent.Reports {
		if unreadable := a.unreadable(); unreadable != "" {
			f.Failures[node] = cmp.Or(f.Failures[node], describe(a.id)+": "+unreadable)
		}
	}
	applied := findCondition(a.status.Conditions, workv1.ManifestApplied)
	if applied == nil || applied.Status == metav1.ConditionTrue || applied.ObservedGeneration != a.work.Generation {
		return
	}
	switch applied.Reason {
	case kronvoyv1alpha1.ReasonSuspended:
	case kronvoyv1alpha1.ReasonTerminating:
		f.Terminating[node] = cmp.Or(f.Terminating[node], plain.Message(applied.Message))
	default:
		f.Failures[node] = cmp.Or(f.Failures[node], plain.Message(fmt.Sprintf("%s: %s: %s", describe(a.id), applied.Reason, applied.Message)))
	}
}

func (a answer) object(node *graph.Node) graph.ObservedObject {
	object := identityOf(node, a.id)
	fields := a.agent.askedFields(node, a.raw)
	for _, value := range a.status.StatusFeedbacks.Values {
		if path, known := fields[value.Name]; known {
			if decoded, ok := decodeValue(value.Value); ok {
				setField(object, path, decoded)
			}
		}
	}
	observed := fieldsByPath(node)
	budget := maxReportBytes
	for _, value := range a.reported() {
		path, known := observed[value.Path]
		budget -= len(value.Value)
		if !known || len(value.Value) > maxValueBytes || budget < 0 {
			continue
		}
		if decoded, err := decodeJSON([]byte(value.Value)); err == nil {
			setField(object, path, decoded)
		}
	}
	current := a.carried(node) && a.complete(node, fields)
	if current {
		holdParents(object, a.agent.reads(node))
	}
	return graph.ObservedObject{
		Object:       object,
		Current:      current,
		ManifestHash: shippedHash(a.raw),
		Partial:      true,
		Judgeable:    !a.agent.judges(node),
		Verdict:      a.verdict(node, current),
	}
}

// carried is true when the agent has applied the work as it stands, and what it
// says is of an object that carries this manifest.
func (a answer) carried(node *graph.Node) bool {
	return a.judgedNow(workv1.ManifestApplied) && (node.Kind == graph.External || a.liveHash() == shippedHash(a.raw))
}

// liveHash is the manifest that the object carried when the agent looked at it.
func (a answer) liveHash() string {
	for _, value := range a.status.StatusFeedbacks.Values {
		if value.Name == kronvoyv1alpha1.FeedbackHash && value.Value.String != nil {
			return *value.Value.String
		}
	}
	return ""
}

// found is true when the object is on the cluster. What is only read counts as
// applied even where it is missing.
func (a answer) found() bool {
	c := findCondition(a.status.Conditions, workv1.ManifestAvailable)
	return c != nil && c.Status == metav1.ConditionTrue
}

// complete is true when the agent was asked for every field that is read now and
// has answered: otherwise one that is only not known yet would count as absent.
// A report may lag behind the status, and what it is to hold is in an annotation,
// so that the work's hash tells and not its generation.
func (a answer) complete(node *graph.Node, fields map[string][]string) bool {
	asked := map[string]bool{}
	for _, rule := range a.config.FeedbackRules {
		for _, path := range rule.JsonPaths {
			asked[path.Name] = true
		}
	}
	for name := range fields {
		if !asked[name] {
			return false
		}
	}
	if !a.agent.Reports {
		return a.certified() && a.unreadable() == ""
	}
	for _, read := range node.Reads {
		if !read.Scalar && !slices.Contains(a.observe, observedPath(read)) {
			return false
		}
	}
	return len(a.observe) == 0 || a.report != nil && a.report.Status.ObservedGeneration == a.work.Generation &&
		a.report.Status.ObservedHash == a.work.Annotations[kronvoyv1alpha1.AnnotationHash]
}

// judgedNow is true when the condition was found true of the work as it stands.
func (a answer) judgedNow(condition string) bool {
	c := findCondition(a.status.Conditions, condition)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == a.work.Generation
}

// verdict is the spoke's on readyWhen; nil where the hub must judge itself.
func (a answer) verdict(node *graph.Node, current bool) *graph.Verdict {
	if len(node.ReadyRules) == 0 || !a.agent.judges(node) {
		return nil
	}
	c := findCondition(a.status.Conditions, kronvoyv1alpha1.ConditionManifestReady)
	if c == nil || !current || c.ObservedGeneration != a.work.Generation {
		return &graph.Verdict{}
	}
	verdict := &graph.Verdict{Ready: c.Status == metav1.ConditionTrue}
	if c.Reason == workv1.ConditionRuleInvalid || c.Reason == workv1.ConditionRuleExpressionError {
		verdict.Err = plain.Message(c.Message)
	}
	return verdict
}

// reported are the values of a's object in the work's report.
func (a answer) reported() []kronvoyv1alpha1.ReportedValue {
	if a.report == nil {
		return nil
	}
	var values []kronvoyv1alpha1.ReportedValue
	for _, value := range a.report.Status.Values {
		if value.Group == a.id.Group && value.Resource == a.id.Resource && value.Namespace == a.id.Namespace && value.Name == a.id.Name {
			values = append(values, value)
		}
	}
	return values
}

func statusOf(w *workv1.ManifestWork, id workv1.ResourceIdentifier) *workv1.ManifestCondition {
	for i := range w.Status.ResourceStatus.Manifests {
		meta := w.Status.ResourceStatus.Manifests[i].ResourceMeta
		if meta.Group == id.Group && meta.Resource == id.Resource && meta.Namespace == id.Namespace && meta.Name == id.Name {
			return &w.Status.ResourceStatus.Manifests[i]
		}
	}
	return nil
}

func identityOf(node *graph.Node, id workv1.ResourceIdentifier) map[string]any {
	metadata := map[string]any{"name": id.Name}
	if id.Namespace != "" {
		metadata["namespace"] = id.Namespace
	}
	apiVersion, kind := node.GVK.ToAPIVersionAndKind()
	return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": metadata}
}

func decodeValue(value workv1.FieldValue) (any, bool) {
	switch {
	case value.Type == workv1.Integer && value.Integer != nil:
		return *value.Integer, true
	case value.Type == workv1.String && value.String != nil && len(*value.String) <= maxValueBytes:
		return *value.String, true
	case value.Type == workv1.Boolean && value.Boolean != nil:
		return *value.Boolean, true
	case value.Type == workv1.JsonRaw && value.JsonRaw != nil && len(*value.JsonRaw) <= maxValueBytes:
		decoded, err := decodeJSON([]byte(*value.JsonRaw))
		return decoded, err == nil
	}
	return nil, false
}

// setField puts value at path, making the maps on the way. A cluster's answer
// never replaces a map by a value or a value by a map.
func setField(object map[string]any, path []string, value any) {
	if len(path) == 0 {
		// The whole object was asked for.
		if whole, ok := value.(map[string]any); ok {
			maps.Copy(object, whole)
		}
		return
	}
	for _, field := range path[:len(path)-1] {
		next, exists := object[field]
		if !exists {
			next = map[string]any{}
			object[field] = next
		}
		inner, ok := next.(map[string]any)
		if !ok {
			return
		}
		object = inner
	}
	last := path[len(path)-1]
	if into, ok := object[last].(map[string]any); ok {
		if from, ok := value.(map[string]any); ok {
			maps.Copy(into, from)
		}
		return
	}
	object[last] = value
}

// holdParents makes the maps that an absent field would be in. Only fields
// travel, so whether a map is there that holds none of them is not known;
// Kubernetes takes an empty one and none for the same, and so data.?color is
// answered at once and does not wait for data. A map that is asked for itself
// is a read of its own and no parent.
func holdParents(object map[string]any, reads []graph.Read) {
	for _, read := range reads {
		if len(read.Fields) > 1 {
			setField(object, read.Fields[:len(read.Fields)-1], map[string]any{})
		}
	}
}

func addDrift(drift *kronvoyv1alpha1.DriftSummary, status kronvoyv1alpha1.WorkReportStatus) {
	drift.Objects += status.FindingCount
	drift.Corrections += status.Corrections
	for _, finding := range status.Findings {
		if drift.LastSeen != nil && !drift.LastSeen.Before(&finding.LastSeen) {
			continue
		}
		seen := finding.LastSeen
		drift.LastSeen = &seen
		drift.Last = sentence(finding)
	}
}

// deletingOf is what leaves, as an agent reports it.
func deletingOf(report *kronvoyv1alpha1.WorkReport) []kronvoyv1alpha1.DeletingObject {
	objects := slices.Clone(report.Status.Deleting)
	for i := range objects {
		objects[i].Message = plain.Message(objects[i].Message)
	}
	return objects
}

// sentence tells a finding in one line: what, who, and what was done.
func sentence(f kronvoyv1alpha1.Finding) string { return plain.Message(tell(f)) }

func tell(f kronvoyv1alpha1.Finding) string {
	object := fmt.Sprintf("%s %s/%s", f.Kind, f.Namespace, f.Name)
	if f.Missing {
		return fmt.Sprintf("%s: %s was deleted", f.Action, object)
	}
	if len(f.Details) == 0 {
		return fmt.Sprintf("%s: %s", f.Action, object)
	}
	first := f.Details[0]
	text := fmt.Sprintf("%s: %s %s from %s to %s", f.Action, object, first.Path, orMissing(first.Desired), orMissing(first.Observed))
	if first.Manager != "" {
		text += " by " + first.Manager
	}
	if more := max(int(f.DetailCount), len(f.Details)) - 1; more > 0 {
		text += fmt.Sprintf(" and %d more fields", more)
	}
	return text
}

func orMissing(value string) string { return cmp.Or(value, "nothing") }

func findCondition(conditions []metav1.Condition, conditionType string) *metav1.Condition {
	for i := range conditions {
		if conditions[i].Type == conditionType {
			return &conditions[i]
		}
	}
	return nil
}

// decodeJSON keeps integers as int64, as the engine wants them.
func decodeJSON(raw []byte) (any, error) {
	var decoded any
	err := utiljson.Unmarshal(raw, &decoded)
	return decoded, err
}
