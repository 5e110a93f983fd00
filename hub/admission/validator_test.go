package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/definition"
)

// app is a definition with one field and one resource.
func app(t *testing.T, field, resource string) *krov1alpha1.ResourceGraphDefinition {
	t.Helper()
	rgd := &krov1alpha1.ResourceGraphDefinition{}
	err := yaml.UnmarshalStrict([]byte(fmt.Sprintf(`
metadata: {name: app}
spec:
  schema: {apiVersion: v1alpha1, kind: App, group: kro.run, spec: {field: '%s'}}
  resources:
  - {id: page, template: %s}`, field, resource)), rgd)
	if err != nil {
		t.Fatal(err)
	}
	return rgd
}

const good = `{apiVersion: v1, kind: ConfigMap, metadata: {name: page}, data: {text: "${schema.spec.field}"}}`

func store() *definition.Store { return definition.NewStore(nil, "", builtin.Resolver()) }

func reader(t *testing.T, objects ...client.Object) client.Reader {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

func crdOf(t *testing.T, rgd *krov1alpha1.ResourceGraphDefinition) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	g, issues := store().Compile(rgd)
	if g == nil {
		t.Fatal(issues.Err())
	}
	return g.CRD()
}

func TestJudge(t *testing.T) {
	unknownKind := `{apiVersion: example.com/v1, kind: Unheard, metadata: {name: page}}`
	foreign := crdOf(t, app(t, "string", good))
	foreign.Labels = map[string]string{"app.kubernetes.io/managed-by": "Helm"}
	allowed := app(t, "integer", strings.Replace(good, "${schema.spec.field}", "x", 1))
	allowed.Annotations = map[string]string{definition.AnnotationAllowBreaking: "true"}
	tests := map[string]struct {
		rgd      *krov1alpha1.ResourceGraphDefinition
		live     []client.Object
		warnings []string
		causes   []metav1.StatusCause
	}{
		"a good one": {rgd: app(t, "string", good)},
		"two mistakes": {
			rgd: app(t, "string", `{apiVersion: v1, kind: ConfigMap, metadata: {name: page}, data: {a: "${schema.spec.feild}", b: "${paeg.data.text}"}}`),
			causes: []metav1.StatusCause{
				{Type: "UnknownField", Field: "spec.resources[0].template.data.a", Message: "UnknownField at offset 14: unknown field \"feild\", in \"schema.spec.feild\" (did you mean field?)"},
				{Type: "UnknownIdentifier", Field: "spec.resources[0].template.data.b", Message: "UnknownIdentifier at offset 2: unknown identifier \"paeg\", in \"paeg.data.text\" (did you mean page?)"},
			},
		},
		"a kind that is not there yet": {rgd: app(t, "string", unknownKind), warnings: []string{"no schema for kind Unheard in example.com/v1"}},
		"a mistake beside a kind that is not there yet": {
			rgd: app(t, "text", unknownKind), warnings: []string{"Unheard"},
			causes: []metav1.StatusCause{{Type: "UnknownType", Field: "spec.schema.spec.field", Message: "UnknownType"}},
		},
		"a breaking change": {
			rgd: app(t, "integer", strings.Replace(good, "${schema.spec.field}", "x", 1)), live: []client.Object{crdOf(t, app(t, "string", good))},
			warnings: []string{"breaking changes of apps.kro.run: they wait for the annotation kro.run/allow-breaking-changes", "spec.field: "},
		},
		"a breaking change that is allowed": {rgd: allowed, live: []client.Object{crdOf(t, app(t, "string", good))}},
		"a CRD of another's":                {rgd: app(t, "string", good), live: []client.Object{foreign}, warnings: []string{"CRD apps.kro.run exists and was not made from a definition, but by Helm"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			warnings, err := NewValidator(store(), reader(t, test.live...)).ValidateCreate(t.Context(), test.rgd)
			if len(warnings) != len(test.warnings) {
				t.Fatalf("warnings %q, want %q", warnings, test.warnings)
			}
			for i, want := range test.warnings {
				if !strings.Contains(warnings[i], want) {
					t.Errorf("warning %q, want %q in it", warnings[i], want)
				}
			}
			if (err == nil) != (len(test.causes) == 0) {
				t.Fatalf("error %v", err)
			}
			if err == nil {
				return
			}
			var status *apierrors.StatusError
			if !errors.As(err, &status) || !apierrors.IsInvalid(err) {
				t.Fatalf("%v is no error that kubectl shows line by line", err)
			}
			got := status.ErrStatus.Details.Causes
			for i := range got {
				if i < len(test.causes) && strings.HasPrefix(got[i].Message, test.causes[i].Message) {
					got[i].Message = test.causes[i].Message
				}
			}
			if diff := cmp.Diff(test.causes, got); diff != "" {
				t.Errorf("causes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOnlyAChangedSpecIsJudged: whatever else is written to a definition that
// got past the webhook must go through, or it could not even be deleted.
func TestOnlyAChangedSpecIsJudged(t *testing.T) {
	bad := app(t, "text", good)
	finalized, deleting := bad.DeepCopy(), app(t, "worse", good)
	finalized.Finalizers = []string{definition.Finalizer}
	deleting.DeletionTimestamp = &metav1.Time{}
	aggregating := app(t, "string", good)
	aggregating.Annotations = map[string]string{kronvoyv1alpha1.AnnotationAggregate: `{"total": "${size(cluster)}"}`}
	tests := map[string]struct {
		before, after *krov1alpha1.ResourceGraphDefinition
		refused       bool
	}{
		"a finalizer comes":         {bad, finalized, false},
		"it is being deleted":       {bad, deleting, false},
		"the spec changes":          {app(t, "string", good), bad, true},
		"the spec changes for good": {bad, app(t, "string", good), false},
		"its aggregates change":     {app(t, "string", good), aggregating, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := NewValidator(store(), reader(t)).ValidateUpdate(t.Context(), test.before, test.after); (err != nil) != test.refused {
				t.Errorf("error %v", err)
			}
		})
	}
}

// compilerFunc is a Compiler.
type compilerFunc func() (*graph.Graph, graph.Issues)

func (f compilerFunc) Compile(*krov1alpha1.ResourceGraphDefinition) (*graph.Graph, graph.Issues) {
	return f()
}

func TestWhatCannotBeCheckedPassesWithAWarning(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		late     bool
		compiler compilerFunc
		want     string
	}{
		"a compiler that takes too long": {true, func() (*graph.Graph, graph.Issues) { <-release; return nil, nil }, "the hub is busy"},
		"a compiler that fails":          {false, func() (*graph.Graph, graph.Issues) { panic("at the disco") }, "at the disco"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := NewValidator(test.compiler, reader(t))
			ctx := t.Context()
			if test.late {
				ctx = gone
			}
			// More than run at once: those that hang do not pile up.
			for range maxCompiles + 2 {
				warnings, err := v.ValidateCreate(ctx, app(t, "string", good))
				if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], test.want) {
					t.Fatalf("warnings %q, error %v; want %q", warnings, err, test.want)
				}
			}
		})
	}
}

func TestWarningsFitIntoAResponse(t *testing.T) {
	var many admission.Warnings
	for i := range 100 {
		many = append(many, fmt.Sprintf("%d %s", i, strings.Repeat("ö\n", 400)))
	}
	got := bounded(many)
	if last := got[len(got)-1]; len(got) != maxWarnings+1 || !strings.HasPrefix(last, "and 88 more") {
		t.Errorf("%d warnings, the last is %q", len(got), last)
	}
	total := 0
	for _, warning := range got {
		total += len([]rune(warning))
		if strings.Contains(warning, "\n") {
			t.Errorf("%q has several lines", warning)
		}
	}
	if total > 4<<10 {
		t.Errorf("%d characters in all, an API server passes on 4096", total)
	}
}
