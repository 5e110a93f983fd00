package admission

import (
	"crypto/tls"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
)

// Options of the webhook.
type Options struct {
	// Port it listens on; 0 turns it off.
	Port int
	// CertDir holds tls.crt and tls.key that somebody else looks after, and puts
	// their authority into caBundle. Without it a Keeper does.
	CertDir string
}

// Server makes the server to give a manager.
func (o Options) Server(k *Keeper) webhook.Server {
	opts := webhook.Options{Port: o.Port, CertDir: o.CertDir}
	if o.CertDir == "" {
		opts.TLSOpts = []func(*tls.Config){func(c *tls.Config) { c.GetCertificate = k.GetCertificate }}
	}
	return webhook.NewServer(opts)
}

// CacheOptions limits a manager's cache to the objects that a Keeper watches.
func CacheOptions(namespace string) map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&admissionregistrationv1.ValidatingWebhookConfiguration{}: {Field: fields.OneTermEqualSelector("metadata.name", ConfigurationName)},
		&corev1.Secret{}: {Namespaces: map[string]cache.Config{
			namespace: {FieldSelector: fields.OneTermEqualSelector("metadata.name", SecretName)},
		}},
	}
}

// Setup registers the webhook with a manager that was given its server.
func (o Options) Setup(mgr ctrl.Manager, v *Validator, k *Keeper) error {
	if o.Port == 0 {
		return nil
	}
	if err := builder.WebhookManagedBy(mgr, &krov1alpha1.ResourceGraphDefinition{}).WithValidator(v).Complete(); err != nil {
		return fmt.Errorf("registering the webhook: %w", err)
	}
	if o.CertDir != "" {
		return nil
	}
	return k.SetupWithManager(mgr)
}
