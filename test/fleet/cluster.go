package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Cluster is a Kubernetes cluster of the fleet: an API server with its own
// certificates and, as far as it was asked for, controllers, scheduler, nodes.
type Cluster struct {
	// Name is unique in the fleet; Region is what its nodes' labels say.
	Name, Region string

	fleet *Fleet
	state clusterState
	dir   string
}

// Options are what the cluster was started with.
func (c *Cluster) Options() ClusterOptions { return c.state.ClusterOptions }

// IsHub says whether this is the fleet's hub.
func (c *Cluster) IsHub() bool { return c.Name == HubName }

// Server is the address of the API server.
func (c *Cluster) Server() string { return fmt.Sprintf("https://127.0.0.1:%d", c.state.Port) }

// Kubeconfig is the path of a kubeconfig with all rights on the cluster.
func (c *Cluster) Kubeconfig() string { return c.file("kubeconfig") }

// RESTConfig is a client's configuration with all rights on the cluster and no
// limit of its own on requests.
func (c *Cluster) RESTConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig of cluster %q: %w", c.Name, err)
	}
	config.QPS = -1
	return config, nil
}

// Process is a program of the cluster, as in Process(fleet.APIServer), or nil
// where the cluster runs none of that name.
func (c *Cluster) Process(program string) *Process {
	return c.fleet.Process(c.Name + "/" + program)
}

// WaitReady returns when the API server answers and what the cluster was asked
// to run is of use: pods can be created, and its nodes are ready.
func (c *Cluster) WaitReady(ctx context.Context) error {
	if err := c.waitAPIServer(ctx); err != nil {
		return err
	}
	return c.waitControllers(ctx)
}

func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }

// writeFiles makes certificates, kubeconfigs and configuration.
func (c *Cluster) writeFiles() error {
	ca, err := newAuthority(c.Name)
	if err != nil {
		return err
	}
	_, service := serviceCIDR(c.state.Index)
	server, err := ca.server("kube-apiserver", service)
	if err != nil {
		return err
	}
	caKey, err1 := encodeKey(ca.key)
	saKey, err2 := newKey()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	saText, err := encodeKey(saKey)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"ca.crt": ca.pem, "ca.key": caKey,
		"apiserver.crt": server.cert, "apiserver.key": server.key,
		"sa.key":         saText,
		"admission.yaml": []byte(talosAdmission),
	}
	for file, user := range map[string]struct {
		name   string
		groups []string
	}{
		"kubeconfig":                      {"kronvoy-admin", []string{"system:masters"}},
		Kwok + ".kubeconfig":              {"kwok", []string{"system:masters"}},
		ControllerManager + ".kubeconfig": {"system:kube-controller-manager", nil},
		Scheduler + ".kubeconfig":         {"system:kube-scheduler", nil},
	} {
		pair, err := ca.client(user.name, user.groups...)
		if err != nil {
			return err
		}
		files[file], err = c.kubeconfig(ca.pem, user.name, &clientcmdapi.AuthInfo{ClientCertificateData: pair.cert, ClientKeyData: pair.key})
		if err != nil {
			return err
		}
	}
	if err := writeAll(c.dir, files); err != nil {
		return fmt.Errorf("writing the files of cluster %q: %w", c.Name, err)
	}
	return nil
}

// kubeconfig for a user; it holds all it needs and may be copied elsewhere.
func (c *Cluster) kubeconfig(ca []byte, user string, auth *clientcmdapi.AuthInfo) ([]byte, error) {
	config := clientcmdapi.NewConfig()
	config.Clusters[c.Name] = &clientcmdapi.Cluster{Server: c.Server(), CertificateAuthorityData: ca}
	config.AuthInfos[user] = auth
	config.Contexts[c.Name] = &clientcmdapi.Context{Cluster: c.Name, AuthInfo: user}
	config.CurrentContext = c.Name
	text, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("encoding the kubeconfig of %s: %w", user, err)
	}
	return text, nil
}

// start runs the cluster and waits until it is ready.
func (c *Cluster) start(ctx context.Context) error {
	if err := c.fleet.launch(c.apiServerCommand()); err != nil {
		return err
	}
	if err := c.waitAPIServer(ctx); err != nil {
		return err
	}
	if c.state.APIServerOnly {
		return nil
	}
	commands := []Command{c.controllerManagerCommand()}
	if c.state.Nodes > 0 {
		commands = append(commands, c.schedulerCommand(), c.kwokCommand())
	}
	for _, command := range commands {
		if err := c.fleet.launch(command); err != nil {
			return err
		}
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.createNodes(ctx, client) })
	group.Go(func() error { return c.waitControllers(ctx) })
	return group.Wait()
}

func (c *Cluster) waitAPIServer(ctx context.Context) error {
	ca, err := os.ReadFile(c.file("ca.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	return poll(ctx, fmt.Sprintf("the API server of cluster %q", c.Name), func(ctx context.Context) error {
		if err := c.fleet.died(Etcd, c.Name+"/"+APIServer); err != nil {
			return err
		}
		return get(ctx, client, c.Server()+"/readyz")
	})
}

// waitControllers waits for what the controllers make first of all that a pod
// needs, and for the nodes.
func (c *Cluster) waitControllers(ctx context.Context) error {
	if c.state.APIServerOnly {
		return nil
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	return poll(ctx, fmt.Sprintf("the controllers of cluster %q", c.Name), func(ctx context.Context) error {
		if err := c.fleet.died(c.Name+"/"+ControllerManager, c.Name+"/"+Scheduler, c.Name+"/"+Kwok); err != nil {
			return err
		}
		if _, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{}); err != nil {
			return fmt.Errorf("namespace default: %w", err)
		}
		if _, err := client.CoreV1().ConfigMaps(metav1.NamespaceDefault).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{}); err != nil {
			return fmt.Errorf("namespace default: %w", err)
		}
		return c.nodesReady(ctx, client)
	})
}

func (c *Cluster) client() (kubernetes.Interface, error) {
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of cluster %q: %w", c.Name, err)
	}
	return client, nil
}

// get asks for a page and fails unless it is there.
func get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", url, response.Status, body)
	}
	return nil
}

func ignoreExists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
