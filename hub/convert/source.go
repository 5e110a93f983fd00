// Package convert turns API objects into the domain's own inputs. It is pure.
package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

// The bounds of a definition. The API server allows no object over 1.5 MiB;
// they are for what comes from files.
const (
	maxBytes = 3 << 20
	maxDepth = 200
)

// Source turns a definition into the engine's input. An error names the field
// that cannot be decoded; everything that can be decoded is judged by
// graph.Compile alone.
func Source(rgd *krov1alpha1.ResourceGraphDefinition) (graph.Source, error) {
	if rgd == nil || rgd.Spec.Schema == nil {
		return graph.Source{}, fmt.Errorf("spec.schema is missing")
	}
	d := &decoder{}
	out := graph.Source{Name: rgd.Name, Schema: d.schema(rgd.Spec.Schema), Aggregates: d.aggregates(rgd.Annotations[kronvoyv1alpha1.AnnotationAggregate])}
	for i, r := range rgd.Spec.Resources {
		if r == nil {
			return graph.Source{}, fmt.Errorf("spec.resources[%d] is null", i)
		}
		out.Nodes = append(out.Nodes, d.node(r, fmt.Sprintf("spec.resources[%d]", i)))
	}
	if d.err != nil {
		return graph.Source{}, d.err
	}
	return out, nil
}

// decoder keeps the first error, so that each field is read in one line.
type decoder struct {
	err  error
	left int
	used bool
}

func (d *decoder) schema(s *krov1alpha1.Schema) graph.SchemaSource {
	out := graph.SchemaSource{
		Group: s.Group, Version: s.APIVersion, Kind: s.Kind, Scope: graph.Scope(s.Scope),
		Spec:       d.object(s.Spec, "spec.schema.spec"),
		Types:      d.object(s.Types, "spec.schema.types"),
		Status:     d.object(s.Status, "spec.schema.status"),
		ShortNames: s.ShortNames, Categories: s.Categories,
	}
	// The defaults of the CustomResourceDefinition, for what comes from files.
	if out.Group == "" {
		out.Group = krov1alpha1.GroupVersion.Group
	}
	if out.Scope == "" {
		out.Scope = graph.Namespaced
	}
	if s.Metadata != nil {
		out.Labels, out.Annotations = s.Metadata.Labels, s.Metadata.Annotations
	}
	for _, c := range s.AdditionalPrinterColumns {
		out.PrinterColumns = append(out.PrinterColumns, graph.PrinterColumn{
			Name: c.Name, Type: c.Type, Format: c.Format, Description: c.Description, JSONPath: c.JSONPath, Priority: c.Priority,
		})
	}
	return out
}

func (d *decoder) node(r *krov1alpha1.Resource, at string) graph.NodeSource {
	out := graph.NodeSource{
		ID: r.ID, Template: d.object(r.Template, at+".template"),
		ReadyWhen: r.ReadyWhen, IncludeWhen: r.IncludeWhen,
	}
	for _, dimension := range r.ForEach {
		out.ForEach = append(out.ForEach, dimension)
	}
	if e := r.ExternalRef; e != nil {
		out.External = &graph.ExternalSource{
			APIVersion: e.APIVersion, Kind: e.Kind, Name: e.Metadata.Name, Namespace: e.Metadata.Namespace,
			Selector: d.value(e.Metadata.Selector, at+".externalRef.metadata.selector"),
		}
	}
	return out
}

// aggregates decodes the annotation that holds them; nil when it is not given.
func (d *decoder) aggregates(text string) map[string]string {
	if text == "" || d.err != nil {
		return nil
	}
	const at = "metadata.annotations['" + kronvoyv1alpha1.AnnotationAggregate + "']"
	var out map[string]string
	err := json.Unmarshal([]byte(text), &out)
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		d.err = fmt.Errorf("%s: at offset %d: %w", at, syntax.Offset, err)
	case errors.As(err, &wrong):
		d.err = fmt.Errorf("%s: at offset %d: this must be a JSON object of texts, as in {\"total\": \"${…}\"}, and here is a %s", at, wrong.Offset, wrong.Value)
	case err != nil:
		d.err = fmt.Errorf("%s: %w", at, err)
	}
	return out
}

// object decodes a field that holds an object; nil when it is not given.
func (d *decoder) object(raw runtime.RawExtension, at string) map[string]any {
	v := d.value(raw, at)
	if v == nil || d.err != nil {
		return nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		d.err = fmt.Errorf("%s: expected an object, got %s", at, kindOf(v))
	}
	return object
}

// value decodes a field with whole numbers as int64; nil when it is not given.
func (d *decoder) value(raw runtime.RawExtension, at string) any {
	if !d.used {
		d.left, d.used = maxBytes, true
	}
	data := bytes.TrimSpace(raw.Raw)
	if d.err != nil || len(data) == 0 || string(data) == "null" {
		return nil
	}
	if d.left -= len(data); d.left < 0 {
		d.err = fmt.Errorf("%s: the definition is larger than %d bytes", at, maxBytes)
		return nil
	}
	if depth(data) > maxDepth {
		d.err = fmt.Errorf("%s: nested deeper than %d levels", at, maxDepth)
		return nil
	}
	var v any
	if err := utiljson.Unmarshal(data, &v); err != nil {
		d.err = fmt.Errorf("%s: %w", at, err)
		return nil
	}
	return v
}

// depth is how deep JSON is nested, counted before decoding.
func depth(data []byte) int {
	deepest, now := 0, 0
	inString := false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

func kindOf(v any) string {
	switch v.(type) {
	case []any:
		return "a list"
	case string:
		return "a string"
	case json.Number, int64, float64:
		return "a number"
	}
	return strings.TrimPrefix(fmt.Sprintf("a %T", v), "*")
}
