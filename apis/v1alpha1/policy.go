package v1alpha1

import (
	"encoding/json"
	"fmt"
	"strconv"
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
	Wave     int            `json:"wave,omitempty"`
	Drift    DriftPolicy    `json:"drift,omitempty"`
	Takeover TakeoverPolicy `json:"takeover,omitempty"`
	Deletion DeletionPolicy `json:"deletion,omitempty"`
	// IgnorePaths are fields whose drift is not looked at, as in spec.replicas.
	IgnorePaths []string `json:"ignorePaths,omitempty"`
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

// Observe lists, by manifest ordinal, the fields to return in a WorkReport.
type Observe map[int][]string

// ParseObserve reads AnnotationObserve.
func ParseObserve(annotations map[string]string) (Observe, error) {
	text, ok := annotations[AnnotationObserve]
	if !ok {
		return nil, nil
	}
	var raw map[string][]string
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, fmt.Errorf("reading annotation %s: %w", AnnotationObserve, err)
	}
	observe := make(Observe, len(raw))
	for key, paths := range raw {
		ordinal, err := strconv.Atoi(key)
		if err != nil {
			return nil, fmt.Errorf("reading annotation %s: ordinal %q: %w", AnnotationObserve, key, err)
		}
		observe[ordinal] = paths
	}
	return observe, nil
}
