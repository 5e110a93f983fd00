//go:build integration

package hostile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/yaml"
)

// score counts attacks by what came of them.
type score struct {
	mu sync.Mutex
	// run, unguarded and denied are names of attacks: those that ran, those that
	// succeeded without their guard, and those that failed with it.
	run, unguarded, denied map[string]bool
	// pure are those that ran against code alone, without an API server.
	pure map[string]bool
}

var tally = score{run: map[string]bool{}, unguarded: map[string]bool{}, denied: map[string]bool{}, pure: map[string]bool{}}

func (s *score) note(into map[string]bool, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	into[name] = true
}

// String is as in "attacks: 57 run, 57 succeed unguarded, 57 denied".
func (s *score) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.run) == 0 {
		return ""
	}
	return fmt.Sprintf("attacks: %d run, %d succeed unguarded, %d denied (%d on real API servers, %d on the code that guards)",
		len(s.run), len(s.unguarded), len(s.denied), len(s.run)-len(s.pure), len(s.pure))
}

// actor is somebody with credentials for the hub.
type actor struct {
	name string
	rest *rest.RESTClient
}

func newActor(name, kubeconfig string) (*actor, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of %s: %w", name, err)
	}
	config.QPS, config.Burst, config.UserAgent = -1, -1, "hostile"
	config.GroupVersion, config.NegotiatedSerializer = &schema.GroupVersion{}, scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for %s: %w", name, err)
	}
	return &actor{name: name, rest: client}, nil
}

// send makes one request; body is YAML, and a merge patch where method is PATCH.
func (a *actor) send(ctx context.Context, method, path, body string) ([]byte, error) {
	path, query, _ := strings.Cut(path, "?")
	request := a.rest.Verb(method).AbsPath(path)
	for pair := range strings.SplitSeq(query, "&") {
		if key, value, found := strings.Cut(pair, "="); found {
			request = request.Param(key, value)
		}
	}
	if body != "" {
		data, err := yaml.YAMLToJSON([]byte(body))
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", body, err)
		}
		kind := "application/json"
		if method == http.MethodPatch {
			kind = "application/merge-patch+json"
		}
		request = request.Body(data).SetHeader("Content-Type", kind)
	}
	result := request.Do(ctx)
	if err := result.Error(); err != nil {
		return nil, err
	}
	return result.Raw()
}

// attack is one request that must be refused.
type attack struct {
	// name says what the attacker is after.
	name string
	// by is who makes the request.
	by string
	// method, path and body are the request. A body may be made when it is needed.
	method, path, body string
	// guard is the policy that refuses it, or rbac.
	guard string
	// then is what else has to be seen for the attack to have succeeded.
	then func(w *world) error
}

// rbac is the guard of attacks that nothing but rights stands against.
const rbac = "RBAC"

// before keeps an object as it was. What an attack creates is in its answer.
type before struct {
	path string
	was  *unstructured.Unstructured
}

// objectPath is that of the object which a request is about; empty where it only
// reads.
func (a *attack) objectPath() string {
	path, _, _ := strings.Cut(a.path, "?")
	for _, sub := range []string{"/status", "/approval"} {
		path = strings.TrimSuffix(path, sub)
	}
	switch a.method {
	case http.MethodGet:
		return ""
	case http.MethodPost:
		var body struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
		}
		if yaml.Unmarshal([]byte(a.body), &body) != nil || body.Metadata.Name == "" || strings.HasSuffix(path, "/token") {
			return ""
		}
		return path + "/" + body.Metadata.Name
	}
	return path
}

// remember reads the object of an attack as it is before.
func (w *world) remember(ctx context.Context, a *attack) (before, error) {
	b := before{path: a.objectPath()}
	if b.path == "" {
		return b, nil
	}
	var err error
	b.was, err = w.object(ctx, b.path)
	return b, err
}

func (w *world) object(ctx context.Context, path string) (*unstructured.Unstructured, error) {
	raw, err := w.actors[administrator].send(ctx, http.MethodGet, path, "")
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	obj := &unstructured.Unstructured{}
	return obj, json.Unmarshal(raw, &obj.Object)
}

// restore undoes an attack that succeeded.
func (w *world) restore(ctx context.Context, b before) error {
	if b.path == "" {
		return nil
	}
	now, err := w.object(ctx, b.path)
	if err != nil {
		return err
	}
	admin := w.actors[administrator]
	write := func(method, path string, obj *unstructured.Unstructured) error {
		text, err := json.Marshal(obj)
		if err != nil {
			return err
		}
		_, err = admin.send(ctx, method, path, string(text))
		return err
	}
	switch {
	case b.was == nil && now == nil:
		return nil
	case b.was == nil:
		if _, err := admin.send(ctx, http.MethodPatch, b.path, `{metadata: {finalizers: null}}`); err != nil {
			return fmt.Errorf("freeing %s: %w", b.path, err)
		}
		_, err := admin.send(ctx, http.MethodDelete, b.path, "")
		return err
	case now == nil:
		again := b.was.DeepCopy()
		again.SetResourceVersion("")
		again.SetUID("")
		if err := write(http.MethodPost, b.path[:strings.LastIndex(b.path, "/")], again); err != nil {
			return fmt.Errorf("making %s again: %w", b.path, err)
		}
	}
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		for _, path := range []string{b.path, b.path + "/status"} {
			now, err := w.object(ctx, b.path)
			if err != nil {
				return err
			}
			again := b.was.DeepCopy()
			again.SetUID(now.GetUID())
			again.SetResourceVersion(now.GetResourceVersion())
			if err := write(http.MethodPut, path, again); apierrors.IsConflict(err) {
				return err
			} else if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("restoring %s: %w", path, err)
			}
		}
		return nil
	})
}

// propagation is how long API servers may take to follow a change of policies
// and rights.
const propagation = 8 * time.Second

// succeeds runs an attack until it gets through, and undoes it.
func (w *world) succeeds(t *testing.T, a *attack) bool {
	t.Helper()
	var last error
	for deadline := time.Now().Add(propagation); time.Now().Before(deadline); {
		b, err := w.remember(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		_, last = w.actors[a.by].send(t.Context(), a.method, a.path, a.body)
		if last == nil && a.then != nil {
			last = a.then(w)
		}
		if last == nil {
			if err := w.restore(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			return true
		}
		if !apierrors.IsForbidden(last) && !apierrors.IsInvalid(last) {
			break
		}
		pause(t)
	}
	t.Errorf("without its guard the attack fails all the same: %v", last)
	return false
}

// denied runs an attack until it is refused by its guard, and not by anything
// else.
func (w *world) denied(t *testing.T, a *attack, guard string) bool {
	t.Helper()
	var last error
	for deadline := time.Now().Add(propagation); time.Now().Before(deadline); {
		b, err := w.remember(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		_, last = w.actors[a.by].send(t.Context(), a.method, a.path, a.body)
		if last != nil && refusedBy(last, guard) {
			return true
		}
		if last == nil {
			last = errors.New("it succeeds")
			if err := w.restore(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		pause(t)
	}
	t.Errorf("%s does not refuse it: %v", guard, last)
	return false
}

// refusedBy says whether an error is a guard's. Policies are named in theirs.
func refusedBy(err error, guard string) bool {
	policy := strings.Contains(err.Error(), "ValidatingAdmissionPolicy '")
	switch guard {
	case rbac:
		return apierrors.IsForbidden(err) && !policy || apierrors.IsUnauthorized(err)
	case "":
		return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsUnauthorized(err)
	}
	return policy && strings.Contains(err.Error(), "ValidatingAdmissionPolicy '"+guard+"'")
}

func pause(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(100 * time.Millisecond):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// kubeconfig is the path of one that this test makes.
func (w *world) kubeconfig(name string) string {
	return filepath.Join(w.stack.Fleet.Dir(), "hostile-"+name+".kubeconfig")
}
