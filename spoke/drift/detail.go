package drift

import (
	"bytes"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

const (
	// MaxDetails is how many fields a finding lists.
	MaxDetails = 100
	// maxValue is how many characters of a value a finding shows.
	maxValue = 256
	// masked stands for a Secret's value.
	masked = `"***"`
	// maxPath and maxManager are the limits of the report's schema.
	maxPath    = 1024
	maxManager = 128
)

// Details says, of the paths at which a live object left its baseline, what is
// wanted, what is there and who did it. A field that came back to the
// manifest's value is left out.
func Details(manifest, live *unstructured.Unstructured, paths []fieldpath.Path, owners Owners) []kronvoyv1alpha1.FindingDetail {
	return details(manifest, live, paths, owners, func(want, have any) bool {
		return bytes.Equal(canonical(want), canonical(have)) || sameNumber(want, have)
	})
}

// Differences is Details for an object that has no baseline: what the server
// adds inside a map or list, such as defaults, does not count.
func Differences(manifest, live *unstructured.Unstructured, paths []fieldpath.Path, owners Owners) []kronvoyv1alpha1.FindingDetail {
	return details(manifest, live, paths, owners, SameValue)
}

func details(
	manifest, live *unstructured.Unstructured, paths []fieldpath.Path, owners Owners, same func(want, have any) bool,
) []kronvoyv1alpha1.FindingDetail {
	var details []kronvoyv1alpha1.FindingDetail
	secret := IsSecret(live) || IsSecret(manifest)
	for _, path := range paths {
		want, wanted := Lookup(manifest.Object, path)
		have, exists := Lookup(live.Object, path)
		if wanted == exists && same(want, have) {
			continue
		}
		hide := secret && len(path) > 0 && path[0].FieldName != nil &&
			(*path[0].FieldName == "data" || *path[0].FieldName == "stringData")
		details = append(details, kronvoyv1alpha1.FindingDetail{
			Path:     truncate(PathString(path), maxPath),
			Desired:  show(want, wanted, hide),
			Observed: show(have, exists, hide),
			Manager:  truncate(owners.Of(path).String(), maxManager),
		})
	}
	return details
}

// Mutated gives the fields of a manifest that the API server answered with
// another value: admission changed them. A zero value that is not there is no
// change: the server's own types leave it out.
func Mutated(manifest *unstructured.Unstructured, answer *unstructured.Unstructured, owned *fieldpath.Set) []fieldpath.Path {
	var paths []fieldpath.Path
	for _, path := range Leaves(owned) {
		want, wanted := Lookup(manifest.Object, path)
		have, exists := Lookup(answer.Object, path)
		if !exists {
			have = nil
		}
		if !wanted || same(want, have, true) {
			continue
		}
		paths = append(paths, path)
	}
	return paths
}

// IsSecret says whether an object's data must never be shown.
func IsSecret(obj *unstructured.Unstructured) bool {
	return obj != nil && obj.GetKind() == "Secret" && obj.GetAPIVersion() == "v1"
}

func show(v any, exists, hide bool) string {
	switch {
	case !exists:
		return ""
	case hide:
		return masked
	}
	return truncate(string(canonical(v)), maxValue)
}

// truncate shortens a text to a number of characters, not bytes.
func truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	return string(runes[:limit-1]) + "…"
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
