package revision

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
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
