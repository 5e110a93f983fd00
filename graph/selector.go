package graph

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/hash"
	"github.com/kronvoy/kronvoy/graph/internal/path"
	"github.com/kronvoy/kronvoy/graph/schema"
)

// Selection is what an external reference by selector looks for on a cluster.
type Selection struct {
	// Namespace to look in; empty for all of them, and for kinds without one.
	Namespace string `json:"namespace,omitempty"`
	// Selector of labels; an empty one selects everything.
	Selector metav1.LabelSelector `json:"selector"`
}

// Hash names the selection, so that a list can say which one it answers.
func (s Selection) Hash() string { return hash.Of(s) }

// selectorDecl declares a LabelSelector.
var selectorDecl = func() *schema.Decl {
	text := spec.StringProperty()
	requirement := spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}, Properties: map[string]spec.Schema{
		"key": *text, "operator": *text, "values": *spec.ArrayProperty(text)}}}
	return schema.NewDecl("LabelSelector", &spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}, Properties: map[string]spec.Schema{
		"matchLabels": *spec.MapProperty(text), "matchExpressions": *spec.ArrayProperty(&requirement)}}})
}()

// compileSelector plans what an external reference by selector looks for. The
// instance's namespace is not its default: without one it looks everywhere.
func (c *compiler) compileSelector(d *draft, at string, use func(*expr.Expr, string, int)) {
	e := d.src.External
	place := path.Key(at, "selector")
	switch e.Selector.(type) {
	case map[string]any, string:
	default:
		c.issue(Issue{Path: place, Offset: -1, Reason: "InvalidSelector", Message: "a selector is a LabelSelector, or one expression that yields one"})
		return
	}
	p := &planner{c: c, env: d.env, use: use, mayOmit: func(string) bool { return true }}
	before := len(c.issues)
	selector := p.value(e.Selector, selectorDecl, place, 0)
	if selector.kind == staticPlan && len(c.issues) == before {
		c.checkSelector(selector.static, place)
	}
	d.plan.template = &plan{path: at, kind: objectPlan, fields: []fieldPlan{{"selector", selector}}}
	switch {
	case e.Namespace != "" && d.typ != nil && !d.node.Namespaced:
		c.issue(Issue{Path: path.Key(at, "namespace"), Offset: -1, Reason: "InvalidNamespace", Message: d.node.GVK.Kind + " is cluster-scoped and has no namespace"})
	case e.Namespace != "":
		namespace := p.value(e.Namespace, schema.Text(), path.Key(at, "namespace"), 0)
		d.plan.template.fields = append(d.plan.template.fields, fieldPlan{"namespace", namespace})
	}
}

// checkSelector judges a selector that holds no expressions.
func (c *compiler) checkSelector(v any, at string) {
	_, errs := decodeSelector(v, at)
	for _, err := range errs {
		c.issue(Issue{Path: err.Field, Offset: -1, Reason: "InvalidSelector", Message: err.ErrorBody()})
	}
}

// decodeSelector reads a LabelSelector strictly: a field that is not known must
// not turn into a selector that matches everything. None at all does match
// everything, as in kro.
func decodeSelector(v any, at string) (metav1.LabelSelector, field.ErrorList) {
	var selector metav1.LabelSelector
	root := field.NewPath(at)
	if v == nil {
		return selector, nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return selector, field.ErrorList{field.InternalError(root, err)}
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if _, isObject := v.(map[string]any); !isObject {
		return selector, field.ErrorList{field.Invalid(root, shorten(string(raw)), "a LabelSelector is an object")}
	}
	if err := decoder.Decode(&selector); err != nil {
		return selector, field.ErrorList{field.Invalid(root, shorten(string(raw)), err.Error())}
	}
	return selector, metav1validation.ValidateLabelSelector(&selector, metav1validation.LabelSelectorValidationOptions{}, root)
}

// selection renders what an external reference by selector looks for.
func (e *evaluator) selection(i int) (*Selection, []Wait, *Issue) {
	plan := e.g.plans[i]
	value, outcome := e.value(plan.template, e)
	if outcome != nil {
		return nil, outcome.waits, outcome.issue
	}
	rendered, _ := value.(map[string]any)
	place := path.Key(plan.template.path, "selector")
	selector, errs := decodeSelector(rendered["selector"], place)
	if len(errs) > 0 {
		slices.SortFunc(errs, func(a, b *field.Error) int { return cmp.Compare(a.Error(), b.Error()) })
		return nil, nil, &Issue{Path: errs[0].Field, Offset: -1, Reason: "InvalidSelector", Message: shorten(errs[0].ErrorBody())}
	}
	out := &Selection{Selector: selector}
	switch namespace := rendered["namespace"].(type) {
	case nil:
	case string:
		if out.Namespace = namespace; namespace == "" {
			break
		}
		if faults := validation.IsDNS1123Label(namespace); len(faults) > 0 {
			return nil, nil, &Issue{Path: path.Key(plan.template.path, "namespace"), Offset: -1, Reason: "InvalidNamespace", Snippet: shorten(namespace),
				Message: fmt.Sprintf("the namespace %q is no valid name", shorten(namespace))}
		}
	default:
		return nil, nil, &Issue{Path: path.Key(plan.template.path, "namespace"), Offset: -1, Reason: "InvalidNamespace",
			Message: fmt.Sprintf("the namespace is %s, it must be a string", describeValue(namespace))}
	}
	return out, nil, nil
}

// listed decides about a node by selector: Ready when the list of this very
// selection is known and readyWhen holds for each of its objects. Nothing that
// matches is an answer too.
func (e *evaluator) listed(i int, result *NodeResult) {
	node, plan := e.g.nodes[i], e.g.plans[i]
	observed := e.in.Observed[node.ID]
	if !observed.answers(result.Selection) {
		result.State, result.WaitsFor = Progressing, []Wait{{Node: node.ID, Path: node.ID + " to be listed"}}
		return
	}
	objects := byIdentity(observed.Objects)
	for k := range objects {
		// What the list shows of an object is how the object is.
		objects[k].Current = true
	}
	e.judgeAll(i, plan, objects, result)
}

// answers tells whether the objects are the list of a selection.
func (o Observed) answers(s *Selection) bool {
	return o.Listed && (o.SelectionHash == "" || s != nil && o.SelectionHash == s.Hash())
}

// byIdentity sorts live objects by namespace and name, so that an expression
// sees one list in one order, whoever has listed.
func byIdentity(objects []ObservedObject) []ObservedObject {
	out := slices.Clone(objects)
	slices.SortStableFunc(out, func(a, b ObservedObject) int { return cmp.Compare(identityOf(a.Object), identityOf(b.Object)) })
	return out
}

func identityOf(object map[string]any) string {
	metadata, _ := object["metadata"].(map[string]any)
	namespace, _ := metadata["namespace"].(string)
	name, _ := metadata["name"].(string)
	return namespace + "/" + name
}
