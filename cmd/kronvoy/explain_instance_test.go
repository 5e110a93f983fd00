package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/internal/golden"
)

// TestExplainInstance explains testdata/preview/base.yaml on a fleet of 20 clusters,
// and compares with the files of the same name.
func TestExplainInstance(t *testing.T) {
	fleet := fleetFile(t, 20)
	const overridden = `{apiVersion: kronvoy.io/v1alpha1, kind: Distribution, metadata: {name: shop, namespace: shop}, spec: {
instances: {apiVersion: kro.run/v1alpha1, kind: App}, placement: {refs: [{name: prod}]},
overrides: [{spec: {replicas: 3}}, {clusterSelector: {matchLabels: {region: us-east}}, spec: {replicas: 1}, expressions: {host: "${cluster.name}.example"}}]}}`
	for name, tc := range map[string]struct {
		args   []string
		stdin  string
		failed string
	}{
		"where it runs": {args: []string{"app/web"}},
		"one cluster":   {args: []string{"app/web", "--cluster", "c09", "-o", "yaml"}},
		"who overrides": {args: []string{"app.kro.run/web", "-f", "-"}, stdin: overridden},
		"a label counts for nothing": {
			args:  []string{"app/web", "-f", "-", "--cluster", "c00", "-o", "wide"},
			stdin: `{apiVersion: kro.run/v1alpha1, kind: App, metadata: {name: web, namespace: shop, labels: {kronvoy.io/placement: other}}, spec: {image: "nginx:1"}}`,
		},
		"no kind":               {args: []string{"web"}, failed: "write KIND/NAME"},
		"an unknown kind":       {args: []string{"shop/web"}, failed: "no definition generates shop"},
		"one that is not there": {args: []string{"app/other"}, failed: "there is no App other in namespace shop"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"explain", "instance", "-n", "shop", "--offline", "-f", "testdata/preview/base.yaml", "-f", fleet}, tc.args...)
			out, _, err := run(t, tc.stdin, args...)
			if tc.failed != "" {
				if err == nil || !strings.Contains(err.Error(), tc.failed) {
					t.Errorf("the error is %v, want %q", err, tc.failed)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, filepath.Join("testdata", "explain", strings.ReplaceAll(name, " ", "_")+".txt"), out)
		})
	}
}
