package graph

import (
	"fmt"

	"github.com/kronvoy/kronvoy/graph/schema"
)

// Default returns an instance with the defaults of its schema filled in, as the
// API server does it. The argument is not changed.
func (g *Graph) Default(instance map[string]any) map[string]any {
	root := g.crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	out, _ := schema.ApplyDefaults(root, instance).(map[string]any)
	return out
}

// ValidateInstance judges an instance by the schema of its kind, but for the
// rules in CEL, which the API server judges: apiVersion, kind and spec.
func (g *Graph) ValidateInstance(instance map[string]any) Issues {
	var issues Issues
	for _, field := range [][2]string{{"apiVersion", g.gvk.GroupVersion().String()}, {"kind", g.gvk.Kind}} {
		if got, _ := instance[field[0]].(string); got != field[1] {
			issues = append(issues, Issue{Path: field[0], Offset: -1, Reason: "InvalidValue", Snippet: shorten(got),
				Message: fmt.Sprintf("%s must be %s", field[0], field[1])})
		}
	}
	props := g.crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	spec, given := instance["spec"]
	if !given {
		spec = map[string]any{}
	}
	for _, f := range schema.Validate(&props, spec, "spec") {
		issues = append(issues, schemaIssue(f))
	}
	issues.sort()
	return issues
}
