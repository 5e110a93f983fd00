package probe

import (
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Object is an object as it was read.
type Object struct {
	*unstructured.Unstructured
}

// At is the value at a path, as in "spec.replicas", or at the fields given one
// by one where a name holds a dot; nil where there is none. A number is an
// element of a list.
func (o *Object) At(path ...string) any {
	if o == nil {
		return nil
	}
	if len(path) == 1 {
		path = strings.Split(path[0], ".")
	}
	var value any = o.Object
	for _, field := range path {
		switch holder := value.(type) {
		case map[string]any:
			value = holder[field]
		case []any:
			i, err := strconv.Atoi(field)
			if err != nil || i < 0 || i >= len(holder) {
				return nil
			}
			value = holder[i]
		default:
			return nil
		}
	}
	return value
}

// Text is the string at a path, as At finds it; empty where there is none.
func (o *Object) Text(path ...string) string {
	text, _ := o.At(path...).(string)
	return text
}

// Int is the whole number at a path; 0 where there is none.
func (o *Object) Int(path ...string) int64 {
	n, _ := o.At(path...).(int64)
	return n
}

// List is the list of objects at a path.
func (o *Object) List(path ...string) []*Object {
	items, _ := o.At(path...).([]any)
	var objects []*Object
	for _, item := range items {
		if content, ok := item.(map[string]any); ok {
			objects = append(objects, &Object{&unstructured.Unstructured{Object: content}})
		}
	}
	return objects
}

// Condition is a condition of the status; one without content where it is
// missing.
func (o *Object) Condition(kind string) Condition {
	for _, c := range o.List("status.conditions") {
		if c.Text("type") == kind {
			return Condition{c.Text("status"), c.Text("reason"), c.Text("message"), c.Int("observedGeneration")}
		}
	}
	return Condition{}
}

// Condition is what counts of a condition.
type Condition struct {
	Status, Reason, Message string
	ObservedGeneration      int64
}

// Version is the resource version as a number. All clusters of a fleet share
// one etcd, so that versions order what happened on any of them.
func (o *Object) Version() int64 {
	version, err := strconv.ParseInt(o.GetResourceVersion(), 10, 64)
	if err != nil {
		return 0
	}
	return version
}
