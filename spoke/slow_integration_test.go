//go:build integration

package spoke_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	workv1 "open-cluster-management.io/api/work/v1"

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
