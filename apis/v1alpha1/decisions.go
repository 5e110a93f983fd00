package v1alpha1

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DriftVerdict is what somebody decided about a finding.
type DriftVerdict string

// The verdicts.
const (
	// DriftAccept: the fields may stay as they are. They are others' from now on,
	// whatever the drift policy says of them, until the decision is taken back.
	DriftAccept DriftVerdict = "Accept"
	// DriftPutRight: the fields are put right once, also where the policy only
	// reports. The hub drops the decision when that was done.
	DriftPutRight DriftVerdict = "Correct"
)

// DriftDecision is what somebody decided about one finding. Decisions are kept
// on the Target of the instance and cluster, in AnnotationDriftDecisions; who
// may change Targets may decide.
type DriftDecision struct {
	// ID of the finding.
	ID string `json:"id"`
	// Verdict on it.
	Verdict DriftVerdict `json:"verdict"`
	// ObjectReference names the object that the finding is about.
	ObjectReference `json:",inline"`
	// Paths are the fields that the finding is about, as it names them; none
	// when the whole object is missing.
	Paths []string `json:"paths,omitempty"`
	// By is who decided, as the client says: the server's audit log is the proof.
	By string `json:"by,omitempty"`
	// At is when it was decided, by the client's clock.
	At metav1.Time `json:"at,omitzero"`
	// Reason given.
	Reason string `json:"reason,omitempty"`
}

// MaxDriftDecisionsBytes bounds AnnotationDriftDecisions: all annotations of an
// object have 256 KiB, and the policies of its works grow with it.
const MaxDriftDecisionsBytes = 64 << 10

// ParseDriftDecisions reads AnnotationDriftDecisions; a Target without it has
// none.
func ParseDriftDecisions(annotations map[string]string) ([]DriftDecision, error) {
	text, ok := annotations[AnnotationDriftDecisions]
	if !ok {
		return nil, nil
	}
	if len(text) > MaxDriftDecisionsBytes {
		return nil, fmt.Errorf("reading annotation %s: it has %d bytes, and %d are allowed", AnnotationDriftDecisions, len(text), MaxDriftDecisionsBytes)
	}
	var decisions []DriftDecision
	if err := json.Unmarshal([]byte(text), &decisions); err != nil {
		return nil, fmt.Errorf("reading annotation %s: %w", AnnotationDriftDecisions, err)
	}
	return decisions, nil
}
