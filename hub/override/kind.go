package override

import (
	"context"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/kronvoy/kronvoy/graph"
)

// kind judges instances as the API server judges objects of the generated
// CustomResourceDefinition, when they are created.
type kind struct {
	structural *structuralschema.Structural
	schema     validation.SchemaValidator
	// rules are x-kubernetes-validations; nil where there are none.
	rules *cel.Validator
}

func kindOf(g *graph.Graph) (*kind, error) {
	props := &apiextensions.JSONSchemaProps{}
	err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(g.CRD().Spec.Versions[0].Schema.OpenAPIV3Schema, props, nil)
	if err != nil {
		return nil, fmt.Errorf("reading the schema of %s: %w", g.GroupVersionKind().Kind, err)
	}
	k := &kind{}
	if k.structural, err = structuralschema.NewStructural(props); err != nil {
		return nil, fmt.Errorf("reading the schema of %s: %w", g.GroupVersionKind().Kind, err)
	}
	if k.schema, _, err = validation.NewSchemaValidator(props); err != nil {
		return nil, fmt.Errorf("reading the schema of %s: %w", g.GroupVersionKind().Kind, err)
	}
	k.rules = cel.NewValidator(k.structural, true, celconfig.PerCallLimit)
	return k, nil
}

// fault is one thing that an API server would refuse.
type fault struct {
	path string
	// text names the path, too.
	text string
}

// judge finds fault with an instance that has another spec. Fields that the kind
// does not have are a fault, too: an API server would drop them without a word.
func (k *kind) judge(instance, spec map[string]any) []fault {
	object := map[string]any{"apiVersion": instance["apiVersion"], "kind": instance["kind"], "metadata": instance["metadata"], "spec": spec}
	var faults []fault
	// It takes away what it finds.
	pruned, _ := runtime.DeepCopyJSONValue(spec).(map[string]any)
	unknown := pruning.PruneWithOptions(map[string]any{"spec": pruned}, k.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range unknown {
		faults = append(faults, fault{path, path + ": unknown field"})
	}
	errs := validation.ValidateCustomResource(nil, object, k.schema)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, k.structural, object)...)
	if k.rules != nil && len(errs) == 0 {
		// As the API server does it: rules rely on the types being right.
		broken, _ := k.rules.Validate(context.Background(), (*field.Path)(nil), k.structural, object, nil, celconfig.RuntimeCELCostBudget)
		errs = append(errs, broken...)
	}
	for _, err := range errs {
		faults = append(faults, fault{err.Field, err.Error()})
	}
	return faults
}
