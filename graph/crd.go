package graph

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gobuffalo/flect"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"
)

// Labels of a generated CustomResourceDefinition.
const (
	// LabelOwned marks what was generated.
	LabelOwned = "kro.run/owned"
	// LabelDefinition names the definition it was generated from.
	LabelDefinition = "kro.run/resource-graph-definition-name"
)

// The names that the status field that tells of the fleet can have.
const (
	FleetField         = "fleet"
	ShadowedFleetField = "kronvoyFleet"
)

// FleetField returns the name of the status field that tells of the fleet:
// fleet, or kronvoyFleet where the author's schema has a field of that name.
func (g *Graph) FleetField() string { return fleetField(g.status) }

func fleetField(s *statusPlan) string {
	if s != nil && slices.ContainsFunc(s.fields, func(f statusField) bool { return f.key == "fleet" }) {
		return ShadowedFleetField
	}
	return FleetField
}

// buildCRD generates the kind of the instances.
func (c *compiler) buildCRD() *apiextensionsv1.CustomResourceDefinition {
	s := c.src.Schema
	plural := pluralize(s.Kind)
	if errs := validation.IsDNS1035Label(plural); len(errs) > 0 {
		c.issue(Issue{Path: "spec.schema.kind", Offset: -1, Reason: "InvalidName", Snippet: s.Kind,
			Message: fmt.Sprintf("the plural %q of this kind is no valid name: %s", plural, errs[0])})
	}
	if errs := validation.IsDNS1123Subdomain(s.Group); len(errs) > 0 || !strings.Contains(s.Group, ".") {
		c.issue(Issue{Path: "spec.schema.group", Offset: -1, Reason: "InvalidName", Snippet: shorten(s.Group),
			Message: "group must be a domain name with a dot in it, as in kro.run"})
	}
	scope := apiextensionsv1.NamespaceScoped
	if c.scope() == ClusterScoped {
		scope = apiextensionsv1.ClusterScoped
	}
	labels := map[string]string{}
	maps.Copy(labels, s.Labels)
	labels[LabelOwned] = "true"
	labels[LabelDefinition] = c.src.Name
	if errs := validation.IsValidLabelValue(c.src.Name); len(errs) > 0 {
		c.issue(Issue{Path: "metadata.name", Offset: -1, Reason: "InvalidName", Snippet: shorten(c.src.Name),
			Message: "the name must fit into a label: " + errs[0]})
	}
	return &apiextensionsv1.CustomResourceDefinition{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"},
		ObjectMeta: metav1.ObjectMeta{Name: plural + "." + s.Group, Labels: labels, Annotations: maps.Clone(s.Annotations)},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: s.Group,
			Names: apiextensionsv1.CustomResourceDefinitionNames{
				Kind: s.Kind, ListKind: s.Kind + "List", Plural: plural, Singular: strings.ToLower(s.Kind),
				ShortNames: slices.Clone(s.ShortNames), Categories: slices.Clone(s.Categories),
			},
			Scope: scope,
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: s.Version, Served: true, Storage: true,
				Schema:                   &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: c.rootProps()},
				Subresources:             &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
				AdditionalPrinterColumns: c.printerColumns(),
			}},
		},
	}
}

// pluralize is kro's rule, but lower case throughout: flect keeps some words
// (DNS) in capitals, which no API server accepts.
func pluralize(kind string) string {
	plural := flect.Pluralize(strings.ToLower(kind))
	if plural == strings.ToLower(plural) {
		return plural
	}
	lower := strings.ToLower(kind)
	if strings.HasSuffix(lower, "s") {
		return lower + "es"
	}
	return lower + "s"
}

// rootProps is the schema of a whole instance. metadata and spec are not
// required, as in kro.
func (c *compiler) rootProps() *apiextensionsv1.JSONSchemaProps {
	return &apiextensionsv1.JSONSchemaProps{
		Type: "object",
		Properties: map[string]apiextensionsv1.JSONSchemaProps{
			"apiVersion": {Type: "string"},
			"kind":       {Type: "string"},
			"metadata":   {Type: "object"},
			"spec":       *c.spec,
			"status":     *c.statusSchema(),
		},
	}
}

func (c *compiler) statusSchema() *apiextensionsv1.JSONSchemaProps {
	out := &apiextensionsv1.JSONSchemaProps{Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{}}
	if c.statusProps != nil {
		maps.Copy(out.Properties, c.statusProps.Properties)
	}
	text := apiextensionsv1.JSONSchemaProps{Type: "string"}
	out.Properties["state"] = text
	out.Properties["conditions"] = apiextensionsv1.JSONSchemaProps{
		Type: "array", XListType: ptr.To("map"), XListMapKeys: []string{"type"},
		Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &apiextensionsv1.JSONSchemaProps{
			Type: "object", Required: []string{"status", "type"},
			Properties: map[string]apiextensionsv1.JSONSchemaProps{
				"type": text, "status": text, "reason": text, "message": text,
				"lastTransitionTime": {Type: "string", Format: "date-time"},
				"observedGeneration": {Type: "integer", Format: "int64"},
			},
		}},
	}
	out.Properties[fleetField(c.status)] = apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: ptr.To(true)}
	return out
}

func (c *compiler) printerColumns() []apiextensionsv1.CustomResourceColumnDefinition {
	if len(c.src.Schema.PrinterColumns) == 0 {
		return []apiextensionsv1.CustomResourceColumnDefinition{
			{Name: "State", Type: "string", JSONPath: ".status.state", Description: "The state of the instance"},
			{Name: "Ready", Type: "string", JSONPath: `.status.conditions[?(@.type=="Ready")].status`, Description: "Whether the instance is ready"},
			{Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp"},
		}
	}
	out := make([]apiextensionsv1.CustomResourceColumnDefinition, 0, len(c.src.Schema.PrinterColumns))
	for _, p := range c.src.Schema.PrinterColumns {
		out = append(out, apiextensionsv1.CustomResourceColumnDefinition{
			Name: p.Name, Type: p.Type, Format: p.Format, Description: p.Description, Priority: p.Priority, JSONPath: p.JSONPath,
		})
	}
	return out
}
