//go:build integration

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	coordinationv1ac "k8s.io/client-go/applyconfigurations/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub"
	"github.com/kronvoy/kronvoy/hub/registration/csr"
	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/proxy"
	"github.com/kronvoy/kronvoy/test/stack"
)

// joinWorld is a hub that runs with the rights it has when installed, and no
// cluster: tests play the agents.
type joinWorld struct {
	kubeconfig string
	scheme     *runtime.Scheme
	admin      client.Client
	stack      *stack.Stack
	// proxy may stand between a kubeconfig and the hub.
	proxy *proxy.Proxy
}

// rush is how many clusters join at once.
const rush = 200

func TestClustersJoinAndLeave(t *testing.T) {
	w := startJoinWorld(t)
	t.Run("with a token", w.withAToken)
	t.Run("a token is for one request of one cluster", w.oneRequest)
	t.Run("by a person", w.byAPerson)
	t.Run("not after the token's time", w.expired)
	t.Run("denied and accepted again", w.denied)
	t.Run("deleted and back", w.deleted)
	t.Run("gone for good", w.detached)
	t.Run("and are seen", w.seen)
	t.Run("and are in a bundle without secrets", w.bundled)
	t.Run("and are seen on a terminal", w.onATerminal)
	t.Run("many at once", w.many)
	t.Run("a hub is installed again", w.initAgain)
}

func startJoinWorld(t *testing.T) *joinWorld {
	t.Helper()
	between, err := proxy.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := stack.Start(t.Context(), stack.Options{
		Fleet: fleet.Options{
			Name: "join", Dir: t.TempDir(), Spokes: []fleet.ClusterOptions{}, Hub: fleet.ClusterOptions{APIServerArgs: between.Args()},
		},
		WithoutAgents: true, Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the hub's log ends with:\n%s", stack.Tail(s.Hub.Log()))
		}
		if err := errors.Join(s.Stop(context.WithoutCancel(t.Context())), between.Close()); err != nil {
			t.Error(err)
		}
	})
	scheme, err := hub.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	config, err := s.Fleet.Hub().RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	w := &joinWorld{kubeconfig: s.Fleet.Hub().Kubeconfig(), scheme: scheme, stack: s, proxy: between}
	if w.admin, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	return w
}

// cli runs a command against the hub.
func (w *joinWorld) cli(ctx context.Context, args ...string) (string, error) {
	cmd := newCommand()
	var out, errOut bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	cmd.SetIn(strings.NewReader(""))
	if !slices.Contains(args, "--kubeconfig") {
		args = append(args, "--kubeconfig", w.kubeconfig)
	}
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(ctx); err != nil {
		return out.String(), fmt.Errorf("kronvoy %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), errOut.String())
	}
	return out.String(), nil
}

func (w *joinWorld) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.cli(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// player plays an agent that joins.
type player struct {
	w         *joinWorld
	cluster   string
	bootstrap *rest.Config
	hub       client.Client
	key       *ecdsa.PrivateKey
}

func (w *joinWorld) player(cluster, kubeconfig string) (*player, error) {
	loaded, err := clientcmd.Load([]byte(kubeconfig))
	if err != nil {
		return nil, err
	}
	if got := loaded.Contexts[loaded.CurrentContext].Namespace; got != cluster {
		return nil, fmt.Errorf("the kubeconfig is for cluster %q, not %q", got, cluster)
	}
	p := &player{w: w, cluster: cluster}
	if p.bootstrap, err = clientcmd.RESTConfigFromKubeConfig([]byte(kubeconfig)); err != nil {
		return nil, err
	}
	if p.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	p.bootstrap.QPS = -1
	p.hub, err = client.New(p.bootstrap, client.Options{Scheme: w.scheme})
	return p, err
}

func (p *player) register(ctx context.Context) error {
	err := p.hub.Create(ctx, &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{
		Name: p.cluster, Annotations: map[string]string{kronvoyv1alpha1.AnnotationRequestedLabels: `{"size":"huge"}`},
	}})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// ask makes a request, as which cluster's agent it says.
func (p *player) ask(ctx context.Context, c client.Client, name, cluster string) (*certificatesv1.CertificateSigningRequest, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{
		CommonName: kronvoyv1alpha1.AgentUser(cluster, "played"), Organization: kronvoyv1alpha1.AgentGroups(cluster),
	}}, p.key)
	if err != nil {
		return nil, err
	}
	seconds := int32(3600)
	request := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{clusterv1.ClusterNameLabelKey: cluster}},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: certificatesv1.KubeAPIServerClientSignerName, ExpirationSeconds: &seconds,
			Usages:  []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth, certificatesv1.UsageDigitalSignature},
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		},
	}
	return request, c.Create(ctx, request)
}

// certified waits for the certificate, and is the agent then.
func (p *player) certified(ctx context.Context, c client.Client, name string) (client.Client, error) {
	request := &certificatesv1.CertificateSigningRequest{}
	err := eventually(ctx, func(ctx context.Context) error {
		if err := c.Get(ctx, client.ObjectKey{Name: name}, request); err != nil {
			return err
		}
		for _, condition := range request.Status.Conditions {
			if condition.Type != certificatesv1.CertificateApproved {
				return stop{fmt.Errorf("%s %s: %s", condition.Type, condition.Reason, condition.Message)}
			}
		}
		if len(request.Status.Certificate) == 0 {
			return errors.New("there is no certificate")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", name, err)
	}
	der, err := x509.MarshalECPrivateKey(p.key)
	if err != nil {
		return nil, err
	}
	config := rest.AnonymousClientConfig(p.bootstrap)
	config.QPS = -1
	config.CertData = request.Status.Certificate
	config.KeyData = pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	return client.New(config, client.Options{Scheme: p.w.scheme})
}

// beat renews the lease, as soon as the hub has given the right.
func (p *player) beat(ctx context.Context, agent client.Client) error {
	return eventually(ctx, func(ctx context.Context) error {
		// A lease of this name alone may be made, which only an apply can ask for.
		lease := coordinationv1ac.Lease("managed-cluster-lease", p.cluster).
			WithSpec(coordinationv1ac.LeaseSpec().WithRenewTime(metav1.MicroTime{Time: time.Now()}))
		return agent.Apply(ctx, lease, client.FieldOwner("played"), client.ForceOwnership)
	})
}

// joined takes a cluster the whole way.
func (w *joinWorld) joined(ctx context.Context, cluster string, args ...string) (*player, client.Client, error) {
	kubeconfig, err := w.cli(ctx, append([]string{"hub", "token", "--cluster", cluster}, args...)...)
	if err != nil {
		return nil, nil, err
	}
	p, err := w.player(cluster, kubeconfig)
	if err != nil {
		return nil, nil, err
	}
	if err := p.register(ctx); err != nil {
		return nil, nil, err
	}
	request, err := p.ask(ctx, p.hub, cluster+"-"+p.id(), cluster)
	if err != nil {
		return nil, nil, err
	}
	agent, err := p.certified(ctx, p.hub, request.Name)
	if err != nil {
		return nil, nil, err
	}
	return p, agent, p.beat(ctx, agent)
}

// id tells one key's requests from another's.
func (p *player) id() string { return fmt.Sprintf("%x", p.key.X.Bytes()[:6]) }

type stop struct{ error }

func eventually(ctx context.Context, check func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		var final stop
		if errors.As(last, &final) {
			return false, last
		}
		return last == nil, nil
	})
	if err != nil && last != nil {
		return last
	}
	return err
}

func (w *joinWorld) eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	if err := eventually(t.Context(), check); err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}

func (w *joinWorld) cluster(ctx context.Context, name string) (*clusterv1.ManagedCluster, error) {
	c := &clusterv1.ManagedCluster{}
	return c, w.admin.Get(ctx, client.ObjectKey{Name: name}, c)
}

// condition waits for one of a cluster, and returns its message.
func (w *joinWorld) condition(t *testing.T, cluster, kind string, status metav1.ConditionStatus, reason string) string {
	t.Helper()
	message := ""
	w.eventually(t, fmt.Sprintf("%s to be %s/%s on %s", kind, status, reason, cluster), func(ctx context.Context) error {
		c, err := w.cluster(ctx, cluster)
		if err != nil {
			return err
		}
		condition := apimeta.FindStatusCondition(c.Status.Conditions, kind)
		if condition == nil || condition.Status != status || condition.Reason != reason {
			return fmt.Errorf("the conditions are %+v", c.Status.Conditions)
		}
		message = condition.Message
		return nil
	})
	return message
}

// refused is nil for an error of the kind.
func refused(kind func(error) bool, err error) error {
	if kind(err) {
		return nil
	}
	return errors.Join(errors.New("the API server does not refuse it so"), err)
}

// accountGone waits until the token's ServiceAccount is deleted.
func (w *joinWorld) accountGone(t *testing.T, cluster string) {
	t.Helper()
	w.eventually(t, "the token of "+cluster+" to go", func(ctx context.Context) error {
		err := w.admin.Get(ctx, client.ObjectKey{Namespace: kronvoyv1alpha1.JoinNamespace, Name: cluster}, &corev1.ServiceAccount{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is still there: %w", err)
		}
		return nil
	})
}

func (w *joinWorld) withAToken(t *testing.T) {
	p, agent, err := w.joined(t.Context(), "c1", "--labels", "region=eu,size=large")
	if err != nil {
		t.Fatal(err)
	}
	w.condition(t, "c1", clusterv1.ManagedClusterConditionHubAccepted, metav1.ConditionTrue, "HubClusterAdminAccepted")
	w.condition(t, "c1", clusterv1.ManagedClusterConditionJoined, metav1.ConditionTrue, "ManagedClusterJoined")
	c, err := w.cluster(t.Context(), "c1")
	if err != nil {
		t.Fatal(err)
	}
	if c.Labels["region"] != "eu" || c.Labels["size"] != "large" {
		t.Errorf("the labels are %v, want those of the token", c.Labels)
	}
	w.accountGone(t, "c1")
	w.eventually(t, "the token to be dead", func(ctx context.Context) error {
		return refused(apierrors.IsUnauthorized, p.hub.Get(ctx, client.ObjectKey{Name: "c1"}, &clusterv1.ManagedCluster{}))
	})

	// The agent renews with the certificate that it has.
	if _, err := p.ask(t.Context(), agent, "c1-renewal", "c1"); err != nil {
		t.Fatal(err)
	}
	next, err := p.certified(t.Context(), agent, "c1-renewal")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.beat(t.Context(), next); err != nil {
		t.Error(err)
	}
	// It asks in another cluster's name, and gets nothing.
	if _, err := p.ask(t.Context(), agent, "c1-as-c2", "c2"); err == nil {
		if _, err := p.certified(t.Context(), agent, "c1-as-c2"); err == nil || !strings.Contains(err.Error(), csr.ReasonWrongRequester) {
			t.Errorf("c1 asks as c2: %v", err)
		}
	}
	if _, err := w.cli(t.Context(), "hub", "token", "--cluster", "c1"); err == nil || !strings.Contains(err.Error(), "--rejoin") {
		t.Errorf("a second token for c1: %v, want one to need --rejoin", err)
	}
}

func (w *joinWorld) oneRequest(t *testing.T) {
	p, err := w.player("once", w.must(t, "hub", "token", "--cluster", "once"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.register(t.Context()); err != nil {
		t.Fatal(err)
	}
	denied := func(name, cluster, reason string) {
		t.Helper()
		if _, err := p.ask(t.Context(), p.hub, name, cluster); apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
			return // an admission policy was first
		} else if err != nil {
			t.Fatal(err)
		}
		if _, err := p.certified(t.Context(), p.hub, name); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("request %s for %s: %v, want %s", name, cluster, err, reason)
		}
	}
	denied("once-as-c1", "c1", csr.ReasonWrongRequester)
	denied("once-as-once1", "once1", csr.ReasonWrongRequester)
	if _, err := p.ask(t.Context(), p.hub, "once-first", "once"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.certified(t.Context(), p.hub, "once-first"); err != nil {
		t.Fatal(err)
	}
	denied("once-second", "once", csr.ReasonTokenUsed)
}

func (w *joinWorld) byAPerson(t *testing.T) {
	p, err := w.player("byhand", w.must(t, "hub", "token", "--cluster", "byhand", "--approval", "manual"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.register(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.ask(t.Context(), p.hub, "byhand-request", "byhand"); err != nil {
		t.Fatal(err)
	}
	message := w.condition(t, "byhand", clusterv1.ManagedClusterConditionHubAccepted, metav1.ConditionFalse, "WaitingForApproval")
	if !strings.Contains(message, "kronvoy accept byhand") || !strings.Contains(message, "huge") {
		t.Errorf("the cluster says %q, neither what to do nor what it asks for", message)
	}
	var shown acceptance
	if err := json.Unmarshal([]byte(w.must(t, "accept", "byhand", "--dry-run", "-o", "json")), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Accepted || shown.RequestedLabels["size"] != "huge" || len(shown.Requests) != 1 || shown.Requests[0].Decision != requestPending {
		t.Errorf("it shows %+v", shown)
	}
	w.must(t, "accept", "byhand", "--labels", "size=small")
	agent, err := p.certified(t.Context(), p.hub, "byhand-request")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.beat(t.Context(), agent); err != nil {
		t.Fatal(err)
	}
	w.accountGone(t, "byhand")
	c, err := w.cluster(t.Context(), "byhand")
	if err != nil {
		t.Fatal(err)
	}
	if c.Labels["size"] != "small" {
		t.Errorf("the labels are %v, want those of who accepted it", c.Labels)
	}
}

func (w *joinWorld) expired(t *testing.T) {
	p, err := w.player("late", w.must(t, "hub", "token", "--cluster", "late", "--approval", "manual"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.register(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.ask(t.Context(), p.hub, "late-request", "late"); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: kronvoyv1alpha1.JoinNamespace, Name: "late"}}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, kronvoyv1alpha1.AnnotationJoinExpires, time.Now().Add(-time.Second).Format(time.RFC3339))
	if err := w.admin.Patch(t.Context(), account, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		t.Fatal(err)
	}
	w.accountGone(t, "late")
	w.eventually(t, "the request to be denied", func(ctx context.Context) error {
		request := &certificatesv1.CertificateSigningRequest{}
		if err := w.admin.Get(ctx, client.ObjectKey{Name: "late-request"}, request); err != nil {
			return err
		}
		reasons := []string{csr.ReasonTokenExpired, csr.ReasonTokenGone}
		if len(request.Status.Conditions) != 1 || !slices.Contains(reasons, request.Status.Conditions[0].Reason) {
			return fmt.Errorf("its conditions are %+v", request.Status.Conditions)
		}
		return nil
	})
}

func (w *joinWorld) denied(t *testing.T) {
	_, agent, err := w.joined(t.Context(), "denied")
	if err != nil {
		t.Fatal(err)
	}
	list := func(ctx context.Context) error {
		return agent.List(ctx, &workv1.ManifestWorkList{}, client.InNamespace("denied"))
	}
	w.eventually(t, "the agent's rights", list)

	// What somebody makes of a binding is put right.
	binding := &rbacv1.RoleBinding{}
	key := client.ObjectKey{Namespace: "denied", Name: "kronvoy-spoke"}
	if err := w.admin.Get(t.Context(), key, binding); err != nil {
		t.Fatal(err)
	}
	want := binding.DeepCopy()
	binding.Subjects = append(binding.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "mallory"})
	delete(binding.Labels, clusterv1.ClusterNameLabelKey)
	if err := w.admin.Update(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	w.eventually(t, "the binding to be put right", func(ctx context.Context) error {
		if err := w.admin.Get(ctx, key, binding); err != nil {
			return err
		}
		if !slices.Equal(binding.Subjects, want.Subjects) || binding.Labels[clusterv1.ClusterNameLabelKey] != "denied" {
			return fmt.Errorf("it is for %v, labelled %v", binding.Subjects, binding.Labels)
		}
		return nil
	})

	// Works stay, the rights go.
	work := &workv1.ManifestWork{ObjectMeta: metav1.ObjectMeta{Namespace: "denied", Name: "stays"}}
	if err := w.admin.Create(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	accepts := func(yes bool) {
		t.Helper()
		c := &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: "denied"}}
		patch := fmt.Sprintf(`{"spec":{"hubAcceptsClient":%t}}`, yes)
		if err := w.admin.Patch(t.Context(), c, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	accepts(false)
	w.eventually(t, "the agent to lose its rights", func(ctx context.Context) error {
		return refused(apierrors.IsForbidden, list(ctx))
	})
	t.Logf("a denied agent is refused after %s", time.Since(begin).Round(time.Millisecond))
	w.condition(t, "denied", clusterv1.ManagedClusterConditionHubDenied, metav1.ConditionTrue, "HubClusterAdminDenied")
	w.condition(t, "denied", clusterv1.ManagedClusterConditionHubAccepted, metav1.ConditionFalse, "HubClusterAdminDenied")
	if err := w.admin.Get(t.Context(), client.ObjectKeyFromObject(work), work); err != nil || work.DeletionTimestamp != nil {
		t.Errorf("its work: %v, deleted %v", err, work.DeletionTimestamp)
	}
	w.must(t, "accept", "denied")
	w.eventually(t, "the agent's rights again", list)
	w.condition(t, "denied", clusterv1.ManagedClusterConditionHubAccepted, metav1.ConditionTrue, "HubClusterAdminAccepted")
}

// workOf is a work that an agent has taken: it is not gone before the agent says
// so.
func (w *joinWorld) workOf(t *testing.T, cluster string) *workv1.ManifestWork {
	t.Helper()
	work := &workv1.ManifestWork{ObjectMeta: metav1.ObjectMeta{
		Namespace: cluster, Name: "taken", Finalizers: []string{kronvoyv1alpha1.FinalizerWork},
	}}
	if err := w.admin.Create(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	return work
}

func (w *joinWorld) deleted(t *testing.T) {
	_, agent, err := w.joined(t.Context(), "leaves")
	if err != nil {
		t.Fatal(err)
	}
	work := w.workOf(t, "leaves")
	if err := w.admin.Delete(t.Context(), &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: "leaves"}}); err != nil {
		t.Fatal(err)
	}
	w.condition(t, "leaves", clusterv1.ManagedClusterConditionDeleting, metav1.ConditionFalse, clusterv1.ConditionDeletingReasonResourceRemaining)
	// The agent still can: it removes what the work brought, and says so.
	w.eventually(t, "the agent to clean up", func(ctx context.Context) error {
		if err := agent.Get(ctx, client.ObjectKeyFromObject(work), work); err != nil {
			return err
		}
		if work.DeletionTimestamp == nil {
			return errors.New("the work is not deleted")
		}
		work.Finalizers = nil
		return agent.Update(ctx, work)
	})
	w.gone(t, "leaves")
	w.eventually(t, "its agent to have no rights", func(ctx context.Context) error {
		return refused(apierrors.IsForbidden, agent.Get(ctx, client.ObjectKey{Name: "leaves"}, &clusterv1.ManagedCluster{}))
	})
	if _, _, err := w.joined(t.Context(), "leaves", "--labels", "again=yes"); err != nil {
		t.Fatal(err)
	}
	w.condition(t, "leaves", clusterv1.ManagedClusterConditionJoined, metav1.ConditionTrue, "ManagedClusterJoined")
}

func (w *joinWorld) gone(t *testing.T, cluster string) {
	t.Helper()
	w.eventually(t, "ManagedCluster "+cluster+" to go", func(ctx context.Context) error {
		c, err := w.cluster(ctx, cluster)
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is still there: %w, %+v", err, c.Status.Conditions)
		}
		return nil
	})
}

func (w *joinWorld) detached(t *testing.T) {
	if _, _, err := w.joined(t.Context(), "burnt"); err != nil {
		t.Fatal(err)
	}
	w.workOf(t, "burnt")
	if _, err := w.cli(t.Context(), "detach", "burnt"); err == nil {
		t.Error("it is detached without --yes")
	}
	var result detachment
	if err := json.Unmarshal([]byte(w.must(t, "detach", "burnt", "--yes", "--force", "-o", "json")), &result); err != nil {
		t.Fatal(err)
	}
	if result.Detached == "" || result.By == "" || result.Gone {
		t.Errorf("it says %+v", result)
	}
	var works workv1.ManifestWorkList
	if err := w.admin.List(t.Context(), &works, client.InNamespace("burnt")); err != nil || len(works.Items) > 0 {
		t.Errorf("%d works are left, %v", len(works.Items), err)
	}
	// It comes back after all, and joins again.
	if _, _, err := w.joined(t.Context(), "burnt", "--rejoin"); err != nil {
		t.Fatal(err)
	}
	c, err := w.cluster(t.Context(), "burnt")
	if err != nil {
		t.Fatal(err)
	}
	if c.Annotations[kronvoyv1alpha1.AnnotationDetached] != "" {
		t.Error("it is still detached")
	}
	// A deletion that waits for an agent which never comes is over, too.
	w.workOf(t, "burnt")
	if err := w.admin.Delete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	w.condition(t, "burnt", clusterv1.ManagedClusterConditionDeleting, metav1.ConditionFalse, clusterv1.ConditionDeletingReasonResourceRemaining)
	if err := json.Unmarshal([]byte(w.must(t, "detach", "burnt", "--yes", "--force", "-o", "json")), &result); err != nil {
		t.Fatal(err)
	}
	if !result.Gone {
		t.Errorf("it says %+v", result)
	}
	w.gone(t, "burnt")
}

func (w *joinWorld) many(t *testing.T) {
	begin := time.Now()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(50)
	for i := range rush {
		group.Go(func() error {
			_, _, err := w.joined(ctx, fmt.Sprintf("rush-%d", i), "--labels", "rush=yes")
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d clusters joined in %s", rush, time.Since(begin).Round(10*time.Millisecond))
	w.eventually(t, "no token to be left", func(ctx context.Context) error {
		var accounts corev1.ServiceAccountList
		if err := w.admin.List(ctx, &accounts, client.InNamespace(kronvoyv1alpha1.JoinNamespace)); err != nil {
			return err
		}
		left := slices.DeleteFunc(accounts.Items, func(a corev1.ServiceAccount) bool { return !strings.HasPrefix(a.Name, "rush-") })
		if len(left) > 0 {
			return fmt.Errorf("%d are", len(left))
		}
		return nil
	})
}

func (w *joinWorld) initAgain(t *testing.T) {
	install := func() map[string]int {
		t.Helper()
		var result installed
		if err := json.Unmarshal([]byte(w.must(t, "hub", "init", "--image", "registry.example/kronvoy-hub:test", "-o", "json")), &result); err != nil {
			t.Fatal(err)
		}
		if result.Encryption.State != "Unknown" || !strings.Contains(result.Encryption.Message, "--encryption-provider-config") {
			t.Errorf("of encryption it says %+v", result.Encryption)
		}
		counts := map[string]int{}
		for _, object := range result.Objects {
			counts[object.Result]++
		}
		return counts
	}
	first := install()
	if first["created"] == 0 {
		t.Errorf("nothing was created: %v", first)
	}
	w.eventually(t, "a second run to change nothing", func(context.Context) error {
		if second := install(); second["created"]+second["changed"] > 0 {
			return fmt.Errorf("it is %v", second)
		}
		return nil
	})
}
