package compare

import (
	"path/filepath"
	"testing"

	"github.com/kronvoy/kronvoy/graph/schema/evolution"
)

// unfit are cases whose kind kro writes in a way that no API server accepts or
// that loses the values: there is nothing to migrate.
var unfit = map[string]string{
	"14-plural-of-dns":      "the name of the kind is none",
	"39-a-list-of-objects":  "the fields with escaped names hold nothing",
	"39-the-whole-resource": "the fields with escaped names hold nothing",
}

// TestKindsOfKroBecomeOurs: whoever replaces kro has its generated kinds in the
// cluster. None of ours may count as a breaking change of kro's, or it would wait
// for somebody to allow it.
func TestKindsOfKroBecomeOurs(t *testing.T) {
	compared := 0
	for _, dir := range caseDirs(t) {
		name := filepath.Base(dir)
		engines, in := newEngines(t, dir), readCase(t, dir)
		from, _, err := engines.buildKro(in.RGD)
		if err != nil {
			t.Fatal(err)
		}
		to, _, err := engines.compileOurs(in.RGD)
		if err != nil {
			t.Fatal(err)
		}
		if from == nil || to == nil {
			continue
		}
		compared++
		breaking := evolution.Breaking(evolution.Compare(from.CRD, to.CRD()))
		why, excused := unfit[name]
		switch {
		case excused && len(breaking) == 0:
			t.Errorf("%s: breaks nothing, take it out of unfit (%s)", name, why)
		case !excused && len(breaking) > 0:
			t.Errorf("%s: the kind cannot become ours without a breaking change: %v", name, breaking)
		}
	}
	if compared < wantCases/2 {
		t.Errorf("%d kinds were compared, want at least %d", compared, wantCases/2)
	}
}
