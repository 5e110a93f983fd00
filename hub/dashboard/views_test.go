package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
)

const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>`

// secretive is a definition of which one resource is a Secret and another one
// repeats its value.
const secretive = `
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: webapp}
spec:
  schema: {apiVersion: v1alpha1, kind: WebApp, spec: {note: string, token: string | default=""}}
  resources:
  - id: password
    template: {apiVersion: v1, kind: Secret, metadata: {name: password}, stringData: {key: hunter2, token: "${schema.spec.token}"}}
  - id: config
    template: {apiVersion: v1, kind: ConfigMap, metadata: {name: config}, data: {url: "x://${string(password.data.key)}", note: "${schema.spec.note}"}}
`

// graphs compiles, and has every revision of the one definition.
type graphs struct {
	definition *krov1alpha1.ResourceGraphDefinition
}

func (g graphs) Compile(d *krov1alpha1.ResourceGraphDefinition) (*graph.Graph, graph.Issues) {
	source, err := convert.Source(d)
	if err != nil {
		return nil, graph.Issues{{Path: "spec", Offset: -1, Reason: "Unreadable", Message: err.Error()}}
	}
	return graph.Compile(source, builtin.Resolver())
}

func (g graphs) Shown(context.Context, string) (*graph.Graph, error) {
	compiled, issues := g.Compile(g.definition)
	return compiled, issues.Err()
}

// scene is an instance on two clusters, and what a test has besides.
func scene(t *testing.T, more ...client.Object) *testbed {
	t.Helper()
	definition := &krov1alpha1.ResourceGraphDefinition{}
	if err := yaml.Unmarshal([]byte(secretive), definition); err != nil {
		t.Fatal(err)
	}
	definition.Spec.Schema.Group = "kro.run"
	broken := definition.DeepCopy()
	broken.Name = "broken"
	broken.Spec.Schema.Kind = "Broken"
	broken.Spec.Resources[1].ID = hostile
	instance := func(namespace string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "kro.run/v1alpha1", "kind": "WebApp", "spec": map[string]any{"note": "hello"},
			"metadata": map[string]any{"name": "shop", "namespace": namespace},
			"status": map[string]any{"state": "ACTIVE", "fleet": map[string]any{"placed": int64(2), "ready": int64(1), "revision": "shop-1"},
				"conditions": []any{map[string]any{"type": "Ready", "status": "False", "reason": "Failed", "message": hostile}}},
		}}
		return o
	}
	identity := work.IdentityOfInstance(instance("shop"))
	stored, err := revision.Instance{Definition: "webapp-1", Spec: map[string]any{"note": "hello"}}.Object("shop", identity, 1, metav1.OwnerReference{})
	if err != nil {
		t.Fatal(err)
	}
	objects := []client.Object{definition, broken, instance("shop"), instance("other"), stored, managed("eu-west", "eu"), managed("us-east", "us")}
	for _, cluster := range []string{"eu-west", "us-east"} {
		target := targetOn(cluster, "shop", kronvoyv1alpha1.TargetReady)
		target.Name, target.Labels = identity.TargetName(), map[string]string{kronvoyv1alpha1.LabelInstance: identity.Hash()}
		target.Spec.Revision, target.Status.Message = stored.Name, hostile
		target.Status.Reason = "SecretValues"
		target.Status.Nodes = []kronvoyv1alpha1.NodeStatus{{ID: "password", State: "Ready"}, {ID: "config", State: "Held", WaitsFor: []string{"password.data.key"}, Message: hostile}}
		objects = append(objects, target, workOn(t, cluster, identity), reportOn(cluster, identity))
	}
	objects = append(objects,
		&clusterv1beta1.Placement{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "prod"}, Spec: clusterv1beta1.PlacementSpec{ClusterSets: []string{"global"}}},
		&clusterv1beta2.ManagedClusterSet{ObjectMeta: metav1.ObjectMeta{Name: "global"}, Spec: clusterv1beta2.ManagedClusterSetSpec{
			ClusterSelector: clusterv1beta2.ManagedClusterSelector{SelectorType: clusterv1beta2.LabelSelector, LabelSelector: &metav1.LabelSelector{}}}},
		&clusterv1beta2.ManagedClusterSetBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "global"}, Spec: clusterv1beta2.ManagedClusterSetBindingSpec{ClusterSet: "global"}},
		&kronvoyv1alpha1.ApprovalRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "ask", UID: "u-1"},
			Spec: kronvoyv1alpha1.ApprovalRequestSpec{Action: kronvoyv1alpha1.ApprovalRemove, PlanHash: "h", Message: hostile, ClusterCount: 2, Clusters: []string{"eu-west"}}})
	b := newTestbed(t, append(objects, more...)...)
	b.server.opts.Graphs = graphs{definition}
	return b
}

func workOn(t *testing.T, cluster string, identity work.Identity) *workv1.ManifestWork {
	t.Helper()
	w := &workv1.ManifestWork{ObjectMeta: metav1.ObjectMeta{Namespace: cluster, Name: identity.WorkName(0), Labels: map[string]string{kronvoyv1alpha1.LabelInstance: identity.Hash()}}}
	policies := []kronvoyv1alpha1.ManifestPolicy{{Node: "password"}, {Node: "config"}, {Node: "gone"}}
	text, err := json.Marshal(policies)
	if err != nil {
		t.Fatal(err)
	}
	w.Annotations = map[string]string{kronvoyv1alpha1.AnnotationManifestPolicies: string(text)}
	for _, manifest := range []string{
		`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"password"},"stringData":{"key":"hunter2"}}`,
		fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"config"},"data":{"url":"x://hunter2","note":"on %s"}}`, cluster),
		`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"gone"},"data":{"url":"x://hunter2"}}`,
	} {
		w.Spec.Workload.Manifests = append(w.Spec.Workload.Manifests, workv1.Manifest{RawExtension: runtime.RawExtension{Raw: []byte(manifest)}})
	}
	return w
}

func reportOn(cluster string, identity work.Identity) *kronvoyv1alpha1.WorkReport {
	r := &kronvoyv1alpha1.WorkReport{ObjectMeta: metav1.ObjectMeta{Namespace: cluster, Name: identity.WorkName(0), Labels: map[string]string{kronvoyv1alpha1.LabelInstance: identity.Hash()}}}
	r.Status.Findings = []kronvoyv1alpha1.Finding{{
		ID: "f1-" + cluster, ObjectReference: kronvoyv1alpha1.ObjectReference{Version: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "config"}, Node: "config",
		Action: kronvoyv1alpha1.FindingReported, FirstSeen: metav1.NewTime(noon.Add(-time.Hour)), DetailCount: 1,
		Details: []kronvoyv1alpha1.FindingDetail{{Path: "data.note", Desired: `"on ` + cluster + `"`, Observed: hostile, Manager: "kubectl-edit"}},
	}}
	return r
}

const instancePath = "/instances/kro.run/v1alpha1/WebApp/shop/shop"

var allPages = []string{
	"/", "/clusters/eu-west", "/instances", instancePath, instancePath + "?cluster=eu-west", instancePath + "?cluster=eu-west&against=us-east",
	instancePath + "?node=config", "/definitions", "/definitions/webapp", "/definitions/broken", "/drift", "/placements", "/placements/shop/prod", "/approvals", "/rollouts",
}

func TestEveryViewIsServed(t *testing.T) {
	b := scene(t)
	admin := b.as("admin-token")
	for path, wants := range map[string][]string{
		"/instances":                      {"shop/WebApp/shop", "other/WebApp/shop", "1 of 2"},
		instancePath:                      {"<svg", `<title>config, ConfigMap, uses password; 2 held</title>`, "eu-west", "us-east", "ACTIVE"},
		instancePath + "?node=config":     {"password.data.key", "held"},
		instancePath + "?cluster=eu-west": {"note: on eu-west", "ConfigMap config", "it is of no resource of this revision"},
		instancePath + "?cluster=eu-west&against=us-east": {"<del>−   note: on eu-west</del><ins>+   note: on us-east</ins>"},
		"/definitions":          {"webapp", "broken"},
		"/definitions/webapp":   {"<svg", "password", "SecretValues", "spec.resources[1].template.data.url"},
		"/definitions/broken":   {"spec.resources[1].id", "There is no picture"},
		"/drift":                {"data.note", "kubectl-edit", "2 findings wait", `value="Accept"`},
		"/placements":           {"shop/prod"},
		"/placements/shop/prod": {"2 clusters are selected", "eu-west", "✓"},
		"/approvals":            {"shop/ask", `value="Approved"`},
	} {
		got := admin.get(path)
		if got.status != http.StatusOK {
			t.Errorf("%s gives %d", path, got.status)
		}
		b.wants(got.body, wants...)
	}
	if got := admin.get("/instances/v1/v1/Secret/shop/shop").status; got != http.StatusNotFound {
		t.Errorf("a kind that no definition generates gives %d", got)
	}
}

func TestNoViewShowsValuesOfSecretsOrRunsWhatItShows(t *testing.T) {
	b := scene(t)
	admin := b.as("admin-token")
	for _, path := range allPages {
		got := admin.get(path)
		if got.status != http.StatusOK {
			t.Errorf("%s gives %d", path, got.status)
		}
		b.lacks(got.body, "hunter2", "<script>alert", "<img src=x", " style=", "javascript:")
		if strings.Contains(got.body, "<script") && !strings.Contains(got.body, `<script type="module" src="/static/`) {
			t.Errorf("%s has a script of its own", path)
		}
	}
}

func TestATenantSeesHisNamespaceAlone(t *testing.T) {
	b := scene(t)
	b.api.rights["nobody"] = []Right{
		{Verb: "*", Group: "kro.run", Resource: "webapps", Namespace: "shop", Name: "*"}, {Verb: "*", Group: "kro.run", Resource: "webapps", Namespace: "shop"},
	}
	tenant := b.as("none-token")
	list := tenant.get("/instances").body
	b.wants(list, "shop/WebApp/shop")
	b.lacks(list, "other/WebApp")
	own := tenant.get(instancePath)
	b.wants(own.body, "ACTIVE", "There is no picture", "The instance is on 2 more clusters")
	b.lacks(own.body, "eu-west", "us-east", "<svg ")
	for path, want := range map[string]int{
		"/instances/kro.run/v1alpha1/WebApp/other/shop": http.StatusForbidden, "/instances/kro.run/v1alpha1/WebApp/other/nowhere": http.StatusForbidden,
		instancePath + "?cluster=eu-west": http.StatusNotFound, "/definitions/webapp": http.StatusForbidden, "/definitions/nowhere": http.StatusForbidden,
		"/placements/shop/prod": http.StatusForbidden, "/clusters/eu-west": http.StatusForbidden,
	} {
		if got := tenant.get(path); got.status != want {
			t.Errorf("%s gives %d, want %d", path, got.status, want)
		}
	}
	for _, path := range []string{"/", "/definitions", "/drift", "/placements", "/approvals", "/rollouts"} {
		b.lacks(tenant.get(path).body, "clusters/eu-west", "definitions/webapp", "data.note", "shop/prod", "shop/ask")
	}
}

func TestManifestsTakeARightOfTheirOwn(t *testing.T) {
	b := scene(t)
	b.api.rights["nobody"] = []Right{
		{Verb: "*", Group: "kro.run", Resource: "*", Namespace: "*", Name: "*"}, {Verb: "list", Group: kronvoyGroup, Resource: "*", Namespace: "*", Name: "*"},
		{Verb: "get", Group: clusterGroup, Resource: "*", Namespace: "*", Name: "*"},
	}
	viewer := b.as("none-token")
	body := viewer.get(instancePath + "?cluster=eu-west&against=us-east").body
	b.wants(body, "Manifests are not shown: it takes the right to list manifestworks.work.open-cluster-management.io in namespace eu-west", "<svg")
	b.lacks(body, "note: on eu-west")
	drift := viewer.get("/drift").body
	b.wants(drift, "data.note")
	b.lacks(drift, `value="Accept"`)
	approvals := viewer.get("/approvals").body
	b.wants(approvals, "To answer takes the right to approve")
	b.lacks(approvals, `value="Approved"`)
}

func TestDecisionsAreMadeInTheViewersName(t *testing.T) {
	b := scene(t)
	var acted []string
	as := b.server.as
	b.server.as = func(v *Viewer) (client.Client, error) { acted = append(acted, v.Name+" "+v.token); return as(v) }
	admin := b.as("admin-token")

	got := admin.post("/drift", url.Values{"csrf": {admin.csrf()}, "cluster": {"eu-west"}, "id": {"f1-eu-west"}, "verdict": {"Accept"}, "reason": {"a test"}})
	if got.status != http.StatusSeeOther {
		t.Fatalf("accepting gives %d:\n%s", got.status, got.body)
	}
	var targets kronvoyv1alpha1.TargetList
	if err := b.client.List(t.Context(), &targets, client.InNamespace("eu-west")); err != nil {
		t.Fatal(err)
	}
	decisions, err := kronvoyv1alpha1.ParseDriftDecisions(targets.Items[0].Annotations)
	if err != nil || len(decisions) != 1 || decisions[0].By != "admin" || decisions[0].Verdict != kronvoyv1alpha1.DriftAccept || decisions[0].Reason != "a test" {
		t.Errorf("decided is %+v, %v", decisions, err)
	}
	b.wants(admin.get("/drift").body, "<caption>Accepted</caption>", "a test")

	got = admin.post("/approvals", url.Values{"csrf": {admin.csrf()}, "namespace": {"shop"}, "name": {"ask"}, "uid": {"u-1"}, "decision": {"Approved"}})
	if got.status != http.StatusSeeOther {
		t.Fatalf("approving gives %d:\n%s", got.status, got.body)
	}
	var request kronvoyv1alpha1.ApprovalRequest
	if err := b.client.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "ask"}, &request); err != nil {
		t.Fatal(err)
	}
	if request.Status.Decision != kronvoyv1alpha1.Approved || request.Status.DecidedBy != "admin" {
		t.Errorf("the answer is %+v", request.Status)
	}
	for _, who := range acted {
		if who != "admin admin-token" {
			t.Errorf("somebody else acted: %s", who)
		}
	}
	if len(acted) != 2 {
		t.Errorf("%d clients were made", len(acted))
	}
	for path, form := range map[string]url.Values{
		"/drift":     {"cluster": {"eu-west"}, "id": {"f1-eu-west"}, "verdict": {"Correct"}},
		"/approvals": {"namespace": {"shop"}, "name": {"ask"}, "uid": {"u-1"}, "decision": {"Rejected"}},
	} {
		if got := admin.post(path, form).status; got != http.StatusForbidden {
			t.Errorf("%s without the form's token gives %d", path, got)
		}
		form.Set("csrf", admin.csrf())
		form.Set("verdict", "x")
		form.Set("decision", "x")
		if got := admin.post(path, form).status; got != http.StatusBadRequest {
			t.Errorf("%s with nonsense gives %d", path, got)
		}
	}
}
