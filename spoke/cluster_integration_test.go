//go:build integration

package spoke_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke"
)

// gate answers in the API server's place where a path is closed.
type gate struct {
	next   http.RoundTripper
	prefix string
	code   *atomic.Int64
}

func (g gate) RoundTrip(req *http.Request) (*http.Response, error) {
	code := int(g.code.Load())
	if code == 0 || !strings.HasPrefix(req.URL.Path, g.prefix) {
		return g.next.RoundTrip(req)
	}
	status := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, metav1.StatusReasonForbidden, code)
	return &http.Response{
		StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(status)), Request: req,
	}, nil
}

// closable makes an agent's way to a path of its cluster that can be closed with
// an answer.
func closable(prefix string) (code *atomic.Int64, option func(*spoke.Options)) {
	code = &atomic.Int64{}
	return code, func(o *spoke.Options) {
		o.Spoke = rest.CopyConfig(o.Spoke)
		o.Spoke.Wrap(func(next http.RoundTripper) http.RoundTripper { return gate{next: next, prefix: prefix, code: code} })
	}
}

// speaking is for an agent that speaks for its cluster, in a hurry.
func speaking(o *spoke.Options) {
	o.LeaseDuration, o.HealthCheckPeriod = time.Second, 1200*time.Millisecond
}

// register makes the world's ManagedCluster.
func (w *world) register() client.Client {
	w.t.Helper()
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clusterv1.Install, clusterv1alpha1.Install, corev1.AddToScheme} {
		if err := add(types); err != nil {
			w.t.Fatal(err)
		}
	}
	c, err := client.New(server, client.Options{Scheme: types})
	if err != nil {
		w.t.Fatal(err)
	}
	managed := &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: w.cluster}, Spec: clusterv1.ManagedClusterSpec{HubAcceptsClient: true}}
	if err := c.Create(w.ctx, managed); err != nil {
		w.t.Fatal(err)
	}
	apimeta.SetStatusCondition(&managed.Status.Conditions, metav1.Condition{Type: clusterv1.ManagedClusterConditionJoined, Status: metav1.ConditionTrue, Reason: "Joined"})
	if err := c.Status().Update(w.ctx, managed); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) managed(c client.Client) *clusterv1.ManagedCluster {
	w.t.Helper()
	managed := &clusterv1.ManagedCluster{}
	if err := c.Get(w.ctx, client.ObjectKey{Name: w.cluster}, managed); err != nil {
		w.t.Fatal(err)
	}
	return managed
}

// says waits until the hub knows these claims; empty means that there is none.
func (w *world) says(c client.Client, want map[string]string) {
	w.t.Helper()
	w.eventually("the hub to know the claims", func() error {
		got := map[string]string{}
		for name := range want {
			got[name] = ""
		}
		for _, claim := range w.managed(c).Status.ClusterClaims {
			if _, asked := want[claim.Name]; asked {
				got[claim.Name] = claim.Value
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
}

// available waits for the condition, and says that the one of somebody else is
// still there.
func (w *world) available(c client.Client, status metav1.ConditionStatus, reason string) {
	w.t.Helper()
	w.eventually("the cluster's availability to be "+string(status), func() error {
		conditions := w.managed(c).Status.Conditions
		if !apimeta.IsStatusConditionTrue(conditions, clusterv1.ManagedClusterConditionJoined) {
			w.t.Fatal("a condition of somebody else is gone")
		}
		if got := apimeta.FindStatusCondition(conditions, clusterv1.ManagedClusterConditionAvailable); got == nil || got.Status != status || got.Reason != reason {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
}

func (w *world) node(name, image string) *corev1.Node {
	amounts := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi")}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyRegion: "eu", "extensions.talos.dev/iscsi-tools": "v0.2.0"}},
		Spec:       corev1.NodeSpec{ProviderID: "metal3://" + name},
		Status: corev1.NodeStatus{
			Capacity: amounts, Allocatable: amounts,
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
			NodeInfo:   corev1.NodeSystemInfo{OSImage: image, KernelVersion: "6.18.8-talos", Architecture: "amd64", OperatingSystem: "linux", KubeletVersion: "v1.36.3"},
		},
	}
}

// TestWhatTheAgentSaysOfItsCluster is one test, for all agents here see the same
// nodes.
func TestWhatTheAgentSaysOfItsCluster(t *testing.T) {
	t.Parallel()
	nodesClosed, noNodes := closable("/api/v1/nodes")
	w := newWorld(t, speaking, noNodes, func(o *spoke.Options) { o.MaxCustomClaims = 2 })
	c := w.register()
	exist := func(obj client.Object) {
		t.Helper()
		if err := c.Create(w.ctx, obj); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Delete(t.Context(), obj); err != nil && !apierrors.IsNotFound(err) && t.Context().Err() == nil {
				t.Error(err)
			}
		})
	}
	nodes := []*corev1.Node{w.node("facts-1", "Talos (v1.12.4)"), w.node("facts-2", "Talos (v1.12.4)")}
	for _, node := range nodes {
		exist(node)
	}
	claim := func(name, value string) *clusterv1alpha1.ClusterClaim {
		return &clusterv1alpha1.ClusterClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: clusterv1alpha1.ClusterClaimSpec{Value: value}}
	}
	hidden := claim("aaa.example.com", "secret")
	hidden.Labels = map[string]string{"open-cluster-management.io/spoke-only": ""}
	for _, said := range []*clusterv1alpha1.ClusterClaim{
		hidden, claim("team.example.com", "shop"), claim("version.talos.dev", "v9.9.9"), claim("product.open-cluster-management.io", "Mine"),
	} {
		exist(said)
	}
	system := &corev1.Namespace{}
	if err := c.Get(w.ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, system); err != nil {
		t.Fatal(err)
	}

	w.start()
	w.available(c, metav1.ConditionTrue, "ManagedClusterAvailable")
	w.says(c, map[string]string{
		kronvoyv1alpha1.ClaimFeatures: "WorkReport,Health",
		"id.k8s.io":                   string(system.UID), "product.open-cluster-management.io": "Talos", "platform.open-cluster-management.io": "BareMetal",
		"region.kronvoy.io": "eu", "zone.kronvoy.io": "", "nodes.kronvoy.io/total": "2", "osimages.kronvoy.io": "Talos (v1.12.4)=2",
		"version.talos.dev": "v1.12.4", "versions.talos.dev": "v1.12.4=2", "upgrading.talos.dev": "false", "extensions.talos.dev/iscsi-tools": "v0.2.0",
		"team.example.com": "shop", "aaa.example.com": "",
	})
	managed := w.managed(c)
	if cpu := managed.Status.Capacity["cpu"]; cpu.String() != "8" || managed.Status.Version.Kubernetes == "" {
		t.Errorf("its status is %v", managed.Status)
	}

	// Nothing changes, though nodes heartbeat: nothing but the lease is written.
	w.written()
	version := managed.ResourceVersion
	for i := range 20 {
		nodes[0].Status.Conditions[0].LastHeartbeatTime = metav1.NewTime(time.Now().Add(time.Duration(i) * time.Minute))
		nodes[0].Status.Images = append(nodes[0].Status.Images, corev1.ContainerImage{Names: []string{fmt.Sprint(i)}})
		if err := c.Status().Update(w.ctx, nodes[0]); err != nil {
			t.Fatal(err)
		}
	}
	leases := 0
	w.eventually("some heartbeats", func() error {
		for _, write := range w.written() {
			if !strings.HasSuffix(write, "leases/managed-cluster-lease") {
				t.Fatalf("the agent wrote %s", write)
			}
			leases++
		}
		if leases < 3 {
			return fmt.Errorf("%d leases were written", leases)
		}
		return nil
	})
	if got := w.managed(c).ResourceVersion; got != version {
		t.Errorf("the ManagedCluster was written: version %s, then %s", version, got)
	}

	// An upgrade, node by node.
	nodes[0].Spec.Unschedulable = true
	if err := c.Update(w.ctx, nodes[0]); err != nil {
		t.Fatal(err)
	}
	nodes[0].Status.NodeInfo.OSImage = "Talos (v1.13.3)"
	if err := c.Status().Update(w.ctx, nodes[0]); err != nil {
		t.Fatal(err)
	}
	w.says(c, map[string]string{"version.talos.dev": "v1.12.4", "versions.talos.dev": "v1.12.4=1,v1.13.3=1", "upgrading.talos.dev": "true", "nodes.talos.dev/cordoned": "1"})
	if cpu := w.managed(c).Status.Allocatable["cpu"]; cpu.String() != "4" {
		t.Errorf("allocatable are %s, with one of two nodes cordoned", cpu.String())
	}

	// More ClusterClaims than the hub is told.
	for _, name := range []string{"x1.example.com", "x2.example.com"} {
		exist(claim(name, "1"))
	}
	w.says(c, map[string]string{"team.example.com": "shop", "x1.example.com": "1", "x2.example.com": ""})
	truncated := apimeta.FindStatusCondition(w.managed(c).Status.Conditions, kronvoyv1alpha1.ConditionClaimsTruncated)
	if truncated == nil || !strings.Contains(truncated.Message, "x2.example.com") {
		t.Errorf("of the claim that is not told the hub hears %v", truncated)
	}

	// What may not be read any more is not said any more; the rest is.
	w.stop()
	nodesClosed.Store(http.StatusForbidden)
	w.start()
	w.says(c, map[string]string{"version.talos.dev": "", "nodes.kronvoy.io/total": "", "team.example.com": "shop", "product.open-cluster-management.io": "Mine"})
	if got := w.managed(c).Status; got.Capacity != nil || got.Allocatable != nil {
		t.Errorf("resources are %v, %v", got.Capacity, got.Allocatable)
	}
	w.available(c, metav1.ConditionTrue, "ManagedClusterAvailable")
}

func TestAnAPIServerThatIsDown(t *testing.T) {
	t.Parallel()
	down, livez := closable("/livez")
	w := newWorld(t, speaking, livez)
	c := w.register()
	w.start()
	w.available(c, metav1.ConditionTrue, "ManagedClusterAvailable")
	claims := w.managed(c).Status.ClusterClaims
	down.Store(http.StatusInternalServerError)
	w.available(c, metav1.ConditionFalse, "ManagedClusterKubeAPIServerUnavailable")
	if got := w.managed(c).Status.ClusterClaims; !slices.Equal(claims, got) {
		t.Errorf("what was said before is %v now", got)
	}
	// The hub took the lease for stopped meanwhile: what the agent says next is not
	// lost.
	managed := w.managed(c)
	apimeta.SetStatusCondition(&managed.Status.Conditions, metav1.Condition{
		Type: clusterv1.ManagedClusterConditionAvailable, Status: metav1.ConditionUnknown, Reason: "ManagedClusterLeaseUpdateStopped",
	})
	if err := c.Status().Update(w.ctx, managed); err != nil {
		t.Fatal(err)
	}
	down.Store(0)
	w.available(c, metav1.ConditionTrue, "ManagedClusterAvailable")
}

func TestBesideOCMsRegistrationAgentOnlyTheAgentIsDescribed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register()
	managed := w.managed(c)
	managed.Status.ClusterClaims = []clusterv1.ManagedClusterClaim{{Name: "id.k8s.io", Value: "theirs"}}
	if err := c.Status().Update(w.ctx, managed); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.says(c, map[string]string{kronvoyv1alpha1.ClaimFeatures: "WorkReport,Health", "id.k8s.io": "theirs", "kubeversion.open-cluster-management.io": ""})
	if got := w.managed(c).Status; len(got.Conditions) != 1 || got.Version.Kubernetes == "" {
		t.Errorf("its status is %v", got)
	}
	lease := &unstructured.Unstructured{}
	lease.SetAPIVersion("coordination.k8s.io/v1")
	lease.SetKind("Lease")
	if err := c.Get(w.ctx, client.ObjectKey{Namespace: w.cluster, Name: "managed-cluster-lease"}, lease); !apierrors.IsNotFound(err) {
		t.Errorf("reading a lease: %v", err)
	}
}
