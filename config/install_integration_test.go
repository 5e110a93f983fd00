//go:build integration

package config_test

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/kronvoy/kronvoy/test/fleet"
)

// The commands are the README's, on an API server with Talos's Pod Security
// defaults. No node runs the pods; that they are made means that admission takes
// them, and no warning that it would under "restricted", too.
func TestAnAPIServerTakesEverythingThatIsInstalled(t *testing.T) {
	f, err := fleet.Start(t.Context(), fleet.Options{
		Dir: t.TempDir(), Hub: fleet.ClusterOptions{PodSecurity: true}, Spokes: []fleet.ClusterOptions{}, Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	for _, directory := range []string{"ocm/hub", "hub", "spoke", "local"} {
		args := []string{"--kubeconfig", f.Hub().Kubeconfig(), "apply", "--server-side", "-k", directory}
		out, err := exec.CommandContext(t.Context(), f.Kubectl(), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl apply --server-side -k config/%s: %v\n%s", directory, err, out)
		}
		t.Logf("%s", out)
		if bytes.Contains(out, []byte("Warning")) {
			t.Errorf("the API server warns when config/%s is applied", directory)
		}
	}
	config, err := f.Hub().RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	heard := &warnings{}
	config.WarningHandlerWithContext = heard
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	for namespace, name := range map[string]string{"kronvoy-system": "kronvoy-hub", "kronvoy-agent": "kronvoy-agent"} {
		last := ""
		err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
			deployment, err := client.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			last = fmt.Sprint(deployment.Status.Conditions)
			// config/local changes the hub's Deployment once more, and no pod of the
			// first state ever becomes ready to be replaced.
			return deployment.Status.UpdatedReplicas == *deployment.Spec.Replicas, nil
		})
		if err != nil {
			t.Errorf("waiting for the pod of %s: %v; %s", name, err, last)
		}
		for _, namespace := range []string{namespace, "kube-system", "default"} {
			createPod(t, client, namespace, name)
		}
	}
	if said := heard.all(); len(said) > 0 {
		t.Errorf("the API server warns of the pods: %q", said)
	}
	// The API server does look, and warnings are heard.
	privileged := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "privileged"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "registry.example/main", SecurityContext: &corev1.SecurityContext{Privileged: ptr.To(true)},
		}}},
	}
	for namespace, level := range map[string]string{"default": "baseline:latest", "kronvoy-agent": "restricted:latest"} {
		_, err = client.CoreV1().Pods(namespace).Create(t.Context(), privileged, metav1.CreateOptions{})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), level) {
			t.Errorf("a privileged pod in namespace %s: %v", namespace, err)
		}
	}
	privileged.Spec.Containers[0].SecurityContext = nil
	if _, err := client.CoreV1().Pods("default").Create(t.Context(), privileged, metav1.CreateOptions{}); err != nil || len(heard.all()) != 1 {
		t.Errorf("of a pod that only baseline takes the API server says %q, %v", heard.all(), err)
	}
}

// createPod makes a pod of a Deployment's template in a namespace: its own
// enforces Pod Security's "restricted", others have the cluster's defaults.
func createPod(t *testing.T, client kubernetes.Interface, namespace, deployment string) {
	t.Helper()
	installed := map[string]string{"kronvoy-hub": "kronvoy-system", "kronvoy-agent": "kronvoy-agent"}[deployment]
	d, err := client.AppsV1().Deployments(installed).Get(t.Context(), deployment, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	template := d.Spec.Template
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: template.Spec.ServiceAccountName}}
	if _, err := client.CoreV1().ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: template.Spec}
	pod.GenerateName = "by-hand-"
	if _, err := client.CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Errorf("creating a pod of %s in namespace %s: %v", deployment, namespace, err)
	}
}

// warnings collects what the API server warns of.
type warnings struct {
	mu   sync.Mutex
	said []string
}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, text)
}

func (w *warnings) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.said)
}

// An image holds one binary and nothing else: no interpreter, no libraries.
func TestTheBinariesOfTheImagesAreStatic(t *testing.T) {
	build := exec.CommandContext(t.Context(), "make", "-C", "..", "build")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	for _, name := range []string{"kronvoy-hub", "kronvoy-spoke", "kronvoy"} {
		binary, err := elf.Open(filepath.Join("..", "bin", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, program := range binary.Progs {
			if program.Type == elf.PT_INTERP || program.Type == elf.PT_DYNAMIC {
				t.Errorf("bin/%s has a program header %s: it is linked dynamically", name, program.Type)
			}
		}
		if libraries, err := binary.ImportedLibraries(); err != nil || len(libraries) > 0 {
			t.Errorf("bin/%s needs %v, %v", name, libraries, err)
		}
		if err := binary.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What the image says is what the Deployments say, and no shell is in it.
func TestTheImageRunsAsNobodyInParticular(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "Containerfile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"FROM gcr.io/distroless/static:nonroot\n", "\nUSER 65532:65532\n"} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the Containerfile has no line %q", strings.TrimSpace(line))
		}
	}
}
