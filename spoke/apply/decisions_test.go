package apply

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/drift"
)

func TestAFieldIsFoundAsFindingsWriteIt(t *testing.T) {
	port := fieldpath.MakePathOrDie("spec", "ports", fieldpath.KeyByFields("port", 80, "protocol", "TCP"), "targetPort")
	tests := map[string]struct {
		path  fieldpath.Path
		named []string
		want  bool
	}{
		"nothing is named":        {fieldpath.MakePathOrDie("spec"), nil, false},
		"the field":               {fieldpath.MakePathOrDie("spec", "replicas"), []string{"data", "spec.replicas"}, true},
		"below it":                {fieldpath.MakePathOrDie("spec", "replicas"), []string{"spec"}, true},
		"above it":                {fieldpath.MakePathOrDie("spec"), []string{"spec.replicas"}, false},
		"one that begins so":      {fieldpath.MakePathOrDie("spec", "replicasMax"), []string{"spec.replicas"}, false},
		"an element of two keys":  {port, []string{drift.PathString(port)}, true},
		"below an element":        {port, []string{`spec.ports[port=80,protocol="TCP"]`}, true},
		"an element of other key": {port, []string{`spec.ports[port=81,protocol="TCP"]`}, false},
		"a field with a dot":      {fieldpath.MakePathOrDie("data", "a.b"), []string{`data["a.b"]`}, true},
		"a field without it":      {fieldpath.MakePathOrDie("data", "a.b"), []string{"data.a"}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := below(tc.path, tc.named); got != tc.want {
				t.Errorf("%s below %q is %t", drift.PathString(tc.path), tc.named, got)
			}
		})
	}
}

func TestADecisionIsJudgedAnewOnceAndAsksForOpenFindingsAlone(t *testing.T) {
	finding := func(id string, action kronvoyv1alpha1.FindingAction, paths ...string) *kronvoyv1alpha1.Finding {
		f := &kronvoyv1alpha1.Finding{ID: id, Action: action, Missing: len(paths) == 0, DetailCount: int32(len(paths))}
		for _, path := range paths {
			f.Details = append(f.Details, kronvoyv1alpha1.FindingDetail{Path: path})
		}
		return f
	}
	const reported, corrected = kronvoyv1alpha1.FindingReported, kronvoyv1alpha1.FindingCorrected
	tests := map[string]struct {
		findings []*kronvoyv1alpha1.Finding
		policy   kronvoyv1alpha1.ManifestPolicy
		asked    asked
		left     int
		anew     bool
	}{
		"no decisions":                {findings: []*kronvoyv1alpha1.Finding{finding("1", reported, "a")}, left: 1},
		"another finding":             {findings: []*kronvoyv1alpha1.Finding{finding("1", reported, "a")}, policy: kronvoyv1alpha1.ManifestPolicy{Correct: []string{"2"}}, left: 1, anew: true},
		"a finding":                   {findings: []*kronvoyv1alpha1.Finding{finding("1", reported, "a", "b")}, policy: kronvoyv1alpha1.ManifestPolicy{Correct: []string{"1"}}, asked: asked{paths: []string{"a", "b"}}, left: 1, anew: true},
		"a missing object":            {findings: []*kronvoyv1alpha1.Finding{finding("1", reported)}, policy: kronvoyv1alpha1.ManifestPolicy{Correct: []string{"1"}}, asked: asked{missing: true}, left: 1, anew: true},
		"what was corrected before":   {findings: []*kronvoyv1alpha1.Finding{finding("1", corrected, "a")}, policy: kronvoyv1alpha1.ManifestPolicy{Correct: []string{"1"}}, left: 1, anew: true},
		"what is accepted":            {findings: []*kronvoyv1alpha1.Finding{finding("1", corrected, "a"), finding("2", reported, "a", "b")}, policy: kronvoyv1alpha1.ManifestPolicy{Accepted: []string{"a"}}, left: 1, anew: true},
		"what is accepted altogether": {findings: []*kronvoyv1alpha1.Finding{finding("2", reported, "a", "b")}, policy: kronvoyv1alpha1.ManifestPolicy{Accepted: []string{"a", "b"}}, anew: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			item := &Item{Policy: tc.policy}
			st := &objectState{equalAt: "7", seen: "x", lookAfter: time.Unix(1, 0), failure: &failure{}, findings: map[kronvoyv1alpha1.FindingAction]*kronvoyv1alpha1.Finding{}}
			for _, f := range tc.findings {
				st.findings[f.Action] = f
			}
			st.decided(item)
			if diff := cmp.Diff(tc.asked, item.asked, cmp.AllowUnexported(asked{})); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if anew := st.equalAt == "" && st.seen == "" && st.lookAfter.IsZero() && st.failure == nil; anew != tc.anew || len(st.findings) != tc.left {
				t.Errorf("judged anew: %t, want %t; findings left: %d, want %d", anew, tc.anew, len(st.findings), tc.left)
			}
			st.equalAt = "8"
			st.decided(item)
			if st.equalAt != "8" {
				t.Error("the same decisions are judged anew again")
			}
		})
	}
}
