package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/registration/token"
	"github.com/kronvoy/kronvoy/internal/bootstrap"
	"github.com/kronvoy/kronvoy/spoke/join"
	"github.com/kronvoy/kronvoy/spoke/notice"
	"github.com/kronvoy/kronvoy/test/fleet"
)

// Join gives a cluster a token, starts its agent with it, and waits until the
// agent serves the hub: there is no other way in.
func (s *Stack) Join(ctx context.Context, spoke *fleet.Cluster) error {
	s.say("joining %s with a token", spoke.Name)
	data, err := s.Bootstrap(ctx, spoke)
	if err != nil {
		return err
	}
	if err := s.installAgent(ctx, spoke, data); err != nil {
		return err
	}
	if err := s.startAgent(ctx, spoke, nil); err != nil {
		return err
	}
	return s.settle(ctx, spoke)
}

// settle says on the hub how often the cluster is heard of.
func (s *Stack) settle(ctx context.Context, spoke *fleet.Cluster) error {
	if s.options.LeaseSeconds == 0 {
		return nil
	}
	hub, err := administrator(s.Fleet.Hub())
	if err != nil {
		return err
	}
	patch := fmt.Appendf(nil, `{"spec":{"leaseDurationSeconds":%d}}`, s.options.LeaseSeconds)
	cluster := &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: spoke.Name}}
	if err := hub.Patch(ctx, cluster, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("changing ManagedCluster %s: %w", spoke.Name, err)
	}
	return nil
}

// Bootstrap makes a token with which the cluster is accepted at once, with its
// labels, and returns the data of the Secret to join by.
func (s *Stack) Bootstrap(ctx context.Context, spoke *fleet.Cluster) (map[string][]byte, error) {
	path := s.onHub(spoke)
	if err := s.writeBootstrap(ctx, spoke, path); err != nil {
		return nil, fmt.Errorf("making a token for %s: %w", spoke.Name, err)
	}
	if err := s.options.Reroute(path); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{kronvoyv1alpha1.SecretKubeconfig: text}, nil
}

// writeBootstrap does what "kronvoy hub token --rejoin" does.
func (s *Stack) writeBootstrap(ctx context.Context, spoke *fleet.Cluster, path string) error {
	hub, err := administrator(s.Fleet.Hub())
	if err != nil {
		return err
	}
	kubeconfig, err := clientcmd.LoadFromFile(s.Fleet.Hub().Kubeconfig())
	if err != nil {
		return err
	}
	server, err := bootstrap.Server(*kubeconfig)
	if err != nil {
		return err
	}
	labels := map[string]string{"region": spoke.Region}
	maps.Copy(labels, s.options.Labels[spoke.Name])
	now := time.Now()
	secret, err := bootstrap.Make(ctx, hub, spoke.Name, token.Token{Labels: labels, Expires: now.Add(token.MaxTTL), Automatic: true}, now)
	if err != nil {
		return err
	}
	return clientcmd.WriteToFile(bootstrap.Kubeconfig(spoke.Name, server, secret), path)
}

// Identify joins a cluster that another agent than ours is to serve, whose
// namespace this is. It returns the path of a kubeconfig beside the two files
// that it refers to, as an agent of OCM's finds them in its mounted Secret.
func (s *Stack) Identify(ctx context.Context, spoke *fleet.Cluster, namespace string) (string, error) {
	data, err := s.Bootstrap(ctx, spoke)
	if err != nil {
		return "", err
	}
	admin, err := administrator(spoke)
	if err != nil {
		return "", err
	}
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: kronvoyv1alpha1.BootstrapSecret}, Data: data}
	for _, object := range []client.Object{space, secret} {
		if err := admin.Create(ctx, object); err != nil {
			return "", fmt.Errorf("preparing %s to join: %w", spoke.Name, err)
		}
	}
	data, err = s.runJoiner(ctx, spoke, namespace, admin)
	if err != nil {
		return "", err
	}
	path, err := s.writeIdentity(spoke, data)
	if err != nil {
		return "", err
	}
	return path, s.settle(ctx, spoke)
}

// Identity returns the path of a kubeconfig with which the hub takes whoever uses
// it for the agent of a cluster, as it is now.
func (s *Stack) Identity(ctx context.Context, spoke *fleet.Cluster) (string, error) {
	admin, err := administrator(spoke)
	if err != nil {
		return "", err
	}
	secret := &corev1.Secret{}
	if err := admin.Get(ctx, client.ObjectKey{Namespace: AgentNamespace, Name: kronvoyv1alpha1.HubSecret}, secret); err != nil {
		return "", fmt.Errorf("reading what the agent of %s has joined with: %w", spoke.Name, err)
	}
	return s.writeIdentity(spoke, secret.Data)
}

// writeIdentity writes a kubeconfig, and the two files that it refers to.
func (s *Stack) writeIdentity(spoke *fleet.Cluster, data map[string][]byte) (string, error) {
	dir := s.file(spoke.Name + "-identity")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for _, key := range []string{kronvoyv1alpha1.SecretKubeconfig, kronvoyv1alpha1.SecretTLSKey, kronvoyv1alpha1.SecretTLSCertificate} {
		if err := os.WriteFile(filepath.Join(dir, key), data[key], 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, kronvoyv1alpha1.SecretKubeconfig), nil
}

// runJoiner joins until the cluster has its certificate.
func (s *Stack) runJoiner(ctx context.Context, spoke *fleet.Cluster, namespace string, admin client.Client) (map[string][]byte, error) {
	config, err := spoke.RESTConfig()
	if err != nil {
		return nil, err
	}
	reader, err := join.NewClient(config)
	if err != nil {
		return nil, err
	}
	board := &notice.Board{}
	joiner := join.New(join.Options{Cluster: reader, Namespace: namespace, Board: board})
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	ended := make(chan error, 1)
	go func() { ended <- joiner.Run(ctx) }()
	joined := joiner.Hub(ctx) != nil
	cancel()
	if err := <-ended; err != nil || !joined {
		text, _ := board.Ready(context.WithoutCancel(ctx))
		return nil, errors.Join(fmt.Errorf("%s has not joined: %s", spoke.Name, text), err)
	}
	secret := &corev1.Secret{}
	err = admin.Get(context.WithoutCancel(ctx), client.ObjectKey{Namespace: namespace, Name: kronvoyv1alpha1.HubSecret}, secret)
	return secret.Data, err
}

// administrator has all rights on a cluster.
func administrator(cluster *fleet.Cluster) (client.Client, error) {
	config, err := cluster.RESTConfig()
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), rbacv1.AddToScheme(scheme), authenticationv1.AddToScheme(scheme), clusterv1.Install(scheme)); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making a client of cluster %q: %w", cluster.Name, err)
	}
	return c, nil
}
