package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/go-multierror"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/kronvoy/kronvoy/hub/admission"
)

// checkTimeout bounds one check, below the second that a probe waits by default.
const checkTimeout = 800 * time.Millisecond

// addChecks says what /healthz and /readyz answer. /healthz says that the process
// runs, no more: a restart mends neither an API server that is away nor a cache
// that is filling, and a hub that loses its lease ends by itself. /readyz says
// whether this process is of use to who calls it, the webhook and the dashboard:
// a hub that waits for the lease is ready, too.
func addChecks(opts Options, local manager.Manager, keeper *admission.Keeper) error {
	probe, err := discovery.NewDiscoveryClientForConfigAndClient(opts.Config, local.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("making a client for probes: %w", err)
	}
	api := probe.RESTClient()
	var errs *multierror.Error
	errs = multierror.Append(errs,
		local.AddHealthzCheck("ping", healthz.Ping),
		local.AddReadyzCheck("caches", bounded(func(ctx context.Context) error {
			if !local.GetCache().WaitForCacheSync(ctx) {
				return errors.New("the caches are not filled yet")
			}
			return nil
		})),
		local.AddReadyzCheck("api-server", bounded(func(ctx context.Context) error { return answers(ctx, api) })),
	)
	if opts.Webhook.Port != 0 {
		started := local.GetWebhookServer().StartedChecker()
		errs = multierror.Append(errs, local.AddReadyzCheck("webhook", func(req *http.Request) error {
			if opts.Webhook.CertDir != "" {
				return started(req)
			}
			ctx, cancel := context.WithTimeout(req.Context(), checkTimeout)
			defer cancel()
			err := local.GetClient().Get(ctx, client.ObjectKey{Name: admission.ConfigurationName}, &admissionregistrationv1.ValidatingWebhookConfiguration{})
			if apierrors.IsNotFound(err) {
				return nil // nobody calls it
			}
			if err != nil {
				return fmt.Errorf("reading ValidatingWebhookConfiguration %s: %w", admission.ConfigurationName, err)
			}
			if _, err := keeper.GetCertificate(nil); err != nil {
				return err
			}
			return started(req)
		}))
	}
	return errs.ErrorOrNil()
}

// bounded is a check that takes no longer than a probe waits.
func bounded(check func(context.Context) error) healthz.Checker {
	return func(req *http.Request) error {
		ctx, cancel := context.WithTimeout(req.Context(), checkTimeout)
		defer cancel()
		return check(ctx)
	}
}

// answers asks the API server for its version, which whoever may log in may know
// (ClusterRole system:public-info-viewer).
func answers(ctx context.Context, api rest.Interface) error {
	// A client's own retries would outlast the probe.
	if err := api.Get().AbsPath("/version").MaxRetries(0).Do(ctx).Error(); err != nil {
		return fmt.Errorf("the hub's API server does not answer: %w", err)
	}
	return nil
}
