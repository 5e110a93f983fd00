package apply

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func TestDetailsForWhichThereIsNoRoomAreLeftOut(t *testing.T) {
	detail := kronvoyv1alpha1.FindingDetail{Path: strings.Repeat("p", 10)}
	all := []kronvoyv1alpha1.FindingDetail{detail, detail, detail}
	var findings []kronvoyv1alpha1.Finding
	for _, name := range []string{"new", "old", "older"} {
		findings = append(findings, kronvoyv1alpha1.Finding{
			ObjectReference: kronvoyv1alpha1.ObjectReference{Name: name}, Details: all, DetailCount: 3,
		})
	}
	shorten(findings, 45)
	got := map[string]int{}
	for _, f := range findings {
		got[f.Name] = len(f.Details)
		if f.DetailCount != 3 {
			t.Errorf("%s has a count of %d", f.Name, f.DetailCount)
		}
	}
	if diff := cmp.Diff(map[string]int{"new": 3, "old": 1, "older": 0}, got); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
}
