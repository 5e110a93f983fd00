package apply

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func TestEveryFieldHasItsDriftPolicy(t *testing.T) {
	const correct, report, ignore = kronvoyv1alpha1.DriftCorrect, kronvoyv1alpha1.DriftReport, kronvoyv1alpha1.DriftIgnore
	image := fieldpath.MakePathOrDie("spec", "template", "spec", "containers", fieldpath.KeyByFields("name", "web"), "image")
	paths := map[string]fieldpath.Path{
		"object": {}, "replicas": fieldpath.MakePathOrDie("spec", "replicas"), "image": image,
		"paused": fieldpath.MakePathOrDie("spec", "paused"), "note": fieldpath.MakePathOrDie("metadata", "annotations", "example.com/note"),
	}
	fields := `"fields":[
		{"paths":["spec.replicas","metadata.annotations[\"example.com/note\"]"],"drift":"Ignore"},
		{"paths":["spec.template.spec.containers[*].image"],"drift":"Report"},
		{"paths":["spec"],"drift":"Correct"}]`
	cases := map[string]struct {
		policy string
		mark   string
		want   map[string]kronvoyv1alpha1.DriftPolicy
	}{
		"without any all is corrected": {`{}`, "", map[string]kronvoyv1alpha1.DriftPolicy{
			"object": correct, "replicas": correct, "image": correct, "paused": correct, "note": correct,
		}},
		"the object's is for all": {`{"drift":"Report"}`, "", map[string]kronvoyv1alpha1.DriftPolicy{
			"object": report, "replicas": report, "image": report, "paused": report, "note": report,
		}},
		"the first that matches counts, before the object's": {`{"drift":"Report",` + fields + `}`, "", map[string]kronvoyv1alpha1.DriftPolicy{
			"object": report, "replicas": ignore, "image": report, "paused": correct, "note": ignore,
		}},
		"suspended, nothing is corrected": {`{` + fields + `}`, "suspended", map[string]kronvoyv1alpha1.DriftPolicy{
			"object": report, "replicas": ignore, "image": report, "paused": report, "note": ignore,
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			item := NewWork(manifestWork(map[string]string{
				kronvoyv1alpha1.AnnotationManifestPolicies: "[" + tc.policy + "]", kronvoyv1alpha1.AnnotationReconcile: tc.mark,
			}, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"a"}}`), served).Items[0]
			if item.Problem != nil {
				t.Fatal(item.Problem)
			}
			policies, err := item.policies(nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]kronvoyv1alpha1.DriftPolicy{}
			for name, path := range paths {
				got[name] = policies.of(path)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("policies (-want +got):\n%s", diff)
			}
		})
	}
}
