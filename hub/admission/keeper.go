package admission

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Names of the hub's ValidatingWebhookConfiguration, and of the Secret in the
// hub's namespace that holds what the webhook serves with.
const (
	ConfigurationName = "kronvoy-hub"
	SecretName        = "kronvoy-hub-webhook"
)

// keyAuthorities is where the Secret holds what clients trust; certificate and
// key are where a Secret of type kubernetes.io/tls has them.
const keyAuthorities = "ca.crt"

// Clock gives the time.
type Clock interface{ Now() time.Time }

// Keeper keeps the webhook's certificate: in a Secret, so that all hub
// processes serve the same one, and trusted by the API server, in caBundle of
// the hub's ValidatingWebhookConfiguration. That also says under which names
// the webhook is reached. It runs in every hub process, the leader or not.
type Keeper struct {
	Client client.Client
	// Reader bypasses the cache: there is little to read, and seldom.
	Reader    client.Reader
	Namespace string
	Clock     Clock

	serving atomic.Pointer[tls.Certificate]
}

// GetCertificate is for tls.Config.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if pair := k.serving.Load(); pair != nil {
		return pair, nil
	}
	return nil, errors.New("there is no certificate yet: ValidatingWebhookConfiguration " + ConfigurationName + " says what it is for")
}

// SetupWithManager registers the keeper as a controller of two objects.
func (k *Keeper) SetupWithManager(mgr ctrl.Manager) error {
	only := func(namespace, name string) builder.Predicates {
		return builder.WithPredicates(predicate.NewPredicateFuncs(func(obj client.Object) bool {
			return obj.GetNamespace() == namespace && obj.GetName() == name
		}))
	}
	one := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: ConfigurationName}}}
	})
	return ctrl.NewControllerManagedBy(mgr).Named("webhook-certificate").
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, one, only("", ConfigurationName)).
		Watches(&corev1.Secret{}, one, only(k.Namespace, SecretName)).
		WithOptions(controller.Options{NeedLeaderElection: ptr.To(false)}).
		Complete(k)
}

// Reconcile runs read, renew, trust and serve, in this order: a certificate is
// served when the API server trusts it, not before.
func (k *Keeper) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	config := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := k.Reader.Get(ctx, client.ObjectKey{Name: ConfigurationName}, config); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	names, err := namesOf(config)
	if err != nil {
		return reconcile.Result{}, reconcile.TerminalError(err)
	}
	kept, pair, good, err := k.keep(ctx, names)
	if err != nil {
		if apierrors.IsConflict(err) {
			// Another hub process has renewed it; its write is on the way to here.
			return reconcile.Result{RequeueAfter: time.Second}, nil
		}
		return reconcile.Result{}, err
	}
	if err := k.trust(ctx, config, kept.authorities); err != nil {
		return reconcile.Result{}, err
	}
	k.serving.Store(&pair)
	return reconcile.Result{RequeueAfter: good}, nil
}

// keep reads the Secret, and renews what it holds where that is no good.
func (k *Keeper) keep(ctx context.Context, names []string) (credentials, tls.Certificate, time.Duration, error) {
	now := k.Clock.Now()
	secret := &corev1.Secret{}
	err := k.Reader.Get(ctx, client.ObjectKey{Namespace: k.Namespace, Name: SecretName}, secret)
	if client.IgnoreNotFound(err) != nil {
		return credentials{}, tls.Certificate{}, 0, fmt.Errorf("reading the webhook's certificate: %w", err)
	}
	kept := credentials{
		authorities: secret.Data[keyAuthorities], certificate: secret.Data[corev1.TLSCertKey], key: secret.Data[corev1.TLSPrivateKeyKey],
	}
	pair, good, err := kept.check(names, now)
	if err == nil {
		return kept, pair, good, nil
	}
	ctrl.LoggerFrom(ctx).Info("Making a certificate for the webhook", "names", names, "reason", err.Error())
	if kept, err = issue(names, kept.authorities, now); err != nil {
		return credentials{}, tls.Certificate{}, 0, err
	}
	if err := k.store(ctx, kept, secret.ResourceVersion); err != nil {
		return credentials{}, tls.Certificate{}, 0, err
	}
	pair, good, err = kept.check(names, now)
	return kept, pair, good, err
}

// store applies the Secret: unlike create, apply can be granted for one name.
// With the version that was read, two processes do not undo each other.
func (k *Keeper) store(ctx context.Context, c credentials, version string) error {
	secret := corev1apply.Secret(SecretName, k.Namespace).WithType(corev1.SecretTypeTLS).WithData(map[string][]byte{
		keyAuthorities: c.authorities, corev1.TLSCertKey: c.certificate, corev1.TLSPrivateKeyKey: c.key,
	})
	if version != "" {
		secret.WithResourceVersion(version)
	}
	if err := k.Client.Apply(ctx, secret, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub), client.ForceOwnership); err != nil {
		return fmt.Errorf("storing the webhook's certificate: %w", err)
	}
	return nil
}

// trust puts the authorities into caBundle of every webhook, where they are
// not.
func (k *Keeper) trust(ctx context.Context, config *admissionregistrationv1.ValidatingWebhookConfiguration, authorities []byte) error {
	before := config.DeepCopy()
	changed := false
	for i := range config.Webhooks {
		client := &config.Webhooks[i].ClientConfig
		if !bytes.Equal(client.CABundle, authorities) {
			client.CABundle, changed = authorities, true
		}
	}
	if !changed {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := k.Client.Patch(ctx, config, patch, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil {
		return fmt.Errorf("putting the webhook's authority into ValidatingWebhookConfiguration %s: %w", config.Name, err)
	}
	return nil
}

// namesOf are the names or addresses under which an API server reaches the
// webhook.
func namesOf(config *admissionregistrationv1.ValidatingWebhookConfiguration) ([]string, error) {
	var names []string
	for i := range config.Webhooks {
		webhook := &config.Webhooks[i]
		if service := webhook.ClientConfig.Service; service != nil {
			names = append(names, service.Name+"."+service.Namespace+".svc")
			continue
		}
		address, err := url.Parse(ptr.Deref(webhook.ClientConfig.URL, ""))
		if err != nil || address.Hostname() == "" {
			return nil, fmt.Errorf("webhook %s of ValidatingWebhookConfiguration %s has neither a service nor a URL with a host", webhook.Name, config.Name)
		}
		names = append(names, address.Hostname())
	}
	return unique(names), nil
}
