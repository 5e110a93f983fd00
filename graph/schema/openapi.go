package schema

import (
	"encoding/json"
	"fmt"

	"github.com/google/cel-go/cel"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/utils/ptr"
)

// FromProps converts a CustomResourceDefinition's schema to OpenAPI.
func FromProps(props *apiextensionsv1.JSONSchemaProps) (*spec.Schema, error) {
	raw, err := json.Marshal(props)
	if err != nil {
		return nil, fmt.Errorf("encoding a schema: %w", err)
	}
	var s spec.Schema
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("decoding a schema: %w", err)
	}
	return &s, nil
}

// FromCRDs returns a resolver of the kinds that some CustomResourceDefinitions
// define, in each of their served versions.
func FromCRDs(crds ...*apiextensionsv1.CustomResourceDefinition) (Resolver, error) {
	out := Types{}
	for _, crd := range crds {
		for i := range crd.Spec.Versions {
			v := &crd.Spec.Versions[i]
			if !v.Served {
				continue
			}
			gvk := runtimeschema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind}
			s, err := crdSchema(v)
			if err != nil {
				return nil, fmt.Errorf("reading the schema of %s: %w", gvk, err)
			}
			out[gvk] = &Type{Schema: s, Resource: crd.Spec.Names.Plural, Namespaced: crd.Spec.Scope != apiextensionsv1.ClusterScoped,
				Definition: generatedBy(crd)}
		}
	}
	return out, nil
}

// generatedBy is the definition that a CRD says it was made from.
func generatedBy(crd *apiextensionsv1.CustomResourceDefinition) string {
	if crd.Labels["kro.run/owned"] != "true" {
		return ""
	}
	return crd.Labels["kro.run/resource-graph-definition-name"]
}

// crdSchema is the schema that the API serves for a version: with the identity
// and metadata that every object has.
func crdSchema(v *apiextensionsv1.CustomResourceDefinitionVersion) (*spec.Schema, error) {
	root := &spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}}}
	if v.Schema != nil && v.Schema.OpenAPIV3Schema != nil {
		s, err := FromProps(v.Schema.OpenAPIV3Schema)
		if err != nil {
			return nil, err
		}
		root = s
	}
	properties := make(map[string]spec.Schema, len(root.Properties)+3)
	for name, property := range root.Properties {
		properties[name] = property
	}
	properties["apiVersion"], properties["kind"] = *spec.StringProperty(), *spec.StringProperty()
	properties["metadata"] = *ObjectMeta()
	root.Properties = properties
	return root, nil
}

// ObjectMeta is the schema of an object's metadata.
func ObjectMeta() *spec.Schema {
	text, number := *spec.StringProperty(), *spec.Int64Property()
	when := *spec.DateTimeProperty()
	texts := *spec.MapProperty(spec.StringProperty())
	owner := object(map[string]spec.Schema{"apiVersion": text, "kind": text, "name": text, "uid": text,
		"controller": *spec.BoolProperty(), "blockOwnerDeletion": *spec.BoolProperty()})
	managed := object(map[string]spec.Schema{"manager": text, "operation": text, "apiVersion": text, "time": when,
		"fieldsType": text, "subresource": text, "fieldsV1": object(nil)})
	s := object(map[string]spec.Schema{
		"name": text, "generateName": text, "namespace": text, "selfLink": text, "uid": text, "resourceVersion": text,
		"generation": number, "creationTimestamp": when, "deletionTimestamp": when, "deletionGracePeriodSeconds": number,
		"labels": texts, "annotations": texts, "finalizers": *spec.ArrayProperty(spec.StringProperty()),
		"ownerReferences": *spec.ArrayProperty(&owner), "managedFields": *spec.ArrayProperty(&managed),
	})
	return &s
}

func object(properties map[string]spec.Schema) spec.Schema {
	return spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}, Properties: properties}}
}

// maxInferredDepth bounds a schema that is inferred from a type; what lies
// deeper is accepted as it is.
const maxInferredDepth = 10

// Infer returns the structural schema of a CEL type's JSON, as kro describes it:
// an optional may be null, and a duration is anything. structs finds the
// declarations of struct types.
func Infer(t *cel.Type, structs func(name string) (*Decl, bool)) *apiextensionsv1.JSONSchemaProps {
	switch t.Kind() {
	case cel.StringKind:
		return &apiextensionsv1.JSONSchemaProps{Type: "string"}
	case cel.BytesKind:
		return &apiextensionsv1.JSONSchemaProps{Type: "string", Format: "byte"}
	case cel.TimestampKind:
		return &apiextensionsv1.JSONSchemaProps{Type: "string", Format: "date-time"}
	case cel.IntKind, cel.UintKind:
		return &apiextensionsv1.JSONSchemaProps{Type: "integer"}
	case cel.DoubleKind:
		return &apiextensionsv1.JSONSchemaProps{Type: "number"}
	case cel.BoolKind:
		return &apiextensionsv1.JSONSchemaProps{Type: "boolean"}
	case cel.ListKind:
		return &apiextensionsv1.JSONSchemaProps{Type: "array",
			Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: Infer(t.Parameters()[0], structs)}}
	case cel.MapKind:
		return &apiextensionsv1.JSONSchemaProps{Type: "object",
			AdditionalProperties: &apiextensionsv1.JSONSchemaPropsOrBool{Allows: true, Schema: Infer(t.Parameters()[1], structs)}}
	case cel.StructKind:
		if d, found := structs(t.TypeName()); found {
			return d.props(0)
		}
	}
	return AnyProps()
}

// AnyProps is the schema of a value about which nothing is known.
func AnyProps() *apiextensionsv1.JSONSchemaProps {
	return &apiextensionsv1.JSONSchemaProps{XPreserveUnknownFields: ptr.To(true)}
}

// props is the structural schema of a declaration's JSON, types only. Times
// inside of an object are anything, as in kro: there they may be null.
func (d *Decl) props(depth int) *apiextensionsv1.JSONSchemaProps {
	if depth > maxInferredDepth {
		return AnyProps()
	}
	switch d.Form {
	case String:
		return &apiextensionsv1.JSONSchemaProps{Type: "string"}
	case Bytes:
		return &apiextensionsv1.JSONSchemaProps{Type: "string", Format: "byte"}
	case Int:
		return &apiextensionsv1.JSONSchemaProps{Type: "integer"}
	case Double:
		return &apiextensionsv1.JSONSchemaProps{Type: "number"}
	case Bool:
		return &apiextensionsv1.JSONSchemaProps{Type: "boolean"}
	case List:
		return &apiextensionsv1.JSONSchemaProps{Type: "array",
			Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: d.Elem.props(depth + 1)}}
	case Map:
		return &apiextensionsv1.JSONSchemaProps{Type: "object",
			AdditionalProperties: &apiextensionsv1.JSONSchemaPropsOrBool{Allows: true, Schema: d.Elem.props(depth + 1)}}
	case Struct:
		out := &apiextensionsv1.JSONSchemaProps{Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{}}
		for _, name := range d.FieldNames() {
			f, _ := d.Field(name)
			out.Properties[name] = *f.Decl.props(depth + 1)
		}
		if d.Open {
			out.XPreserveUnknownFields = ptr.To(true)
		}
		return out
	}
	return AnyProps()
}
