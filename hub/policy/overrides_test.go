package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/policy"
)

func TestOverridesAreOneTextHoweverTheyAreWritten(t *testing.T) {
	written := func(text string) *kronvoyv1alpha1.Distribution {
		return &kronvoyv1alpha1.Distribution{Spec: kronvoyv1alpha1.DistributionSpec{Overrides: []kronvoyv1alpha1.Override{
			{Spec: &runtime.RawExtension{Raw: []byte(text)}}, {Spec: &runtime.RawExtension{Raw: []byte("null")}, Expressions: map[string]string{"a": "b"}},
		}}}
	}
	want := []kronvoyv1alpha1.Override{{Spec: &runtime.RawExtension{Raw: []byte(`{"a":1,"b":{"c":null}}`)}}, {Expressions: map[string]string{"a": "b"}}}
	for _, text := range []string{`{"b": {"c": null}, "a": 1}`, `{"a":1,"b":{"c":null}}`} {
		d := written(text)
		got, err := policy.Overrides(d)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: error %v (-want +got):\n%s", text, err, diff)
		}
		if diff := cmp.Diff(written(text), d); diff != "" {
			t.Errorf("%s: the Distribution was changed (-want +got):\n%s", text, diff)
		}
	}
	for name, d := range map[string]*kronvoyv1alpha1.Distribution{"nobody": nil, "one without any": {}} {
		if got, err := policy.Overrides(d); got != nil || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestWhatDoesNotFitTheKindIsNotAccepted(t *testing.T) {
	bad := []kronvoyv1alpha1.Override{{ClusterSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}}}
	unfit := &policy.InvalidError{Field: "spec.overrides[0].spec.x", Reason: kronvoyv1alpha1.ReasonInvalidOverride, Err: errors.New("no such field")}
	aggregate := &policy.InvalidError{Field: "spec.aggregate.x:1:3", Reason: kronvoyv1alpha1.ReasonInvalidAggregate, Err: errors.New("no such field")}
	const stays = "what its instances have on their clusters stays as it is until this is mended"
	for name, tc := range map[string]struct {
		overrides []kronvoyv1alpha1.Override
		unfit     error
		want      string
		until     string
	}{
		"nothing is wrong": {want: "Accepted"},
		"an override":      {unfit: unfit, want: "InvalidOverride", until: stays},
		"its selector, which is wrong for any kind": {overrides: bad, unfit: unfit, want: "InvalidSelector", until: stays},
		"an aggregate, which stops nothing but itself": {
			unfit: aggregate, want: "InvalidAggregate",
			until: "until this is mended its instances have the aggregates of their definition alone; all else is in force",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &kronvoyv1alpha1.Distribution{Spec: kronvoyv1alpha1.DistributionSpec{Overrides: tc.overrides}}
			status := policy.Judge(policy.View{Distribution: d, Unfit: tc.unfit})
			got := apimeta.FindStatusCondition(status.Conditions, "Accepted")
			if got == nil || got.Reason != tc.want {
				t.Fatalf("Accepted is %+v, want reason %s", got, tc.want)
			}
			if _, until, _ := strings.Cut(got.Message, "; "); until != tc.until {
				t.Errorf("Accepted says %q, want %q of what is so until then", got.Message, tc.until)
			}
		})
	}
}

func TestAggregatesOfADistributionAreCheckedAgainstTheKind(t *testing.T) {
	g, issues := graph.Compile(graph.Source{Name: "any", Schema: graph.SchemaSource{Group: "kro.run", Version: "v1", Kind: "Any"},
		Aggregates: map[string]string{"a": "${size(clusters)}"}}, builtin.Resolver())
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		owner *kronvoyv1alpha1.Distribution
		want  []graph.Aggregated
		err   string
	}{
		"nobody": {want: []graph.Aggregated{{Name: "a", Value: int64(0)}}},
		"one with others": {
			owner: &kronvoyv1alpha1.Distribution{Spec: kronvoyv1alpha1.DistributionSpec{Aggregate: map[string]string{"a": "${1}", "b": "${2}"}}},
			want:  []graph.Aggregated{{Name: "a", Value: int64(1)}, {Name: "b", Value: int64(2)}},
		},
		"one with wrong ones": {
			owner: &kronvoyv1alpha1.Distribution{Spec: kronvoyv1alpha1.DistributionSpec{Aggregate: map[string]string{"b": "${clusters.map(c, c.nam)}"}}},
			want:  []graph.Aggregated{{Name: "a", Value: int64(0)}},
			err:   `spec.aggregate.b:1:21: unknown field "nam"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			aggregates, err := policy.Aggregates(g, tc.owner)
			got, _ := aggregates.Evaluate(nil)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			text := ""
			if err != nil {
				text = err.Error()
			}
			if text != tc.err {
				t.Errorf("the error is %q, want %q", text, tc.err)
			}
		})
	}
}
