package v1alpha1

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DriftPolicy says what an agent does about a field that somebody changed.
type DriftPolicy string

// The drift policies.
const (
	DriftCorrect DriftPolicy = "Correct"
	DriftReport  DriftPolicy = "Report"
	DriftIgnore  DriftPolicy = "Ignore"
)

// TakeoverPolicy says what an agent does about an object that exists and is
// not ours.
type TakeoverPolicy string

// The takeover policies.
const (
	TakeoverAlways   TakeoverPolicy = "Always"
	TakeoverIfNoDiff TakeoverPolicy = "IfNoDiff"
	TakeoverNever    TakeoverPolicy = "Never"
)

// DeletionPolicy says what happens to an object that leaves its work.
type DeletionPolicy string

// The deletion policies.
const (
	DeletionDelete DeletionPolicy = "Delete"
	DeletionOrphan DeletionPolicy = "Orphan"
)

// ManifestPolicy is what an agent must know about one manifest beyond OCM's
// fields. Empty policies mean the first of each list: Correct, IfNoDiff,
// Delete.
type ManifestPolicy struct {
	// Node is the id of the graph's node.
	Node string `json:"node"`
	// Index of the manifest among the node's, for collections.
	Index int `json:"index,omitempty"`
	// Wave is the node's wave: deletion runs from the highest down.
	Wave int `json:"wave,omitempty"`
	// Moves is how often the manifest has moved from one work to another. While
	// it moves two works of the instance hold it, and the one with more moves
	// counts.
	Moves    int            `json:"moves,omitempty"`
	Drift    DriftPolicy    `json:"drift,omitempty"`
	Takeover TakeoverPolicy `json:"takeover,omitempty"`
	Deletion DeletionPolicy `json:"deletion,omitempty"`
	// Fields are the drift policies of single fields. The first entry with a
	// path that matches counts, before the object's Drift.
	Fields []FieldPolicy `json:"fields,omitempty"`
	// Accepted are fields that may differ because somebody accepted what they are,
	// as findings write their paths: they have the policy Ignore, before all in
	// Fields.
	Accepted []string `json:"accepted,omitempty"`
	// Correct are IDs of findings that are put right although the policy only
	// reports them, or the fields belong to somebody else. A finding that ends
	// takes its ID with it, so that it happens once. While there are any the agent
	// answers the work's hash in its report.
	Correct []string `json:"correct,omitempty"`
}

// FieldPolicy is the drift policy of some fields, and of all below them.
type FieldPolicy struct {
	// Paths of the fields, as in spec.replicas,
	// metadata.annotations["example.com/note"] or
	// spec.template.spec.containers[name=web].image.
	Paths []string `json:"paths"`
	// Drift says what is done about them; empty means Correct. What Report leaves
	// as it is comes back with a manifest that wants another value; what Ignore
	// leaves stays with whoever changed it, as long as it is there.
	Drift DriftPolicy `json:"drift"`
}

// ParseManifestPolicies reads AnnotationManifestPolicies; a work without it
// gives nil, as any work of an OCM user does.
func ParseManifestPolicies(annotations map[string]string) ([]ManifestPolicy, error) {
	text, ok := annotations[AnnotationManifestPolicies]
	if !ok {
		return nil, nil
	}
	var policies []ManifestPolicy
	if err := json.Unmarshal([]byte(text), &policies); err != nil {
		return nil, fmt.Errorf("reading annotation %s: %w", AnnotationManifestPolicies, err)
	}
	return policies, nil
}

// MaxObserveBytes bounds AnnotationObserve: all annotations of an object have
// 256 KiB.
const MaxObserveBytes = 128 << 10

// Observe is what AnnotationObserve says: what the agent returns in a WorkReport
// because OCM's feedback cannot carry it.
type Observe struct {
	// Fields lists paths in the live object of a manifest, by its ordinal.
	Fields map[int][]string `json:"fields,omitempty"`
	// Selections are lists of objects that no manifest names.
	Selections []Selection `json:"selections,omitempty"`
}

// Selection is a list of objects that an agent is to make and keep up.
type Selection struct {
	// Node is the id of the graph's node; it is in a work once.
	Node string `json:"node"`
	// Hash names all else in here. A report repeats it, and so says which
	// selection it answers.
	Hash string `json:"hash,omitempty"`
	// Group, Version and Resource say what to list.
	Group    string `json:"group,omitempty"`
	Version  string `json:"version"`
	Resource string `json:"resource"`
	// Namespace to look in; empty for all, and for cluster-scoped kinds.
	Namespace string `json:"namespace,omitempty"`
	// Selector of labels; an empty one selects everything.
	Selector metav1.LabelSelector `json:"selector"`
	// Paths are the fields to return of each object, beside its name and
	// namespace; the empty path is the whole object.
	Paths []string `json:"paths,omitempty"`
}

// IsEmpty is true when nothing is asked for.
func (o Observe) IsEmpty() bool { return len(o.Fields) == 0 && len(o.Selections) == 0 }

// ParseObserve reads AnnotationObserve; a work without it asks for nothing.
func ParseObserve(annotations map[string]string) (Observe, error) {
	var observe Observe
	text, ok := annotations[AnnotationObserve]
	if !ok {
		return observe, nil
	}
	if len(text) > MaxObserveBytes {
		return Observe{}, fmt.Errorf("reading annotation %s: it has %d bytes, and %d are allowed", AnnotationObserve, len(text), MaxObserveBytes)
	}
	if err := json.Unmarshal([]byte(text), &observe); err != nil {
		return Observe{}, fmt.Errorf("reading annotation %s: %w", AnnotationObserve, err)
	}
	return observe, nil
}
