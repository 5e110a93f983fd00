package work

import (
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph/hash"
)

// The limits of one work. OCM's hub refuses more than 500 KiB of manifests,
// etcd more than about 1.5 MiB an object.
const (
	maxManifests      = 250
	maxManifestBytes  = 400 << 10
	maxProjectedBytes = 1 << 20
	// maxPolicyBytes bounds an annotation: all of a work have 256 KiB, of which
	// kronvoyv1alpha1.MaxObserveBytes are for another one.
	maxPolicyBytes = 96 << 10
	// maxObjectBytes is what a single object may have; beyond maxManifestBytes
	// it gets a work of its own.
	maxObjectBytes = maxProjectedBytes - configBytes - statusBytes - 4096
)

// pack distributes manifests over works. A manifest stays where it was shipped
// unless its work has become too large; new ones go into the first work that
// has room. The index of a chunk is the number in its work's name.
//
// What moves must be in its new work before it leaves the old one, and the agent
// sees works in the order in which they are written. So nothing moves to a work
// that something moves out of, which would have to be written both before and
// after another; nor to one that is being deleted, which is not written at all.
func pack(manifests []manifest, terminating map[int]bool) [][]manifest {
	sortManifests(manifests)
	var chunks []chunk
	at := func(i int) *chunk {
		for len(chunks) <= i {
			chunks = append(chunks, chunk{})
		}
		return &chunks[i]
	}
	var homeless []manifest
	donors := map[int]bool{}
	for _, m := range manifests {
		if m.chunk < 0 || !at(m.chunk).add(m) {
			homeless = append(homeless, m)
			donors[m.chunk] = true
		}
	}
	for _, m := range homeless {
		moves := m.chunk >= 0
		if moves {
			m.policy.Moves++
		}
		for i := 0; moves && (donors[i] || terminating[i]) || !at(i).add(m); i++ {
		}
	}
	packed := make([][]manifest, len(chunks))
	for i := range chunks {
		sortManifests(chunks[i].manifests)
		packed[i] = chunks[i].manifests
	}
	return packed
}

type chunk struct {
	manifests                  []manifest
	bytes, projected, policies int
}

// add takes m if the chunk stays within the limits; an empty chunk takes any.
func (c *chunk) add(m manifest) bool {
	policies := len(encode(m.policy))
	if len(c.manifests) > 0 && (len(c.manifests) >= maxManifests || c.bytes+len(m.raw) > maxManifestBytes ||
		c.projected+m.projected() > maxProjectedBytes || c.policies+policies > maxPolicyBytes) {
		return false
	}
	c.manifests = append(c.manifests, m)
	c.bytes += len(m.raw)
	c.projected += m.projected()
	c.policies += policies
	return true
}

// assemble makes one work of its manifests.
func assemble(in Input, chunk int, manifests []manifest, before *workv1.ManifestWork) *workv1.ManifestWork {
	w := &workv1.ManifestWork{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:  in.Cluster,
			Name:       in.Identity.WorkName(chunk),
			Labels:     map[string]string{kronvoyv1alpha1.LabelInstance: in.Identity.Hash()},
			Finalizers: []string{kronvoyv1alpha1.FinalizerWork},
		},
	}
	w.Spec.Executor = in.Executor
	if in.Graph == nil && before != nil {
		w.Spec.Executor = before.Spec.Executor
	}
	policies := make([]kronvoyv1alpha1.ManifestPolicy, 0, len(manifests))
	observe := kronvoyv1alpha1.Observe{Fields: map[int][]string{}}
	for i, m := range manifests {
		w.Spec.Workload.Manifests = append(w.Spec.Workload.Manifests, m.extension())
		w.Spec.ManifestConfigs = append(w.Spec.ManifestConfigs, m.config)
		policies = append(policies, m.policy)
		if len(m.observe) > 0 {
			observe.Fields[i] = m.observe
		}
		observe.Selections = append(observe.Selections, m.selections...)
	}
	w.Annotations = map[string]string{
		kronvoyv1alpha1.AnnotationInstance:         in.Identity.String(),
		kronvoyv1alpha1.AnnotationManifestPolicies: encode(policies),
	}
	if !observe.IsEmpty() {
		w.Annotations[kronvoyv1alpha1.AnnotationObserve] = encode(observe)
	}
	if !in.Capabilities.Reports {
		w.Spec.DeleteOption = orphaned(manifests)
	} else if shrunk(manifests, before, in) {
		w.Annotations[kronvoyv1alpha1.AnnotationShrunk] = kronvoyv1alpha1.ShrunkByUpdate
		if in.Graph == nil {
			w.Annotations[kronvoyv1alpha1.AnnotationShrunk] = kronvoyv1alpha1.ShrunkByTeardown
		}
	}
	if before != nil && in.Graph == nil && kronvoyv1alpha1.Suspended(before.Annotations[kronvoyv1alpha1.AnnotationReconcile]) {
		// What waits for its wave is not put right before it goes.
		w.Annotations[kronvoyv1alpha1.AnnotationReconcile] = kronvoyv1alpha1.ReconcileSuspended
	}
	w.Annotations[kronvoyv1alpha1.AnnotationHash] = HashOf(w)
	// Not part of the hash: a revision that renders the same is no change for
	// the cluster.
	w.Annotations[kronvoyv1alpha1.AnnotationRevision] = in.Revision
	return w
}

// shrunk is true when something leaves the work now, or left it before and the
// agent has not confirmed that it is gone.
func shrunk(manifests []manifest, before *workv1.ManifestWork, in Input) bool {
	if before == nil {
		return false
	}
	if !confirmed(before, in.Reports[before.Name]) {
		return true
	}
	stays := make(map[workv1.ResourceIdentifier]bool, len(manifests))
	for _, m := range manifests {
		stays[m.key()] = true
	}
	if slices.ContainsFunc(before.Spec.ManifestConfigs, func(c workv1.ManifestConfigOption) bool { return !stays[c.ResourceIdentifier] }) {
		return true
	}
	// The mark stays while nothing else changes: dropping it alone would be a
	// write for nothing.
	return before.Annotations[kronvoyv1alpha1.AnnotationShrunk] != "" && sameManifests(manifests, before)
}

func sameManifests(manifests []manifest, before *workv1.ManifestWork) bool {
	if len(manifests) != len(before.Spec.Workload.Manifests) {
		return false
	}
	for i, m := range manifests {
		if shippedHash(m.raw) != shippedHash(before.Spec.Workload.Manifests[i].Raw) {
			return false
		}
	}
	return true
}

// HashOf is the hash of a work as it stands: its spec and those annotations
// that the agent acts on. It is computed anew from a live work to find changes
// by hand; the annotation is never the proof.
func HashOf(w *workv1.ManifestWork) string {
	manifests := make([]any, 0, len(w.Spec.Workload.Manifests))
	for _, m := range w.Spec.Workload.Manifests {
		var decoded any
		if err := json.Unmarshal(m.Raw, &decoded); err != nil {
			decoded = string(m.Raw)
		}
		manifests = append(manifests, decoded)
	}
	content := map[string]any{
		"manifests": manifests,
		"configs":   w.Spec.ManifestConfigs,
		"delete":    w.Spec.DeleteOption,
		"executor":  w.Spec.Executor,
		"policies":  w.Annotations[kronvoyv1alpha1.AnnotationManifestPolicies],
		"observe":   w.Annotations[kronvoyv1alpha1.AnnotationObserve],
		"shrunk":    w.Annotations[kronvoyv1alpha1.AnnotationShrunk],
	}
	// Only where it is there: the hash of every other work stays what it was.
	if reconcile, marked := w.Annotations[kronvoyv1alpha1.AnnotationReconcile]; marked {
		content["reconcile"] = reconcile
	}
	return hash.Of(content)
}

// encode writes compact JSON; the values are plain structs and maps, which
// always encode.
func encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}
