package view_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/yaml"
	goyaml "sigs.k8s.io/yaml"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/dashboard/view"
	"github.com/kronvoy/kronvoy/internal/golden"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

func TestRollouts(t *testing.T) {
	files, err := filepath.Glob("testdata/rollouts/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			var strategy *rollout.Strategy
			var r kronvoyv1alpha1.Rollout
			var targets []kronvoyv1alpha1.Target
			for kind, document := range documents(t, file) {
				switch name, _, _ := strings.Cut(kind, "/"); name {
				case "Distribution":
					var d kronvoyv1alpha1.Distribution
					decode(t, document, &d)
					s, err := convert.Strategy(d.Spec.Rollout)
					if err != nil {
						t.Fatal(err)
					}
					strategy = &s
				case "Rollout":
					decode(t, document, &r)
				case "Target":
					var target kronvoyv1alpha1.Target
					decode(t, document, &target)
					targets = append(targets, target)
				}
			}
			got, err := goyaml.Marshal(view.NewRollout(&r, strategy, targets))
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, strings.TrimSuffix(file, ".yaml")+".golden", string(got))
		})
	}
}

// documents of a file, by kind and namespace.
func documents(t *testing.T, file string) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	reader := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text)))
	for buffer := make([]byte, 64<<10); ; {
		n, err := reader.Read(buffer)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		var head struct {
			Kind     string
			Metadata struct{ Namespace string }
		}
		document := bytes.Clone(buffer[:n])
		decode(t, document, &head)
		out[head.Kind+"/"+head.Metadata.Namespace] = document
	}
}

func decode(t *testing.T, document []byte, into any) {
	t.Helper()
	if err := goyaml.Unmarshal(document, into); err != nil {
		t.Fatal(err)
	}
}
