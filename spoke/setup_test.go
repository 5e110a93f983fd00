//go:build integration

package spoke_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2/textlogger"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke"
	"github.com/kronvoy/kronvoy/test/fleet"
)

// server is one API server that plays hub and spoke: they differ only in which
// namespaces and kinds an agent uses there.
var server *rest.Config

// authority signs for its clients, in the place of the controllers that do not run.
var authority tls.Certificate

// sequence makes names unique.
var sequence atomic.Int64

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "kronvoy-spoke-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	f, err := fleet.Start(ctx, fleet.Options{
		Name: "spoke-test", Dir: filepath.Join(dir, "fleet"), Progress: os.Stderr,
		Hub: fleet.ClusterOptions{APIServerOnly: true}, Spokes: []fleet.ClusterOptions{},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = f.Stop(context.WithoutCancel(ctx)) }()
	config := filepath.Join("..", "config")
	if err := f.Hub().InstallCRDs(ctx, filepath.Join(config, "crd"), filepath.Join(config, "ocm", "hub"), filepath.Join(config, "ocm", "spoke")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if server, err = f.Hub().RESTConfig(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if authority, err = f.Hub().Authority(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := f.Hub().Apply(ctx, filepath.Join(config, "hub", "join.yaml")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// world is one cluster namespace on the hub, one namespace on the spoke and an
// agent between them.
type world struct {
	t       *testing.T
	ctx     context.Context //nolint:containedctx // the test's own, in the test's own world
	client  client.Client
	cluster string // the namespace on the hub
	ns      string // the namespace on the spoke
	hubHash string
	options func(*spoke.Options)
	agent   *agent
	writes  *writes
	// suspended marks the works that are filled.
	suspended bool
}

// writes records what the agent changes on either side.
type writes struct {
	next http.RoundTripper
	mu   *sync.Mutex
	list *[]string
}

func (w *writes) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet && !strings.Contains(req.URL.RawQuery, "dryRun") {
		w.mu.Lock()
		*w.list = append(*w.list, req.Method+" "+path.Base(path.Dir(req.URL.Path))+"/"+path.Base(req.URL.Path))
		w.mu.Unlock()
	}
	return w.next.RoundTrip(req)
}

// written gives what was written since the last call.
func (w *world) written() []string {
	w.writes.mu.Lock()
	defer w.writes.mu.Unlock()
	list := *w.writes.list
	*w.writes.list = nil
	return list
}

// quiet waits until nothing is written for a while.
func (w *world) quiet() {
	w.t.Helper()
	var all []string
	for {
		time.Sleep(700 * time.Millisecond)
		more := w.written()
		if len(more) == 0 {
			break
		}
		all = append(all, more...)
		if len(all) > 2000 {
			w.t.Fatalf("the agent does not come to rest: %v", all)
		}
	}
	*w.writes.list = all
}

type agent struct {
	cancel context.CancelFunc
	done   chan error
}

func newWorld(t *testing.T, options ...func(*spoke.Options)) *world {
	t.Helper()
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, workv1.Install, clusterv1.Install, kronvoyv1alpha1.AddToScheme} {
		if err := add(types); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(server, client.Options{Scheme: types})
	if err != nil {
		t.Fatal(err)
	}
	n := sequence.Add(1)
	w := &world{
		t: t, ctx: t.Context(), client: c,
		cluster: fmt.Sprintf("cluster-%d", n), ns: fmt.Sprintf("app-%d", n), hubHash: fmt.Sprintf("hub%d", n),
		writes: &writes{mu: &sync.Mutex{}, list: new([]string)},
		options: func(o *spoke.Options) {
			for _, option := range options {
				option(o)
			}
		},
	}
	for _, name := range []string{w.cluster, w.ns} {
		if err := c.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { w.stop() })
	return w
}

// start runs a new agent with an empty memory.
func (w *world) start() {
	w.t.Helper()
	a, err := spoke.New(w.agentOptions())
	if err != nil {
		w.t.Fatal(err)
	}
	w.run(a.Run)
}

// run runs an agent until it is stopped.
func (w *world) run(serve func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	w.agent = &agent{cancel: cancel, done: make(chan error, 1)}
	go func() { w.agent.done <- serve(ctx) }()
}

// agentOptions are those of an agent that reaches both sides as administrator.
func (w *world) agentOptions() spoke.Options {
	config := rest.CopyConfig(server)
	config.UserAgent = "agent-of-" + w.cluster
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &writes{next: next, mu: w.writes.mu, list: w.writes.list}
	})
	o := spoke.Options{
		ClusterName: w.cluster, Hub: config, Spoke: config, HubHash: w.hubHash, LeaseDuration: -1, Logger: logr.Discard(),
		FlushDelay: 200 * time.Millisecond,
	}
	if testing.Verbose() {
		o.Logger = textlogger.NewLogger(textlogger.NewConfig(textlogger.Verbosity(1), textlogger.Output(w.t.Output()))).WithValues("cluster", w.cluster)
	}
	w.options(&o)
	return o
}

// stop ends the agent.
func (w *world) stop() {
	if w.agent == nil {
		return
	}
	w.agent.cancel()
	if err := <-w.agent.done; err != nil {
		w.t.Errorf("the agent ended with %v", err)
	}
	w.agent = nil
}

// manifest is one object of a work, as a hub would ship it.
type manifest struct {
	object   *unstructured.Unstructured
	policy   kronvoyv1alpha1.ManifestPolicy
	strategy workv1.UpdateStrategyType
	paths    []string
	rules    []string
	observe  []string
	// selection travels with the manifest.
	selection *kronvoyv1alpha1.Selection
}

func (w *world) configMap(name string, data ...string) *manifest {
	content := map[string]any{}
	for i := 0; i < len(data); i += 2 {
		content[data[i]] = data[i+1]
	}
	return &manifest{object: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": name, "namespace": w.ns}, "data": content,
	}}}
}

func (w *world) deployment(name string, replicas int64) *manifest {
	return &manifest{
		object: &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": map[string]any{"name": name, "namespace": w.ns},
			"spec": map[string]any{
				"replicas": replicas,
				"selector": map[string]any{"matchLabels": map[string]any{"app": name}},
				"template": map[string]any{
					"metadata": map[string]any{"labels": map[string]any{"app": name}},
					"spec": map[string]any{"containers": []any{map[string]any{
						"name": "web", "image": "nginx:1", "ports": []any{map[string]any{"containerPort": int64(80)}},
						"resources": map[string]any{"requests": map[string]any{"cpu": "1000m", "memory": "64Mi"}},
					}}},
				},
			},
		}},
		paths: []string{"spec.replicas", "status.availableReplicas"},
	}
}

const manager = "work-agent-kronvoy-test"

// work builds a ManifestWork as the hub does.
func (w *world) work(name string, manifests ...*manifest) *workv1.ManifestWork {
	w.t.Helper()
	work := &workv1.ManifestWork{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: w.cluster, Finalizers: []string{kronvoyv1alpha1.FinalizerWork},
	}}
	w.fill(work, manifests...)
	return work
}

func (w *world) fill(work *workv1.ManifestWork, manifests ...*manifest) {
	w.t.Helper()
	work.Spec = workv1.ManifestWorkSpec{}
	var policies []kronvoyv1alpha1.ManifestPolicy
	observe := kronvoyv1alpha1.Observe{Fields: map[int][]string{}}
	for i, m := range manifests {
		object := m.object.DeepCopy()
		content, err := json.Marshal(object.Object)
		if err != nil {
			w.t.Fatal(err)
		}
		hash := hashOf(content)
		annotations := object.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[kronvoyv1alpha1.AnnotationHash] = hash
		object.SetAnnotations(annotations)
		if content, err = json.Marshal(object.Object); err != nil {
			w.t.Fatal(err)
		}
		work.Spec.Workload.Manifests = append(work.Spec.Workload.Manifests, workv1.Manifest{RawExtension: runtime.RawExtension{Raw: content}})
		policies = append(policies, m.policy)
		if len(m.observe) > 0 {
			observe.Fields[i] = m.observe
		}
		if m.selection != nil {
			observe.Selections = append(observe.Selections, *m.selection)
		}
		work.Spec.ManifestConfigs = append(work.Spec.ManifestConfigs, w.config(m, hash))
	}
	work.Annotations = map[string]string{
		kronvoyv1alpha1.AnnotationManifestPolicies: w.json(policies),
		kronvoyv1alpha1.AnnotationObserve:          w.json(observe),
	}
	if w.suspended {
		work.Annotations[kronvoyv1alpha1.AnnotationReconcile] = kronvoyv1alpha1.ReconcileSuspended
	}
	work.Annotations[kronvoyv1alpha1.AnnotationHash] = hashOf([]byte(w.json(work.Spec) + w.json(work.Annotations)))
}

func (w *world) config(m *manifest, hash string) workv1.ManifestConfigOption {
	gvk := m.object.GroupVersionKind()
	mapping, err := w.client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	resource := schema.GroupVersionResource{Group: gvk.Group, Resource: "widgets"}
	if err == nil {
		resource = mapping.Resource
	}
	paths := []workv1.JsonPath{{Name: kronvoyv1alpha1.FeedbackHash, Path: kronvoyv1alpha1.FeedbackHashPath}}
	for _, path := range m.paths {
		paths = append(paths, workv1.JsonPath{Name: path, Path: "." + path})
	}
	strategy := &workv1.UpdateStrategy{Type: workv1.UpdateStrategyTypeServerSideApply, ServerSideApply: &workv1.ServerSideApplyConfig{FieldManager: manager}}
	if m.strategy != "" {
		strategy = &workv1.UpdateStrategy{Type: m.strategy}
	}
	config := workv1.ManifestConfigOption{
		ResourceIdentifier: workv1.ResourceIdentifier{Group: resource.Group, Resource: resource.Resource, Name: m.object.GetName(), Namespace: m.object.GetNamespace()},
		UpdateStrategy:     strategy,
		FeedbackRules:      []workv1.FeedbackRule{{Type: workv1.JSONPathsType, JsonPaths: paths}},
	}
	if len(m.rules) > 0 {
		certify := "has(object.metadata.annotations) && 'kronvoy.io/hash' in object.metadata.annotations && object.metadata.annotations['kronvoy.io/hash'] == '" + hash + "'"
		config.ConditionRules = []workv1.ConditionRule{{
			Condition: kronvoyv1alpha1.ConditionManifestReady, Type: workv1.CelConditionExpressionsType,
			CelExpressions: append([]string{certify}, m.rules...),
		}}
	}
	return config
}

func (w *world) json(v any) string {
	w.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// ship creates a work and its report.
func (w *world) ship(name string, manifests ...*manifest) *workv1.ManifestWork {
	w.t.Helper()
	work := w.work(name, manifests...)
	if err := w.client.Create(w.ctx, work); err != nil {
		w.t.Fatal(err)
	}
	report := &kronvoyv1alpha1.WorkReport{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.cluster}}
	if err := w.client.Create(w.ctx, report); err != nil {
		w.t.Fatal(err)
	}
	return work
}

// update changes a work's manifests.
func (w *world) update(name string, manifests ...*manifest) *workv1.ManifestWork {
	w.t.Helper()
	w.replace(w.work(name, manifests...))
	return w.getWork(name)
}

func (w *world) getWork(name string) *workv1.ManifestWork {
	w.t.Helper()
	work := &workv1.ManifestWork{}
	if err := w.client.Get(w.ctx, types.NamespacedName{Namespace: w.cluster, Name: name}, work); err != nil {
		w.t.Fatal(err)
	}
	return work
}

func (w *world) getReport(name string) kronvoyv1alpha1.WorkReportStatus {
	w.t.Helper()
	report := &kronvoyv1alpha1.WorkReport{}
	if err := w.client.Get(w.ctx, types.NamespacedName{Namespace: w.cluster, Name: name}, report); err != nil {
		w.t.Fatal(err)
	}
	return report.Status
}
