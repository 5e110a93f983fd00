package graph

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/kronvoy/kronvoy/graph/internal/path"
	"github.com/kronvoy/kronvoy/graph/schema"
)

// OverriddenField is a field of an instance's spec that an override gave another
// value. It does not lie in a list: lists are replaced as a whole.
type OverriddenField struct {
	// Path in the instance, as in spec.ingress.host.
	Path string
	// Override is the index of the last override that set the field.
	Override int
	// Before is the instance's own value, Value what it is now; nil for none.
	Before, Value any
}

// Apply gives the spec of an instance on one cluster, with the overrides that are
// for that cluster, as indices in order: later ones win. Defaults are filled in,
// as the API server does it. The arguments are not changed, and what comes out
// shares nothing with them.
//
// When anything is wrong there are issues and nothing else. They concern this
// cluster alone.
func (o *Overrides) Apply(instance map[string]any, cluster Cluster, which []int) (map[string]any, []OverriddenField, Issues) {
	own, _ := instance["spec"].(map[string]any)
	spec, _ := copyJSON(own).(map[string]any)
	e := newEvaluator(o.bare, Bindings{Instance: instance, Cluster: cluster})
	e.budget.Bytes = maxObjectBytes
	w := &overlay{writes: map[string]write{}}
	for _, i := range which {
		w.override = i
		w.merge(spec, o.list[i].patch, nil)
		for _, a := range o.list[i].assignments {
			value, outcome := e.value(a.value, e)
			if outcome != nil {
				e.issues = append(e.issues, outcome.asIssue(a.value.path))
				continue
			}
			w.set(spec, a.fields, value)
		}
	}
	if len(e.issues) > 0 {
		e.issues.sort()
		return nil, nil, e.issues
	}
	spec, _ = schema.ApplyDefaults(o.spec, spec).(map[string]any)
	return spec, w.overridden(own, spec), nil
}

// asIssue is what is wrong where there is nothing to wait for.
func (o *outcome) asIssue(at string) Issue {
	if o.issue != nil {
		return *o.issue
	}
	paths := make([]string, 0, len(o.waits))
	for _, w := range o.waits {
		paths = append(paths, w.Path)
	}
	return Issue{Path: at, Offset: -1, Reason: "InputMissing", Message: "input missing: " + shorten(strings.Join(paths, ", "))}
}

// overlay writes into a spec and remembers which override wrote what.
type overlay struct {
	override int
	// writes by path.
	writes map[string]write
}

type write struct {
	fields   []string
	override int
}

// merge is RFC 7386 for an object and a patch that is one.
func (w *overlay) merge(into, patch map[string]any, at []string) {
	for _, key := range sortedKeys(patch) {
		below := append(slices.Clip(at), key)
		inner, isObject := patch[key].(map[string]any)
		if !isObject {
			w.put(into, key, copyJSON(patch[key]), below)
			continue
		}
		object, has := into[key].(map[string]any)
		if !has {
			object = map[string]any{}
			w.put(into, key, object, below)
		}
		w.merge(object, inner, below)
	}
}

// set puts a value where a path leads, and makes the objects on the way.
func (w *overlay) set(spec map[string]any, fields []string, value any) {
	for i, field := range fields[:len(fields)-1] {
		object, has := spec[field].(map[string]any)
		if !has {
			if value == nil {
				return
			}
			object = map[string]any{}
			w.put(spec, field, object, fields[:i+1])
		}
		spec = object
	}
	w.put(spec, fields[len(fields)-1], value, fields)
}

// put sets one field, or takes it away when the value is null.
func (w *overlay) put(object map[string]any, key string, value any, fields []string) {
	if value == nil {
		delete(object, key)
	} else {
		object[key] = value
	}
	w.writes[path.Fields(fields...)] = write{slices.Clone(fields), w.override}
}

// overridden compares the instance's own spec with what came of it, field by
// field, and says of each field that differs which override last wrote it or an
// object around it: defaults come with an object. What none wrote is none's.
func (w *overlay) overridden(own, now map[string]any) []OverriddenField {
	var out []OverriddenField
	w.differences(own, now, nil, -1, &out)
	slices.SortFunc(out, func(a, b OverriddenField) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func (w *overlay) differences(before, after any, at []string, writer int, out *[]OverriddenField) {
	if written, found := w.writes[path.Fields(at...)]; found && written.override >= writer {
		writer = written.override
	}
	was, wasObject := before.(map[string]any)
	is, isObject := after.(map[string]any)
	if (wasObject || before == nil) && isObject && len(is) > 0 || wasObject && len(was) > 0 && isObject {
		keys := map[string]bool{}
		for key := range was {
			keys[key] = true
		}
		for key := range is {
			keys[key] = true
		}
		for key := range keys {
			w.differences(was[key], is[key], append(slices.Clip(at), key), writer, out)
		}
		return
	}
	if writer < 0 || reflect.DeepEqual(before, after) {
		return
	}
	*out = append(*out, OverriddenField{Path: path.Fields(append([]string{"spec"}, at...)...), Override: writer, Before: copyJSON(before), Value: copyJSON(after)})
}

// String is as in "spec.replicas = 1 (was 3), by spec.overrides[0]".
func (f OverriddenField) String() string {
	return fmt.Sprintf("%s = %v (was %v), by %s", f.Path, f.Value, f.Before, OverridePath(f.Override, ""))
}
