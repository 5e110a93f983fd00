//go:build integration

package spoke_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	workv1 "open-cluster-management.io/api/work/v1"

	"github.com/kronvoy/kronvoy/spoke"
	"github.com/kronvoy/kronvoy/test/probe"
)

// hang makes admission of everything with that label wait for a server that
// takes connections and says nothing.
func (w *world) hang(label string) *admissionregistrationv1.ValidatingWebhookConfiguration {
	w.t.Helper()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = silent.Close() })
	hook := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: w.ns},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:         "silent.example.com",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: ptr.To("https://" + silent.Addr().String() + "/")},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
			ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{label: "true"}},
			SideEffects:    ptr.To(admissionregistrationv1.SideEffectClassNone), FailurePolicy: ptr.To(admissionregistrationv1.Fail),
			TimeoutSeconds: ptr.To[int32](30), AdmissionReviewVersions: []string{"v1"},
		}},
	}
	if err := w.client.Create(w.ctx, hook); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.client.Delete(context.WithoutCancel(w.ctx), hook) })
	return hook
}

// hangs waits until the webhook has taken effect.
func (w *world) hangs(m *manifest) {
	w.t.Helper()
	w.eventually("the webhook to hang", func() error {
		bounded, cancel := context.WithTimeout(w.ctx, time.Second)
		defer cancel()
		object := m.object.DeepCopy()
		if err := w.client.Create(bounded, object); err == nil {
			return w.client.Delete(w.ctx, object)
		} else if bounded.Err() == nil {
			return err
		}
		return nil
	})
}

func TestAManifestBehindAWebhookThatHangsHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := w.configMap("slow")
	slow.object.SetLabels(map[string]string{"slow": "true"})
	hook := w.hang("slow")
	canary := w.configMap("canary")
	canary.object.SetLabels(map[string]string{"slow": "true"})
	w.hangs(canary)
	one, two := w.configMap("a", "color", "blue"), w.configMap("b", "color", "blue")
	w.start()
	w.ship("one", slow, one, two)

	w.eventually("the others to be applied, and the work to say why one is not", func() error {
		work := w.getWork("one")
		applied := map[string]*metav1.Condition{}
		for _, m := range work.Status.ResourceStatus.Manifests {
			applied[m.ResourceMeta.Name] = apimeta.FindStatusCondition(m.Conditions, workv1.ManifestApplied)
		}
		for _, name := range []string{"a", "b"} {
			if c := applied[name]; c == nil || c.Status != metav1.ConditionTrue {
				return fmt.Errorf("%s is %v", name, c)
			}
		}
		if c := applied["slow"]; c == nil || c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "admission webhook") {
			return fmt.Errorf("slow is %v", c)
		}
		return nil
	})
	w.patch(one, "kubectl-edit", `{"data":{"color":"red"}}`)
	w.eventually("drift beside it to be put right", func() error {
		if got := w.live(one).Object["data"].(map[string]any)["color"]; got != "blue" {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})

	if err := w.client.Delete(w.ctx, hook); err != nil {
		t.Fatal(err)
	}
	probe.Within(t, 90*time.Second, "it to be applied once the webhook is gone", func() error {
		if w.live(slow) == nil {
			return fmt.Errorf("it is not there: %v", w.getWork("one").Status.Conditions)
		}
		return nil
	})
}

func TestADeletionBehindAWebhookThatHangsHoldsUpNoApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := w.configMap("slow")
	slow.object.SetLabels(map[string]string{"slow-to-go": "true"})
	canary := w.configMap("canary")
	canary.object.SetLabels(map[string]string{"slow-to-go": "true"})
	one, quick := w.configMap("a", "color", "blue"), w.configMap("z")
	w.start()
	w.ship("one", slow, one, quick)
	w.settled("one")
	hook := w.hang("slow-to-go")
	w.hangs(canary)

	w.update("one", one)
	probe.Within(t, 10*time.Second, "what leaves with it to be gone", func() error {
		if w.live(quick) != nil {
			return fmt.Errorf("it is there; the report is %v", w.getReport("one").Deleting)
		}
		return nil
	})
	w.update("one", w.configMap("a", "color", "red"))
	probe.Within(t, 10*time.Second, "a new manifest to be applied, and the report to say what takes long", func() error {
		if got := w.live(one).Object["data"].(map[string]any)["color"]; got != "red" {
			return fmt.Errorf("it is %v", got)
		}
		if left := w.getReport("one").Deleting; len(left) != 1 || left[0].Name != "slow" || !strings.Contains(left[0].Message, "admission webhook") {
			return fmt.Errorf("these are on their way out: %v", left)
		}
		return nil
	})

	if err := w.client.Delete(w.ctx, hook); err != nil {
		t.Fatal(err)
	}
	probe.Within(t, 90*time.Second, "it to be gone once the webhook is", func() error {
		if w.live(slow) != nil || len(w.getReport("one").Deleting) > 0 {
			return fmt.Errorf("it is there: %v", w.getReport("one").Deleting)
		}
		return nil
	})
}

// lateness answers no apply of an object before the client gives up.
type lateness struct {
	next http.RoundTripper
	path string
	// begun is closed when the first one has come.
	begun chan struct{}
	once  sync.Once
	// held keeps it from the API server until it is closed; nil for not at all.
	held chan struct{}
	// done tells what the API server has answered.
	done chan error
}

func (l *lateness) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodPatch || req.URL.Path != l.path {
		return l.next.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	apply := req.Clone(context.WithoutCancel(req.Context()))
	apply.Body = io.NopCloser(bytes.NewReader(body))
	l.once.Do(func() {
		close(l.begun)
		go func() {
			if l.held != nil {
				<-l.held
			}
			resp, err := l.next.RoundTrip(apply)
			if err == nil {
				err = resp.Body.Close()
			}
			if err == nil && resp.StatusCode != http.StatusCreated {
				err = fmt.Errorf("the answer is %s", resp.Status)
			}
			l.done <- err
		}()
	})
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// TestWhatIsCreatedWithoutAnAnswerIsDeletedWhenItsManifestLeaves before the next
// try: nobody has seen that it is there.
func TestWhatIsCreatedWithoutAnAnswerIsDeletedWhenItsManifestLeaves(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]chan struct{}{"created at once": nil, "created after its manifest left": make(chan struct{})} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			late := &lateness{begun: make(chan struct{}), held: held, done: make(chan error, 1)}
			w := newWorld(t, func(o *spoke.Options) {
				o.Spoke = rest.CopyConfig(o.Spoke)
				o.Spoke.Wrap(func(next http.RoundTripper) http.RoundTripper {
					late.next = next
					return late
				})
			})
			late.path = "/api/v1/namespaces/" + w.ns + "/configmaps/lost"
			lost, other := w.configMap("lost"), w.configMap("other")
			w.start()
			w.ship("one", other)
			w.settled("one")
			w.update("one", other, lost)
			<-late.begun
			w.update("one", other)
			if held != nil {
				w.settled("one")
				close(held)
			}
			if err := <-late.done; err != nil {
				t.Fatal(err)
			}
			w.eventually("the object to be gone", func() error {
				if obj := w.live(lost); obj != nil {
					return fmt.Errorf("it is there, and its owners are %v", obj.GetOwnerReferences())
				}
				return nil
			})
			w.settled("one")
			w.inventoryLists("one", "other")
		})
	}
}
