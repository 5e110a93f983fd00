// Package revision keeps the history of definitions and instances as
// ControllerRevisions: what a cluster runs can be rendered again as long as
// its revision is kept, whatever the spec says by then.
package revision

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph/hash"
	"github.com/kronvoy/kronvoy/hub/work"
)

// Limit is how many revisions of one instance or definition are kept beside
// those in use.
const Limit = 10

// Definition is one state of a ResourceGraphDefinition.
type Definition struct {
	// Name of the ResourceGraphDefinition.
	Name string `json:"name"`
	// Hash of the compiled graph.
	Hash string `json:"hash"`
	// Spec is the definition's spec as it was.
	Spec json.RawMessage `json:"spec"`
}

// Object makes the ControllerRevision of d, numbered, in the hub's namespace.
func (d Definition) Object(namespace string, number int64, owner metav1.OwnerReference) (*appsv1.ControllerRevision, error) {
	return object(namespace, DefinitionName(d.Name, d.Hash), number, owner, d.Hash, d,
		map[string]string{kronvoyv1alpha1.LabelDefinition: labelValue(d.Name)})
}

// DefinitionName is the name of the ControllerRevision for a graph's hash. Graphs of
// one text that different releases of Kronvoy compile have different ones.
func DefinitionName(definition, graphHash string) string {
	return shorten(definition, 200) + "-" + graphHash
}

// DefinitionSelector selects the revisions of one definition.
func DefinitionSelector(definition string) map[string]string {
	return map[string]string{kronvoyv1alpha1.LabelDefinition: labelValue(definition)}
}

// ParseDefinition is the inverse of Object.
func ParseDefinition(r *appsv1.ControllerRevision) (Definition, error) {
	var d Definition
	err := parse(r, &d)
	return d, err
}

// Instance is one state of an instance: its spec, the definition it was made for,
// and what is different on some clusters.
type Instance struct {
	// Definition is the name of the definition's ControllerRevision.
	Definition string `json:"definition"`
	// DefinitionHash is the hash of the graph compiled from it.
	DefinitionHash string `json:"definitionHash"`
	// Spec of the instance.
	Spec map[string]any `json:"spec"`
	// Overrides of the Distribution that owned the instance, as policy.Overrides
	// gives them. An instance without any has the hash that it had before there
	// were overrides.
	Overrides []kronvoyv1alpha1.Override `json:"overrides,omitempty"`
}

// Hash tells two states apart.
func (i Instance) Hash() string { return hash.Of(i) }

// Object makes the ControllerRevision of i, numbered.
func (i Instance) Object(namespace string, identity work.Identity, number int64, owner metav1.OwnerReference) (*appsv1.ControllerRevision, error) {
	return object(namespace, InstanceName(identity, i.Hash()), number, owner, i.Hash(), i,
		map[string]string{
			kronvoyv1alpha1.LabelInstance:           identity.Hash(),
			kronvoyv1alpha1.LabelDefinitionRevision: labelValue(i.Definition),
		})
}

// UsersSelector selects the instance revisions that were made for a revision
// of a definition.
func UsersSelector(definitionRevision string) map[string]string {
	return map[string]string{kronvoyv1alpha1.LabelDefinitionRevision: labelValue(definitionRevision)}
}

// InstanceName is the name of the ControllerRevision for a state of an
// instance.
func InstanceName(identity work.Identity, instanceHash string) string {
	return identity.TargetName() + "-" + digits(instanceHash)[:10]
}

// ParseInstance is the inverse of Object; whole numbers become int64.
func ParseInstance(r *appsv1.ControllerRevision) (Instance, error) {
	var i Instance
	err := parse(r, &i)
	return i, err
}

// Restates says whether i holds what was stored as the other, but for the definition
// and the release of Kronvoy that stored it.
func (i Instance) Restates(other Instance) bool {
	i.Definition, i.DefinitionHash = other.Definition, other.DefinitionHash
	return i.Hash() == other.Hash()
}

// Restates says whether d holds what another release of Kronvoy stored as the other.
func (d Definition) Restates(other Definition) bool {
	var a, b any
	if utiljson.Unmarshal(d.Spec, &a) != nil || utiljson.Unmarshal(other.Spec, &b) != nil {
		return false
	}
	return d.Name == other.Name && hash.Of(a) == hash.Of(b)
}

// Hash of the state that a ControllerRevision holds.
func Hash(r *appsv1.ControllerRevision) string { return r.Annotations[kronvoyv1alpha1.AnnotationHash] }

// Release is the hash version of the release of Kronvoy that made a revision. No
// other one renders it as it was, so a cluster that has it keeps what it has.
func Release(r *appsv1.ControllerRevision) string { return hash.VersionOf(Hash(r)) }

// OfThisRelease says whether this process renders a revision as it was rendered.
func OfThisRelease(r *appsv1.ControllerRevision) bool { return Release(r) == hash.Version }

// Newest is the revision with the highest number, nil if there is none.
func Newest(revisions []appsv1.ControllerRevision) *appsv1.ControllerRevision {
	var newest *appsv1.ControllerRevision
	for i := range revisions {
		r := &revisions[i]
		if newest == nil || r.Revision > newest.Revision || r.Revision == newest.Revision && r.Name > newest.Name {
			newest = r
		}
	}
	return newest
}

// Own are the revisions of an owner, without those of one that had its name
// before: the garbage collector is about to delete them.
func Own(revisions []appsv1.ControllerRevision, owner metav1.Object) []appsv1.ControllerRevision {
	var own []appsv1.ControllerRevision
	for i := range revisions {
		if metav1.IsControlledBy(&revisions[i], owner) {
			own = append(own, revisions[i])
		}
	}
	return own
}

// Renew makes a revision of the same state the owner's newest, also one of an
// owner that had its name before. If it was rejected it is tried again, for
// somebody wants it again.
func Renew(r *appsv1.ControllerRevision, number int64, owner metav1.OwnerReference) {
	r.Revision, r.OwnerReferences = number, []metav1.OwnerReference{owner}
	delete(r.Annotations, kronvoyv1alpha1.AnnotationRejectedAt)
}

// Inherit notes on a revision which one of another release of Kronvoy it restates;
// nil is none. That a rollout of it failed is not forgotten, unless one of this very
// revision has succeeded.
func Inherit(r, restated *appsv1.ControllerRevision) {
	if restated == nil || restated.Name == r.Name {
		return
	}
	r.Annotations[kronvoyv1alpha1.AnnotationRestates] = restated.Name
	rejected, was := restated.Annotations[kronvoyv1alpha1.AnnotationRejectedAt]
	if _, succeeded := r.Annotations[kronvoyv1alpha1.AnnotationSucceededAt]; was && !succeeded {
		r.Annotations[kronvoyv1alpha1.AnnotationRejectedAt] = rejected
	}
}

func object(namespace, name string, number int64, owner metav1.OwnerReference, hash string, data any, labels map[string]string) (*appsv1.ControllerRevision, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encoding revision %s: %w", name, err)
	}
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: labels,
			Annotations:     map[string]string{kronvoyv1alpha1.AnnotationHash: hash},
			OwnerReferences: []metav1.OwnerReference{owner},
		},
		Data:     runtime.RawExtension{Raw: raw},
		Revision: number,
	}, nil
}

func parse(r *appsv1.ControllerRevision, into any) error {
	if err := utiljson.Unmarshal(r.Data.Raw, into); err != nil {
		return fmt.Errorf("reading revision %s/%s: %w", r.Namespace, r.Name, err)
	}
	return nil
}

// digits are a hash without its version: fit for a name.
func digits(h string) string {
	_, after, found := strings.Cut(h, "-")
	if !found {
		return h
	}
	return after
}

func shorten(name string, limit int) string {
	if len(name) > limit {
		name = name[:limit]
	}
	return strings.TrimRight(name, "-.")
}

// labelValue keeps a name that is too long for a label unique. All releases find
// each other's by it, so it is no hash with a version.
func labelValue(name string) string {
	if len(name) <= 63 {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:40] + "-" + hex.EncodeToString(sum[:8])
}
