package evolution_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/schema/evolution"
)

// definition is a CRD whose spec is SimpleSchema, as the compiler makes it.
func definition(t testing.TB, spec, types string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	decode := func(text string) map[string]any {
		var m map[string]any
		if err := yaml.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	props, faults := schema.Simple(decode(spec), decode(types), "spec", "types")
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return withSpec(*props)
}

// withSpec is a CRD with a schema of the spec.
func withSpec(spec apiextensionsv1.JSONSchemaProps) *apiextensionsv1.CustomResourceDefinition {
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "apps.kro.run"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "kro.run", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: "App", ListKind: "AppList", Plural: "apps", Singular: "app"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1alpha1", Served: true, Storage: true,
				Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"spec": spec}}},
			}},
		},
	}
}

// describe writes changes as `! path Kind`, with the mark for what breaks.
func describe(changes []evolution.Change) []string {
	out := []string{}
	for _, c := range changes {
		mark := "  "
		if c.Breaking {
			mark = "! "
		}
		out = append(out, mark+c.Path+" "+string(c.Kind))
	}
	return out
}

// TestCompareSimpleSchema shows what an author can change.
func TestCompareSimpleSchema(t *testing.T) {
	tests := map[string]struct {
		old, new string
		// types of the custom types, the same in both.
		types string
		want  []string
	}{
		"nothing":                                  {old: "a: string", new: "a: string", want: []string{}},
		"the same in another order":                {old: "{a: string, b: integer}", new: "{b: integer, a: string}", want: []string{}},
		"a field is removed":                       {old: "{a: string, b: string}", new: "a: string", want: []string{"! spec.b PropertyRemoved"}},
		"the last field is removed":                {old: "a: string", new: "{}", want: []string{"! spec.a PropertyRemoved"}},
		"a nested field is removed":                {old: "a: {b: string, c: string}", new: "a: {b: string}", want: []string{"! spec.a.c PropertyRemoved"}},
		"a field of an element is removed":         {old: `a: "[]T"`, new: "a: {b: string}", types: "T: {b: string}", want: []string{"! spec.a TypeChanged"}},
		"an optional field is added":               {old: "a: string", new: "{a: string, b: string}", want: []string{"  spec.b PropertyAdded"}},
		"a required field is added":                {old: "a: string", new: "{a: string, b: string | required=true}", want: []string{"! spec.b RequiredPropertyAdded"}},
		"a required field with a default is added": {old: "a: string", new: "{a: string, b: string | required=true default=x}", want: []string{"  spec.b PropertyAdded"}},
		"a required field in a new object":         {old: "a: string", new: "{a: string, b: {c: string | required=true}}", want: []string{"  spec.b PropertyAdded"}},
		"a field becomes required":                 {old: "a: string", new: "a: string | required=true", want: []string{"! spec.a RequiredAdded"}},
		"a field is no longer required":            {old: "a: string | required=true", new: "a: string", want: []string{"  spec.a RequiredRemoved"}},
		"the default of a required field goes":     {old: "a: string | required=true default=x", new: "a: string | required=true", want: []string{"  spec.a DefaultChanged", "! spec.a RequiredDefaultRemoved"}},
		"a default changes":                        {old: "a: integer | default=1", new: "a: integer | default=2", want: []string{"  spec.a DefaultChanged"}},
		"a default is added":                       {old: "a: integer", new: "a: integer | default=2", want: []string{"  spec DefaultChanged", "  spec.a DefaultChanged"}},
		"a description changes":                    {old: "a: string | description=\"x\"", new: "a: string | description=\"y\"", want: []string{"  spec.a DescriptionChanged"}},
		"a type changes":                           {old: "a: string", new: "a: integer", want: []string{"! spec.a TypeChanged"}},
		"an integer becomes a number":              {old: "a: integer", new: "a: float", want: []string{"! spec.a TypeChanged"}},
		"a value becomes a list":                   {old: "a: string", new: `a: "[]string"`, want: []string{"! spec.a TypeChanged"}},
		"the type of elements changes":             {old: `a: "[]string"`, new: `a: "[]integer"`, want: []string{"! spec.a[] TypeChanged"}},
		"the type of a map's values changes":       {old: `a: "map[string]string"`, new: `a: "map[string]integer"`, want: []string{"! spec.a{} TypeChanged"}},
		"the elements of a map's lists change":     {old: `a: "map[string][]string"`, new: `a: "map[string][]integer"`, want: []string{"! spec.a{}[] TypeChanged"}},
		"a struct becomes any object":              {old: "a: {b: string}", new: "a: object", want: []string{"  spec.a UnknownFieldsAllowed", "  spec.a.b PropertyRemoved"}},
		"any object becomes a struct":              {old: "a: object", new: "a: {b: string}", want: []string{"! spec.a UnknownFieldsForbidden", "! spec.a.b PropertyAdded"}},
		"a struct becomes a map":                   {old: "a: {b: string}", new: `a: "map[string]string"`, want: []string{"  spec.a MapAdded", "  spec.a.b PropertyRemoved"}},
		"a struct becomes a map of other values":   {old: "a: {b: string}", new: `a: "map[string]integer"`, want: []string{"  spec.a MapAdded", "  spec.a.b PropertyRemoved", "! spec.a.b TypeChanged"}},
		"a map becomes a struct":                   {old: `a: "map[string]string"`, new: "a: {b: string}", want: []string{"! spec.a MapRemoved", "! spec.a.b PropertyAdded"}},
		"a map becomes any object":                 {old: `a: "map[string]string"`, new: "a: object", want: []string{"  spec.a MapRemoved", "  spec.a UnknownFieldsAllowed"}},
		"an enum where there was none":             {old: "a: string", new: "a: string | enum=\"x,y\"", want: []string{"! spec.a EnumAdded"}},
		"an enum goes":                             {old: "a: string | enum=\"x,y\"", new: "a: string", want: []string{"  spec.a EnumRemoved"}},
		"a value of an enum goes and one comes":    {old: "a: string | enum=\"x,y\"", new: "a: string | enum=\"x,z\"", want: []string{"  spec.a EnumValueAdded", "! spec.a EnumValueRemoved"}},
		"a pattern where there was none":           {old: "a: string", new: "a: string | pattern=\"^x\"", want: []string{"! spec.a PatternAdded"}},
		"a pattern changes":                        {old: "a: string | pattern=\"^y\"", new: "a: string | pattern=\"^x\"", want: []string{"! spec.a PatternChanged"}},
		"a pattern goes":                           {old: "a: string | pattern=\"^x\"", new: "a: string", want: []string{"  spec.a PatternRemoved"}},
		"a minimum and a maximum are added":        {old: "a: integer", new: "a: integer | minimum=1 maximum=3", want: []string{"! spec.a MaximumAdded", "! spec.a MinimumAdded"}},
		"a minimum and a maximum go":               {old: "a: integer | minimum=1 maximum=3", new: "a: integer", want: []string{"  spec.a MaximumRemoved", "  spec.a MinimumRemoved"}},
		"a range gets smaller":                     {old: "a: integer | minimum=1 maximum=3", new: "a: integer | minimum=2 maximum=2", want: []string{"! spec.a MaximumTightened", "! spec.a MinimumTightened"}},
		"a range gets larger":                      {old: "a: integer | minimum=1 maximum=3", new: "a: integer | minimum=0 maximum=4", want: []string{"  spec.a MaximumRelaxed", "  spec.a MinimumRelaxed"}},
		"a length gets tighter":                    {old: "a: string | minLength=1 maxLength=9", new: "a: string | minLength=2 maxLength=8", want: []string{"! spec.a MaxLengthTightened", "! spec.a MinLengthTightened"}},
		"a list gets shorter":                      {old: `a: "[]string | minItems=1 maxItems=9"`, new: `a: "[]string | minItems=0 maxItems=8"`, want: []string{"! spec.a MaxItemsTightened", "  spec.a MinItemsRelaxed"}},
		"a field becomes immutable":                {old: "a: string", new: "a: string | immutable=true", want: []string{"! spec.a ValidationAdded"}},
		"a field is no longer immutable":           {old: "a: string | immutable=true", new: "a: string", want: []string{"  spec.a ValidationRemoved"}},
		"a rule changes":                           {old: "a: integer | validation=\"self > 1\"", new: "a: integer | validation=\"self > 2\"", want: []string{"! spec.a ValidationAdded", "  spec.a ValidationRemoved"}},
		"a list becomes a set":                     {old: `a: "[]string"`, new: `a: "[]string | uniqueItems=true"`, want: []string{"! spec.a ListTypeChanged"}},
		"a set becomes a list":                     {old: `a: "[]string | listType=set"`, new: `a: "[]string | listType=atomic"`, want: []string{"  spec.a ListTypeChanged"}},
		"a list gets keys": {old: `a: "[]T"`, new: `a: "[]T | listType=map listMapKey=b"`, types: "T: {b: string | required=true, c: string | required=true}",
			want: []string{"! spec.a ListTypeChanged"}},
		"a list gets other keys": {old: `a: "[]T | listType=map listMapKey=c"`, new: `a: "[]T | listType=map listMapKey=b"`, types: "T: {b: string | required=true, c: string | required=true}",
			want: []string{"! spec.a ListMapKeysChanged"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			old, new := definition(t, test.old, test.types), definition(t, test.new, test.types)
			if diff := cmp.Diff(test.want, describe(evolution.Compare(old, new))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if changes := evolution.Compare(new, new.DeepCopy()); len(changes) > 0 {
				t.Errorf("no change, but %v", changes)
			}
		})
	}
}

// TestCompareDefinitions shows what else can change in a definition.
func TestCompareDefinitions(t *testing.T) {
	type crd = *apiextensionsv1.CustomResourceDefinition
	version := func(c crd) *apiextensionsv1.CustomResourceDefinitionVersion { return &c.Spec.Versions[0] }
	spec := func(c crd, change func(*apiextensionsv1.JSONSchemaProps)) {
		root := version(c).Schema.OpenAPIV3Schema
		s := root.Properties["spec"]
		change(&s)
		root.Properties["spec"] = s
	}
	status := func(c crd, props map[string]apiextensionsv1.JSONSchemaProps) {
		version(c).Schema.OpenAPIV3Schema.Properties["status"] = apiextensionsv1.JSONSchemaProps{Type: "object", Properties: props}
	}
	text := apiextensionsv1.JSONSchemaProps{Type: "string"}
	tests := map[string]struct {
		// before changes the old definition, after the new one.
		before, after func(crd)
		want          []string
	}{
		"labels and annotations": {
			before: func(c crd) {
				c.Labels, c.Annotations = map[string]string{"a": "1", "b": "2"}, map[string]string{"x/y": "1"}
			},
			after: func(c crd) { c.Labels = map[string]string{"a": "3", "c": "4"} },
			want:  []string{"  annotations['x/y'] MetadataRemoved", "  labels.a MetadataChanged", "  labels.b MetadataRemoved", "  labels.c MetadataAdded"},
		},
		"short names and categories": {
			after: func(c crd) { c.Spec.Names.ShortNames, c.Spec.Names.Categories = []string{"a"}, []string{"all"} },
			want:  []string{"  names.categories NameChanged", "  names.shortNames NameChanged"},
		},
		"kind and plural": {
			after: func(c crd) { c.Spec.Names.Kind, c.Spec.Names.Plural = "Apple", "apples" },
			want:  []string{"! names.kind NameChanged", "! names.plural NameChanged"},
		},
		"singular and list kind": {
			after: func(c crd) { c.Spec.Names.Singular, c.Spec.Names.ListKind = "x", "X" },
			want:  []string{"  names.listKind NameChanged", "  names.singular NameChanged"},
		},
		"scope":                         {after: func(c crd) { c.Spec.Scope = apiextensionsv1.ClusterScoped }, want: []string{"! scope ScopeChanged"}},
		"group":                         {after: func(c crd) { c.Spec.Group = "example.com" }, want: []string{"! group GroupChanged"}},
		"the version's name":            {after: func(c crd) { version(c).Name = "v1" }, want: []string{"  versions.v1 VersionAdded", "! versions.v1alpha1 VersionRemoved"}},
		"a version that was not served": {before: func(c crd) { version(c).Served = false }, after: func(c crd) { version(c).Name = "v1" }, want: []string{"  versions.v1 VersionAdded", "  versions.v1alpha1 VersionRemoved"}},
		"served no longer":              {after: func(c crd) { version(c).Served = false }, want: []string{"! versions.v1alpha1.served ServedChanged"}},
		"served again":                  {before: func(c crd) { version(c).Served = false }, want: []string{"  versions.v1alpha1.served ServedChanged"}},
		"no status":                     {after: func(c crd) { version(c).Subresources = nil }, want: []string{"! versions.v1alpha1.subresources.status SubresourceRemoved"}},
		"a scale": {
			after: func(c crd) {
				version(c).Subresources.Scale = &apiextensionsv1.CustomResourceSubresourceScale{SpecReplicasPath: ".spec.a"}
			},
			want: []string{"  versions.v1alpha1.subresources.scale SubresourceAdded"},
		},
		"printer columns": {
			after: func(c crd) {
				version(c).AdditionalPrinterColumns = []apiextensionsv1.CustomResourceColumnDefinition{{Name: "A"}}
			},
			want: []string{"  versions.v1alpha1.additionalPrinterColumns PrinterColumnsChanged"},
		},
		"no schema at all": {after: func(c crd) { version(c).Schema = nil }, want: []string{"  schema SchemaRemoved"}},
		"a format": {
			after: func(c crd) {
				spec(c, func(s *apiextensionsv1.JSONSchemaProps) {
					s.Properties = map[string]apiextensionsv1.JSONSchemaProps{"a": {Type: "string", Format: "date-time"}}
				})
			},
			want: []string{"! spec.a FormatChanged"},
		},
		"nullable no longer": {
			before: func(c crd) { spec(c, func(s *apiextensionsv1.JSONSchemaProps) { s.Nullable = true }) },
			want:   []string{"! spec NullableForbidden"},
		},
		"bounds of generated kinds that nobody writes": {
			after: func(c crd) {
				spec(c, func(s *apiextensionsv1.JSONSchemaProps) {
					s.MinProperties, s.MaxProperties, s.MultipleOf, s.ExclusiveMinimum = ptr.To[int64](1), ptr.To[int64](2), ptr.To(2.0), true
					s.XEmbeddedResource, s.XMapType, s.UniqueItems = true, ptr.To("atomic"), true
				})
			},
			want: []string{"! spec EmbeddedResourceChanged", "! spec ExclusiveChanged", "  spec MapTypeChanged", "! spec MaxPropertiesAdded", "! spec MinPropertiesAdded",
				"! spec MultipleOfChanged", "! spec UniqueItemsChanged"},
		},
		"combinations cannot be judged": {
			after: func(c crd) {
				spec(c, func(s *apiextensionsv1.JSONSchemaProps) {
					s.AnyOf = []apiextensionsv1.JSONSchemaProps{{Required: []string{"a"}}}
				})
			},
			want: []string{"! spec CombinationChanged"},
		},
		"the message of a rule": {
			before: func(c crd) {
				spec(c, func(s *apiextensionsv1.JSONSchemaProps) {
					s.XValidations = apiextensionsv1.ValidationRules{{Rule: "self.a != ''", Message: "x"}}
				})
			},
			after: func(c crd) {
				spec(c, func(s *apiextensionsv1.JSONSchemaProps) {
					s.XValidations = apiextensionsv1.ValidationRules{{Rule: "self.a != ''", Message: "y"}}
				})
			},
			want: []string{"  spec ValidationMessageChanged"},
		},
		"the form of a default and of an enum says nothing": {
			before: func(c crd) {
				spec(c, func(s *apiextensionsv1.JSONSchemaProps) {
					s.Default, s.Enum = &apiextensionsv1.JSON{Raw: []byte(`{"b":1,"a":2}`)}, []apiextensionsv1.JSON{{Raw: []byte(`{"a": "x"}`)}}
				})
			},
			after: func(c crd) {
				spec(c, func(s *apiextensionsv1.JSONSchemaProps) {
					s.Default, s.Enum = &apiextensionsv1.JSON{Raw: []byte(`{"a": 2, "b": 1}`)}, []apiextensionsv1.JSON{{Raw: []byte(`{"a":"x"}`)}}
				})
			},
			want: []string{},
		},
		"the author's status": {
			before: func(c crd) { status(c, map[string]apiextensionsv1.JSONSchemaProps{"a": text, "b": text}) },
			after: func(c crd) {
				status(c, map[string]apiextensionsv1.JSONSchemaProps{"a": {Type: "integer"}, "c": text})
			},
			want: []string{"! status.a TypeChanged", "! status.b PropertyRemoved", "  status.c PropertyAdded"},
		},
		"restrictions of the status break nobody": {
			before: func(c crd) {
				status(c, map[string]apiextensionsv1.JSONSchemaProps{"a": text, "b": {XPreserveUnknownFields: ptr.To(true)}, "c": {XPreserveUnknownFields: ptr.To(true)}})
			},
			after: func(c crd) {
				status(c, map[string]apiextensionsv1.JSONSchemaProps{"a": {Type: "string", Format: "date-time", Pattern: "x"}, "b": {}, "c": text})
			},
			want: []string{"  status.a FormatChanged", "  status.a PatternAdded", "  status.b UnknownFieldsForbidden", "  status.c TypeChanged"},
		},
		"the controller's own status, as when kro's kinds become Kronvoy's": {
			before: func(c crd) {
				status(c, map[string]apiextensionsv1.JSONSchemaProps{"state": text, "conditions": {Type: "array",
					Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &apiextensionsv1.JSONSchemaProps{Type: "object",
						Properties: map[string]apiextensionsv1.JSONSchemaProps{"type": text, "old": text}}}}})
			},
			after: func(c crd) {
				status(c, map[string]apiextensionsv1.JSONSchemaProps{"state": text, "fleet": {Type: "object", XPreserveUnknownFields: ptr.To(true)},
					"conditions": {Type: "array", XListType: ptr.To("map"), XListMapKeys: []string{"type"},
						Items: &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &apiextensionsv1.JSONSchemaProps{Type: "object", Required: []string{"type"},
							Properties: map[string]apiextensionsv1.JSONSchemaProps{"type": text}}}}})
			},
			want: []string{"  status.conditions ListTypeChanged", "  status.conditions[].old PropertyRemoved", "  status.conditions[].type RequiredAdded", "  status.fleet PropertyAdded"},
		},
		"the author's own field fleet": {
			before: func(c crd) {
				status(c, map[string]apiextensionsv1.JSONSchemaProps{"fleet": text, "kronvoyFleet": {Type: "object"}, "stateless": text})
			},
			after: func(c crd) {
				status(c, map[string]apiextensionsv1.JSONSchemaProps{"fleet": {Type: "integer"}, "kronvoyFleet": {Type: "object"}})
			},
			want: []string{"! status.fleet TypeChanged", "! status.stateless PropertyRemoved"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			old, new := definition(t, "a: string", ""), definition(t, "a: string", "")
			if test.before != nil {
				test.before(old)
			}
			if test.after != nil {
				test.after(new)
			}
			got := evolution.Compare(old, new)
			if diff := cmp.Diff(test.want, describe(got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for _, c := range got {
				if c.Message == "" || strings.Contains(c.Message, "\n") {
					t.Errorf("the message of %s is %q", c.Path, c.Message)
				}
			}
		})
	}
}

// TestBreaking: all of them, not the first three.
func TestBreaking(t *testing.T) {
	old := definition(t, "{a: string, b: string, c: string, d: string, e: string}", "")
	changes := evolution.Compare(old, definition(t, "e: string | description=\"x\"", ""))
	want := []string{"spec.a: the field was removed", "spec.b: the field was removed", "spec.c: the field was removed", "spec.d: the field was removed"}
	var got []string
	for _, c := range evolution.Breaking(changes) {
		got = append(got, c.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzCompare: whatever two schemas say, they are compared, nothing is changed,
// a schema is the same as itself, and what is added one way is removed the other.
func FuzzCompare(f *testing.F) {
	f.Add([]byte(`{"type":"object","properties":{"a":{"type":"string","enum":["x"]}},"required":["a"]}`), []byte(`{"type":"object","x-kubernetes-preserve-unknown-fields":true}`))
	f.Add([]byte(`{"type":"array","items":{"type":"integer"},"minItems":1}`), []byte(`{"additionalProperties":true}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var old, new apiextensionsv1.JSONSchemaProps
		if json.Unmarshal(a, &old) != nil || json.Unmarshal(b, &new) != nil {
			return
		}
		from, to := withSpec(old), withSpec(new)
		before := from.DeepCopy()
		forth, back := evolution.Compare(from, to), evolution.Compare(to, from)
		if (len(forth) == 0) != (len(back) == 0) {
			t.Fatalf("%v, but back %v", forth, back)
		}
		if same := evolution.Compare(from, from.DeepCopy()); len(same) > 0 {
			t.Fatalf("a schema differs from itself: %v", same)
		}
		if !cmp.Equal(before, from) {
			t.Fatal("an input was changed")
		}
		if !slices.IsSortedFunc(forth, func(a, b evolution.Change) int { return strings.Compare(a.Path, b.Path) }) {
			t.Fatalf("not sorted: %v", forth)
		}
	})
}
