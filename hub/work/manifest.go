package work

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/hash"
)

// manifest is one object of a work with all that belongs to it.
type manifest struct {
	id      workv1.ResourceIdentifier
	raw     []byte
	config  workv1.ManifestConfigOption
	policy  kronvoyv1alpha1.ManifestPolicy
	observe []string
	// selections travel with the manifest; see carry.
	selections []kronvoyv1alpha1.Selection
	// chunk the manifest was shipped in, -1 if it is new.
	chunk int
	// leaves is true for one that is not wanted any more.
	leaves bool
}

// key orders and identifies a manifest inside one instance.
func (m manifest) key() workv1.ResourceIdentifier { return m.id }

// shippedAs is the manifest in the place of what was shipped of it before.
func (m manifest) shippedAs(before manifest) manifest {
	m.chunk, m.policy.Moves = before.chunk, before.policy.Moves
	return m
}

// Bytes that a manifest adds to a work beside itself: its configuration, and
// the status the agent will write.
const (
	configBytes = 614
	statusBytes = 1262
)

// projected is how much a manifest adds to its work once the agent answered.
func (m manifest) projected() int {
	size := len(m.raw) + configBytes + statusBytes
	for _, rule := range m.config.FeedbackRules {
		for _, path := range rule.JsonPaths {
			size += 2*len(path.Path) + 128
		}
	}
	for i := range m.selections {
		size += len(encode(m.selections[i]))
	}
	return size
}

// trackingPrefixes are marks by which other tools recognise what they manage:
// on a spoke they would prune what they did not make.
var trackingPrefixes = []string{
	"argocd.argoproj.io/",
	"kustomize.toolkit.fluxcd.io/",
	"helm.toolkit.fluxcd.io/",
	"kubectl.kubernetes.io/last-applied-configuration",
}

// newManifest decorates a rendered object and states what the hub needs back
// of it.
func newManifest(in Input, node *graph.Node, index int, object map[string]any) (manifest, error) {
	m := manifest{
		id:    identify(node, object),
		chunk: -1,
		policy: kronvoyv1alpha1.ManifestPolicy{
			Node: node.ID, Index: index, Wave: node.Wave,
		},
	}
	rendered := hash.Of(object)
	if node.Kind != graph.External {
		object = decorate(in, node, object, rendered)
	}
	raw, err := json.Marshal(object)
	if err != nil {
		return manifest{}, fmt.Errorf("encoding node %q: %w", node.ID, err)
	}
	m.raw = raw
	m.config = configure(in, node, m, rendered)
	if !in.Capabilities.Reports {
		return m, nil
	}
	for _, read := range node.Reads {
		if !read.Scalar {
			m.observe = append(m.observe, observedPath(read))
		}
	}
	return m, nil
}

func identify(node *graph.Node, object map[string]any) workv1.ResourceIdentifier {
	id := workv1.ResourceIdentifier{Group: node.GVK.Group, Resource: node.Resource}
	if metadata, ok := object["metadata"].(map[string]any); ok {
		id.Name, _ = metadata["name"].(string)
		if node.Namespaced {
			id.Namespace, _ = metadata["namespace"].(string)
		}
	}
	return id
}

// decorate returns a copy of object with Kronvoy's marks, and without those of
// other tools. The given hash is that of the rendered object: what decorate
// adds depends on the identity alone.
func decorate(in Input, node *graph.Node, object map[string]any, rendered string) map[string]any {
	out := maps.Clone(object)
	metadata, _ := object["metadata"].(map[string]any)
	metadata = maps.Clone(metadata)
	if metadata == nil {
		metadata = map[string]any{}
	}
	labels := withoutTracking(metadata["labels"])
	labels[kronvoyv1alpha1.LabelManaged] = "true"
	for key, value := range ChildLabels(in.Identity, in.InstanceUID, node.ID) {
		labels[key] = value
	}
	metadata["labels"] = labels
	annotations := withoutTracking(metadata["annotations"])
	annotations[kronvoyv1alpha1.AnnotationHash] = rendered
	metadata["annotations"] = annotations
	out["metadata"] = metadata
	return out
}

// ChildLabels are the labels that kro's users select an instance's objects by.
func ChildLabels(identity Identity, instanceUID, node string) map[string]string {
	labels := map[string]string{
		"app.kubernetes.io/managed-by": "kronvoy",
		"kro.run/owned":                "true",
		"kro.run/instance-id":          instanceUID,
		"kro.run/instance-name":        identity.Name,
		"kro.run/instance-namespace":   identity.Namespace,
		"kro.run/instance-group":       identity.Group,
		"kro.run/instance-version":     identity.Version,
		"kro.run/instance-kind":        identity.Kind,
		"kro.run/node-id":              node,
	}
	// A name may be longer than a label allows; then it is left out.
	maps.DeleteFunc(labels, func(_, value string) bool { return len(validation.IsValidLabelValue(value)) > 0 })
	return labels
}

func withoutTracking(marks any) map[string]any {
	kept := map[string]any{}
	given, _ := marks.(map[string]any)
next:
	for key, value := range given {
		for _, prefix := range trackingPrefixes {
			if strings.HasPrefix(key, prefix) {
				continue next
			}
		}
		kept[key] = value
	}
	return kept
}

// configure states every field explicitly, also those the server would
// default: the hash of a live spec must equal the hash of the built one.
func configure(in Input, node *graph.Node, m manifest, rendered string) workv1.ManifestConfigOption {
	config := workv1.ManifestConfigOption{
		ResourceIdentifier: m.id,
		FeedbackScrapeType: workv1.FeedbackWatchType,
		FeedbackRules:      []workv1.FeedbackRule{{Type: workv1.JSONPathsType, JsonPaths: feedbackPaths(in.Capabilities, node, m.raw)}},
		UpdateStrategy:     &workv1.UpdateStrategy{Type: workv1.UpdateStrategyTypeReadOnly},
	}
	if node.Kind != graph.External {
		config.UpdateStrategy = &workv1.UpdateStrategy{
			Type:            workv1.UpdateStrategyTypeServerSideApply,
			ServerSideApply: &workv1.ServerSideApplyConfig{FieldManager: in.Identity.FieldManager()},
		}
	}
	if !in.Capabilities.Reports {
		config.ConditionRules = append(config.ConditionRules, observedRule(node, rendered))
	}
	if rules := node.ReadyRules; len(rules) > 0 && in.Capabilities.judges(node) {
		if node.Kind != graph.External {
			// The verdict certifies what it judged.
			rules = append([]string{certify(rendered)}, rules...)
		}
		config.ConditionRules = append(config.ConditionRules, workv1.ConditionRule{
			Condition:      kronvoyv1alpha1.ConditionManifestReady,
			Type:           workv1.CelConditionExpressionsType,
			CelExpressions: rules,
			Message:        "readyWhen of node " + node.ID,
		})
	}
	return config
}

// certify is the CEL test that the judged object carries this manifest.
func certify(rendered string) string {
	const key = "'" + kronvoyv1alpha1.AnnotationHash + "'"
	return "has(object.metadata.annotations) && " + key + " in object.metadata.annotations && " +
		"object.metadata.annotations[" + key + "] == '" + rendered + "'"
}

func feedbackPaths(c Capabilities, node *graph.Node, manifest []byte) []workv1.JsonPath {
	paths := []workv1.JsonPath{{Name: kronvoyv1alpha1.FeedbackHash, Path: kronvoyv1alpha1.FeedbackHashPath}}
	return append(paths, sortedPaths(c.askedFields(node, manifest))...)
}

// observedPath is how a read is called in the observe annotation and in reports;
// empty for the whole object.
func observedPath(read graph.Read) string { return strings.TrimPrefix(jsonPath(read.Fields), ".") }

// jsonPath writes fields in client-go's JSONPath dialect.
func jsonPath(fields []string) string {
	var b strings.Builder
	for _, field := range fields {
		if isIdentifier(field) {
			b.WriteString("." + field)
			continue
		}
		escaped := strings.NewReplacer(`\`, `\\`, `.`, `\.`, `'`, `\'`).Replace(field)
		b.WriteString("['" + escaped + "']")
	}
	return b.String()
}

func isIdentifier(field string) bool {
	for i, r := range field {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return field != ""
}

// shippedHash is the hash a shipped manifest carries; empty on one that is
// only read.
func shippedHash(raw []byte) string {
	var meta struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if json.Unmarshal(raw, &meta) != nil {
		return ""
	}
	return meta.Metadata.Annotations[kronvoyv1alpha1.AnnotationHash]
}

// takeApart gives the manifests of a work, and the selections it carries.
func takeApart(w *workv1.ManifestWork) ([]manifest, []kronvoyv1alpha1.Selection, error) {
	policies, err := kronvoyv1alpha1.ParseManifestPolicies(w.Annotations)
	if err != nil {
		return nil, nil, fmt.Errorf("work %s/%s: %w", w.Namespace, w.Name, err)
	}
	observe, err := kronvoyv1alpha1.ParseObserve(w.Annotations)
	if err != nil {
		return nil, nil, fmt.Errorf("work %s/%s: %w", w.Namespace, w.Name, err)
	}
	chunk := chunkOf(w.Name)
	manifests := make([]manifest, 0, len(w.Spec.Workload.Manifests))
	for i, shipped := range w.Spec.Workload.Manifests {
		if i >= len(policies) || i >= len(w.Spec.ManifestConfigs) {
			// Somebody edited the work by hand; what cannot be told apart is
			// rendered anew by Build.
			break
		}
		manifests = append(manifests, manifest{
			id:      w.Spec.ManifestConfigs[i].ResourceIdentifier,
			raw:     shipped.Raw,
			config:  w.Spec.ManifestConfigs[i],
			policy:  policies[i],
			observe: observe.Fields[i],
			chunk:   chunk,
		})
	}
	return manifests, observe.Selections, nil
}

// extension wraps raw for a ManifestWork.
func (m manifest) extension() workv1.Manifest {
	return workv1.Manifest{RawExtension: runtime.RawExtension{Raw: m.raw}}
}
