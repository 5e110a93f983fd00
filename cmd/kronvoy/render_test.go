package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/internal/golden"
)

// run runs the command line and returns what it prints.
func run(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := newCommand()
	var out, errOut bytes.Buffer
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	cmd.SetArgs(args)
	err = cmd.Execute()
	return out.String(), errOut.String(), err
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// TestExamples renders every example for each of its clusters: the documented
// result is what comes out.
func TestExamples(t *testing.T) {
	definitions, err := filepath.Glob(filepath.Join("..", "..", "examples", "*", "rgd.yaml"))
	if err != nil || len(definitions) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range definitions {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			if out, _, err := run(t, "", "lint", "-f", file); err != nil {
				t.Fatalf("lint: %v\n%s", err, out)
			}
			clusters, err := filepath.Glob(filepath.Join(dir, "clusters", "*.yaml"))
			if err != nil || len(clusters) == 0 {
				t.Fatalf("no clusters: %v", err)
			}
			files := []string{"-f", file, "-f", filepath.Join(dir, "instance.yaml")}
			if distribution := filepath.Join(dir, "distribution.yaml"); exists(distribution) {
				files = append(files, "-f", distribution)
			}
			for _, cluster := range clusters {
				args := append([]string{"render", "-f", cluster}, files...)
				out, stderr, err := run(t, "", args...)
				if err != nil {
					t.Fatalf("render: %v\n%s", err, stderr)
				}
				golden.Compare(t, filepath.Join(dir, "expected", filepath.Base(cluster)), out)
			}
			all, _, err := run(t, "", "render", "-f", dir, "-f", filepath.Join(dir, "clusters"))
			if err != nil {
				t.Fatalf("render of all: %v", err)
			}
			if got := strings.Count(all, "\ncluster: ") + 1; got != len(clusters) {
				t.Errorf("all clusters together make %d documents, want %d", got, len(clusters))
			}
		})
	}
}

func TestRender(t *testing.T) {
	dir := filepath.Join("..", "..", "examples", "webapp")
	base := []string{"render", "-f", filepath.Join(dir, "rgd.yaml"), "-f", filepath.Join(dir, "instance.yaml"), "-f", filepath.Join(dir, "clusters")}
	badInstance := "apiVersion: kro.run/v1alpha1\nkind: WebApp\nmetadata: {name: a, namespace: b}\nspec: {name: a, port: 99999, imag: x}\n"
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i < 'm'; i++ {
		bomb += string(i) + ": &" + string(i) + " [" + strings.Repeat("*"+string(i-1)+",", 9) + "]\n"
	}
	calm := "apiVersion: kronvoy.io/v1alpha1\nkind: Distribution\nmetadata: {name: calm, namespace: shop}\n" +
		"spec: {instances: {apiVersion: kro.run/v1alpha1, kind: WebApp}, serviceAccountName: deployer, policies: [{nodes: [deployment], paths: [%s], drift: Ignore}, {deletion: Orphan}]}\n"
	over := "apiVersion: kronvoy.io/v1alpha1\nkind: Distribution\nmetadata: {name: calm, namespace: shop}\n" +
		"spec: {instances: {apiVersion: kro.run/v1alpha1, kind: WebApp}, overrides: [{expressions: {%s}}]}\n"
	tests := map[string]struct {
		stdin  string
		args   []string
		out    []string
		failed string
	}{
		"what a Distribution says": {
			stdin: fmt.Sprintf(calm, "spec.replicas"), args: append(base, "--cluster", "us-east", "-f", "-"),
			out: []string{"distribution: calm\n", "serviceAccount: deployer\n", "  policies:\n    deletion: Orphan\n    fields:\n    - drift: Ignore\n      paths:\n      - spec.replicas\n"},
		},
		"an override that is not valid on a cluster": {
			stdin: fmt.Sprintf(over, "port: \"${size(cluster.labels.region) * 10000}\""), args: append(base, "-f", "-"),
			out: []string{"cluster: eu-west\ndistribution: calm\nerrors:\n- 'with spec.overrides[0]", "cluster: ap-south"}, failed: "not everything could be rendered",
		},
		"an override of no field": {
			stdin: fmt.Sprintf(over, "prt: \"80\""), args: append(base, "-f", "-"), failed: "applying Distribution calm: spec.overrides[0].expressions.prt",
		},
		"a Distribution with a bad path": {
			stdin: fmt.Sprintf(calm, "spec..x"), args: append(base, "-f", "-"),
			failed: `-:1: Distribution calm: spec.policies[0].paths[0]: reading path "spec..x": an empty field name`,
		},
		"a Distribution with a field that is not one": {
			stdin: strings.Replace(fmt.Sprintf(calm, "spec"), "policies:", "polices:", 1), args: append(base, "-f", "-"), failed: `unknown field "spec.polices"`,
		},
		"one cluster":                  {args: append(base, "--cluster", "us-east"), out: []string{"cluster: us-east", "replicas: 2"}},
		"a cluster nobody knows":       {args: append(base, "--cluster", "mars"), failed: "no ManagedCluster mars"},
		"json":                         {args: append(base, "--cluster", "us-east", "-o", "json"), out: []string{`"cluster": "us-east"`}},
		"a format nobody knows":        {args: append(base, "-o", "xml"), failed: "it is not yaml or json"},
		"observed values are used":     {stdin: "eu-west:\n  service: {spec: {clusterIP: 10.0.0.7}}\n", args: append(base, "--cluster", "eu-west", "--observed", "-"), out: []string{"address: 10.0.0.7", "url: http://10.0.0.7:80/"}},
		"observed values of all":       {stdin: "'*':\n  deployment: {status: {availableReplicas: 9}}\n", args: append(base, "--cluster", "us-east", "--observed", "-"), out: []string{"deployment to be ready"}},
		"an instance that is not good": {stdin: badInstance, args: []string{"render", "-f", filepath.Join(dir, "rgd.yaml"), "-f", "-"}, failed: `-:4:30: spec.imag: unknown field "imag" (did you mean image?); spec.port: 99999 is more than the maximum of 65535`},
		"without an instance":          {args: []string{"render", "-f", filepath.Join(dir, "rgd.yaml")}, failed: "no instance"},
		"without a definition":         {args: []string{"render", "-f", filepath.Join(dir, "instance.yaml")}, failed: "no ResourceGraphDefinition"},
		"a label that a cluster lacks": {args: []string{"render", "-f", filepath.Join(dir, "rgd.yaml"), "-f", filepath.Join(dir, "instance.yaml")}, out: []string{"cluster local-cluster has no label region"}, failed: "not everything could be rendered"},
		"broken YAML":                  {stdin: "a: b\n---\na: [b\nc: d\n", args: []string{"render", "-f", "-"}, failed: "-:3: invalid YAML"},
		"YAML that explodes":           {stdin: bomb, args: []string{"render", "-f", "-"}, failed: "excessive aliasing"},
		"a file that is not there":     {args: []string{"render", "-f", "nowhere.yaml"}, failed: "nowhere.yaml"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out, _, err := run(t, test.stdin, test.args...)
			if test.failed == "" && err != nil {
				t.Fatal(err)
			}
			if test.failed != "" && (err == nil || !strings.Contains(err.Error(), test.failed)) {
				t.Fatalf("error %v, want %q", err, test.failed)
			}
			for _, want := range test.out {
				if !strings.Contains(out, want) {
					t.Errorf("%q is missing in\n%s", want, out)
				}
			}
		})
	}
}

func TestLint(t *testing.T) {
	bad := filepath.Join("testdata", "bad.yaml")
	out, _, err := run(t, "", "lint", "-f", bad)
	if err == nil {
		t.Error("lint of a bad definition succeeded")
	}
	golden.Compare(t, filepath.Join("testdata", "bad.txt"), out)
	out, _, err = run(t, "", "lint", "-f", bad, "-o", "json")
	if err == nil {
		t.Error("lint of a bad definition succeeded")
	}
	golden.Compare(t, filepath.Join("testdata", "bad.json"), out)
}

func TestGraph(t *testing.T) {
	for format, file := range map[string]string{"tree": "graph.txt", "mermaid": "graph.mmd", "dot": "graph.dot", "yaml": "graph.yaml"} {
		out, stderr, err := run(t, "", "graph", "-f", filepath.Join("testdata", "diamond.yaml"), "-o", format)
		if err != nil {
			t.Fatalf("%s: %v\n%s", format, err, stderr)
		}
		golden.Compare(t, filepath.Join("testdata", file), out)
	}
}

// TestRenderSelector: what a selector finds is what --observed gives.
func TestRenderSelector(t *testing.T) {
	observed := "'*':\n  databases: [{metadata: {name: b, namespace: x}}, {metadata: {name: a, namespace: x}}]\n"
	tests := map[string]struct {
		stdin string
		args  []string
		want  []string
	}{
		"nothing is found": {want: []string{"shop: corner", `databases: ""`, "type: Connected", "message: 0 databases", `status: "False"`}},
		"two are found":    {stdin: observed, args: []string{"--observed", "-"}, want: []string{"databases: a,b", "message: 2 databases", `status: "True"`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out, stderr, err := run(t, test.stdin, append([]string{"render", "-f", filepath.Join("testdata", "selector.yaml")}, test.args...)...)
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr)
			}
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not in\n%s", want, out)
				}
			}
		})
	}
}

// TestRenderHidesValuesOfSecrets: in the Secret, where another resource takes
// them, and in the status.
func TestRenderHidesValuesOfSecrets(t *testing.T) {
	const files = `
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: vault}
spec:
  schema: {apiVersion: v1alpha1, kind: Vault, spec: {password: string}, status: {shown: "${url.data.url}", name: "${password.metadata.name}"}}
  resources:
  - {id: password, template: {apiVersion: v1, kind: Secret, metadata: {name: password}, stringData: {key: "${schema.spec.password}"}}}
  - {id: url, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: url}, data: {url: "db://${password.stringData.key}", fine: "yes"}}}
---
{apiVersion: kro.run/v1alpha1, kind: Vault, metadata: {name: a, namespace: b}, spec: {password: swordfish}}`
	hidden, stderr, err := run(t, files, "render", "-f", "-")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if strings.Contains(hidden, "swordfish") || strings.Count(hidden, `: '***'`) != 2 || !strings.Contains(hidden, "name: password") || !strings.Contains(hidden, "fine:") {
		t.Errorf("this is shown:\n%s", hidden)
	}
	shown, stderr, err := run(t, files, "render", "-f", "-", "--show-secrets")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if strings.Count(shown, "swordfish") != 3 {
		t.Errorf("this is shown with --show-secrets:\n%s", shown)
	}
}
