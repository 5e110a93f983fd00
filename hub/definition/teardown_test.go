package definition

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestStillExist(t *testing.T) {
	list := func(n int, more *int64) *metav1.PartialObjectMetadataList {
		l := &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{RemainingItemCount: more}}
		for i := range n {
			l.Items = append(l.Items, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("app-%d", i)}})
		}
		return l
	}
	clusterScoped := list(1, nil)
	clusterScoped.Items[0].Namespace = ""
	clusterScoped.Items[0].DeletionTimestamp = &metav1.Time{}
	tests := map[string]struct {
		left *metav1.PartialObjectMetadataList
		want string
	}{
		"one":             {list(1, nil), "gone: shop/app-0. Delete"},
		"two":             {list(2, ptr.To[int64](0)), "gone: shop/app-0, shop/app-1. Delete"},
		"more than named": {list(maxNamed, ptr.To[int64](7)), "shop/app-9 and 7 more. Delete"},
		"on its way":      {clusterScoped, "gone: app-0 (being deleted). Delete"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := stillExist("App", test.left); !strings.Contains(got, test.want) || !strings.Contains(got, "instances of App still exist") {
				t.Errorf("message %q, want %q in it", got, test.want)
			}
		})
	}
}
