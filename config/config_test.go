package config_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kronvoy/kronvoy/config"
)

// TestTheCommandLineCarriesWhatKubectlInstalls: all that is in the folders is
// in the program, in an order that an API server takes.
func TestTheCommandLineCarriesWhatKubectlInstalls(t *testing.T) {
	for _, name := range []string{config.HubAPIs, config.Hub, config.Local, config.Spoke} {
		t.Run(name, func(t *testing.T) {
			objects, err := config.Build(name, "")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			seen := map[string]bool{}
			for _, object := range objects {
				got = append(got, object.GetKind()+" "+object.GetNamespace()+"/"+object.GetName())
				if ns := object.GetNamespace(); ns != "" && !seen[ns] {
					t.Errorf("%s comes before its namespace", got[len(got)-1])
				}
				if object.GetKind() == "Namespace" {
					seen[object.GetName()] = true
				}
			}
			var want []string
			for _, object := range build(t, name) {
				gvk := object.GetObjectKind().GroupVersionKind()
				meta := object.(interface{ GetName() string })
				namespace := object.(interface{ GetNamespace() string })
				want = append(want, gvk.Kind+" "+namespace.GetNamespace()+"/"+meta.GetName())
			}
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("kustomize builds (-), the program carries (+):\n%s", diff)
			}
		})
	}
}

func TestAnImageIsThatOfEveryContainer(t *testing.T) {
	const image = "registry.example:5000/kronvoy/hub@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	objects, err := config.Build(config.Hub, image)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, object := range objects {
		if object.GetKind() != "Deployment" {
			continue
		}
		containers, _, err := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
		if err != nil {
			t.Fatal(err)
		}
		for _, container := range containers {
			found++
			if got := container.(map[string]any)["image"]; got != image {
				t.Errorf("the image of %s is %v", object.GetName(), got)
			}
		}
	}
	if found == 0 {
		t.Error("there is no container")
	}
}
