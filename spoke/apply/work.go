package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/fieldpattern"
	"github.com/kronvoy/kronvoy/spoke/drift"
	"github.com/kronvoy/kronvoy/spoke/feedback"
	"github.com/kronvoy/kronvoy/spoke/live"
)

// Work is a ManifestWork as the agent reads it.
type Work struct {
	Name       string
	UID        types.UID
	Generation int64
	// Hash is the work's kronvoy.io/hash; empty on a work of another hub.
	Hash string
	// Items are the manifests in order.
	Items []*Item
	// Selections are the lists that the hub wants back.
	Selections []*Selection
	// Delete says how objects leave; nil means with their dependents behind them.
	Delete *workv1.DeleteOption
	// Executor is the user in whose name the work is applied; empty means the
	// agent's own.
	Executor string
	// Shrunk is set when manifests left the work and the hub waits to hear that
	// their objects are gone; Teardown when all of them will leave.
	Shrunk, Teardown bool
	// Suspended is set while no object of the work may be written.
	Suspended bool
	// reserved is a namespace that nothing of the work may touch.
	reserved string
	// PolicyErr is set when an annotation or the executor cannot be read: then
	// nothing of the work may be applied, as its policies are unknown.
	PolicyErr error
}

// Item is one manifest of a work.
type Item struct {
	Ordinal int
	GVK     schema.GroupVersionKind
	// Key is set where the cluster serves the kind.
	Key live.Key
	// Hash names the manifest's content; in the manifest's own annotation
	// where it has one.
	Hash string
	// Raw is the manifest as it came.
	Raw []byte
	// Orphan is set when the object outlives the work.
	Orphan bool
	// InstanceID is the manifest's kro.run/instance-id label.
	InstanceID string

	Strategy workv1.UpdateStrategyType
	Manager  string
	Adopt    Adoption
	Policy   kronvoyv1alpha1.ManifestPolicy
	// Fields are the policy's, read.
	Fields []FieldPolicy
	// IgnorePresent are fields that an object which exists keeps as it has
	// them; IgnoreChanged those that others may change.
	IgnorePresent, IgnoreChanged []*drift.Locator
	// Suspended is the work's.
	Suspended bool
	// asked is what is put right in this run whatever the policy says.
	asked asked

	Feedback []workv1.FeedbackRule
	Rules    []workv1.ConditionRule
	Observe  []string

	// Problem is set when the manifest cannot be applied at all, Reason then
	// says why in one word.
	Problem error
	Reason  string
}

// Adoption says what may be done with an object that exists and is not ours,
// and with fields that others own.
type Adoption string

// The ways to adopt: the takeover policies, and OCM's for works without a
// policy, which merges into what is there unless fields conflict.
const (
	AdoptAlways   = Adoption(kronvoyv1alpha1.TakeoverAlways)
	AdoptIfNoDiff = Adoption(kronvoyv1alpha1.TakeoverIfNoDiff)
	AdoptNever    = Adoption(kronvoyv1alpha1.TakeoverNever)
	AdoptMerge    = Adoption("Merge")
)

// defaultManager is OCM's field manager where a work names none.
const defaultManager = "work-agent"

// labelInstanceID is the label by which kro marks the objects of an instance.
const labelInstanceID = "kro.run/instance-id"

// labelManagedBy is the label by which tools tell each other what they manage.
const labelManagedBy = "app.kubernetes.io/managed-by"

// Mapper says what a kind is called on the cluster. It errs with a
// meta.NoKindMatchError when the cluster does not serve the kind.
type Mapper interface {
	Resource(gvk schema.GroupVersionKind) (resource schema.GroupVersionResource, namespaced bool, err error)
}

// identity is as much of a manifest as planning reads.
type identity struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name         string            `json:"name"`
		GenerateName string            `json:"generateName"`
		Namespace    string            `json:"namespace"`
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
	} `json:"metadata"`
}

// NewWork reads a ManifestWork. What is wrong with one manifest is that item's
// problem; the others go on.
func NewWork(work *workv1.ManifestWork, mapper Mapper) *Work {
	w := &Work{
		Name:       work.Name,
		UID:        work.UID,
		Generation: work.Generation,
		Hash:       work.Annotations[kronvoyv1alpha1.AnnotationHash],
		Delete:     work.Spec.DeleteOption,
		Shrunk:     work.Annotations[kronvoyv1alpha1.AnnotationShrunk] != "",
		Teardown:   work.Annotations[kronvoyv1alpha1.AnnotationShrunk] == kronvoyv1alpha1.ShrunkByTeardown,
		Suspended:  kronvoyv1alpha1.Suspended(work.Annotations[kronvoyv1alpha1.AnnotationReconcile]),
	}
	if _, ours := work.Annotations[kronvoyv1alpha1.AnnotationManifestPolicies]; !ours && w.Delete == nil {
		// OCM's documented default. Our hub, which has no other way to say it,
		// means Background.
		w.Delete = &workv1.DeleteOption{PropagationPolicy: workv1.DeletePropagationPolicyTypeForeground}
	}
	policies, err := kronvoyv1alpha1.ParseManifestPolicies(work.Annotations)
	if err == nil && policies != nil && len(policies) != len(work.Spec.Workload.Manifests) {
		err = fmt.Errorf("annotation %s has %d entries for %d manifests",
			kronvoyv1alpha1.AnnotationManifestPolicies, len(policies), len(work.Spec.Workload.Manifests))
	}
	if err != nil {
		w.PolicyErr = err
		policies = nil
	}
	if w.Executor, err = executorOf(work.Spec.Executor); err != nil && w.PolicyErr == nil {
		w.PolicyErr = err
	}
	observe, err := kronvoyv1alpha1.ParseObserve(work.Annotations)
	if err != nil && w.PolicyErr == nil {
		w.PolicyErr = err
	}
	for ordinal := range work.Spec.Workload.Manifests {
		item := newItem(ordinal, work.Spec.Workload.Manifests[ordinal].Raw, mapper)
		item.configure(work.Spec.ManifestConfigs)
		if policies != nil {
			item.apply(policies[ordinal])
		}
		item.Observe, item.Suspended = observe.Fields[ordinal], w.Suspended
		item.Orphan = item.Orphan || orphaned(work.Spec.DeleteOption, item.Key)
		if w.PolicyErr != nil {
			item.fail(kronvoyv1alpha1.ReasonInvalidPolicy, w.PolicyErr)
		}
		w.Items = append(w.Items, item)
	}
	for _, s := range observe.Selections {
		w.Selections = append(w.Selections, newSelection(s))
	}
	w.refuseDuplicates()
	return w
}

func newItem(ordinal int, raw []byte, mapper Mapper) *Item {
	item := &Item{Ordinal: ordinal, Raw: raw}
	var id identity
	if err := json.Unmarshal(raw, &id); err != nil {
		item.fail(kronvoyv1alpha1.ReasonInvalidManifest, fmt.Errorf("reading manifest %d: %w", ordinal, err))
		return item
	}
	item.GVK = schema.FromAPIVersionAndKind(id.APIVersion, id.Kind)
	item.Key.Name, item.Key.Namespace = id.Metadata.Name, id.Metadata.Namespace
	item.InstanceID = id.Metadata.Labels[labelInstanceID]
	item.Hash = id.Metadata.Annotations[kronvoyv1alpha1.AnnotationHash]
	if item.Hash == "" {
		sum := sha256.Sum256(raw)
		item.Hash = "manifest-" + hex.EncodeToString(sum[:8])
	}
	switch {
	case id.Kind == "" || id.APIVersion == "":
		item.fail(kronvoyv1alpha1.ReasonInvalidManifest, fmt.Errorf("manifest %d has no apiVersion or no kind", ordinal))
		return item
	case id.Metadata.Name == "":
		item.fail(kronvoyv1alpha1.ReasonInvalidManifest, fmt.Errorf("manifest %d, a %s, has no metadata.name", ordinal, id.Kind))
		return item
	}
	resource, namespaced, err := mapper.Resource(item.GVK)
	if err != nil {
		item.fail(kronvoyv1alpha1.ReasonNoSuchKind, fmt.Errorf("looking up %s: %w", item.GVK, err))
		return item
	}
	item.Key.Resource = resource
	if !namespaced {
		item.Key.Namespace = ""
	} else if item.Key.Namespace == "" {
		item.fail(kronvoyv1alpha1.ReasonInvalidManifest,
			fmt.Errorf("manifest %d, %s %s, has no metadata.namespace", ordinal, id.Kind, id.Metadata.Name))
	}
	return item
}

// fail records the first problem.
func (i *Item) fail(reason string, err error) {
	if i.Problem == nil {
		i.Reason, i.Problem = reason, err
	}
}

// configure takes what the work's configs say: of several that match, the
// first one that sets a field.
func (i *Item) configure(configs []workv1.ManifestConfigOption) {
	var strategy *workv1.UpdateStrategy
	for n := range configs {
		config := &configs[n]
		if !matches(config.ResourceIdentifier, i.Key) {
			continue
		}
		if strategy == nil {
			strategy = config.UpdateStrategy
		}
		if i.Feedback == nil {
			i.Feedback = config.FeedbackRules
		}
		if i.Rules == nil {
			i.Rules = config.ConditionRules
		}
	}
	i.Strategy, i.Manager, i.Adopt = workv1.UpdateStrategyTypeUpdate, defaultManager, AdoptAlways
	if strategy == nil {
		return
	}
	i.Strategy = strategy.Type
	if strategy.Type != workv1.UpdateStrategyTypeServerSideApply {
		return
	}
	i.Adopt = AdoptMerge
	if apply := strategy.ServerSideApply; apply != nil {
		if apply.FieldManager != "" {
			i.Manager = apply.FieldManager
		}
		if apply.Force {
			i.Adopt = AdoptAlways
		}
		i.ignore(apply.IgnoreFields)
	}
}

// ignore reads a server-side apply's ignoreFields.
func (i *Item) ignore(fields []workv1.IgnoreField) {
	for _, field := range fields {
		var locators []*drift.Locator
		for _, language := range []struct {
			read  func(string) (*drift.Locator, error)
			texts []string
		}{{drift.JSONPath, field.JSONPaths}, {drift.JSONPointer, field.JSONPointers}, {drift.JQ, field.JQPathExpressions}} {
			for _, text := range language.texts {
				locator, err := language.read(text)
				if err != nil {
					i.fail(workv1.AppliedManifestSSAIgnoreFieldError, fmt.Errorf("manifest %d: ignored fields: %w", i.Ordinal, err))
					continue
				}
				locators = append(locators, locator)
			}
		}
		if field.Condition == workv1.IgnoreFieldsConditionOnSpokeChange {
			i.IgnoreChanged = append(i.IgnoreChanged, locators...)
		} else {
			i.IgnorePresent = append(i.IgnorePresent, locators...)
		}
	}
}

// apply takes the policy that the hub gave for this manifest.
func (i *Item) apply(policy kronvoyv1alpha1.ManifestPolicy) {
	i.Policy = policy
	i.Orphan = policy.Deletion == kronvoyv1alpha1.DeletionOrphan
	if i.Adopt != AdoptAlways {
		i.Adopt = Adoption(policy.Takeover)
		if i.Adopt == "" {
			i.Adopt = AdoptIfNoDiff
		}
	}
	if err := known(policy.Drift); err != nil {
		i.fail(kronvoyv1alpha1.ReasonInvalidPolicy, fmt.Errorf("manifest %d: %w", i.Ordinal, err))
	}
	i.Fields = nil
	for _, field := range policy.Fields {
		patterns, err := fieldpattern.ParseAll(field.Paths)
		if err = errors.Join(known(field.Drift), err); err != nil {
			i.fail(kronvoyv1alpha1.ReasonInvalidPolicy, fmt.Errorf("manifest %d: policies of fields: %w", i.Ordinal, err))
		}
		i.Fields = append(i.Fields, FieldPolicy{patterns, field.Drift})
	}
}

// ReadOnly says whether the object is only looked at.
func (i *Item) ReadOnly() bool { return i.Strategy == workv1.UpdateStrategyTypeReadOnly }

// Completes says whether the object can be complete: then it is no longer
// updated.
func (i *Item) Completes() bool {
	return slices.ContainsFunc(i.Rules, func(rule workv1.ConditionRule) bool { return feedback.ConditionOf(rule) == workv1.ManifestComplete })
}

// String names the item for people.
func (i *Item) String() string {
	name := i.Key.Name
	if i.Key.Namespace != "" {
		name = i.Key.Namespace + "/" + name
	}
	return i.GVK.Kind + " " + name
}

// refuseDuplicates fails every manifest that names an object again.
func (w *Work) refuseDuplicates() {
	seen := map[live.Key]int{}
	for _, item := range w.Items {
		if item.Problem != nil {
			continue
		}
		if first, ok := seen[item.Key]; ok {
			item.fail(kronvoyv1alpha1.ReasonInvalidManifest,
				fmt.Errorf("manifest %d is the same object as manifest %d", item.Ordinal, first))
			continue
		}
		seen[item.Key] = item.Ordinal
	}
}

func matches(id workv1.ResourceIdentifier, key live.Key) bool {
	return id.Group == key.Resource.Group && id.Resource == key.Resource.Resource &&
		matchesName(id.Name, key.Name) && matchesName(id.Namespace, key.Namespace)
}

func matchesName(pattern, name string) bool { return pattern == "*" || pattern == name }

// orphaned says whether the work's delete option lets an object outlive it.
func orphaned(option *workv1.DeleteOption, key live.Key) bool {
	if option == nil {
		return false
	}
	switch option.PropagationPolicy {
	case workv1.DeletePropagationPolicyTypeOrphan:
		return true
	case workv1.DeletePropagationPolicyTypeSelectivelyOrphan:
		if option.SelectivelyOrphan == nil {
			return false
		}
		for _, rule := range option.SelectivelyOrphan.OrphaningRules {
			if rule.Group == key.Resource.Group && rule.Resource == key.Resource.Resource &&
				rule.Namespace == key.Namespace && rule.Name == key.Name {
				return true
			}
		}
	}
	return false
}

// propagation is how the dependents of a deleted object go.
func propagation(option *workv1.DeleteOption) metav1.DeletionPropagation {
	if option != nil && option.PropagationPolicy == workv1.DeletePropagationPolicyTypeForeground {
		return metav1.DeletePropagationForeground
	}
	return metav1.DeletePropagationBackground
}
