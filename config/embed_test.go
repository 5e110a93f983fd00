package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/config"
)

func TestObjectsComeInTheOrderInWhichTheyCanBeApplied(t *testing.T) {
	objects, err := config.Objects("spoke/namespace.yaml", "ocm/spoke", "spoke/rbac.yaml", "spoke/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, object := range objects {
		if kind := object.GetKind(); len(got) == 0 || got[len(got)-1] != kind {
			got = append(got, kind)
		}
	}
	want := []string{
		"Namespace", "ServiceAccount", "CustomResourceDefinition",
		"ClusterRole", "ClusterRoleBinding", "ClusterRole", "Role", "RoleBinding", "Deployment",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	if _, err := config.Objects("nowhere"); err == nil {
		t.Error("a folder that is not there is read")
	}
}
