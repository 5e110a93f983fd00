package apply

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/live"
)

func TestNoWorkReachesTheAgentsOwnNamespace(t *testing.T) {
	secrets := schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	namespaces := schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	item := func(resource schema.GroupVersionResource, namespace, name string) *Item {
		return &Item{Key: live.Key{Resource: resource, Namespace: namespace, Name: name}}
	}
	w := &Work{
		Items: []*Item{
			item(secrets, "kronvoy-agent", "hub-kubeconfig-secret"), item(secrets, "shop", "pull"),
			item(namespaces, "", "kronvoy-agent"), item(namespaces, "", "shop"),
		},
		Selections: []*Selection{{Watch: live.Watch{Resource: secrets, Namespace: "kronvoy-agent"}}, {Watch: live.Watch{Resource: secrets}}},
	}
	all := []*live.Selected{{ObjectMeta: metav1.ObjectMeta{Namespace: "kronvoy-agent", Name: "hub-kubeconfig-secret"}}, {ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "pull"}}}
	if got := w.withoutReserved(all); len(got) != 2 {
		t.Errorf("without a namespace of its own %d objects are listed", len(got))
	}
	w.Reserve("kronvoy-agent")
	for i, refused := range []bool{true, false, true, false} {
		if got := w.Items[i]; (got.Problem != nil) != refused || refused && got.Reason != kronvoyv1alpha1.ReasonReservedNamespace {
			t.Errorf("%s: %v", got, got.Problem)
		}
	}
	if w.Selections[0].Problem == nil || w.Selections[1].Problem != nil {
		t.Errorf("the selections have problems %v and %v", w.Selections[0].Problem, w.Selections[1].Problem)
	}
	if got := w.withoutReserved(all); len(got) != 1 || got[0].Name != "pull" || len(all) != 2 {
		t.Errorf("listed are %v of %v", got, all)
	}
}
