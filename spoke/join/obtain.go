package join

import (
	"context"
	"errors"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/rest"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/notice"
)

// agentNameLength is that of OCM's random names of agents.
const agentNameLength = 5

// join takes the way into the fleet one step further.
func (j *Joiner) join(ctx context.Context, b *bootstrap) error {
	config := rest.CopyConfig(b.config)
	j.options.Configure(config)
	hub, err := NewClient(config)
	if err != nil {
		return fmt.Errorf("making a client of the hub: %w", err)
	}
	if string(j.secret.Data[keyJoiningBy]) != b.hash || j.joining.refused {
		delete(j.secret.Data, keyJoining)
		j.joining.refused = false
	}
	key, err := j.key(ctx, keyJoining, b.hash)
	if err != nil {
		return err
	}
	agent := string(j.secret.Data[kronvoyv1alpha1.SecretAgentName])
	cert, err := j.certificate(ctx, hub, b.cluster, agent, key, func() error { return j.register(ctx, hub, b) })
	if err == nil {
		// The connection has served its purpose; client-go gives the same transport
		// for the same configuration.
		if used, err := rest.TransportFor(config); err == nil {
			defer utilnet.CloseIdleConnectionsFor(used)
		}
		return j.take(ctx, &identity{cluster: b.cluster, agent: agent, server: b.server, bootstrap: b.hash}, key, cert)
	}
	if n := j.whyNotJoined(ctx, hub, b, err); n != nil {
		j.tell(ctx, *n)
	}
	return err
}

// renew takes the renewal of the certificate one step further.
func (j *Joiner) renew(ctx context.Context) error {
	hub, err := NewClient(j.currentHub().Config)
	if err != nil {
		return fmt.Errorf("making a client of the hub: %w", err)
	}
	if j.renewal.refused {
		delete(j.secret.Data, keyRenewal)
		j.renewal.refused = false
	}
	key, err := j.key(ctx, keyRenewal, "")
	if err != nil {
		return err
	}
	cert, err := j.certificate(ctx, hub, j.identity.cluster, j.identity.agent, key, func() error { return nil })
	if err == nil {
		return j.take(ctx, j.identity, key, cert)
	}
	if n := j.whyNotRenewed(err); n != nil {
		j.tell(ctx, *n)
	}
	return err
}

// key returns the private key that is stored for a request, or stores a new one.
func (j *Joiner) key(ctx context.Context, name, by string) ([]byte, error) {
	if key := j.secret.Data[name]; len(key) > 0 {
		return key, nil
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	j.secret.Data[name] = key
	if by != "" {
		j.secret.Data[keyJoiningBy] = []byte(by)
	}
	if len(j.secret.Data[kronvoyv1alpha1.SecretAgentName]) == 0 {
		agent := utilrand.String(agentNameLength)
		if j.identity != nil {
			agent = j.identity.agent
		}
		j.secret.Data[kronvoyv1alpha1.SecretAgentName] = []byte(agent)
	}
	return key, j.save(ctx)
}

// certificate looks after the request of a key, and returns what the hub signed.
// first is done before the request is made.
func (j *Joiner) certificate(ctx context.Context, hub client.Client, cluster, agent string, key []byte, first func() error) ([]byte, error) {
	name, err := RequestName(cluster, key)
	if err != nil {
		return nil, err
	}
	request := &certificatesv1.CertificateSigningRequest{}
	err = hub.Get(ctx, client.ObjectKey{Name: name}, request)
	if apierrors.IsNotFound(err) {
		if err := first(); err != nil {
			return nil, err
		}
		if request, err = newRequest(name, cluster, agent, key, j.options.CertificateDuration); err != nil {
			return nil, err
		}
		if err = hub.Create(ctx, request); apierrors.IsAlreadyExists(err) {
			return nil, errPending // an answer was lost
		}
		if err == nil {
			j.options.Log.Info("Asked the hub for a certificate", "cluster", cluster, "request", name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("asking for a certificate by CertificateSigningRequest %s: %w", name, err)
	}
	cert, err := signed(request)
	if err != nil || len(cert) > 0 {
		return cert, err
	}
	return nil, fmt.Errorf("request %s: %w", name, errPending)
}

// register makes the ManagedCluster, where the hub has none of the name.
func (j *Joiner) register(ctx context.Context, hub client.Client, b *bootstrap) error {
	cluster := &clusterv1.ManagedCluster{}
	err := hub.Get(ctx, client.ObjectKey{Name: b.cluster}, cluster)
	if apierrors.IsNotFound(err) {
		cluster = &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: b.cluster}}
		if b.requestedLabels != "" {
			cluster.Annotations = map[string]string{kronvoyv1alpha1.AnnotationRequestedLabels: b.requestedLabels}
		}
		if err = hub.Create(ctx, cluster); apierrors.IsAlreadyExists(err) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("registering ManagedCluster %s: %w", b.cluster, err)
	}
	return nil
}

// take stores a certificate, and uses it.
func (j *Joiner) take(ctx context.Context, id *identity, key, cert []byte) error {
	if err := check(key, cert, kronvoyv1alpha1.AgentUser(id.cluster, id.agent)); err != nil {
		j.options.Log.Info("The hub signed a certificate that cannot be used", "reason", err.Error())
		return fmt.Errorf("using the certificate that the hub signed: %w: %w", err, errRefused)
	}
	if err := install(j.secret, id.cluster, id.agent, id.bootstrap, id.server, key, cert); err != nil {
		return err
	}
	if err := j.save(ctx); err != nil {
		return err
	}
	next, err := readIdentity(j.secret)
	if err != nil {
		return fmt.Errorf("reading what was just written to Secret %s: %w", j.options.HubSecret, err)
	}
	if err := j.adopt(next); err != nil {
		return err
	}
	j.options.Log.Info("The hub signed a certificate for the agent", "cluster", id.cluster,
		"serial", next.certificate.Leaf.SerialNumber.Text(16), "until", next.notAfter().UTC().Format(time.RFC3339))
	return nil
}

// whyNotJoined says what to do about a bootstrap that does not get on; nil when
// it is too early to tell.
func (j *Joiner) whyNotJoined(ctx context.Context, hub client.Client, b *bootstrap, err error) *notice.Notice {
	again := fmt.Sprintf("make a new one with `kronvoy hub token --cluster %s --rejoin`, and give it to `kronvoy join`", b.cluster)
	n := &notice.Notice{Problem: true, Unready: j.useless()}
	switch {
	case errors.Is(err, errPending):
		if j.options.Clock.Since(j.joining.begun) < patience {
			return nil
		}
		n.Reason, n.Problem = notice.WaitingForApproval, false
		n.Message = fmt.Sprintf("The hub %s has not approved cluster %s yet; on the hub its administrator does so with `kronvoy accept %s`",
			b.server.Server, b.cluster, b.cluster)
		if says := j.hubSays(ctx, hub, b.cluster); says != "" {
			n.Reason, n.Problem = notice.NotAccepted, true
			n.Message += ". The hub says: " + says
		}
	case errors.Is(err, errRefused):
		n.Reason, n.Message = notice.RequestRefused, fmt.Sprintf("The hub %s gives cluster %s no certificate: %v; ask its administrator why, and %s",
			b.server.Server, b.cluster, err, again)
	case apierrors.IsUnauthorized(err):
		n.Reason, n.Message = notice.BootstrapRefused, fmt.Sprintf(
			"The hub %s does not take the bootstrap token of cluster %s: it has expired, was used before, or is another hub's; %s", b.server.Server, b.cluster, again)
	case apierrors.IsForbidden(err):
		n.Reason, n.Message = notice.BootstrapForbidden, fmt.Sprintf(
			"The hub %s does not let the bootstrap identity join as cluster %s: %v; check the name, and %s", b.server.Server, b.cluster, err, again)
	default:
		n.Reason, n.Message = notice.HubUnreachable, fmt.Sprintf("Cluster %s cannot join the hub %s yet, and tries again: %v", b.cluster, b.server.Server, err)
	}
	return n
}

// hubSays is what the hub has against the cluster, if anything.
func (j *Joiner) hubSays(ctx context.Context, hub client.Client, name string) string {
	cluster := &clusterv1.ManagedCluster{}
	if err := hub.Get(ctx, client.ObjectKey{Name: name}, cluster); err != nil {
		j.options.Log.V(1).Info("The ManagedCluster cannot be read", "cluster", name, "reason", err.Error())
		return ""
	}
	if c := apimeta.FindStatusCondition(cluster.Status.Conditions, clusterv1.ManagedClusterConditionHubDenied); c != nil && c.Status == metav1.ConditionTrue {
		return c.Message
	}
	if c := apimeta.FindStatusCondition(cluster.Status.Conditions, clusterv1.ManagedClusterConditionHubAccepted); c != nil && c.Status == metav1.ConditionFalse {
		return c.Message
	}
	return ""
}

// whyNotRenewed says what to do about a certificate that is not renewed; nil
// when it is too early to tell.
func (j *Joiner) whyNotRenewed(err error) *notice.Notice {
	if errors.Is(err, errPending) && j.options.Clock.Since(j.renewal.begun) < patience {
		return nil
	}
	id := j.identity
	n := &notice.Notice{Reason: notice.RenewalFailed, Problem: true}
	switch {
	case errors.Is(err, errPending):
		n.Message = "the hub has not approved the request; its administrator can do so with `kronvoy accept " + id.cluster + "`"
	case errors.Is(err, errRefused):
		n.Message = err.Error() + "; ask the hub's administrator why"
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		n.Message = fmt.Sprintf("the hub refuses the cluster: %v; its administrator lets it in again with `kronvoy accept %s`", err, id.cluster)
	default:
		n.Message = err.Error()
	}
	n.Message = fmt.Sprintf("The certificate of cluster %s is not renewed, and ends %s: %s", id.cluster, id.notAfter().UTC().Format(time.RFC3339), n.Message)
	return n
}
