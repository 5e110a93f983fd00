package graph

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kronvoy/kronvoy/graph/expr"
)

// Evaluate computes what one cluster gets, and what is known about it. It is
// one pass in topological order: its time is linear in the graph. Issues are
// those of failed nodes and of failed status fields; one never hides another,
// and they say nothing about any other cluster.
//
// It cannot be cancelled and need not be: all expressions together have one
// budget (expr.NewBudget), and a single call that could take long is refused
// before it runs, so that whatever the graph and the instance say it is over in
// seconds.
func (g *Graph) Evaluate(b Bindings) (Evaluation, Issues) {
	e := newEvaluator(g, b)
	out := Evaluation{Nodes: make([]NodeResult, len(g.nodes)), Ready: true}
	e.results = out.Nodes
	for i := range g.nodes {
		out.Nodes[i] = e.node(i)
	}
	e.failRivals()
	for i := range out.Nodes {
		switch out.Nodes[i].State {
		case Ready, Excluded:
		default:
			out.Ready = false
		}
		if issue := out.Nodes[i].Issue; issue != nil {
			e.issues = append(e.issues, *issue)
		}
	}
	if g.status != nil {
		out.Status, out.StatusWaits = e.status()
	}
	if g.HasConditions() {
		e.conditions(&out)
	}
	e.issues.sort()
	out.Cost = expr.BudgetCost - e.budget.Cost
	return out, e.issues
}

// node evaluates one node; everything it depends on has been evaluated.
func (e *evaluator) node(i int) NodeResult {
	result := NodeResult{ID: e.g.nodes[i].ID}
	if done := e.include(i, &result); done {
		return result
	}
	if waits := e.notReady(e.g.plans[i].dependencies); len(waits) > 0 {
		result.State, result.WaitsFor = Held, waits
		return result
	}
	var objects []map[string]any
	var waits []Wait
	var issue *Issue
	if e.g.plans[i].selects {
		result.Selection, waits, issue = e.selection(i)
	} else {
		objects, waits, issue = e.render(i)
	}
	switch {
	case issue != nil:
		result.State, result.Issue = Failed, issue
	case len(waits) > 0:
		result.State, result.WaitsFor = Pending, waits
	case e.g.plans[i].selects:
		e.listed(i, &result)
	default:
		result.Objects = objects
		e.ready(i, &result)
	}
	return result
}

// failRivals fails all nodes that render one and the same object: which of them is
// meant is not known, and each would undo the other. What was shipped of them
// before stays as it is.
func (e *evaluator) failRivals() {
	owner, rivals := map[string]int{}, map[string][]int{}
	for i := range e.results {
		plan := e.g.plans[i]
		if !plan.rivals {
			continue
		}
		for _, object := range e.results[i].Objects {
			identity := plan.kindKey + " " + identityOf(object)
			first, taken := owner[identity]
			switch {
			case !taken:
				owner[identity] = i
			case len(rivals[identity]) == 0:
				rivals[identity] = []int{first, i}
			default:
				rivals[identity] = append(rivals[identity], i)
			}
		}
	}
	for _, identity := range sortedKeys(rivals) {
		ids := make([]string, 0, len(rivals[identity]))
		for _, i := range rivals[identity] {
			ids = append(ids, e.g.nodes[i].ID)
		}
		slices.Sort(ids)
		message := fmt.Sprintf("%s is rendered by more than one resource: %s", shorten(identity), shorten(strings.Join(ids, ", ")))
		for _, i := range rivals[identity] {
			r := &e.results[i]
			if r.Issue == nil || r.Issue.Reason != reasonConflict {
				*r = NodeResult{ID: r.ID, State: Failed, Issue: &Issue{Path: e.g.plans[i].path, Offset: -1, Reason: reasonConflict, Message: message}}
			}
		}
	}
}

// reasonConflict is the Reason of an Issue about nodes that render one object.
const reasonConflict = "IdentityConflict"

// include decides whether a node is part of the graph, and returns true when
// nothing is left to decide about it. A condition that needs only the instance
// is judged at once; one that reads a resource waits until that is ready.
func (e *evaluator) include(i int, result *NodeResult) bool {
	for _, d := range e.g.plans[i].dependencies {
		if e.results[d].State == Excluded {
			result.State = Excluded
			return true
		}
	}
	var waits []Wait
	pending := false
	for _, c := range e.g.plans[i].include {
		if held := e.notReady(c.dependencies); len(held) > 0 {
			waits = append(waits, held...)
			continue
		}
		included, missing, issue := e.condition(c)
		switch {
		case issue != nil:
			result.State, result.Issue = Failed, issue
			return true
		case len(missing) > 0:
			waits, pending = append(waits, missing...), true
		case !included:
			result.State, result.WaitsFor = Excluded, nil
			return true
		}
	}
	if len(waits) == 0 {
		return false
	}
	result.State, result.WaitsFor = Held, sortWaits(waits)
	if pending {
		result.State = Pending
	}
	return true
}

// notReady lists those of some nodes that are not ready.
func (e *evaluator) notReady(nodes []int) []Wait {
	var waits []Wait
	for _, d := range nodes {
		if e.results[d].State != Ready {
			id := e.g.nodes[d].ID
			waits = append(waits, Wait{Node: id, Path: id + " to be ready"})
		}
	}
	return sortWaits(waits)
}

// render produces the manifests of a node.
func (e *evaluator) render(i int) ([]map[string]any, []Wait, *Issue) {
	plan := e.g.plans[i]
	if len(plan.forEach) > 0 {
		return e.renderEach(i)
	}
	object, outcome := e.object(i, e)
	if outcome != nil {
		return nil, outcome.waits, outcome.issue
	}
	return []map[string]any{object}, nil, nil
}

// object renders one manifest with the variables of a scope.
func (e *evaluator) object(i int, vars expr.Vars) (map[string]any, *outcome) {
	plan := e.g.plans[i]
	bytes := e.budget.Bytes
	e.budget.Bytes = min(bytes, maxObjectBytes)
	granted := e.budget.Bytes
	value, outcome := e.value(plan.template, vars)
	e.budget.Bytes = bytes - (granted - e.budget.Bytes)
	if outcome != nil {
		return nil, outcome
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, failed(&Issue{Path: plan.path, Offset: -1, Reason: "InvalidNode", Message: "the template is no object"})
	}
	if issue := e.finish(i, object); issue != nil {
		return nil, failed(issue)
	}
	return object, nil
}

// maxObjectBytes bounds the text of one manifest: no API server takes more.
const maxObjectBytes = 3 << 19

// finish fills in the namespace and makes sure that the object can be named.
func (e *evaluator) finish(i int, object map[string]any) *Issue {
	plan := e.g.plans[i]
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		return &Issue{Path: plan.path, Offset: -1, Reason: "InvalidNode", Message: "metadata is no object"}
	}
	if issue := plan.mustBeNamed(metadata, "name"); issue != nil {
		return issue
	}
	namespace, given := metadata["namespace"]
	if plan.fillNamespace && e.g.scope == Namespaced && (namespace == nil || namespace == "") {
		if e.namespace == "" {
			return &Issue{Path: plan.path, Offset: -1, Reason: "InputMissing", Message: "input missing: schema.metadata.namespace"}
		}
		metadata["namespace"] = e.namespace
		return nil
	}
	if given {
		return plan.mustBeNamed(metadata, "namespace")
	}
	return nil
}

// mustBeNamed finds fault with a part of an object's identity that is no text.
func (n *nodePlan) mustBeNamed(metadata map[string]any, field string) *Issue {
	value := metadata[field]
	if s, ok := value.(string); ok && s != "" {
		return nil
	}
	return &Issue{Path: n.template.path + ".metadata." + field, Offset: -1, Reason: "EmptyIdentity",
		Message: fmt.Sprintf("metadata.%s is %s, it must be a string that is not empty", field, describeValue(value))}
}

func describeValue(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("%q", shorten(v))
	}
	return fmt.Sprintf("a %T", v)
}

// renderEach produces the manifests of a collection: one for each combination
// of the lists, the last list fastest.
func (e *evaluator) renderEach(i int) ([]map[string]any, []Wait, *Issue) {
	plan := e.g.plans[i]
	lists := make([][]any, len(plan.forEach))
	total := 1
	for k, d := range plan.forEach {
		items, outcome := e.items(d)
		if outcome != nil {
			return nil, outcome.waits, outcome.issue
		}
		lists[k] = items
		if total *= len(items); total > maxItems {
			return nil, nil, &Issue{Path: plan.path + ".forEach", Offset: -1, Reason: "TooMany",
				Message: fmt.Sprintf("the collection has more than %d items", maxItems)}
		}
	}
	objects := make([]map[string]any, 0, total)
	seen := make(map[string]bool, total)
	for n := range total {
		vars := &itemVars{evaluator: e, plan: plan, values: make([]any, len(lists))}
		for k := len(lists) - 1; k >= 0; k-- {
			vars.values[k] = lists[k][n%len(lists[k])]
			n /= len(lists[k])
		}
		object, outcome := e.object(i, vars)
		if outcome != nil {
			return nil, outcome.waits, outcome.issue
		}
		metadata, _ := object["metadata"].(map[string]any)
		identity := fmt.Sprint(metadata["namespace"], "/", metadata["name"])
		if seen[identity] {
			return nil, nil, &Issue{Path: plan.path + ".forEach", Offset: -1, Reason: "IdentityCollision",
				Message: "identity collision: two items are called " + shorten(identity)}
		}
		seen[identity] = true
		number(object, len(objects), total)
		objects = append(objects, object)
	}
	return objects, nil, nil
}

// The labels of kro that tell the items of a collection apart. They are part of
// the manifest, unlike the other labels of children, because no identity gives
// them: an item that moves up is another manifest.
const (
	labelCollectionIndex = "kro.run/collection-index"
	labelCollectionSize  = "kro.run/collection-size"
)

// number labels an item of a collection with its place in it.
func number(item map[string]any, index, size int) {
	metadata, _ := item["metadata"].(map[string]any) // finish has seen it
	labels, ok := metadata["labels"].(map[string]any)
	if !ok {
		labels = make(map[string]any, 2)
		metadata["labels"] = labels
	}
	labels[labelCollectionIndex], labels[labelCollectionSize] = strconv.Itoa(index), strconv.Itoa(size)
}

// sortWaits sorts waits and drops repetitions.
func sortWaits(waits []Wait) []Wait {
	slices.SortFunc(waits, compareWaits)
	return slices.Compact(waits)
}

func compareWaits(a, b Wait) int {
	return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Path, b.Path))
}
