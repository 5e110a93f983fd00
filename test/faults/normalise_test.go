//go:build integration

package faults

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/kronvoy/kronvoy/test/probe"
)

// passing are fields that are different in every life and say nothing.
var passing = map[string]bool{
	"resourceVersion": true, "creationTimestamp": true, "generation": true, "observedGeneration": true,
	"lastTransitionTime": true, "since": true, "stateSince": true, "revisionSince": true, "healthySince": true, "healthSince": true, "writableSince": true, "driftSince": true,
	"assignedAt": true, "passedAt": true, "time": true, "startedAt": true, "nextAt": true,
	"lastUpdateTime": true, "kronvoy.io/hash": true, "observedHash": true, "hash": true,
	"kronvoy.io/shrunk": true, "clusterIP": true, "lastAppliedTime": true,
	// Whether an agent wrote a report and a status side by side depends on what
	// it had told before it was ended.
	"workStatusFollows": true,
}

// dated are fields with a time, which is different in every life; that there is one
// is not.
var dated = map[string]bool{"kronvoy.io/succeeded-at": true, "kronvoy.io/rejected-at": true}

// normalise writes an object as YAML without what passes.
func normalise(t *testing.T, obj *probe.Object) string {
	t.Helper()
	content := obj.DeepCopy().Object
	metadata, _ := content["metadata"].(map[string]any)
	metadata["managedFields"] = managers(obj)
	delete(content, "spec.hash")
	if obj.GetKind() == "Deployment" {
		content["status"] = map[string]any{"availableReplicas": obj.At("status.availableReplicas")}
	}
	text, err := yaml.Marshal(strip(content))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// longText is beyond what anybody would read in a difference.
const longText = 4 << 10

func strip(value any) any {
	switch v := value.(type) {
	case map[string]any:
		kept := map[string]any{}
		for key, inner := range v {
			switch {
			case dated[key]:
				kept[key] = "(time)"
			case !passing[key]:
				kept[key] = strip(inner)
			}
		}
		return kept
	case []any:
		kept := make([]any, 0, len(v))
		for _, inner := range v {
			kept = append(kept, strip(inner))
		}
		return kept
	case string:
		if len(v) > longText {
			return fmt.Sprintf("%d bytes with hash %x", len(v), sha256.Sum256([]byte(v)))
		}
		return withoutHashes(v)
	}
	return value
}

// withoutHashes takes the hashes of manifests out of rules.
func withoutHashes(text string) string {
	const mark = "v1-"
	for {
		at := strings.Index(text, mark)
		if at < 0 || len(text) < at+len(mark)+16 || strings.Trim(text[at+len(mark):at+len(mark)+16], "0123456789abcdef") != "" {
			return text
		}
		text = text[:at] + "(hash)" + text[at+len(mark)+16:]
	}
}

// managers are the names of those who own fields.
func managers(obj *probe.Object) []any {
	var names []string
	for _, entry := range obj.GetManagedFields() {
		names = append(names, entry.Manager+" "+string(entry.Operation)+" "+entry.Subresource)
	}
	slices.Sort(names)
	var out []any
	for _, name := range slices.Compact(names) {
		out = append(out, name)
	}
	return out
}
