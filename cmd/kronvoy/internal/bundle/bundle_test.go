package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
)

// Everything that begins with "planted" is a secret; what begins with "seen" is to
// be there.
const state = `
apiVersion: v1
kind: Secret
metadata: {name: passwords, namespace: shop}
stringData: {greeting: planted-in-a-secret}
---
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: app, annotations: {kubectl.kubernetes.io/last-applied-configuration: planted-last-applied, example.com/note: planted-note}}
spec:
  schema: {apiVersion: v1alpha1, kind: App}
  resources:
  - id: seen-node
    template: {apiVersion: v1, kind: Secret, metadata: {name: seen-secret-name}, stringData: {greeting: planted-in-a-template}}
  - id: settings
    template: {apiVersion: v1, kind: ConfigMap, metadata: {name: password}, data: {password: planted-in-a-configmap, url: "postgres://user:planted-url@db/x", region: "${seen.expression}"}}
  - id: client
    template: {apiVersion: v1, kind: ConfigMap, metadata: {name: client, annotations: {kronvoy.io/note: "token: planted-own-annotation"}}, data: {config: "users: [{name: me, user: {token: planted-kubeconfig, client-key-data: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQ==planted-key}}]", git: "https://planted-user@git.example.com/x"}}
  - id: deployment
    template:
      apiVersion: apps/v1
      kind: Deployment
      spec: {template: {spec: {containers: [{name: app, env: [{name: DB_PASSWORD, value: planted-env}, {name: SEEN, value: seen-env}, {name: X, valueFrom: {secretKeyRef: {name: seen-ref, key: x}}}]}]}}}
---
apiVersion: kro.run/v1alpha1
kind: App
metadata: {name: web, namespace: shop, annotations: {planted: planted-annotation}}
spec: {greeting: planted-in-a-spec, list: [planted-in-a-list], nested: {number: 4711471147}}
status:
  state: ACTIVE
  greeting: planted-in-a-status
  conditions: [{type: Ready, status: "False", reason: SeenReason, message: "seen-message, token=planted-message"}]
  fleet: {ready: 1, aggregates: {all: planted-aggregate}, clusters: [{name: seen-cluster, values: {greeting: planted-value}}]}
---
apiVersion: kronvoy.io/v1alpha1
kind: Distribution
metadata: {name: shop, namespace: shop}
spec: {instances: {apiVersion: kro.run/v1alpha1, kind: App}, overrides: [{spec: {greeting: planted-override}}]}
---
apiVersion: kronvoy.io/v1alpha1
kind: Target
metadata: {name: web, namespace: seen-cluster}
spec: {revision: seen-revision, instance: {apiVersion: kro.run/v1alpha1, kind: App, name: web}, inputs: {hash: h, values: {cluster: {labels: {x: planted-input}}}}}
status: {state: Failed, message: seen-failure, values: {greeting: planted-target-value}, clocks: {stateSince: "2026-09-04T12:00:00Z"}}
---
apiVersion: kronvoy.io/v1alpha1
kind: WorkReport
metadata: {name: web, namespace: seen-cluster}
spec: {}
status:
  values: [{id: x, path: data, value: planted-report}]
  findings: [{action: Reported, kind: ConfigMap, name: seen-finding, details: [{path: seen.path, desired: planted-desired, observed: planted-observed}]}]
---
apiVersion: work.open-cluster-management.io/v1
kind: ManifestWork
metadata: {name: web, namespace: seen-cluster}
spec: {workload: {manifests: [{apiVersion: v1, kind: ConfigMap, metadata: {name: seen-manifest, namespace: shop}, data: {greeting: planted-in-a-work}}]}}
status: {resourceStatus: {manifests: [{resourceMeta: {name: seen-manifest}, conditions: [], statusFeedback: {values: [{name: x, fieldValue: {type: String, string: planted-feedback}}]}}]}}
---
apiVersion: apps/v1
kind: ControllerRevision
metadata: {name: web-1, namespace: shop}
revision: 1
data: {definition: seen-definition, definitionHash: h, spec: {greeting: planted-revision}, overrides: [{spec: {greeting: planted-revision-override}}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: kronvoy-hub, namespace: kronvoy-system, annotations: {example.com/token: planted-token-annotation}}
spec:
  template:
    spec:
      containers:
      - name: hub
        image: seen-deployed
        args: [--token=planted-argument, --password, planted-next-argument, --seen-argument]
        command: [sh, -c, "exec hub --api-key planted-in-a-command"]
        env: [{name: CLIENT_SECRET, value: planted-deployed-env}, {name: PROXY, value: "http://me:planted-proxy@proxy.example.com"}, {name: KUBECONFIG_TEXT, value: planted-kubeconfig-env}]
---
apiVersion: v1
kind: Pod
metadata: {name: kronvoy-hub-0, namespace: kronvoy-system, labels: {app.kubernetes.io/part-of: kronvoy}}
spec: {containers: [{name: hub, image: seen-image, env: [{name: API_KEY, value: planted-pod-env}]}]}
---
apiVersion: v1
kind: Event
metadata: {name: e1, namespace: shop}
involvedObject: {apiVersion: kro.run/v1alpha1, kind: App, name: web, namespace: shop}
message: "seen-event, Bearer plantedbearer0123, pulling https://me:planted-event-url@registry.example.com/x?X-Signature=planted-signature"
---
apiVersion: v1
kind: Event
metadata: {name: e2, namespace: shop}
involvedObject: {apiVersion: v1, kind: Pod, name: other, namespace: shop}
message: planted-of-somebody-else
`

func place(t *testing.T, funcs interceptor.Funcs) Place {
	t.Helper()
	scheme, err := connect.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	scheme.AddKnownTypeWithName(schema.GroupVersionKind{Group: "kro.run", Version: "v1alpha1", Kind: "App"}, &unstructured.Unstructured{})
	scheme.AddKnownTypeWithName(schema.GroupVersionKind{Group: "kro.run", Version: "v1alpha1", Kind: "AppList"}, &unstructured.UnstructuredList{})
	builder := fake.NewClientBuilder().WithScheme(scheme)
	for _, text := range strings.Split(state, "---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			t.Fatal(err)
		}
		builder = builder.WithObjects(o)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kronvoy-system", Name: "kronvoy-hub-0", Labels: map[string]string{"app.kubernetes.io/part-of": "kronvoy"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "hub", Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: 8080}}}}},
		Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "hub", RestartCount: 1}}},
	}
	clientset := kubefake.NewClientset(pod)
	clientset.AddProxyReactor("pods", func(action clienttesting.Action) (bool, rest.ResponseWrapper, error) {
		asked := action.(clienttesting.ProxyGetAction)
		return true, answer(asked.GetScheme() + " " + asked.GetName() + ":" + asked.GetPort() + "/" + asked.GetPath() + " seen_metric{url=\"https://me:planted-metric@x\"} 1"), nil
	})
	return Place{Name: "hub", Hub: true, Namespace: "kronvoy-system", Client: builder.WithInterceptorFuncs(funcs).Build(), Clientset: clientset}
}

// answer of a pod behind the API server's proxy.
type answer string

func (a answer) DoRaw(context.Context) ([]byte, error) { return []byte(a), nil }

func (a answer) Stream(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(a))), nil
}

func options(places ...Place) Options {
	return Options{
		Places: places, Root: "debug", Command: "v1", Progress: func(string) {},
		Now: func() time.Time { return time.Date(2026, 9, 4, 12, 0, 0, 0, time.UTC) },
	}
}

func unpack(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	compressed, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for reader := tar.NewReader(compressed); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(header.Name, "debug/")] = string(content)
	}
}

func TestNoSecretIsInABundle(t *testing.T) {
	var out bytes.Buffer
	manifest, err := Write(t.Context(), &out, options(place(t, interceptor.Funcs{})))
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for name, content := range unpack(t, out.Bytes()) {
		all += content
		for _, secret := range []string{"planted-", "plantedbearer", "4711471147"} {
			if at := strings.Index(content, secret); at >= 0 {
				t.Errorf("%s has a secret: %s", name, content[max(0, at-100):min(len(content), at+60)])
			}
		}
	}
	for _, seen := range []string{
		"seen-node", "seen-secret-name", "seen.expression", "seen-env", "seen-ref", "SeenReason", "seen-message", "seen-cluster", "seen-revision", "seen-failure", "seen-finding", "seen.path",
		"seen-deployed", "--seen-argument", "http kronvoy-hub-0:metrics/metrics seen_metric", "seen-manifest", "seen-definition", "seen-image", "seen-event", `"greeting":"***"`, "Target seen-cluster/web: Failed since 2026-09-04T12:00:00Z: seen-failure",
	} {
		if !strings.Contains(all, seen) {
			t.Errorf("%s is not in it", seen)
		}
	}
	var listed Manifest
	if err := json.Unmarshal([]byte(unpack(t, out.Bytes())["manifest.json"]), &listed); err != nil {
		t.Fatal(err)
	}
	if len(listed.Files) != len(manifest.Files) || len(listed.Files)+1 != len(unpack(t, out.Bytes())) {
		t.Errorf("the manifest lists %d files", len(listed.Files))
	}
	if logs := unpack(t, out.Bytes()); logs["hub/logs/kronvoy-hub-0.hub.log"] == "" || logs["hub/logs/kronvoy-hub-0.hub.previous.log"] == "" {
		t.Error("the logs are not in it")
	}
}

func TestWhatMayNotBeReadIsNamed(t *testing.T) {
	forbidden := place(t, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		if list.GetObjectKind().GroupVersionKind().Kind == "ManifestWorkList" {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "manifestworks"}, "", errors.New("not you"))
		}
		return c.List(ctx, list, opts...)
	}})
	manifest, err := Write(t.Context(), io.Discard, options(forbidden))
	if err != nil {
		t.Fatal(err)
	}
	if left := fmt.Sprint(manifest.LeftOut); !strings.Contains(left, "manifestwork.work.open-cluster-management.io.jsonl no right to read it") {
		t.Errorf("left out is %s", left)
	}
}

func TestABundleIsBounded(t *testing.T) {
	opts := options(place(t, interceptor.Funcs{}))
	opts.MaxBytes = 2000
	var out bytes.Buffer
	manifest, err := Write(t.Context(), &out, opts)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, f := range manifest.Files {
		size += f.Bytes
	}
	if size > opts.MaxBytes || !strings.Contains(fmt.Sprint(manifest.LeftOut), "limit of bytes") {
		t.Errorf("it has %d bytes, and left out %v", size, manifest.LeftOut)
	}
	unpack(t, out.Bytes())
}

func TestAnInterruptedBundleIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, io.Discard, options(place(t, interceptor.Funcs{}))); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestWhatLooksLikeASecret(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"a JWT":                {"got eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJl.c2lnbmF0dXJl now", "got *** now"},
		"a private key":        {"-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nx", "***\nx"},
		"a bootstrap token":    {"token abcdef.0123456789abcdef", "token ***"},
		"a password in a URL":  {"https://me:geheim@example.com/x", "https***example.com/x"},
		"an assignment":        {`level=info password="geheim" x=1`, `level=info ***" x=1`},
		"who logs in by a URL": {"https://ghp_geheim@example.com/x", "https***example.com/x"},
		"an option":            {"hub --password geheim --verbose", "hub *** --verbose"},
		"a sentence":           {"the secret of success is a token of love", "the secret of success is a token of love"},
		"a name with a digest": {"web-8cace09f19 nginx@sha256:0123456789abcdef0123456789abcdef", "web-8cace09f19 nginx@sha256:0123456789abcdef0123456789abcdef"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := text(tc.text); got != tc.want {
				t.Errorf("it is %q, want %q", got, tc.want)
			}
		})
	}
}
