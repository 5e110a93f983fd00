package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/internal/golden"
)

// fleetFile writes n clusters: the first three of each ten in us-east, the others
// in eu-west; every tenth in env test, the others in prod.
func fleetFile(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		region, env := "eu-west", "prod"
		if i%10 < 3 {
			region = "us-east"
		}
		if i%10 == 9 {
			env = "test"
		}
		fmt.Fprintf(&b, "---\n{apiVersion: cluster.open-cluster-management.io/v1, kind: ManagedCluster, metadata: {name: c%02d, labels: {region: %s, env: %s}}, spec: {hubAcceptsClient: true}}\n", i, region, env)
	}
	file := filepath.Join(t.TempDir(), "clusters.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestPreview lays changes over testdata/preview/base.yaml and a fleet of 20
// clusters, and compares with the files of the same name.
func TestPreview(t *testing.T) {
	base, err := os.ReadFile("testdata/preview/base.yaml")
	if err != nil {
		t.Fatal(err)
	}
	definition, _, _ := strings.Cut(string(base), "---\n")
	fleet := fleetFile(t, 20)
	const app = "{apiVersion: kro.run/v1alpha1, kind: App, metadata: {name: %s, namespace: shop}, spec: %s}"
	cluster := func(name, labels string) string {
		return fmt.Sprintf("---\n{apiVersion: cluster.open-cluster-management.io/v1, kind: ManagedCluster, metadata: {name: %s, labels: %s}}\n", name, labels)
	}
	distribution := func(spec string) string {
		return "{apiVersion: kronvoy.io/v1alpha1, kind: Distribution, metadata: {name: shop, namespace: shop}, spec: {instances: {apiVersion: kro.run/v1alpha1, kind: App}, " + spec + "}}"
	}
	const rolling = `placement: {refs: [{name: prod}]}, rollout: {groupBy: {label: region, order: [us-east]}, maxConcurrency: 25%, minSuccessTime: 10m, approval: {beforeGroups: [eu-west]}}`
	for name, tc := range map[string]struct {
		change string
		args   []string
		status exit.Code
	}{
		"nothing":                      {change: fmt.Sprintf(app, "web", `{image: "nginx:1"}`)},
		"an image":                     {change: fmt.Sprintf(app, "web", `{image: "nginx:2"}`), status: 2},
		"an image, as JSON":            {change: fmt.Sprintf(app, "web", `{image: "nginx:2"}`), args: []string{"--cluster", "c01", "-o", "json"}, status: 2},
		"an image, on one cluster":     {change: fmt.Sprintf(app, "web", `{image: "nginx:2"}`), args: []string{"--cluster", "c01", "-o", "wide"}, status: 2},
		"another instance":             {change: fmt.Sprintf(app, "second", `{image: "nginx:1"}`), status: 2},
		"an instance that is wrong":    {change: fmt.Sprintf(app, "web", `{image: [1], size: 2}`), status: 1},
		"a cluster moves":              {change: cluster("c01", "{region: ap-south}"), status: 2},
		"a cluster joins":              {change: cluster("c09", "{env: prod}"), status: 2},
		"a cluster leaves":             {change: cluster("c01", "{env: null}"), status: 2},
		"too many clusters leave":      {change: cluster("c01", "{env: test}") + cluster("c02", "{env: test}") + cluster("c03", "{env: test}") + cluster("c04", "{env: test}") + cluster("c05", "{env: test}") + cluster("c06", "{env: test}"), status: 2},
		"clusters leave, all stays":    {change: distribution("removal: {policy: Orphan, gracePeriod: 0s}, placement: {refs: [{name: prod}]}") + "\n" + cluster("c01", "{env: test}"), status: 2},
		"a selector of its own":        {change: distribution("placement: {clusterSelector: {matchLabels: {region: eu-west}}}, removal: {maxPercent: 100}"), status: 2},
		"an override":                  {change: distribution(`placement: {refs: [{name: prod}]}, overrides: [{clusterSelector: {matchLabels: {region: us-east}}, spec: {replicas: 1}, expressions: {host: "${cluster.name}.example"}}]`), status: 2},
		"an override that is wrong":    {change: distribution(`placement: {refs: [{name: prod}]}, overrides: [{expressions: {host: "${cluster.nam}"}}]`), status: 1},
		"a policy":                     {change: distribution("placement: {refs: [{name: prod}]}, policies: [{nodes: [deployment], drift: Report}]"), status: 2},
		"a service account":            {change: distribution("placement: {refs: [{name: prod}]}, serviceAccountName: deployer"), status: 2},
		"a Distribution that is wrong": {change: distribution("placement: {refs: [{name: prod}]}, policies: [{paths: [spec..x], drift: Ignore}]"), status: 2},
		"in steps":                     {change: distribution(rolling) + "\n---\n" + fmt.Sprintf(app, "web", `{image: "nginx:2"}`), status: 2},
		"in steps, as YAML":            {change: distribution(rolling) + "\n---\n" + fmt.Sprintf(app, "web", `{image: "nginx:2"}`), args: []string{"--cluster", "c01", "-o", "yaml"}, status: 2},
		"in steps, all at once":        {change: distribution("placement: {refs: [{name: prod}]}, rollout: {maxConcurrency: 100%}") + "\n---\n" + fmt.Sprintf(app, "web", `{image: "nginx:2"}`), status: 2},
		"a strategy alone":             {change: distribution(rolling), status: 0},
		"a first install in steps":     {change: distribution(rolling) + "\n---\n" + fmt.Sprintf(app, "second", `{image: "nginx:1"}`) + "\n" + cluster("c04", `{region: null}`), status: 1},
		"a value for each cluster":     {change: strings.Replace(definition, "region: \"${cluster.labels.region}\"", "region: \"${cluster.labels.region}/${cluster.name}\"", 1), status: 2},
		"a Secret":                     {change: strings.Replace(definition, "for ${cluster.name}", "of ${cluster.name}", 1), status: 2},
		"a node that is renamed":       {change: strings.Replace(definition, "-notes", "-remarks", 1), status: 2},
		"a value that is not known":    {change: strings.Replace(definition, "name: \"${deployment.metadata.name}\"", "name: \"${deployment.metadata.uid}\"", 1), status: 2},
		"a definition that is wrong":   {change: strings.Replace(definition, "${schema.spec.image}", "${schema.spec.imag}", 1), status: 1},
		"a definition that breaks":     {change: strings.Replace(definition, "host: string | default=\"\"", "host: string | required=true", 1), status: 1},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.change == definition {
				t.Fatal("nothing is changed")
			}
			args := append([]string{"preview", "--offline", "--base", "testdata/preview/base.yaml", "--base", fleet, "-f", "-"}, tc.args...)
			out, _, err := run(t, tc.change, args...)
			var status exit.Code
			if err != nil && !errors.As(err, &status) {
				t.Fatal(err)
			}
			if status != tc.status {
				t.Errorf("exit status %d, want %d", status, tc.status)
			}
			golden.Compare(t, filepath.Join("testdata", "preview", strings.NewReplacer(" ", "_", ",", "").Replace(name)+".txt"), out)
		})
	}
}

func TestWhatPreviewRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		args          []string
		stdin, failed string
	}{
		"an object of another kind": {args: []string{"--offline"}, stdin: "{apiVersion: v1, kind: Service, metadata: {name: x}}", failed: "-:1: Service x: no definition"},
		"a base with a hub":         {args: []string{"--base", "x"}, failed: "add --offline"},
		"an output that there is not": {
			args: []string{"-o", "xml"}, failed: "it is not table, wide, json or yaml",
		},
		"a base that is wrong": {
			args:  []string{"--offline", "--base", "-"},
			stdin: "{apiVersion: kro.run/v1alpha1, kind: ResourceGraphDefinition, metadata: {name: x}, spec: {schema: {apiVersion: v1alpha1, kind: X}, resources: [{id: a, template: {kind: Nothing}}]}}",
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"preview"}, tc.args...)
			if tc.failed != "" {
				args = append(args, "-f", "-")
			} else {
				tc.failed = "definition x, which the change is laid over"
				args = append(args, "-f", fleetFile(t, 1))
			}
			if _, _, err := run(t, tc.stdin, args...); err == nil || !strings.Contains(err.Error(), tc.failed) {
				t.Errorf("the error is %v, want %q", err, tc.failed)
			}
		})
	}
}
