package apply

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/json"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/drift"
)

// foreignMarks are annotations that a manifest may not bring along: tracking
// marks of other tools, which would prune here what is not in their own source,
// and the hold, which is for people on the cluster. A manifest with it could never
// be changed again.
var foreignMarks = []string{"kubectl.kubernetes.io/last-applied-configuration", kronvoyv1alpha1.AnnotationReconcile}

// serverFields are written by the API server alone; a manifest exported from a
// cluster carries them.
var serverFields = []string{"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "managedFields", "resourceVersion", "selfLink", "uid"}

// content is the manifest without what only the server or other tools may write.
func (i *Item) content() (*unstructured.Unstructured, error) {
	content := map[string]any{}
	if err := json.Unmarshal(i.Raw, &content); err != nil {
		return nil, fmt.Errorf("reading manifest %d: %w", i.Ordinal, err)
	}
	obj := &unstructured.Unstructured{Object: content}
	delete(content, "status")
	metadata, _ := content["metadata"].(map[string]any)
	for _, field := range serverFields {
		delete(metadata, field)
	}
	if i.Key.Namespace == "" {
		delete(metadata, "namespace")
	}
	if annotations := obj.GetAnnotations(); annotations != nil {
		for _, mark := range foreignMarks {
			delete(annotations, mark)
		}
		obj.SetAnnotations(annotations)
	}
	if drift.IsSecret(obj) {
		encodeStringData(content)
	}
	if content["aggregationRule"] != nil && i.GVK.Group == "rbac.authorization.k8s.io" {
		delete(content, "rules") // a controller fills them, as the API says, whatever is there
	}
	return obj, nil
}

// sign adds what makes an object ours: the hash that certifies the manifest, the
// label that our watches select by and the owner that keeps it from being
// orphaned.
func (i *Item) sign(obj *unstructured.Unstructured, owners ...metav1.OwnerReference) {
	labels := cloneOrNew(obj.GetLabels())
	labels[kronvoyv1alpha1.LabelManaged] = "true"
	obj.SetLabels(labels)
	annotations := cloneOrNew(obj.GetAnnotations())
	annotations[kronvoyv1alpha1.AnnotationHash] = i.Hash
	obj.SetAnnotations(annotations)
	if owners = append(obj.GetOwnerReferences(), owners...); len(owners) > 0 {
		obj.SetOwnerReferences(owners)
	}
}

// body is the manifest as it is applied over an object, of which baseline is
// what we have. Other works that own the object stay its owners: with the same
// field manager an apply that left them out would remove them.
func (r *run) body(item *Item, baseline *drift.Baseline, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	body, err := item.content()
	if err != nil {
		return nil, err
	}
	var owners []metav1.OwnerReference
	if !item.Orphan {
		owners = append(owners, *r.owner)
	}
	if obj != nil {
		if err := keepPresent(item, baseline, body, obj); err != nil {
			return nil, err
		}
		for _, owner := range obj.GetOwnerReferences() {
			if owner.Kind == r.owner.Kind && owner.APIVersion == r.owner.APIVersion && owner.UID != r.owner.UID {
				owners = append(owners, owner)
				// One that lets go meanwhile must not be put back: nobody would
				// take it out again.
				body.SetResourceVersion(obj.GetResourceVersion())
			}
		}
	}
	item.sign(body, owners...)
	return body, nil
}

// ownerField says whether a field is in the owner references.
func ownerField(path fieldpath.Path) bool {
	return len(path) > 1 && path[0].FieldName != nil && *path[0].FieldName == "metadata" &&
		path[1].FieldName != nil && *path[1].FieldName == "ownerReferences"
}

// otherOwner says whether a field is an owner reference that is not ours: those
// come and go with other works.
func (r *run) otherOwner(path fieldpath.Path) bool {
	if len(path) < 3 || !ownerField(path) || path[2].Key == nil {
		return false
	}
	for _, key := range *path[2].Key {
		if key.Name == "uid" && key.Value.IsString() {
			return key.Value.AsString() != string(r.owner.UID)
		}
	}
	return false
}

// encodeStringData moves a Secret's stringData into data, as the server does:
// it never shows stringData again, so its fields could not be compared.
func encodeStringData(content map[string]any) {
	plain, ok := content["stringData"].(map[string]any)
	if !ok {
		return
	}
	data, _ := content["data"].(map[string]any)
	if data == nil {
		data = map[string]any{}
	}
	for key, value := range plain {
		if text, ok := value.(string); ok {
			data[key] = base64.StdEncoding.EncodeToString([]byte(text))
		}
	}
	delete(content, "stringData")
	content["data"] = data
}

// without gives a copy of a body that leaves some fields to others.
func without(body *unstructured.Unstructured, paths []fieldpath.Path) *unstructured.Unstructured {
	if len(paths) == 0 {
		return body
	}
	reduced := body.DeepCopy()
	removeAll(reduced, paths)
	return reduced
}

// ownerReference makes an AppliedManifestWork the owner of what it lists.
func ownerReference(name string, uid types.UID) *metav1.OwnerReference {
	return &metav1.OwnerReference{
		APIVersion: workv1.GroupVersion.String(),
		Kind:       "AppliedManifestWork",
		Name:       name,
		UID:        uid,
	}
}

// owns says whether an AppliedManifestWork is among an object's owners.
func owns(obj *unstructured.Unstructured, owner types.UID) bool {
	return slices.ContainsFunc(obj.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return ref.UID == owner })
}

func cloneOrNew(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return maps.Clone(m)
}
