package rollout

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func TestOnlyATargetThatListsAnInstancePinsIt(t *testing.T) {
	self := kronvoyv1alpha1.InstanceReference{APIVersion: "kro.run/v1alpha1", Kind: "Database", Namespace: "shop", Name: "db-eu-west"}
	mark := kronvoyv1alpha1.NestedMark{
		Parent:  kronvoyv1alpha1.InstanceReference{APIVersion: "kro.run/v1alpha1", Kind: "Shop", Namespace: "shop", Name: "one"},
		Cluster: "eu-west", Name: "db", Depth: 1, Self: self,
	}
	copied := mark
	copied.Self.Name = "another"
	listing := func(cluster string, children ...kronvoyv1alpha1.ChildReference) *kronvoyv1alpha1.Target {
		return &kronvoyv1alpha1.Target{
			ObjectMeta: metav1.ObjectMeta{Namespace: cluster, Name: "one"}, Status: kronvoyv1alpha1.TargetStatus{Children: children},
		}
	}
	child := kronvoyv1alpha1.ChildReference{APIVersion: self.APIVersion, Kind: self.Kind, Namespace: self.Namespace, Name: self.Name, Node: "db"}
	leaving, read, other := child, child, child
	leaving.Leaving, read.ReadOnly, other.Name = true, true, "another"
	type outcome struct {
		Decided  bool
		Reason   string
		Clusters []string
	}
	pinned, refused := outcome{true, ReasonPlaced, []string{"eu-west"}}, outcome{Reason: ReasonNotPinned}
	byPlacement := outcome{Reason: kronvoyv1alpha1.ReasonPlacementNotFound}
	tests := map[string]struct {
		mark    string
		targets []client.Object
		want    outcome
	}{
		"listed and marked":                    {mark.String(), []client.Object{listing("eu-west", other, child)}, pinned},
		"listed, and the mark is gone":         {"", []client.Object{listing("eu-west", child)}, pinned},
		"listed as one that leaves":            {mark.String(), []client.Object{listing("eu-west", leaving)}, pinned},
		"listed, and the mark names another":   {copied.String(), []client.Object{listing("eu-west", child)}, pinned},
		"marked, and the Target lists another": {mark.String(), []client.Object{listing("eu-west", other)}, refused},
		"marked, and the Target only reads it": {mark.String(), []client.Object{listing("eu-west", read)}, refused},
		"marked, and there is no Target":       {mark.String(), nil, refused},
		"a copy":                               {copied.String(), []client.Object{listing("eu-west", other)}, byPlacement},
		"neither, and a Target reads it":       {"", []client.Object{listing("eu-west", read)}, byPlacement},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			instance := &unstructured.Unstructured{}
			instance.SetAPIVersion(self.APIVersion)
			instance.SetKind(self.Kind)
			instance.SetNamespace(self.Namespace)
			instance.SetName(self.Name)
			instance.SetLabels(map[string]string{kronvoyv1alpha1.LabelPlacement: "everywhere", kronvoyv1alpha1.LabelCluster: "us-east"})
			if test.mark != "" {
				instance.SetAnnotations(map[string]string{kronvoyv1alpha1.AnnotationNested: test.mark})
			}
			decision, err := Placer{Reader: reader(t, test.targets...)}.Decide(context.Background(), instance, distribution("shop", refs("elsewhere")))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, outcome{decision.Decided, decision.Reason, decision.Clusters}); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}
