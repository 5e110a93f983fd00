package target

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	graphschema "github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
)

// TestOnlyWhatIsItsOwnFaultFailsATarget: an API server that does not answer for
// a moment says nothing about a Target.
func TestOnlyWhatIsItsOwnFaultFailsATarget(t *testing.T) {
	busy := apierrors.NewTooManyRequests("busy", 1)
	tests := map[string]struct {
		// definition, cluster and schema are the answers to who reads them.
		definition, cluster, schema error
		// failed is a part of the Target's message; empty where it is tried again.
		failed string
	}{
		"the revision's definition is not read":  {definition: busy},
		"the cluster is not read":                {cluster: apierrors.NewServiceUnavailable("starting")},
		"the connection breaks":                  {cluster: errors.New("connection reset by peer")},
		"the schema is not read":                 {schema: apierrors.NewTimeoutError("slow", 1)},
		"the revision's definition is not there": {definition: apierrors.NewNotFound(appsv1.Resource("controllerrevisions"), "app-1"), failed: "app-1"},
		"the cluster is not there":               {cluster: apierrors.NewNotFound(clusterv1.Resource("managedclusters"), "eu-west"), failed: "eu-west"},
		"a kind is not served":                   {schema: graphschema.ErrNotFound, failed: "no longer compiles"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ref := kronvoyv1alpha1.InstanceReference{APIVersion: "kro.run/v1alpha1", Kind: "App", Namespace: "shop", Name: "one"}
			made, target := fixture(t, ref)
			c := hubWith(t, made...)
			answering := func(fails func(client.Object) error) client.WithWatch {
				return interceptor.NewClient(c, interceptor.Funcs{
					Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
						if err := fails(obj); err != nil {
							return err
						}
						return c.Get(ctx, key, obj, opts...)
					},
				})
			}
			resolver := graphschema.ResolverFunc(func(gvk schema.GroupVersionKind) (*graphschema.Type, error) {
				if test.schema != nil {
					return nil, test.schema
				}
				return builtin.Resolver().Resolve(gvk)
			})
			answers := answering(func(obj client.Object) error {
				if _, reads := obj.(*clusterv1.ManagedCluster); reads {
					return test.cluster
				}
				return nil
			})
			r := &Reconciler{
				Client: answers,
				Gatherer: Gatherer{
					Cached: answers, Reader: c, Namespaces: c, Namespace: "kronvoy-system",
					Store: definition.NewStore(answering(func(client.Object) error { return test.definition }), "kronvoy-system", resolver),
				},
				Clock: clocktesting.NewFakeClock(time.Date(2026, 9, 4, 12, 0, 0, 0, time.UTC)),
			}
			_, err := r.Reconcile(t.Context(), mcreconcile.Request{ClusterName: "eu-west", Request: requests(target)[0].Request})
			after := &kronvoyv1alpha1.Target{}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(target), after); err != nil {
				t.Fatal(err)
			}
			switch {
			case test.failed == "" && (err == nil || after.Status.State != ""):
				t.Errorf("the error is %v and the Target %s: %s; it was to be tried again", err, after.Status.State, after.Status.Message)
			case test.failed != "" && (err != nil || after.Status.State != kronvoyv1alpha1.TargetFailed || !strings.Contains(after.Status.Message, test.failed)):
				t.Errorf("the error is %v and the Target %s: %s; it was to be Failed with %q", err, after.Status.State, after.Status.Message, test.failed)
			}
		})
	}
}

// hubWith is an API server that has objects.
func hubWith(t *testing.T, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		kronvoyv1alpha1.AddToScheme, appsv1.AddToScheme, corev1.AddToScheme, clusterv1.Install, workv1.Install,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	byInstance := func(o client.Object) []string { return []string{o.GetLabels()[kronvoyv1alpha1.LabelInstance]} }
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&kronvoyv1alpha1.Target{}).
		WithIndex(&kronvoyv1alpha1.Target{}, index.Instance, byInstance).
		WithIndex(&workv1.ManifestWork{}, index.Instance, byInstance).
		WithIndex(&kronvoyv1alpha1.WorkReport{}, index.Instance, byInstance).Build()
}

// fixture is an instance with its revision and that of its definition, a cluster,
// and the Target that brings the one to the other.
func fixture(t *testing.T, ref kronvoyv1alpha1.InstanceReference) ([]client.Object, *kronvoyv1alpha1.Target) {
	t.Helper()
	owner := metav1.OwnerReference{APIVersion: "v1", Kind: "Anything", Name: "owner", UID: "owner"}
	stored, err := revision.Definition{Name: "app", Hash: "v1-0123456789abcdef", Spec: []byte(`{
		"schema": {"apiVersion": "v1alpha1", "kind": "App", "spec": {"text": "string"}},
		"resources": [{"id": "config", "template": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"text": "${schema.spec.text}"}}}]
	}`)}.Object("kronvoy-system", 1, owner)
	if err != nil {
		t.Fatal(err)
	}
	identity := work.IdentityOf(ref)
	made, err := revision.Instance{Definition: stored.Name, Spec: map[string]any{"text": "a"}}.Object(ref.Namespace, identity, 1, owner)
	if err != nil {
		t.Fatal(err)
	}
	instance := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"text": "a"}}}
	instance.SetAPIVersion(ref.APIVersion)
	instance.SetKind(ref.Kind)
	instance.SetNamespace(ref.Namespace)
	instance.SetName(ref.Name)
	target := &kronvoyv1alpha1.Target{
		ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west", Name: identity.TargetName(), Finalizers: []string{kronvoyv1alpha1.FinalizerTarget}},
		Spec:       kronvoyv1alpha1.TargetSpec{Instance: ref, Revision: made.Name},
	}
	cluster := &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: "eu-west"}}
	return []client.Object{stored, made, instance, target, cluster}, target
}
