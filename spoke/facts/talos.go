package facts

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

// Claims about the nodes that run Talos; there are none where no node does.
const (
	ClaimTalosVersion    = "version.talos.dev"
	ClaimTalosVersions   = "versions.talos.dev"
	ClaimTalosUpgrading  = "upgrading.talos.dev"
	ClaimTalosTotal      = "nodes.talos.dev/total"
	ClaimTalosCordoned   = "nodes.talos.dev/cordoned"
	ClaimTalosNotReady   = "nodes.talos.dev/notready"
	ClaimTalosExtensions = "extensions.talos.dev"
)

// ExtensionPrefix is that of the labels or annotations by which a Talos node
// names its system extensions, and of the claims that name those that every
// Talos node has.
const ExtensionPrefix = "extensions.talos.dev/"

// maxExtensions is how many extensions get a claim of their own.
const maxExtensions = 32

// severalVersions is the value of an extension's claim where its version
// differs from node to node.
const severalVersions = "several"

// talosImage is what a Talos node's osImage looks like.
var talosImage = regexp.MustCompile(`^Talos \((v[0-9][^)]*)\)$`)

// talosVersion is empty for a node that does not run Talos.
func talosVersion(n *corev1.Node) string {
	if match := talosImage.FindStringSubmatch(n.Status.NodeInfo.OSImage); match != nil {
		return clean(match[1])
	}
	return ""
}

// describeTalos says which Talos versions there are, and whether an upgrade is
// under way: Talos upgrades node by node, and cordons and restarts each.
func describeTalos(claims map[string]string, all []*corev1.Node) {
	nodes := slices.DeleteFunc(slices.Clone(all), func(n *corev1.Node) bool { return talosVersion(n) == "" })
	if len(nodes) == 0 {
		return
	}
	versions := count(nodes, talosVersion)
	notReady := len(nodes) - countIf(nodes, ready)
	claims[ClaimTalosVersion] = slices.MinFunc(slices.Collect(maps.Keys(versions)), compareVersions)
	claims[ClaimTalosVersions] = list(versions, compareVersions)
	claims[ClaimTalosTotal] = strconv.Itoa(len(nodes))
	claims[ClaimTalosCordoned] = strconv.Itoa(countIf(nodes, cordoned))
	claims[ClaimTalosNotReady] = strconv.Itoa(notReady)
	claims[ClaimTalosUpgrading] = strconv.FormatBool(len(versions) > 1 || notReady > 0 || slices.ContainsFunc(nodes, cordoned))
	describeExtensions(claims, nodes)
}

// compareVersions puts what is no version behind all that are.
func compareVersions(a, b string) int {
	left, leftErr := version.ParseSemantic(a)
	right, rightErr := version.ParseSemantic(b)
	switch {
	case leftErr == nil && rightErr == nil:
		switch {
		case left.LessThan(right):
			return -1
		case right.LessThan(left):
			return 1
		}
	case leftErr == nil:
		return -1
	case rightErr == nil:
		return 1
	}
	return cmp.Compare(a, b)
}

func describeExtensions(claims map[string]string, nodes []*corev1.Node) {
	counts, versions := map[string]int{}, map[string]map[string]bool{}
	for _, node := range nodes {
		for name, version := range extensions(node) {
			counts[name]++
			if versions[name] == nil {
				versions[name] = map[string]bool{}
			}
			versions[name][version] = true
		}
	}
	claims[ClaimTalosExtensions] = list(counts, cmp.Compare[string])
	named := 0
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] < len(nodes) || named == maxExtensions {
			continue
		}
		named++
		value := severalVersions
		if len(versions[name]) == 1 {
			value = slices.Collect(maps.Keys(versions[name]))[0]
		}
		claims[ExtensionPrefix+name] = cmp.Or(clean(value), "true")
	}
}

// extensions are a node's, with their versions.
func extensions(n *corev1.Node) map[string]string {
	found := map[string]string{}
	for _, marks := range []map[string]string{n.Annotations, n.Labels} {
		for key, value := range marks {
			if name, is := strings.CutPrefix(key, ExtensionPrefix); is && name != "" {
				found[name] = value
			}
		}
	}
	return found
}

// Slim is what Of reads of a node: images and volumes are most of the rest.
func Slim(n *corev1.Node) *corev1.Node {
	info := n.Status.NodeInfo
	slim := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion,
			Labels: readMarks(n.Labels), Annotations: readMarks(n.Annotations),
		},
		Spec: corev1.NodeSpec{ProviderID: n.Spec.ProviderID, Unschedulable: n.Spec.Unschedulable},
		Status: corev1.NodeStatus{
			Capacity: readAmounts(n.Status.Capacity), Allocatable: readAmounts(n.Status.Allocatable),
			NodeInfo: corev1.NodeSystemInfo{
				OSImage: info.OSImage, KernelVersion: info.KernelVersion, KubeletVersion: info.KubeletVersion,
				OperatingSystem: info.OperatingSystem, Architecture: info.Architecture,
			},
		},
	}
	for _, condition := range n.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			slim.Status.Conditions = []corev1.NodeCondition{{Type: condition.Type, Status: condition.Status}}
		}
	}
	return slim
}

func readMarks(marks map[string]string) map[string]string {
	var kept map[string]string
	for key, value := range marks {
		switch {
		case strings.HasPrefix(key, ExtensionPrefix), key == corev1.LabelTopologyRegion, key == corev1.LabelTopologyZone, key == labelAKS:
			if kept == nil {
				kept = map[string]string{}
			}
			kept[key] = value
		}
	}
	return kept
}

func readAmounts(amounts corev1.ResourceList) corev1.ResourceList {
	kept := corev1.ResourceList{}
	for _, name := range summed {
		if amount, has := amounts[name]; has {
			kept[name] = amount
		}
	}
	return kept
}
