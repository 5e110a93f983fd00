package fleet

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// The programs of a cluster, as in Cluster.Process.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kwok              = "kwok"
)

// controllers are those that a fleet without kubelets, volumes and clouds can
// use. There is no node lifecycle: kwok's nodes do not fail by themselves, and a
// test that starves the machine must not evict pods.
var controllers = []string{
	"serviceaccount-controller", "serviceaccount-token-controller", "root-ca-certificate-publisher-controller",
	"namespace-controller", "garbage-collector-controller", "pod-garbage-collector-controller", "resourcequota-controller",
	"deployment-controller", "replicaset-controller", "replicationcontroller-controller", "statefulset-controller",
	"daemonset-controller", "job-controller", "cronjob-controller", "ttl-after-finished-controller", "disruption-controller",
	"endpoints-controller", "endpointslice-controller", "endpointslice-mirroring-controller", "service-cidr-controller",
	"certificatesigningrequest-signing-controller", "certificatesigningrequest-approving-controller",
	"certificatesigningrequest-cleaner-controller", "clusterrole-aggregation-controller",
	"validatingadmissionpolicy-status-controller",
	"persistentvolumeclaim-protection-controller", "persistentvolume-protection-controller",
}

// talosAdmission is the Pod Security configuration that Talos writes.
const talosAdmission = `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults:
      enforce: baseline
      enforce-version: latest
      audit: restricted
      audit-version: latest
      warn: restricted
      warn-version: latest
    exemptions:
      namespaces: [kube-system]
`

// serviceCIDR differs from cluster to cluster, so that a test sees at once
// whose address it holds.
func serviceCIDR(index int) (cidr string, first net.IP) {
	second := byte(96 + index%100)
	return fmt.Sprintf("10.%d.0.0/16", second), net.IPv4(10, second, 0, 1)
}

func (f *Fleet) etcdCommand(client, peer int) Command {
	return etcdCommand(f.paths.Etcd, f.etcdData(), client, peer)
}

func (f *Fleet) etcdData() string { return filepath.Join(f.dir, etcdDir) }

func etcdServers(port string) string { return "--etcd-servers=http://127.0.0.1:" + port }

func etcdCommand(path, data string, client, peer int) Command {
	clientURL := fmt.Sprintf("http://127.0.0.1:%d", client)
	peerURL := fmt.Sprintf("http://127.0.0.1:%d", peer)
	return Command{
		Name: Etcd,
		Path: path,
		Args: []string{
			"--name=fleet", "--data-dir=" + data,
			"--listen-client-urls=" + clientURL, "--advertise-client-urls=" + clientURL,
			"--listen-peer-urls=" + peerURL, "--initial-advertise-peer-urls=" + peerURL,
			"--initial-cluster=fleet=" + peerURL,
			"--socket-reuse-port=true",
			// The page cache outlives a killed process; only the machine's own
			// crash could lose data, and then nobody needs them.
			"--unsafe-no-fsync=true",
			"--log-level=warn",
		},
	}
}

func (c *Cluster) apiServerCommand() Command {
	cidr, _ := serviceCIDR(c.state.Index)
	args := []string{
		etcdServers(strconv.Itoa(c.fleet.etcdPort())),
		"--etcd-prefix=/" + c.Name,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.state.Port), "--permit-port-sharing=true",
		"--tls-cert-file=" + c.file("apiserver.crt"), "--tls-private-key-file=" + c.file("apiserver.key"),
		"--client-ca-file=" + c.file("ca.crt"),
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.file("sa.key"), "--service-account-signing-key-file=" + c.file("sa.key"),
		"--service-cluster-ip-range=" + cidr,
		// The addresses of these servers are loopback, which Endpoints refuse.
		"--endpoint-reconciler-type=none",
		// The node lifecycle controller, which takes the taint away, does not run.
		"--disable-admission-plugins=TaintNodesByCondition",
		"--allow-privileged=true", // Pod Security decides, as on real clusters
		// Without it a server that is asked to end waits a minute for its watchers.
		"--shutdown-watch-termination-grace-period=1s",
		"--profiling=false",
	}
	if c.state.podSecurity() {
		args = append(args, "--admission-control-config-file="+c.file("admission.yaml"))
	}
	return c.command(APIServer, c.fleet.paths.APIServer, append(args, c.state.APIServerArgs...)...)
}

func (c *Cluster) controllerManagerCommand() Command {
	return c.command(ControllerManager, c.fleet.paths.ControllerManager,
		"--kubeconfig="+c.file(ControllerManager+".kubeconfig"),
		"--controllers="+strings.Join(controllers, ","),
		"--use-service-account-credentials=true", "--service-account-private-key-file="+c.file("sa.key"),
		"--root-ca-file="+c.file("ca.crt"),
		"--cluster-signing-cert-file="+c.file("ca.crt"), "--cluster-signing-key-file="+c.file("ca.key"),
		"--leader-elect=false", "--secure-port=0", "--profiling=false",
		"--kube-api-qps=200", "--kube-api-burst=400",
	)
}

func (c *Cluster) schedulerCommand() Command {
	return c.command(Scheduler, c.fleet.paths.Scheduler,
		"--kubeconfig="+c.file(Scheduler+".kubeconfig"),
		"--leader-elect=false", "--secure-port=0", "--profiling=false",
		"--kube-api-qps=200", "--kube-api-burst=400",
	)
}

func (c *Cluster) kwokCommand() Command {
	args := []string{
		"--kubeconfig=" + c.file(Kwok+".kubeconfig"),
		"--manage-all-nodes=true",
		// Nobody looks at the leases of these nodes: they would only be writes.
		"--node-lease-duration-seconds=0",
		"--cidr=10.244.0.0/16", "--node-ip=127.0.0.1",
	}
	for _, stage := range c.fleet.paths.KwokStages {
		args = append(args, "--config="+stage)
	}
	command := c.command(Kwok, c.fleet.paths.Kwok, args...)
	command.Env = []string{"KWOK_WORKDIR=" + c.dir} // not the user's ~/.kwok
	return command
}

func (c *Cluster) command(program, path string, args ...string) Command {
	return Command{Name: c.Name + "/" + program, Path: path, Args: args}
}
