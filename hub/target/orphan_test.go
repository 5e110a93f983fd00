package target

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/work"
)

func TestANestedInstanceIsDeletedOnlyWhenItsTargetAndItsParentAreGone(t *testing.T) {
	now := time.Date(2026, 9, 4, 12, 0, 0, 0, time.UTC)
	ref := func(kind, name string) kronvoyv1alpha1.InstanceReference {
		return kronvoyv1alpha1.InstanceReference{APIVersion: "kro.run/v1alpha1", Kind: kind, Namespace: "shop", Name: name}
	}
	object := func(of kronvoyv1alpha1.InstanceReference, managers ...string) *unstructured.Unstructured {
		obj := &unstructured.Unstructured{}
		obj.SetAPIVersion(of.APIVersion)
		obj.SetKind(of.Kind)
		obj.SetNamespace(of.Namespace)
		obj.SetName(of.Name)
		obj.SetUID("uid")
		obj.SetCreationTimestamp(metav1.NewTime(now.Add(-time.Hour)))
		var managed []metav1.ManagedFieldsEntry
		for _, manager := range managers {
			managed = append(managed, metav1.ManagedFieldsEntry{
				Manager: manager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: of.APIVersion,
				FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`),
			})
		}
		obj.SetManagedFields(managed)
		return obj
	}
	marked := func(managers ...string) *unstructured.Unstructured {
		obj := object(ref("Database", "db"), managers...)
		mark := kronvoyv1alpha1.NestedMark{Parent: ref("Shop", "one"), Cluster: "eu-west", Name: "db", Depth: 1, Self: ref("Database", "db")}
		obj.SetAnnotations(map[string]string{kronvoyv1alpha1.AnnotationNested: mark.String()})
		return obj
	}
	target := &kronvoyv1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west", Name: work.IdentityOf(ref("Shop", "one")).TargetName()}}
	type outcome struct {
		Deleted bool
		Again   time.Duration
	}
	tests := map[string]struct {
		objects []client.Object
		want    outcome
	}{
		"all are there":               {[]client.Object{marked("kronvoy-hub"), object(ref("Shop", "one")), target}, outcome{}},
		"the Target is there":         {[]client.Object{marked("kronvoy-hub"), target}, outcome{}},
		"the parent is there":         {[]client.Object{marked("kronvoy-hub"), object(ref("Shop", "one"))}, outcome{Again: time.Minute}},
		"both are gone":               {[]client.Object{marked("kronvoy-hub")}, outcome{Deleted: true}},
		"the hub did not apply it":    {[]client.Object{marked("kubectl")}, outcome{}},
		"it is an instance as others": {[]client.Object{object(ref("Database", "db"), "kronvoy-hub")}, outcome{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := kronvoyv1alpha1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			for _, kind := range []string{"Shop", "Database"} {
				gvk := kinds.Request{Group: "kro.run", Version: "v1alpha1", Kind: kind}.GVK()
				scheme.AddKnownTypeWithName(gvk, &unstructured.Unstructured{})
				scheme.AddKnownTypeWithName(gvk.GroupVersion().WithKind(kind+"List"), &unstructured.UnstructuredList{})
			}
			c := fake.NewClientBuilder().WithScheme(scheme).WithReturnManagedFields().WithObjects(test.objects...).Build()
			orphans := Orphans{Client: c, Reader: c, Clock: clocktesting.NewFakeClock(now)}
			req := kinds.Request{Group: "kro.run", Version: "v1alpha1", Kind: "Database", Namespace: "shop", Name: "db"}
			result, err := orphans.Reconcile(context.Background(), req)
			if err != nil {
				t.Fatal(err)
			}
			err = c.Get(context.Background(), client.ObjectKey{Namespace: "shop", Name: "db"}, kinds.Object(req.GVK()))
			if client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, outcome{apierrors.IsNotFound(err), result.RequeueAfter}); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}
