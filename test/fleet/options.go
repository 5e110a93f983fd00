package fleet

import (
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/kronvoy/kronvoy/test/fleet/binaries"
)

// HubName is the name of the cluster that every fleet has.
const HubName = "hub"

// DefaultName is the name of a fleet that is not given one.
const DefaultName = "default"

// Options say what fleet to start. The zero value is a hub and three spokes.
type Options struct {
	// Name of the fleet; "default" if empty.
	Name string
	// Dir holds all the fleet's files, and goes with it. By default it is
	// fleet/<name> in Kronvoy's cache directory; tests give a temporary one.
	Dir string
	// Hub is the hub; its name is always "hub". It has no nodes by default.
	Hub ClusterOptions
	// Spokes are the other clusters; DefaultSpokes(3) if nil.
	Spokes []ClusterOptions
	// Detached lets the fleet run on after this process. Otherwise it ends with
	// this process, whatever ends that.
	Detached bool
	// KeepLogs leaves the logs in Dir when the fleet stops.
	KeepLogs bool
	// Timeout bounds the start, without the building; two minutes by default.
	Timeout time.Duration
	// Progress is told what happens; nobody by default.
	Progress io.Writer
}

// ClusterOptions say what cluster to start.
type ClusterOptions struct {
	// Name is a DNS label, unique in the fleet.
	Name string `json:"name"`
	// Region and Zone become labels of the nodes.
	Region string `json:"region,omitempty"`
	Zone   string `json:"zone,omitempty"`
	// Nodes is how many nodes kwok plays. A scheduler and kwok run only where
	// there are some.
	Nodes int `json:"nodes,omitempty"`
	// OSImage is what the nodes say they run, as in "Talos (v1.13.3)". Pod
	// Security is enforced on a cluster of Talos nodes as Talos does.
	OSImage string `json:"osImage,omitempty"`
	// KernelVersion and ContainerRuntime are what else the nodes say.
	KernelVersion    string `json:"kernelVersion,omitempty"`
	ContainerRuntime string `json:"containerRuntime,omitempty"`
	// NodeLabels are further labels of the nodes.
	NodeLabels map[string]string `json:"nodeLabels,omitempty"`
	// PodSecurity enforces Talos's Pod Security defaults whatever the OSImage.
	PodSecurity bool `json:"podSecurity,omitempty"`
	// APIServerOnly leaves out the controllers too, and with them namespaces'
	// deletion, default service accounts, certificates and garbage collection.
	APIServerOnly bool `json:"apiServerOnly,omitempty"`
	// APIServerArgs are added to the kube-apiserver's command line.
	APIServerArgs []string `json:"apiServerArgs,omitempty"`
}

// DefaultSpokes returns n spokes in as many regions; the first has Talos nodes.
func DefaultSpokes(n int) []ClusterOptions {
	talos := func(region, zone string) ClusterOptions {
		return ClusterOptions{Region: region, Zone: zone, OSImage: "Talos (v1.13.3)", KernelVersion: "6.18.8-talos"}
	}
	debian := func(region, zone string) ClusterOptions {
		return ClusterOptions{Region: region, Zone: zone, OSImage: "Debian GNU/Linux 13 (trixie)", KernelVersion: "6.12.48+deb13-cloud-amd64"}
	}
	known := []ClusterOptions{
		talos("eu-west", "eu-west-1a"),
		debian("us-east", "us-east-1a"),
		debian("ap-south", "ap-south-1a"),
		talos("us-west", "us-west-1a"),
		debian("eu-north", "eu-north-1a"),
		debian("sa-east", "sa-east-1a"),
	}
	spokes := make([]ClusterOptions, n)
	for i := range spokes {
		spokes[i] = known[i%len(known)]
		spokes[i].Name = spokes[i].Region
		if round := i / len(known); round > 0 {
			spokes[i].Name = fmt.Sprintf("%s-%d", spokes[i].Region, round+1)
		}
		spokes[i].Nodes = 2
		spokes[i].ContainerRuntime = "containerd://2.2.1"
	}
	return spokes
}

// Dir is where the fleet of this name keeps its files by default.
func Dir(name string) (string, error) {
	if !dnsLabel.MatchString(name) {
		return "", fmt.Errorf("%q cannot name a fleet: use lower-case letters, digits and '-'", name)
	}
	cache, err := binaries.CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "fleet", name), nil
}

// withDefaults fills in what is left out, and refuses what cannot work.
func (o Options) withDefaults() (Options, error) {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if o.Dir == "" {
		dir, err := Dir(o.Name)
		if err != nil {
			return o, err
		}
		o.Dir = dir
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return o, err
	}
	o.Dir = dir
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.Spokes == nil {
		o.Spokes = DefaultSpokes(3)
	}
	o.Hub.Name = HubName
	seen := map[string]bool{}
	for _, c := range append([]ClusterOptions{o.Hub}, o.Spokes...) {
		if err := c.validate(); err != nil {
			return o, err
		}
		if seen[c.Name] {
			return o, fmt.Errorf("two clusters are called %q", c.Name)
		}
		seen[c.Name] = true
	}
	return o, nil
}

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func (c ClusterOptions) validate() error {
	switch {
	case !dnsLabel.MatchString(c.Name):
		return fmt.Errorf("%q cannot name a cluster: use at most 63 lower-case letters, digits and '-'", c.Name)
	case c.Nodes < 0:
		return fmt.Errorf("cluster %q cannot have %d nodes", c.Name, c.Nodes)
	case c.APIServerOnly && c.Nodes > 0:
		return fmt.Errorf("cluster %q has an API server only, so nothing runs on its %d nodes: leave out one of the two", c.Name, c.Nodes)
	}
	return nil
}

// podSecurity says whether Talos's Pod Security defaults are enforced.
func (c ClusterOptions) podSecurity() bool {
	return c.PodSecurity || strings.HasPrefix(c.OSImage, "Talos")
}
