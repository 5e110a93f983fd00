//go:build browser

// Package browser_test looks at the dashboard as people do: in a headless
// Chromium, on a local fleet. `make test-browser` runs it.
package browser_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kronvoy/kronvoy/test/browser"
	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/stack"
)

// patience bounds each wait, and stepTime what a browser is given for one step.
const patience, stepTime = 2 * time.Minute, 5 * time.Minute

type scene struct {
	*testing.T
	stack *stack.Stack
	env   []string
}

func TestTheDashboardInABrowser(t *testing.T) {
	driver, err := browser.Install(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := start(t)
	artefacts, err := filepath.Abs("artefacts")
	if err != nil {
		t.Fatal(err)
	}
	s.env = append(os.Environ(), driver.Env(), "ARTEFACTS="+artefacts, "URL="+s.stack.DashboardURL, "PLACEMENT=/placements/shop/everywhere",
		"OPERATOR="+s.token("operator", "kronvoy-viewer", "kronvoy-drift-operator", "kronvoy-approver", "kronvoy-rollout-operator", "works-reader"),
		"VIEWER="+s.token("viewer", "kronvoy-viewer"), "NOBODY="+s.token("nobody"))
	s.kubectl("hub", `{"apiVersion":"kronvoy.io/v1alpha1","kind":"ApprovalRequest","metadata":{"namespace":"shop","name":"a-question"},
		"spec":{"action":"Remove","distribution":"nobodys","planHash":"h1","clusterCount":2,"clusters":["eu-west","us-east"],"message":"May nobodys leave 2 clusters?"}}`,
		"create", "-f", "-")
	uid := s.kubectl("hub", "", "get", "approvalrequest", "a-question", "-n", "shop", "-o", "jsonpath={.metadata.uid}")
	s.env = append(s.env, "APPROVAL=a-question", "APPROVAL_UID="+uid)
	s.roll()

	// What somebody changes is on the screen without anybody asking.
	watching := s.begin("watch", "EXPECT=drifted")
	watching.until("watching")
	s.kubectl("us-east", "", "-n", "shop", "scale", "deployment/shop", "--replicas=7")
	watching.wait()

	for _, step := range []string{"views", "keyboard", "rights", "approve", "correct", "compare", "rollout"} {
		t.Run(step, func(t *testing.T) {
			(&scene{t, s.stack, s.env}).begin(step).wait()
		})
	}
	if got := s.kubectl("hub", "", "get", "approvalrequest", "a-question", "-n", "shop", "-o", "jsonpath={.status.decision} {.status.decidedBy}"); got != "Approved system:serviceaccount:default:operator" {
		t.Errorf("the answer on the hub is %q", got)
	}
	if got := s.kubectl("us-east", "", "-n", "shop", "get", "deployment/shop", "-o", "jsonpath={.spec.replicas}"); got == "7" {
		t.Error("the deployment was not put right")
	}
	// Taken back: the first group, too, which had passed.
	s.eventually("eu-west", "registry.k8s.io/pause:3.10", "get", "deployment/shop", "-n", "shop", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
}

// start runs the example web application, on which drift is only reported.
func start(t *testing.T) *scene {
	t.Helper()
	sizes := map[string]map[string]string{"eu-west": {"size": "large"}, "us-east": {"size": "medium"}, "ap-south": {"size": "small"}}
	running, err := stack.Start(t.Context(), stack.Options{Fleet: fleet.Options{Name: "browser", Dir: filepath.Join(t.TempDir(), "fleet")}, Labels: sizes, Dashboard: true, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := &scene{T: t, stack: running}
	s.kubectl("hub", "", "apply", "-f", "examples/webapp/placement.yaml", "-f", "examples/webapp/rgd.yaml")
	s.kubectl("hub", "", "wait", "--for=condition=Ready", "--timeout=60s", "resourcegraphdefinition/webapp")
	s.kubectl("hub", `{"apiVersion":"kronvoy.io/v1alpha1","kind":"Distribution","metadata":{"namespace":"shop","name":"shop"},
		"spec":{"instances":{"apiVersion":"kro.run/v1alpha1","kind":"WebApp"},"policies":[{"drift":"Report"}]}}`, "apply", "-f", "-")
	s.kubectl("hub", `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"works-reader"},
		"rules":[{"apiGroups":["work.open-cluster-management.io"],"resources":["manifestworks"],"verbs":["get","list"]}]}`, "apply", "-f", "-")
	s.kubectl("hub", "", "apply", "-f", "examples/webapp/instance.yaml")
	err = wait.PollUntilContextTimeout(t.Context(), 200*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		return s.kubectl("hub", "", "get", "webapp", "shop", "-n", "shop", "-o", "jsonpath={.status.state} {.status.fleet.ready}") == "ACTIVE 3", nil
	})
	if err != nil {
		t.Fatalf("waiting for the instance: %v\n%s", err, stack.Tail(running.Hub.Log()))
	}
	return s
}

// roll begins a rollout that goes region by region, and waits for an approval
// after the first.
func (s *scene) roll() {
	s.Helper()
	s.kubectl("hub", `{"apiVersion":"kronvoy.io/v1alpha1","kind":"Distribution","metadata":{"namespace":"shop","name":"shop"},
		"spec":{"instances":{"apiVersion":"kro.run/v1alpha1","kind":"WebApp"},"policies":[{"drift":"Report"}],
		"rollout":{"groupBy":{"label":"region","order":["eu-west","us-east"]},"minSuccessTime":"8s","approval":{"beforeGroups":["us-east"]}}}}`, "apply", "-f", "-")
	s.eventually("hub", "Succeeded", "get", "rollout", "shop", "-n", "shop", "-o", "jsonpath={.status.phase}", "--ignore-not-found")
	s.kubectl("hub", "", "patch", "webapp", "shop", "-n", "shop", "--type=merge", "-p", `{"spec":{"image":"registry.k8s.io/pause:3.11"}}`)
	s.eventually("hub", "WaitingForApproval", "get", "rollout", "shop", "-n", "shop", "-o", "jsonpath={.status.phase}")
}

// eventually waits until kubectl says something.
func (s *scene) eventually(cluster, want string, args ...string) {
	s.Helper()
	got := ""
	err := wait.PollUntilContextTimeout(s.Context(), 200*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		got = s.kubectl(cluster, "", args...)
		return got == want, nil
	})
	if err != nil {
		s.Fatalf("kubectl %q on %s says %q, want %q: %v\n%s", args, cluster, got, want, err, stack.Tail(s.stack.Hub.Log()))
	}
}

func (s *scene) token(name string, roles ...string) string {
	s.Helper()
	token, err := s.stack.Token(s.Context(), name, roles...)
	if err != nil {
		s.Fatal(err)
	}
	return token
}

func (s *scene) kubectl(cluster, input string, args ...string) string {
	s.Helper()
	cmd := exec.CommandContext(s.Context(), s.stack.Fleet.Kubectl(), append([]string{"--kubeconfig", s.stack.Fleet.Cluster(cluster).Kubeconfig()}, args...)...)
	cmd.Dir, cmd.Stdin = s.stack.Root(), strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.Fatalf("kubectl %q on %s: %v\n%s", args, cluster, err, stderr.Bytes())
	}
	return string(out)
}

// step is a browser at work.
type step struct {
	*scene
	name   string
	cmd    *exec.Cmd
	out    *os.File
	cancel context.CancelFunc
}

func (s *scene) begin(name string, env ...string) *step {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), stepTime)
	out, err := os.CreateTemp(s.TempDir(), name)
	if err != nil {
		s.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "node", "drive.mjs", name)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(s.env, env...), out, out
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	return &step{s, name, cmd, out, cancel}
}

func (s *step) text() string {
	text, err := os.ReadFile(s.out.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *step) until(said string) {
	s.Helper()
	err := wait.PollUntilContextTimeout(s.Context(), 100*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		return strings.Contains(s.text(), said), nil
	})
	if err != nil {
		s.Fatal(fmt.Errorf("%s does not say %q: %w\n%s", s.name, said, err, s.text()))
	}
}

func (s *step) wait() {
	s.Helper()
	defer s.cancel()
	if err := s.cmd.Wait(); err != nil {
		s.Errorf("%s: %v\n%s\nthe hub's log ends with:\n%s", s.name, err, s.text(), stack.Tail(s.stack.Hub.Log()))
	}
}
