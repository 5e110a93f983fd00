// Package facts says what a cluster is: nodes in, claims out. It is pure, and
// the same nodes give the same words in whatever order they come.
//
// A claim that a placement may select by holds one word that is valid as the
// value of a label, since OCM's claimSelector takes no other; its name is in
// the singular, and where nodes differ it is what most of them have. A claim
// whose name is in the plural counts: "v1.12.4=1,v1.13.3=2".
package facts

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Claims that OCM reserves.
const (
	ClaimID          = "id.k8s.io"
	ClaimKubeVersion = "kubeversion.open-cluster-management.io"
	ClaimPlatform    = "platform.open-cluster-management.io"
	ClaimProduct     = "product.open-cluster-management.io"
)

// Claims about any cluster's nodes.
const (
	ClaimRegion           = "region.kronvoy.io"
	ClaimRegions          = "regions.kronvoy.io"
	ClaimZone             = "zone.kronvoy.io"
	ClaimZones            = "zones.kronvoy.io"
	ClaimProvider         = "provider.kronvoy.io"
	ClaimProviders        = "providers.kronvoy.io"
	ClaimArchitecture     = "architecture.kronvoy.io"
	ClaimArchitectures    = "architectures.kronvoy.io"
	ClaimOperatingSystems = "operatingsystems.kronvoy.io"
	ClaimOSImages         = "osimages.kronvoy.io"
	ClaimKernels          = "kernels.kronvoy.io"
	ClaimKubelets         = "kubelets.kronvoy.io"
	ClaimNodesTotal       = "nodes.kronvoy.io/total"
	ClaimNodesReady       = "nodes.kronvoy.io/ready"
	ClaimNodesCordoned    = "nodes.kronvoy.io/cordoned"
)

// lists are the claims that count nodes.
var lists = []string{
	ClaimRegions, ClaimZones, ClaimProviders, ClaimArchitectures, ClaimOperatingSystems, ClaimOSImages, ClaimKernels, ClaimKubelets,
	ClaimTalosVersions, ClaimTalosExtensions,
}

// Names are all claims that Of can make, but those whose name begins with
// ExtensionPrefix.
func Names() []string {
	return []string{
		ClaimID, ClaimKubeVersion, ClaimPlatform, ClaimProduct,
		ClaimRegion, ClaimRegions, ClaimZone, ClaimZones, ClaimProvider, ClaimProviders,
		ClaimArchitecture, ClaimArchitectures, ClaimOperatingSystems, ClaimOSImages, ClaimKernels, ClaimKubelets,
		ClaimNodesTotal, ClaimNodesReady, ClaimNodesCordoned,
		ClaimTalosVersion, ClaimTalosVersions, ClaimTalosUpgrading,
		ClaimTalosTotal, ClaimTalosCordoned, ClaimTalosNotReady, ClaimTalosExtensions,
	}
}

// FromNodes says whether a claim can only be made by whoever may read nodes.
func FromNodes(name string) bool {
	return name != ClaimID && name != ClaimKubeVersion && Own(name)
}

// Own says whether a claim is one of those that Of makes.
func Own(name string) bool {
	return strings.HasPrefix(name, ExtensionPrefix) || slices.Contains(Names(), name)
}

// MaxValue is how long a claim's value may be in bytes; OCM's API takes so many
// characters.
const MaxValue = 1024

// maxWord is how long a claim of one word may be; it is that of a label's value.
const maxWord = 63

// Cluster is what there is to see of a cluster.
type Cluster struct {
	// ID is the UID of namespace kube-system; empty when it may not be read.
	ID string
	// Version is that of the API server.
	Version string
	// Nodes are all nodes; nil when they may not be read, and then nothing is
	// said that rests on them.
	Nodes []*corev1.Node
}

// Facts are what is to be said of it.
type Facts struct {
	Claims map[string]string
	// Capacity and Allocatable are sums over the nodes; nil without nodes to read.
	Capacity, Allocatable corev1.ResourceList
}

// summed are the resources that are added up; a node may name any number of
// others.
var summed = []corev1.ResourceName{
	corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods, corev1.ResourceEphemeralStorage,
}

// Summed says whether a resource is one of those that are added up.
func Summed(name corev1.ResourceName) bool { return slices.Contains(summed, name) }

// Of describes a cluster.
func Of(c Cluster) Facts {
	claims := map[string]string{ClaimID: c.ID, ClaimKubeVersion: c.Version, ClaimProduct: product(c)}
	facts := Facts{Claims: claims}
	if c.Nodes != nil {
		describeNodes(claims, c.Nodes)
		describeTalos(claims, c.Nodes)
		facts.Capacity = sum(c.Nodes, func(n *corev1.Node) corev1.ResourceList { return n.Status.Capacity })
		facts.Allocatable = sum(c.Nodes, func(n *corev1.Node) corev1.ResourceList {
			if n.Spec.Unschedulable {
				return nil // OCM: nothing new can go there
			}
			return n.Status.Allocatable
		})
	}
	for name, value := range claims {
		claims[name] = clean(value)
	}
	maps.DeleteFunc(claims, func(name, value string) bool {
		return value == "" || len(value) > maxWord && !slices.Contains(lists, name)
	})
	return facts
}

func describeNodes(claims map[string]string, nodes []*corev1.Node) {
	label := func(key string) func(*corev1.Node) string {
		return func(n *corev1.Node) string { return n.Labels[key] }
	}
	info := func(of func(corev1.NodeSystemInfo) string) func(*corev1.Node) string {
		return func(n *corev1.Node) string { return of(n.Status.NodeInfo) }
	}
	for _, fact := range []struct {
		one, all string
		of       func(*corev1.Node) string
	}{
		{ClaimRegion, ClaimRegions, label(corev1.LabelTopologyRegion)},
		{ClaimZone, ClaimZones, label(corev1.LabelTopologyZone)},
		{ClaimProvider, ClaimProviders, provider},
		{ClaimArchitecture, ClaimArchitectures, info(func(i corev1.NodeSystemInfo) string { return i.Architecture })},
		{"", ClaimOperatingSystems, info(func(i corev1.NodeSystemInfo) string { return i.OperatingSystem })},
		{"", ClaimOSImages, info(func(i corev1.NodeSystemInfo) string { return i.OSImage })},
		{"", ClaimKernels, info(func(i corev1.NodeSystemInfo) string { return i.KernelVersion })},
		{"", ClaimKubelets, info(func(i corev1.NodeSystemInfo) string { return i.KubeletVersion })},
	} {
		counts := count(nodes, fact.of)
		claims[fact.all] = list(counts, cmp.Compare[string])
		if fact.one != "" {
			claims[fact.one] = most(counts)
		}
	}
	claims[ClaimPlatform] = platforms[claims[ClaimProvider]]
	claims[ClaimNodesTotal] = strconv.Itoa(len(nodes))
	claims[ClaimNodesReady] = strconv.Itoa(countIf(nodes, ready))
	claims[ClaimNodesCordoned] = strconv.Itoa(countIf(nodes, cordoned))
}

// provider is the scheme of a node's providerID, by which cloud providers tell
// their nodes.
func provider(n *corev1.Node) string {
	scheme, _, found := strings.Cut(n.Spec.ProviderID, "://")
	if !found {
		return ""
	}
	return scheme
}

// platforms are the words that OCM's users know for providers. Of others nothing
// is said, so that an administrator's ClusterClaim can say it.
var platforms = map[string]string{
	"aws": "AWS", "azure": "Azure", "gce": "GCP", "ibm": "IBM", "metal3": "BareMetal", "openstack": "OpenStack", "vsphere": "VSphere",
}

// labelAKS is on every node of Azure's service.
const labelAKS = "kubernetes.azure.com/cluster"

// product is what the cluster is sold or known as. Distributions mark the
// version of their API server; Talos and OpenShift run Kubernetes' own and are
// known by what their nodes run.
func product(c Cluster) string {
	for _, mark := range []struct{ text, product string }{
		{"-eks-", "EKS"}, {"-gke.", "GKE"}, {"+k3s", "K3s"}, {"+rke2", "RKE2"}, {"+k0s", "k0s"},
	} {
		if strings.Contains(c.Version, mark.text) {
			return mark.product
		}
	}
	return most(count(c.Nodes, func(n *corev1.Node) string {
		switch image := n.Status.NodeInfo.OSImage; {
		case talosVersion(n) != "":
			return "Talos"
		case strings.HasPrefix(image, "Red Hat Enterprise Linux CoreOS"):
			return "OpenShift"
		case n.Labels[labelAKS] != "":
			return "AKS"
		}
		return ""
	}))
}

func ready(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

func cordoned(n *corev1.Node) bool { return n.Spec.Unschedulable }

func countIf(nodes []*corev1.Node, is func(*corev1.Node) bool) int {
	n := 0
	for _, node := range nodes {
		if is(node) {
			n++
		}
	}
	return n
}

// count says how many nodes have each word; nodes without one are left out.
func count(nodes []*corev1.Node, of func(*corev1.Node) string) map[string]int {
	counts := map[string]int{}
	for _, node := range nodes {
		if word := clean(of(node)); word != "" {
			counts[word]++
		}
	}
	return counts
}

// most is the word that most nodes have, and of several the first by name.
func most(counts map[string]int) string {
	best := ""
	for _, word := range slices.Sorted(maps.Keys(counts)) {
		if counts[word] > counts[best] {
			best = word
		}
	}
	return best
}

// others stands for what a list has no room for.
const others = "others"

// list is word=count, comma-separated. Of more than a claim can hold the most
// frequent are named, and the last entry counts the nodes of the others.
func list(counts map[string]int, order func(a, b string) int) string {
	words := slices.Collect(maps.Keys(counts))
	slices.SortFunc(words, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), order(a, b)) })
	const reserve = len(others) + len("=9999999")
	room, left := MaxValue-reserve, 0
	var named []string
	for _, word := range words {
		if size := len(entry(word, counts[word])) + 1; left == 0 && size <= room {
			room -= size
			named = append(named, word)
		} else {
			left += counts[word]
		}
	}
	slices.SortFunc(named, order)
	entries := make([]string, 0, len(named)+1)
	for _, word := range named {
		entries = append(entries, entry(word, counts[word]))
	}
	if left > 0 {
		entries = append(entries, entry(others, left))
	}
	return strings.Join(entries, ",")
}

func entry(word string, n int) string {
	return strings.Map(func(r rune) rune {
		if r == ',' || r == '=' {
			return '_' // they separate entries
		}
		return r
	}, word) + "=" + strconv.Itoa(n)
}

// clean takes away what would make a word unreadable.
func clean(word string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, word))
}

func sum(nodes []*corev1.Node, of func(*corev1.Node) corev1.ResourceList) corev1.ResourceList {
	total := corev1.ResourceList{}
	for _, name := range summed {
		var quantity resource.Quantity
		for _, node := range nodes {
			quantity.Add(of(node)[name])
		}
		total[name] = quantity
	}
	return total
}
