//go:build integration

package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bundled collects a bundle with the rights of those who debug, of the hub and of
// a cluster, which is the hub itself here.
func (w *joinWorld) bundled(t *testing.T) {
	for _, text := range []string{
		`{apiVersion: v1, kind: Secret, metadata: {name: bait, namespace: kronvoy-system}, stringData: {x: planted-in-a-secret}}`,
		`{apiVersion: apps/v1, kind: Deployment, metadata: {name: bait, namespace: kronvoy-system, annotations: {example.com/token: planted-annotation}},
		  spec: {selector: {matchLabels: {app: bait}}, template: {metadata: {labels: {app: bait}}, spec: {containers: [
		    {name: x, image: seen-image, args: [--token, planted-argument], env: [{name: DB_PASSWORD, value: planted-env}, {name: PROXY, value: "http://me:planted-url@proxy.example.com"}]}]}}}}`,
		`{apiVersion: v1, kind: Event, metadata: {name: bait, namespace: kronvoy-system}, involvedObject: {namespace: kronvoy-system}, message: "seen-event: password=planted-message"}`,
		`{apiVersion: kronvoy.io/v1alpha1, kind: Distribution, metadata: {name: bait, namespace: default},
		  spec: {instances: {apiVersion: kro.run/v1alpha1, kind: Planted}, overrides: [{spec: {text: planted-override}}]}}`,
		`{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: debugger},
		  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kronvoy-debugger}, subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: debugger}]}`,
		`{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: debugger, namespace: kronvoy-system},
		  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: kronvoy-debugger}, subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: debugger}]}`,
	} {
		w.create(t, text)
	}
	file := filepath.Join(t.TempDir(), "bundle.tar.gz")
	args := []string{"debug", "bundle", "--as", "debugger", "--output-file", file, "--cluster-kubeconfig", "itself=" + w.kubeconfig, "--agent-namespace", "kronvoy-system"}

	shown := w.must(t, append(args, "--dry-run")...)
	for _, want := range []string{"FILE", "hub/objects/distribution.kronvoy.io.jsonl", "clusters/itself/objects/deployment.apps.jsonl", "LEFT OUT"} {
		if !strings.Contains(shown, want) {
			t.Errorf("it does not show %q:\n%s", want, shown)
		}
	}
	if strings.Contains(shown, "no right") {
		t.Errorf("the role is not enough:\n%s", shown)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a dry run wrote a file: %v", err)
	}

	w.must(t, args...)
	all := packed(t, file)
	for _, seen := range []string{"seen-image", "seen-event", "DB_PASSWORD"} {
		if !strings.Contains(all, seen) {
			t.Errorf("%s is not in it", seen)
		}
	}
	if at := strings.Index(all, "planted-"); at >= 0 {
		t.Errorf("it has a secret: %s", all[max(0, at-200):min(len(all), at+60)])
	}
	if out, err := w.cli(t.Context(), append(args, "--cluster-kubeconfig", "nameless")...); err == nil || !strings.Contains(err.Error(), "is not CLUSTER=FILE") {
		t.Errorf("a cluster without a file: %v\n%s", err, out)
	}
}

// packed is all that is in an archive.
func packed(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	compressed, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for reader := tar.NewReader(compressed); ; {
		if _, err := reader.Next(); errors.Is(err, io.EOF) {
			return all.String()
		} else if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(&all, reader); err != nil {
			t.Fatal(err)
		}
	}
}
