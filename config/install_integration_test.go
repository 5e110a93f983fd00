//go:build integration

package config_test

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/kronvoy/kronvoy/test/fleet"
)

// The commands are the README's. No node runs the pods; that they are made
// means that admission, Pod Security included, takes them.
func TestAnAPIServerTakesEverythingThatIsInstalled(t *testing.T) {
	f, err := fleet.Start(t.Context(), fleet.Options{Dir: t.TempDir(), Spokes: []fleet.ClusterOptions{}, Progress: t.Output()})
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
	}
	config, err := f.Hub().RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
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
	}
}
