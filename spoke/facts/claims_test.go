package facts

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClaims(t *testing.T) {
	type outcome struct {
		Claims []Claim
		Left   []string
	}
	for name, test := range map[string]struct {
		found, said map[string]string
		limit       int
		want        outcome
	}{
		"what people say stands beside what was found": {
			found: map[string]string{ClaimRegion: "eu-west"}, said: map[string]string{"team.example.com": "shop"}, limit: 1,
			want: outcome{Claims: []Claim{{ClaimRegion, "eu-west"}, {"team.example.com", "shop"}}},
		},
		"what was found wins": {
			found: map[string]string{ClaimProduct: "Talos"}, said: map[string]string{ClaimProduct: "OpenShift"}, limit: 1,
			want: outcome{Claims: []Claim{{ClaimProduct, "Talos"}}},
		},
		"people may say what was not found, of OCM's names, and it does not count": {
			said: map[string]string{ClaimPlatform: "Hetzner", "a": "1"}, limit: 1,
			want: outcome{Claims: []Claim{{"a", "1"}, {ClaimPlatform, "Hetzner"}}},
		},
		"a name of ours is ours even when there is nothing to say": {
			said: map[string]string{ClaimTalosVersion: "v9.9.9", ExtensionPrefix + "x": "1"}, limit: 5,
		},
		"of too many the first by name are told": {
			said: map[string]string{"c": "3", "a": "1", "b": "2"}, limit: 2,
			want: outcome{Claims: []Claim{{"a", "1"}, {"b", "2"}}, Left: []string{"c"}},
		},
		"none are told where none may be": {
			said: map[string]string{"a": "1"},
			want: outcome{Left: []string{"a"}},
		},
		"there are never more than a hub takes": {
			found: map[string]string{"own": strings.Repeat("x", maxSize-2)}, said: map[string]string{"a": "1", "b": "22", "c": "3"}, limit: 5,
			want: outcome{Claims: []Claim{{"a", "1"}, {"c", "3"}, {"own", strings.Repeat("x", maxSize-2)}}, Left: []string{"b"}},
		},
		"a value that is too long or empty is not told": {
			said: map[string]string{"a": strings.Repeat("x", MaxValue+1), "b": "", "c": "3"}, limit: 1,
			want: outcome{Claims: []Claim{{"c", "3"}}, Left: []string{"a"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got outcome
			got.Claims, got.Left = Claims(test.found, test.said, test.limit)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func ExampleClaims() {
	claims, left := Claims(map[string]string{ClaimZone: "a"}, map[string]string{"x": "1", "y": "2"}, 1)
	fmt.Println(claims, left)
	// Output: [{x 1} {zone.kronvoy.io a}] [y]
}
