package graph_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheDifferencesFromKroAreShown: every scenario that the page refers to
// exists.
func TestTheDifferencesFromKroAreShown(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "differences-from-kro.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, italic := range regexp.MustCompile(`\*([a-zA-Z]+_[a-zA-Z_, \n]+)\*`).FindAllStringSubmatch(string(page), -1) {
		for _, name := range strings.Split(italic[1], ",") {
			found++
			if _, err := os.Stat(filepath.Join("testdata", strings.TrimSpace(name), "rgd.yaml")); err != nil {
				t.Errorf("the page refers to %q, which is no scenario", strings.TrimSpace(name))
			}
		}
	}
	if found < 20 {
		t.Errorf("the page refers to %d scenarios, want at least 20", found)
	}
}
