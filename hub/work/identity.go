// Package work packs what one cluster should get into ManifestWorks, and reads
// back what came of it. It is pure: values in, values out.
//
//	Evaluation + previous works ──Build──► Plan ──(hub/target writes)──► agent
//	            Observed ◄──Read── works' status + reports ◄─────────────┘
package work

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Identity is what an instance is known by. Names derive from it, never from
// the UID: a restored hub finds its works again.
type Identity struct {
	Group, Version, Kind, Namespace, Name string
}

// IdentityOf turns the reference of a Target into an Identity.
func IdentityOf(ref kronvoyv1alpha1.InstanceReference) Identity {
	group, version, found := strings.Cut(ref.APIVersion, "/")
	if !found {
		group, version = "", ref.APIVersion
	}
	return Identity{Group: group, Version: version, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}
}

// IdentityOfInstance is the identity of an instance as it was read.
func IdentityOfInstance(instance *unstructured.Unstructured) Identity {
	gvk := instance.GroupVersionKind()
	return Identity{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: instance.GetNamespace(), Name: instance.GetName()}
}

// Reference is the inverse of IdentityOf.
func (i Identity) Reference() kronvoyv1alpha1.InstanceReference {
	apiVersion := i.Version
	if i.Group != "" {
		apiVersion = i.Group + "/" + i.Version
	}
	return kronvoyv1alpha1.InstanceReference{APIVersion: apiVersion, Kind: i.Kind, Namespace: i.Namespace, Name: i.Name}
}

// GroupKind is the instance's kind.
func (i Identity) GroupKind() schema.GroupKind { return schema.GroupKind{Group: i.Group, Kind: i.Kind} }

// String names the instance for people: Kind.group/namespace/name.
func (i Identity) String() string {
	return i.Kind + "." + i.Group + "/" + i.Namespace + "/" + i.Name
}

// Hash is short, fit for a label, and independent of the API version.
func (i Identity) Hash() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{i.Group, i.Kind, i.Namespace, i.Name}, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// TargetName is the name of the instance's Target in each cluster's namespace.
func (i Identity) TargetName() string {
	return shorten(i.Name, 40) + "-" + i.Hash()[:10]
}

// WorkName is the name of the instance's nth work in a cluster's namespace.
func (i Identity) WorkName(chunk int) string {
	return i.TargetName() + "-" + strconv.Itoa(chunk)
}

// FieldManager owns the instance's fields on a spoke; it stays the same over
// all revisions, and no two instances share one.
func (i Identity) FieldManager() string { return FieldManager(i.Hash()) }

// FieldManager is Identity.FieldManager, from the identity's hash.
func FieldManager(hash string) string {
	return kronvoyv1alpha1.FieldManagerPrefix + hash[:min(10, len(hash))]
}

// NamespaceWorkName is the name of the work that carries a namespace.
func NamespaceWorkName(namespace string) string {
	return "namespace-" + namespace
}

func shorten(name string, limit int) string {
	if len(name) > limit {
		name = name[:limit]
	}
	return strings.TrimRight(strings.ReplaceAll(name, ".", "-"), "-")
}
