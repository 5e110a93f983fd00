package spoke

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

type configMaps struct{}

func (configMaps) Resource(schema.GroupVersionKind) (schema.GroupVersionResource, bool, error) {
	return schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, true, nil
}

func TestWhatMovesToAnotherWorkIsAppliedFromThere(t *testing.T) {
	// work holds ConfigMaps, each with the number of its moves.
	work := func(name, instance string, moves map[string]int) *workv1.ManifestWork {
		w := &workv1.ManifestWork{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{kronvoyv1alpha1.LabelInstance: instance}}}
		var policies []string
		for _, object := range []string{"first", "second"} {
			if n, found := moves[object]; found {
				w.Spec.Workload.Manifests = append(w.Spec.Workload.Manifests, workv1.Manifest{RawExtension: runtime.RawExtension{
					Raw: fmt.Appendf(nil, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":"shop"}}`, object),
				}})
				policies = append(policies, fmt.Sprintf(`{"node":%q,"moves":%d}`, object, n))
			}
		}
		w.Annotations = map[string]string{kronvoyv1alpha1.AnnotationManifestPolicies: "[" + strings.Join(policies, ",") + "]"}
		return w
	}
	tests := map[string]struct {
		other *workv1.ManifestWork
		want  []string
	}{
		"it has moved there":               {work("shop-1", "shop", map[string]int{"second": 2}), []string{"first"}},
		"it has come from there":           {work("shop-1", "shop", map[string]int{"second": 0}), []string{"first", "second"}},
		"another instance's do not count":  {work("other-0", "other", map[string]int{"second": 2}), []string{"first", "second"}},
		"all of it has moved":              {work("shop-1", "shop", map[string]int{"first": 1, "second": 2}), nil},
		"neither has moved: both apply it": {work("shop-1", "shop", map[string]int{"first": 0}), []string{"first", "second"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlans(configMaps{}, "")
			p.of(test.other)
			var got []string
			for _, item := range p.current(work("shop-0", "shop", map[string]int{"first": 0, "second": 1})).Items {
				got = append(got, item.Key.Name)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("applied (-want +got):\n%s", diff)
			}
		})
	}
}
