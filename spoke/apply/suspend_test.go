package apply

import (
	"testing"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func TestASuspendedWorkOnlyShowsDrift(t *testing.T) {
	const manifest = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"a"}}`
	cases := map[string]struct {
		mark      string
		policy    kronvoyv1alpha1.DriftPolicy
		suspended bool
		want      kronvoyv1alpha1.DriftPolicy
	}{
		"no mark":                       {want: kronvoyv1alpha1.DriftCorrect},
		"suspended":                     {mark: "suspended", suspended: true, want: kronvoyv1alpha1.DriftReport},
		"kro's older word, in any case": {mark: "Disabled", suspended: true, want: kronvoyv1alpha1.DriftReport},
		"another word":                  {mark: "enabled", want: kronvoyv1alpha1.DriftCorrect},
		"what is ignored stays ignored": {mark: "suspended", policy: kronvoyv1alpha1.DriftIgnore, suspended: true, want: kronvoyv1alpha1.DriftIgnore},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			annotations := map[string]string{kronvoyv1alpha1.AnnotationManifestPolicies: `[{"node":"x","drift":"` + string(tc.policy) + `"}]`}
			if tc.mark != "" {
				annotations[kronvoyv1alpha1.AnnotationReconcile] = tc.mark
			}
			w := NewWork(manifestWork(annotations, manifest), served)
			if w.PolicyErr != nil {
				t.Fatal(w.PolicyErr)
			}
			policies, err := w.Items[0].policies(nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := policies.of(nil); w.Suspended != tc.suspended || w.Items[0].Suspended != tc.suspended || got != tc.want {
				t.Errorf("the work is suspended: %v, its manifest: %v with drift policy %s", w.Suspended, w.Items[0].Suspended, got)
			}
		})
	}
}
