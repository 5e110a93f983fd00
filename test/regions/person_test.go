//go:build integration

package regions

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/kronvoy/kronvoy/test/probe"
)

// Roles that people have, besides the tenants who make instances.
const (
	tenant   = "kronvoy-tenant"
	approver = "kronvoy-approver"
	operator = "kronvoy-rollout-operator"
)

// person is somebody who has ClusterRoles in the scene's namespace, and no other
// right.
func (s *scene) person(name string, roles ...string) (kubeconfig string) {
	s.Helper()
	path := filepath.Join(s.dir, s.ns+"-"+name+".kubeconfig")
	if err := s.stack.Fleet.Hub().ServiceAccountKubeconfig(s.Context(), s.ns, name, path); err != nil {
		s.Fatal(err)
	}
	for _, role := range roles {
		s.hub.Apply(s, fmt.Sprintf(`{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: %[1]s-%[3]s, namespace: %[2]s},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[3]s}, subjects: [{kind: ServiceAccount, name: %[1]s, namespace: %[2]s}]}`, name, s.ns, role))
	}
	return path
}

// sees lets somebody look at everything, until the scene ends.
func (s *scene) sees(name string) {
	s.Helper()
	binding := s.ns + "-" + name + "-sees"
	s.hub.Apply(s, fmt.Sprintf(`{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: %s},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kronvoy-viewer}, subjects: [{kind: ServiceAccount, name: %s, namespace: %s}]}`, binding, name, s.ns))
	s.undo = append(s.undo, func() { s.hub.Delete(s, "clusterrolebindings.rbac.authorization.k8s.io", binding) })
}

// said is what a command printed, and its exit status.
type said struct {
	out, err string
	code     int
}

// kronvoy runs the command line on the hub.
func (s *scene) kronvoy(kubeconfig string, args ...string) said {
	s.Helper()
	return s.kronvoyWith("", kubeconfig, args...)
}

// kronvoyWith runs the command line with a text on its standard input.
func (s *scene) kronvoyWith(input, kubeconfig string, args ...string) said {
	s.Helper()
	cli, err := s.stack.CLI(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	cmd := exec.CommandContext(s.Context(), cli, append(args, "--kubeconfig", kubeconfig)...)
	var out, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &stderr
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		s.Fatalf("running kronvoy %v: %v", args, err)
	}
	return said{out.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// want fails the test unless the command ended with this status and said these
// words, on either output.
func (c said) want(s *scene, code int, words ...string) {
	s.Helper()
	text := c.out + c.err
	if c.code != code {
		s.Fatalf("it exits with %d, not %d:\n%s", c.code, code, text)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			s.Errorf("it does not say %q:\n%s", word, text)
		}
	}
}

// decode reads JSON that the command printed.
func (c said) decode(s *scene, into any) {
	s.Helper()
	if err := json.Unmarshal([]byte(c.out), into); err != nil {
		s.Fatalf("reading what it printed: %v\n%s%s", err, c.out, c.err)
	}
}

// object reads an object that the command printed as JSON.
func (c said) object(s *scene) *probe.Object {
	s.Helper()
	content := map[string]any{}
	if err := utiljson.Unmarshal([]byte(c.out), &content); err != nil {
		s.Fatalf("reading what it printed: %v\n%s%s", err, c.out, c.err)
	}
	return &probe.Object{Unstructured: &unstructured.Unstructured{Object: content}}
}
