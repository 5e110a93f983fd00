package revision

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph/hash"
	"github.com/kronvoy/kronvoy/hub/work"
)

func TestWhatAnotherOwnerOfTheNameHadIsNotOwn(t *testing.T) {
	of := func(name string, number int64, owner types.UID) appsv1.ControllerRevision {
		return appsv1.ControllerRevision{Revision: number, ObjectMeta: metav1.ObjectMeta{
			Name: name, OwnerReferences: []metav1.OwnerReference{{UID: owner, Name: "one", Controller: ptr.To(true)}},
		}}
	}
	all := []appsv1.ControllerRevision{of("mine", 1, "now"), of("theirs", 7, "before"), of("mine-too", 2, "now")}
	owner := &metav1.ObjectMeta{Name: "one", UID: "now"}
	if newest := Newest(Own(all, owner)); newest == nil || newest.Name != "mine-too" {
		t.Errorf("the newest is %v", newest)
	}
	Renew(&all[1], 8, metav1.OwnerReference{UID: owner.UID, Name: owner.Name, Controller: ptr.To(true)})
	if newest := Newest(Own(all, owner)); newest == nil || newest.Name != "theirs" || newest.Revision != 8 {
		t.Errorf("the newest is %v", newest)
	}
}

func TestOverridesAreAPartOfARevisionOnlyWhereThereAreAny(t *testing.T) {
	plain := Instance{Definition: "app-1", DefinitionHash: "v1-1", Spec: map[string]any{"n": int64(1)}}
	// As it was before there were overrides.
	before := struct {
		Definition     string         `json:"definition"`
		DefinitionHash string         `json:"definitionHash"`
		Spec           map[string]any `json:"spec"`
	}{plain.Definition, plain.DefinitionHash, plain.Spec}
	if got, want := plain.Hash(), hash.Of(before); got != want {
		t.Errorf("without overrides the hash is %s, want %s", got, want)
	}
	overridden := plain
	overridden.Overrides = []kronvoyv1alpha1.Override{{
		ClusterSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"size": "small"}},
		Spec:            &runtime.RawExtension{Raw: []byte(`{"n":2,"x":null}`)}, Expressions: map[string]string{"host": "${cluster.name}"},
	}}
	if overridden.Hash() == plain.Hash() {
		t.Error("overrides do not change the hash")
	}
	stored, err := overridden.Object("shop", work.Identity{Kind: "App", Name: "a"}, 1, metav1.OwnerReference{})
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseInstance(stored)
	if diff := cmp.Diff(overridden, read); diff != "" || err != nil || read.Hash() != Hash(stored) {
		t.Errorf("error %v, hash %s of %s, what is read (-want +got):\n%s", err, read.Hash(), Hash(stored), diff)
	}
}
