package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/join"
	"github.com/kronvoy/kronvoy/spoke/notice"
	"github.com/kronvoy/kronvoy/test/fleet"
)

// Join gives a cluster a token, starts its agent with it, and waits until the
// agent serves the hub: there is no other way in.
func (s *Stack) Join(ctx context.Context, spoke *fleet.Cluster) error {
	s.say("joining %s with a token", spoke.Name)
	bootstrap, err := s.Bootstrap(ctx, spoke)
	if err != nil {
		return err
	}
	if err := s.installAgent(ctx, spoke, bootstrap); err != nil {
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
	labels := map[string]string{"region": spoke.Region}
	maps.Copy(labels, s.options.Labels[spoke.Name])
	path := s.onHub(spoke)
	if err := s.token(ctx, spoke.Name, labels, path); err != nil {
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

// Identify joins a cluster that another agent than ours is to serve, whose
// namespace this is. It returns the path of a kubeconfig beside the two files
// that it refers to, as an agent of OCM's finds them in its mounted Secret.
func (s *Stack) Identify(ctx context.Context, spoke *fleet.Cluster, namespace string) (string, error) {
	bootstrap, err := s.Bootstrap(ctx, spoke)
	if err != nil {
		return "", err
	}
	admin, err := administrator(spoke)
	if err != nil {
		return "", err
	}
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: kronvoyv1alpha1.BootstrapSecret}, Data: bootstrap}
	for _, object := range []client.Object{space, secret} {
		if err := admin.Create(ctx, object); err != nil {
			return "", fmt.Errorf("preparing %s to join: %w", spoke.Name, err)
		}
	}
	data, err := s.runJoiner(ctx, spoke, namespace, admin)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(s.Fleet.Dir(), spoke.Name+"-identity")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for _, key := range []string{kronvoyv1alpha1.SecretKubeconfig, kronvoyv1alpha1.SecretTLSKey, kronvoyv1alpha1.SecretTLSCertificate} {
		if err := os.WriteFile(filepath.Join(dir, key), data[key], 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, kronvoyv1alpha1.SecretKubeconfig), s.settle(ctx, spoke)
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
	if err := errors.Join(corev1.AddToScheme(scheme), clusterv1.Install(scheme)); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making a client of cluster %q: %w", cluster.Name, err)
	}
	return c, nil
}

// token does what "kronvoy hub token" does.
func (s *Stack) token(ctx context.Context, cluster string, labels map[string]string, path string) error {
	hub, err := administrator(s.Fleet.Hub())
	if err != nil {
		return err
	}
	encoded, err := json.Marshal(labels)
	if err != nil {
		return err
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Namespace: kronvoyv1alpha1.JoinNamespace, Name: cluster,
		Annotations: map[string]string{
			kronvoyv1alpha1.AnnotationJoinLabels: string(encoded), kronvoyv1alpha1.AnnotationJoinApproval: kronvoyv1alpha1.JoinApprovalAutomatic,
			kronvoyv1alpha1.AnnotationJoinExpires: time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
		},
	}}
	// A cluster that comes back gets a token of its own.
	if err := client.IgnoreNotFound(hub.Delete(ctx, account.DeepCopy())); err != nil {
		return err
	}
	if err := hub.Create(ctx, account); err != nil {
		return err
	}
	request := &authenticationv1.TokenRequest{}
	if err := hub.SubResource("token").Create(ctx, account, request); err != nil {
		return err
	}
	config, err := clientcmd.LoadFromFile(s.Fleet.Hub().Kubeconfig())
	if err != nil {
		return err
	}
	current := config.Contexts[config.CurrentContext]
	current.Namespace = cluster
	config.AuthInfos[current.AuthInfo].ClientCertificateData = nil
	config.AuthInfos[current.AuthInfo].ClientKeyData = nil
	config.AuthInfos[current.AuthInfo].Token = request.Status.Token
	return clientcmd.WriteToFile(*config, path)
}
