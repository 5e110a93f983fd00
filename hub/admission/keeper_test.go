package admission

import (
	"bytes"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// TestAllProcessesServeOneCertificate over two rotations, and none before the
// API server trusts it.
func TestAllProcessesServeOneCertificate(t *testing.T) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, admissionregistrationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).Build()
	clock := clocktesting.NewFakePassiveClock(issued)
	keepers := [2]*Keeper{}
	for i := range keepers {
		keepers[i] = &Keeper{Client: c, Reader: c, Namespace: "system", Clock: clock}
	}
	reconcileAll := func() time.Duration {
		t.Helper()
		var next time.Duration
		for _, k := range keepers {
			result, err := k.Reconcile(t.Context(), reconcile.Request{})
			if err != nil {
				t.Fatal(err)
			}
			next = result.RequeueAfter
		}
		return next
	}
	served := func(k *Keeper) []byte {
		t.Helper()
		pair, err := k.GetCertificate(nil)
		if err != nil {
			return nil
		}
		return pair.Leaf.Raw
	}
	reconcileAll()
	if served(keepers[0]) != nil {
		t.Error("a certificate is served although nothing says what for")
	}
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: ConfigurationName},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "one", ClientConfig: admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{Name: "hub", Namespace: "system"}},
		}},
	}
	if err := c.Create(t.Context(), configuration); err != nil {
		t.Fatal(err)
	}
	var before []byte
	for range 3 {
		next := reconcileAll()
		if next != lifetime-renewal {
			t.Errorf("the next look is after %v, want %v", next, lifetime-renewal)
		}
		now := served(keepers[0])
		if now == nil || !bytes.Equal(now, served(keepers[1])) {
			t.Error("two processes serve different certificates")
		}
		if bytes.Equal(now, before) {
			t.Error("the certificate was not replaced")
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(configuration), configuration); err != nil {
			t.Fatal(err)
		}
		var secret corev1.Secret
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "system", Name: SecretName}, &secret); err != nil {
			t.Fatal(err)
		}
		kept := credentials{configuration.Webhooks[0].ClientConfig.CABundle, secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]}
		if _, _, err := kept.check([]string{"hub.system.svc"}, clock.Now()); err != nil {
			t.Errorf("what the API server trusts and what is served do not fit: %v", err)
		}
		before = now
		clock.SetTime(clock.Now().Add(next))
	}
}
