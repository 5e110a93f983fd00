package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const joinerKubeconfig = `apiVersion: v1
kind: Config
clusters: [{name: hub, cluster: {server: "https://hub.example:6443"}}]
users: [{name: joiner, user: {token: t0ken}}]
contexts: [{name: hub, context: {cluster: hub, user: joiner, namespace: eu-west}}]
current-context: hub
`

// runCommand runs the command line with that standard input.
func runCommand(t *testing.T, in string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(in))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestManifestsOfAJoinHoldAllThatItTakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bootstrap.kubeconfig")
	if err := os.WriteFile(file, []byte(joinerKubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := runCommand(t, "", "join", "-f", file, "--image", "registry.example/agent:v1", "--request-labels", "region=eu", "--manifests")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"kind: Namespace", "kind: CustomResourceDefinition", "kind: RoleBinding", "kind: Deployment", "image: registry.example/agent:v1",
		"name: bootstrap-hub-kubeconfig", "requested-labels: eyJyZWdpb24iOiJldSJ9",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	got, err = runCommand(t, joinerKubeconfig, "join", "--without-agent", "--manifests")
	if err != nil || strings.Contains(got, "kind: Deployment") {
		t.Errorf("error %v; the agent is in\n%s", err, got)
	}
}

func TestAJoinThatCannotBeginSaysWhatIsMissing(t *testing.T) {
	tests := map[string]struct {
		in   string
		args []string
		want string
	}{
		"no image":                 {in: joinerKubeconfig, args: []string{"--manifests"}, want: "--image is needed"},
		"an image without agent":   {in: joinerKubeconfig, args: []string{"--image", "i", "--without-agent"}, want: "leave out --image"},
		"nothing to join by":       {args: []string{"--image", "i"}, want: "kronvoy hub token --cluster NAME"},
		"a file that is not there": {args: []string{"--image", "i", "-f", "nowhere"}, want: "nowhere"},
		"something else":           {in: "Error: forbidden", args: []string{"--image", "i"}, want: "it is what `kronvoy hub token --cluster NAME` prints"},
		"an output there is not":   {in: joinerKubeconfig, args: []string{"--image", "i", "-o", "xml"}, want: "it is not text, json or yaml"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := runCommand(t, test.in, append([]string{"join"}, test.args...)...); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
