package index_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kronvoy/kronvoy/hub/index"
)

func TestACacheIsBehindUntilItShowsWhatWasWritten(t *testing.T) {
	at := func(version string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}}
	}
	var written index.Written[string]
	steps := []struct {
		what   string
		do     func()
		cached string
		behind bool
	}{
		{what: "nothing was written", cached: "7"},
		{what: "the cache has not seen the write", do: func() { written.Note("a", at("12")) }, cached: "9", behind: true},
		{what: "nor now", cached: "11", behind: true},
		{what: "now it has", cached: "12"},
		{what: "a version once seen is forgotten", cached: "9"},
		{what: "an object that is gone", do: func() { written.Note("a", at("20")); written.Forget("a") }, cached: "9"},
		{what: "a version that cannot be compared", do: func() { written.Note("a", at("20")) }, cached: "x"},
	}
	for _, step := range steps {
		if step.do != nil {
			step.do()
		}
		if got := written.Behind("a", at(step.cached)); got != step.behind {
			t.Errorf("%s: behind is %v", step.what, got)
		}
	}
}
