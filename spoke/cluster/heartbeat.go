// Package cluster speaks for the cluster itself: it renews the lease by which
// the hub knows that the agent lives, and says in the ManagedCluster's status
// what the cluster and its agent are.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

const (
	// leaseName is OCM's.
	leaseName = "managed-cluster-lease"
	// writeTimeout bounds a write to a hub that does not answer.
	writeTimeout = 10 * time.Second
	// describeEvery is how many heartbeats pass between two looks at the
	// ManagedCluster: an upgrade of the cluster is told within minutes.
	describeEvery = 10
	// retryAfter is the wait after a heartbeat that failed.
	retryAfter = 5 * time.Second
)

// features is what this agent can do beyond OCM's.
const features = kronvoyv1alpha1.FeatureWorkReport

// Heartbeat keeps the hub informed about the cluster.
type Heartbeat struct {
	// Name of the ManagedCluster and its namespace.
	Name string
	// Hub reads and writes the hub, without a cache.
	Hub client.Client
	// Spoke and HTTPClient reach the cluster, for its version.
	Spoke      *rest.Config
	HTTPClient *http.Client
	// Engaged is closed when the hub was first reached.
	Engaged <-chan struct{}
	// Told is called with what the hub answered, nil when it took all that was to be
	// told.
	Told func(context.Context, error)
	// Every is the time between two renewals; none when negative.
	Every time.Duration
	Clock clock.WithTicker
	Log   logr.Logger
}

// Start runs until the context ends.
func (h *Heartbeat) Start(ctx context.Context) error {
	select {
	case <-h.Engaged:
	case <-ctx.Done():
		return nil
	}
	for n := 0; ; n++ {
		next := h.Every
		err := h.beat(ctx, n%describeEvery == 0)
		if errors.Is(err, errOwn) {
			h.Log.Info("Describing the cluster failed", "cluster", h.Name, "reason", err.Error())
		} else {
			h.Told(ctx, err)
		}
		switch {
		case err != nil:
			next, n = retryAfter, -1
			if h.Every > 0 {
				next = min(h.Every, retryAfter)
			}
		case h.Every < 0:
			<-ctx.Done()
			return nil
		}
		timer := h.Clock.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		}
	}
}

// errOwn is a failure of the cluster itself: it says nothing about the hub.
var errOwn = errors.New("asking the cluster's version")

// beat renews the lease and, now and then, looks after the description.
func (h *Heartbeat) beat(ctx context.Context, describe bool) error {
	bounded, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if h.Every > 0 {
		if err := h.renew(bounded); err != nil {
			return err
		}
	}
	if describe {
		// The hub ships nothing to a cluster that it knows nothing of.
		if err := h.describe(bounded); err != nil {
			return fmt.Errorf("describing the cluster: %w", err)
		}
	}
	return nil
}

// renew writes the lease; one patch, unless the hub has not made it. It is then
// made by an apply, which, unlike a create, can be granted by name.
func (h *Heartbeat) renew(ctx context.Context) error {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: h.Name, Name: leaseName}}
	now := metav1.NewMicroTime(h.Clock.Now())
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"renewTime": now}})
	if err != nil {
		return err
	}
	err = h.Hub.Patch(ctx, lease, client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsNotFound(err) {
		err = h.create(ctx, now)
	}
	if err != nil {
		return fmt.Errorf("renewing the lease: %w", err)
	}
	return nil
}

func (h *Heartbeat) create(ctx context.Context, now metav1.MicroTime) error {
	lease := &coordinationv1.Lease{
		TypeMeta:   metav1.TypeMeta{APIVersion: coordinationv1.SchemeGroupVersion.String(), Kind: "Lease"},
		ObjectMeta: metav1.ObjectMeta{Namespace: h.Name, Name: leaseName},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To(leaseName), LeaseDurationSeconds: ptr.To(int32(h.Every / time.Second)), RenewTime: &now,
		},
	}
	content, err := json.Marshal(lease)
	if err != nil {
		return err
	}
	return h.Hub.Patch(ctx, lease, client.RawPatch(types.ApplyPatchType, content), client.ForceOwnership, client.FieldOwner("kronvoy-spoke"))
}

// describe writes version and features into the ManagedCluster where they
// differ. A hub without ManagedClusters is none of the agent's business.
func (h *Heartbeat) describe(ctx context.Context) error {
	known := &clusterv1.ManagedCluster{}
	err := h.Hub.Get(ctx, client.ObjectKey{Name: h.Name}, known)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the ManagedCluster: %w", err)
	}
	clientset, err := discovery.NewDiscoveryClientForConfigAndClient(h.Spoke, h.HTTPClient)
	if err != nil {
		return fmt.Errorf("making a discovery client: %w", err)
	}
	version, err := clientset.ServerVersion()
	if err != nil {
		return errors.Join(errOwn, err)
	}
	claims, changed := withClaim(known.Status.ClusterClaims, clusterv1.ManagedClusterClaim{Name: kronvoyv1alpha1.ClaimFeatures, Value: features})
	if !changed && known.Status.Version.Kubernetes == version.GitVersion {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{
		"clusterClaims": claims, "version": map[string]any{"kubernetes": version.GitVersion},
	}})
	if err != nil {
		return err
	}
	target := &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: h.Name}}
	if err := h.Hub.Status().Patch(ctx, target, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("writing the ManagedCluster's status: %w", err)
	}
	return nil
}

// withClaim sets one claim and says whether that changed anything.
func withClaim(claims []clusterv1.ManagedClusterClaim, claim clusterv1.ManagedClusterClaim) ([]clusterv1.ManagedClusterClaim, bool) {
	index := slices.IndexFunc(claims, func(c clusterv1.ManagedClusterClaim) bool { return c.Name == claim.Name })
	switch {
	case index < 0:
		return append(slices.Clone(claims), claim), true
	case claims[index].Value == claim.Value:
		return claims, false
	}
	changed := slices.Clone(claims)
	changed[index] = claim
	return changed, true
}
