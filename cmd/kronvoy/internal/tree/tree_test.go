package tree

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/golden"
)

var noon = time.Date(2026, 9, 4, 12, 0, 0, 0, time.UTC)

func object(apiVersion, kind, namespace, name string, more map[string]any) *unstructured.Unstructured {
	o := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{
		"namespace": namespace, "name": name, "uid": name, "creationTimestamp": noon.Add(-48 * time.Hour).Format(time.RFC3339),
	}}
	for key, value := range more {
		o[key] = value
	}
	return &unstructured.Unstructured{Object: o}
}

func ago(d time.Duration) metav1.Time { return metav1.NewTime(noon.Add(-d)) }

// hub has an instance on as many clusters. The last has failed, and on the first an
// object differs. Each has a resource that is an instance itself.
func hub(t *testing.T, clusters int) client.Client {
	t.Helper()
	scheme, err := connect.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	app := object("kro.run/v1alpha1", "App", "shop", "web", map[string]any{"status": map[string]any{"state": "IN_PROGRESS"}})
	objects := []client.Object{
		object("kro.run/v1alpha1", "ResourceGraphDefinition", "", "app", map[string]any{"spec": map[string]any{"schema": map[string]any{"apiVersion": "v1alpha1", "kind": "App"}}}),
		object("kro.run/v1alpha1", "ResourceGraphDefinition", "", "database", map[string]any{"spec": map[string]any{"schema": map[string]any{"apiVersion": "v1alpha1", "kind": "Database"}}}),
		app,
		&kronvoyv1alpha1.Rollout{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "calm"},
			Status:     kronvoyv1alpha1.RolloutStatus{Phase: kronvoyv1alpha1.RolloutProgressing, Group: "eu", Message: "1 of 2 clusters have what is wanted"},
		},
	}
	identity := work.IdentityOfInstance(app)
	for i, name := range []string{"web-1111", "web-2222"} {
		objects = append(objects, &appsv1.ControllerRevision{Revision: int64(i + 1), ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, CreationTimestamp: ago(time.Duration(2-i) * time.Hour), Labels: map[string]string{kronvoyv1alpha1.LabelInstance: identity.Hash()},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(app, app.GroupVersionKind())},
		}})
	}
	for i := range clusters {
		name := fmt.Sprintf("c%04d", i)
		since := ago(time.Duration(i+1) * time.Minute)
		target := &kronvoyv1alpha1.Target{
			ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: identity.TargetName(), Labels: map[string]string{kronvoyv1alpha1.LabelInstance: identity.Hash()}},
			Spec:       kronvoyv1alpha1.TargetSpec{Instance: identity.Reference(), Revision: "web-2222", Distribution: "calm"},
			Status: kronvoyv1alpha1.TargetStatus{State: kronvoyv1alpha1.TargetReady, Health: kronvoyv1alpha1.Healthy, Revision: "web-2222", Clocks: kronvoyv1alpha1.Clocks{StateSince: &since},
				Nodes: []kronvoyv1alpha1.NodeStatus{{ID: "settings", State: "Ready"}, {ID: "deployment", State: "Ready", Health: kronvoyv1alpha1.Healthy}}},
		}
		if i == 0 {
			target.Status.Drift.Objects = 1
			child := object("kro.run/v1alpha1", "Database", "shop", "web-db-c0000", map[string]any{"status": map[string]any{"state": "ACTIVE"}})
			target.Status.Children = []kronvoyv1alpha1.ChildReference{{APIVersion: "kro.run/v1alpha1", Kind: "Database", Namespace: "shop", Name: child.GetName(), Node: "database", Wave: 1}}
			of := work.IdentityOfInstance(child)
			objects = append(objects, child, &kronvoyv1alpha1.Target{
				ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: of.TargetName(), Labels: map[string]string{kronvoyv1alpha1.LabelInstance: of.Hash()}},
				Spec:       kronvoyv1alpha1.TargetSpec{Instance: of.Reference(), Revision: "db-1"},
				Status:     kronvoyv1alpha1.TargetStatus{State: kronvoyv1alpha1.TargetReady, Revision: "db-1"},
			})
		}
		if i == clusters-1 {
			target.Status.State, target.Status.Revision, target.Status.Message = kronvoyv1alpha1.TargetFailed, "web-1111", "deployment: the quota is exceeded"
			target.Status.Nodes[1] = kronvoyv1alpha1.NodeStatus{ID: "deployment", State: "Held", WaitsFor: []string{"settings.data.ready"}}
		}
		objects = append(objects, target)
		if i == 0 || i == clusters-1 {
			objects = append(objects, shipped(t, name, identity)...)
		}
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

// shipped is a work with two objects, of which somebody changed the second.
func shipped(t *testing.T, cluster string, identity work.Identity) []client.Object {
	t.Helper()
	policies, err := json.Marshal([]kronvoyv1alpha1.ManifestPolicy{{Node: "settings"}, {Node: "deployment", Wave: 1}})
	if err != nil {
		t.Fatal(err)
	}
	w := &workv1.ManifestWork{ObjectMeta: metav1.ObjectMeta{
		Namespace: cluster, Name: "web-0", Labels: map[string]string{kronvoyv1alpha1.LabelInstance: identity.Hash()},
		Annotations: map[string]string{kronvoyv1alpha1.AnnotationManifestPolicies: string(policies)},
	}}
	for _, id := range []workv1.ResourceIdentifier{{Resource: "configmaps", Namespace: "shop", Name: "web"}, {Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web"}} {
		manifest := object("v1", "ConfigMap", id.Namespace, id.Name, nil)
		if id.Group != "" {
			manifest = object("apps/v1", "Deployment", id.Namespace, id.Name, nil)
		}
		raw, err := manifest.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		w.Spec.Workload.Manifests = append(w.Spec.Workload.Manifests, workv1.Manifest{RawExtension: runtime.RawExtension{Raw: raw}})
		w.Spec.ManifestConfigs = append(w.Spec.ManifestConfigs, workv1.ManifestConfigOption{ResourceIdentifier: id})
		w.Status.ResourceStatus.Manifests = append(w.Status.ResourceStatus.Manifests, workv1.ManifestCondition{
			ResourceMeta: workv1.ManifestResourceMeta{Group: id.Group, Resource: id.Resource, Namespace: id.Namespace, Name: id.Name},
			Conditions:   []metav1.Condition{{Type: workv1.WorkApplied, Status: metav1.ConditionTrue, LastTransitionTime: ago(time.Hour)}},
		})
	}
	report := &kronvoyv1alpha1.WorkReport{ObjectMeta: metav1.ObjectMeta{Namespace: cluster, Name: "web-0", Labels: w.Labels}}
	report.Status.Findings = []kronvoyv1alpha1.Finding{{
		ObjectReference: kronvoyv1alpha1.ObjectReference{Group: "apps", Resource: "deployments", Kind: "Deployment", Namespace: "shop", Name: "web"},
		Details:         []kronvoyv1alpha1.FindingDetail{{Path: "spec.replicas", Manager: "kubectl"}},
	}}
	return []client.Object{w, report}
}

func TestTree(t *testing.T) {
	for name, tc := range map[string]struct {
		clusters int
		opts     Options
	}{
		"two clusters":                    {clusters: 2},
		"the worst of two thousand":       {clusters: 2000},
		"one cluster of two thousand":     {clusters: 2000, opts: Options{Cluster: "c0000"}},
		"all clusters, if they are asked": {clusters: 12, opts: Options{All: true}},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := Of(t.Context(), hub(t, tc.clusters), "shop", "app/web", tc.opts)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := found.Write(&out, noon, output.Style{}); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, filepath.Join("testdata", name+".txt"), out.String())
		})
	}
}

func TestATreeOfAClusterThatHasItNot(t *testing.T) {
	_, err := Of(t.Context(), hub(t, 2), "shop", "app/web", Options{Cluster: "elsewhere"})
	if err == nil || !strings.Contains(err.Error(), "kronvoy explain instance app/web -n shop --cluster elsewhere") {
		t.Errorf("the error is %v", err)
	}
}
