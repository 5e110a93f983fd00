//go:build integration

package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
)

// heard is what a command that goes on has printed so far.
type heard struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.text.Write(p)
}

func (h *heard) String() string {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.text.String()
}

func (w *joinWorld) create(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &obj.Object); err != nil {
		t.Fatal(err)
	}
	if err := w.admin.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

// seen looks at a definition with an instance that nothing places.
func (w *joinWorld) seen(t *testing.T) {
	w.create(t, `
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: seen}
spec:
  schema: {apiVersion: v1alpha1, kind: Seen, spec: {text: string}}
  resources:
  - id: map
    template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {text: "${schema.spec.text}"}}`)
	w.must(t, "wait", "rgd/seen", "--for=ready", "--timeout=1m")
	one := w.create(t, `{apiVersion: kro.run/v1alpha1, kind: Seen, metadata: {name: one, namespace: default}, spec: {text: a}}`)
	if err := w.admin.Create(t.Context(), &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: "asks-to-be-seen"}}); err != nil {
		t.Fatal(err)
	}
	w.must(t, "wait", "seen/one", "-n", "default", "--for=condition=Placed=False", "--timeout=1m")

	for name, tc := range map[string]struct {
		args []string
		want string
		code exit.Code
	}{
		"the fleet":                             {args: []string{"status", "-A"}, want: "seen/one", code: exit.No},
		"the instance":                          {args: []string{"status", "one", "-n", "default", "-o", "json"}, want: `"name": "one"`, code: exit.No},
		"instances by name":                     {args: []string{"get", "instances", "-A", "-o", "name"}, want: "seen.kro.run/one\n"},
		"a cluster that asks to join":           {args: []string{"get", "clusters", "asks-to-be-seen"}, want: "not accepted: kronvoy accept asks-to-be-seen"},
		"no clusters with a label":              {args: []string{"get", "clusters", "-l", "no=body"}, want: "there are none"},
		"no targets":                            {args: []string{"get", "targets", "-n", "default"}, want: "there are none"},
		"no works, as a list":                   {args: []string{"get", "works", "-n", "default", "-o", "json"}, want: "[]\n"},
		"no drift":                              {args: []string{"get", "drift", "-n", "default"}, want: "no drift is reported"},
		"a work that there is not":              {args: []string{"get", "works", "none", "-n", "default"}, code: exit.Failed},
		"values of an instance that is nowhere": {args: []string{"values", "one", "-n", "default"}, code: exit.Failed},
		"events of an instance":                 {args: []string{"events", "one", "-n", "default", "-o", "json"}, want: "["},
		"a wait that is too long":               {args: []string{"wait", "seen/one", "-n", "default", "--timeout=1s"}, code: exit.TimedOut},
		"a wait for what is gone":               {args: []string{"wait", "seen/none", "-n", "default", "--for=deleted"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := w.cli(t.Context(), tc.args...)
			code := exit.Done
			if err != nil && !errors.As(err, &code) {
				code = exit.Failed
			}
			if code != tc.code || !strings.Contains(out, tc.want) {
				t.Errorf("exit status %d, want %d, out %q, want %q, error %v", code, tc.code, out, tc.want, err)
			}
		})
	}
	t.Run("a hub whose process is gone", func(t *testing.T) {
		lease := w.create(t, `
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: kronvoy-hub, namespace: kronvoy-system}
spec: {holderIdentity: hub-1, renewTime: "2026-01-02T03:04:05.000000Z"}`)
		defer func() {
			if err := w.admin.Delete(t.Context(), lease); err != nil {
				t.Error(err)
			}
		}()
		for _, args := range [][]string{{"status", "-A"}, {"status", "one", "-n", "default"}, {"status", "-A", "-o", "json"}} {
			if out, err := w.cli(t.Context(), args...); !errors.Is(err, exit.No) || !strings.Contains(out, "no hub runs: the last one was heard of last") {
				t.Errorf("%v: %v, out %q", args, err, out)
			}
		}
	})
	t.Run("names are completed", func(t *testing.T) {
		// The flags come first: what is completed is the last word.
		for _, tc := range []struct{ command, typed, want string }{
			{"status", "seen/", "seen/one\n"}, {"wait", "definition/s", "definition/seen\n"}, {"wait", "cluster/asks", "cluster/asks-to-be-seen\n"},
		} {
			out, err := w.cli(t.Context(), "__complete", tc.command, "-n", "default", "--kubeconfig", w.kubeconfig, tc.typed)
			if err != nil || !strings.Contains(out, tc.want) {
				t.Errorf("%s: out %q, error %v", tc.command, out, err)
			}
		}
	})
	t.Run("a live view tells of changes until Ctrl-C", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var out heard
		cmd := newCommand()
		cmd.SetOut(&out)
		cmd.SetArgs([]string{"status", "-A", "--watch", "--kubeconfig", w.kubeconfig})
		ended := make(chan error, 1)
		go func() { ended <- cmd.ExecuteContext(ctx) }()
		says := func(what string) {
			t.Helper()
			err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(context.Context) (bool, error) { return strings.Contains(out.String(), what), nil })
			if err != nil {
				t.Errorf("it does not say %q: %q", what, out.String())
			}
		}
		says("seen/one")
		w.create(t, `{apiVersion: kro.run/v1alpha1, kind: Seen, metadata: {name: two, namespace: default}, spec: {text: b}}`)
		says("default/seen/two: new: ")
		if err := w.admin.Delete(t.Context(), one, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
			t.Error(err)
		}
		says("default/seen/one: gone")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
