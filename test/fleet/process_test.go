//go:build integration

package fleet_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kronvoy/kronvoy/test/fleet"
)

func TestAClusterSurvivesTheDeathOfItsProcesses(t *testing.T) {
	f := start(t, fleet.Options{Spokes: fleet.DefaultSpokes(1)})
	spoke := f.Spokes()[0]
	client := clientFor(t, spoke)
	server := spoke.Process(fleet.APIServer)

	for name, crash := range map[string]func() error{
		"a killed API server":  func() error { return errors.Join(server.Kill(), server.Start()) },
		"a stopped API server": func() error { return server.Restart(t.Context()) },
		"a killed etcd":        func() error { return errors.Join(f.Etcd().Kill(), f.Etcd().Start()) },
		"a paused API server":  func() error { return errors.Join(server.Pause(), server.Resume()) },
		"killed controllers": func() error {
			p := spoke.Process(fleet.ControllerManager)
			return errors.Join(p.Kill(), p.Start())
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := crash(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := spoke.WaitReady(ctx); err != nil {
				t.Fatal(err)
			}
			namespace := strings.ReplaceAll(name, " ", "-")
			namespace = strings.ToLower(namespace)
			if err := spoke.ServiceAccountKubeconfig(ctx, namespace, "probe", filepath.Join(t.TempDir(), "kubeconfig")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the controllers to serve the namespace", func(ctx context.Context) error {
				_, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
				return err
			})
		})
	}
}

func TestAKubeconfigIsForTheUserItWasMadeFor(t *testing.T) {
	f := start(t, fleet.Options{Spokes: []fleet.ClusterOptions{}})
	hub := f.Hub()
	dir := t.TempDir()

	agent, account := filepath.Join(dir, "agent"), filepath.Join(dir, "account")
	groups := []string{"system:open-cluster-management:eu-west", "system:open-cluster-management:managed-clusters"}
	if err := hub.ClientKubeconfig(t.Context(), "system:open-cluster-management:eu-west:agent", groups, agent); err != nil {
		t.Fatal(err)
	}
	if err := hub.ServiceAccountKubeconfig(t.Context(), "kronvoy-system", "hub", account); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]authenticationv1.UserInfo{
		agent:   {Username: "system:open-cluster-management:eu-west:agent", Groups: append(groups, "system:authenticated")},
		account: {Username: "system:serviceaccount:kronvoy-system:hub", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:kronvoy-system", "system:authenticated"}},
	} {
		client := clientFrom(t, path)
		review, err := client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := authenticationv1.UserInfo{Username: review.Status.UserInfo.Username, Groups: review.Status.UserInfo.Groups}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the user of %s (-want +got):\n%s", path, diff)
		}
		if _, err := client.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("%s reads all Secrets: %v, want it forbidden", want.Username, err)
		}
	}
}

func TestAManifestIsAppliedAfterItsCRD(t *testing.T) {
	f := start(t, fleet.Options{Spokes: []fleet.ClusterOptions{}})
	dir := t.TempDir()
	write(t, filepath.Join(dir, "1-crd.yaml"), `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.example.kronvoy.io}
spec:
  group: example.kronvoy.io
  scope: Namespaced
  names: {kind: Boat, plural: boats}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {sails: {type: integer}}}}}}}
`)
	boat := filepath.Join(dir, "2-boat.yaml")
	write(t, boat, "apiVersion: example.kronvoy.io/v1\nkind: Boat\nmetadata: {name: ketch}\nspec: {sails: 2}\n---\n")
	if err := f.Hub().Apply(t.Context(), boat); err == nil {
		t.Error("a Boat was applied before its kind was there")
	}
	if err := f.Hub().InstallCRDs(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if err := f.Hub().Apply(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
}

func TestASpokeIsAddedAndAProcessRunsBesideIt(t *testing.T) {
	f := start(t, fleet.Options{Spokes: []fleet.ClusterOptions{}})
	spoke, err := f.AddSpoke(t.Context(), fleet.ClusterOptions{Name: "late", Region: "eu-north", Nodes: 1, OSImage: "Talos (v1.13.3)"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.AddSpoke(t.Context(), fleet.ClusterOptions{Name: "late"}); err == nil {
		t.Error("two clusters of one name were accepted")
	}

	p, err := f.Run(fleet.Command{Name: "watcher", Path: f.Kubectl(), Args: []string{"get", "nodes", "--watch"}, Env: []string{"KUBECONFIG=" + spoke.Kubeconfig()}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the watcher to print the node", func(context.Context) error {
		text, err := os.ReadFile(p.Log())
		if err == nil && !strings.Contains(string(text), "late-node-1") {
			err = errors.New(string(text))
		}
		return err
	})
	if p.RSS() == 0 {
		t.Error("a process that runs has no memory")
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := p.Wait(t.Context()); err == nil {
		t.Error("Wait returns no exit status of a process that SIGTERM ended")
	}
	if p.Running() || p.PID() != 0 {
		t.Error("a stopped process runs")
	}

	looked, err := fleet.Open(f.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := looked.Run(fleet.Command{Name: "other", Path: f.Kubectl()}); err == nil {
		t.Error("a fleet that was only opened runs a process")
	}
	if got, want := len(looked.Processes()), len(f.Processes()); got != want {
		t.Errorf("the state file names %d processes, want %d", got, want)
	}
	status := looked.Status()
	if got, want := status.Phase, "Incomplete"; got != want { // the watcher has ended
		t.Errorf("phase %q, want %q", got, want)
	}
}

func TestPodSecurityOfTalosRefusesAPrivilegedPod(t *testing.T) {
	f := start(t, fleet.Options{Spokes: []fleet.ClusterOptions{
		{Name: "talos", APIServerOnly: true, OSImage: "Talos (v1.13.3)"},
		{Name: "other", APIServerOnly: true},
	}})
	for name, refused := range map[string]bool{"talos": true, "other": false} {
		client := clientFor(t, f.Cluster(name))
		// Without controllers nothing makes the account that pods run as.
		if err := f.Cluster(name).ServiceAccountKubeconfig(t.Context(), "default", "default", filepath.Join(t.TempDir(), "kubeconfig")); err != nil {
			t.Fatal(err)
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "privileged"}, Spec: deployment("", 1).Spec.Template.Spec}
		privileged := true
		pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &privileged}
		_, err := client.CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{})
		if apierrors.IsForbidden(err) != refused {
			t.Errorf("a privileged pod on cluster %q: %v, want it refused: %t", name, err, refused)
		}
	}
}

func clientFrom(t *testing.T, kubeconfig string) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
