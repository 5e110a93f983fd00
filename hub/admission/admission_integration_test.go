//go:build integration

package admission

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
	"github.com/kronvoy/kronvoy/test/stack"
)

const (
	configurations = "validatingwebhookconfigurations.admissionregistration.k8s.io"
	secret         = stack.HubNamespace + "/" + SecretName
	definitions    = "resourcegraphdefinitions.kro.run"
)

// world is one hub with the webhook, reached by a URL.
type world struct {
	*testing.T
	stack *stack.Stack
	hub   *probe.Cluster
	port  int
}

func begin(t *testing.T) *world {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, port: listener.Addr().(*net.TCPAddr).Port}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	w.stack, err = stack.Start(ctx, stack.Options{
		Fleet:    fleet.Options{Dir: filepath.Join(t.TempDir(), "fleet"), Spokes: []fleet.ClusterOptions{}},
		HubArgs:  []string{fmt.Sprintf("--webhook-port=%d", w.port)},
		Progress: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the hub's log ends with:\n%s", probe.Tail(w.stack.Hub.Log(), 20))
		}
		if err := w.stack.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	hub := w.stack.Fleet.Hub()
	if w.hub, err = probe.Open(hub.Name, hub.Kubeconfig(), w.stack.Fleet.Kubectl()); err != nil {
		t.Fatal(err)
	}
	w.configure("127.0.0.1")
	return w
}

// configure applies what is installed, with a URL in place of the service.
func (w *world) configure(host string) {
	w.Helper()
	text, err := os.ReadFile(w.stack.Config("admission", "webhook.yaml"))
	if err != nil {
		w.Fatal(err)
	}
	var configuration map[string]any
	if err := yaml.Unmarshal(text, &configuration); err != nil {
		w.Fatal(err)
	}
	client := configuration["webhooks"].([]any)[0].(map[string]any)["clientConfig"].(map[string]any)
	path := client["service"].(map[string]any)["path"].(string)
	delete(client, "service")
	client["url"] = fmt.Sprintf("https://%s%s", net.JoinHostPort(host, fmt.Sprint(w.port)), path)
	data, err := json.Marshal(configuration)
	if err != nil {
		w.Fatal(err)
	}
	w.hub.Apply(w, string(data))
}

// rgd is the text of a definition of a kind with one field and one resource.
func rgd(kind, field, resource string) string {
	return fmt.Sprintf(`
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: %s}
spec:
  schema: {apiVersion: v1alpha1, kind: %s, spec: {field: '%s'}}
  resources:
  - {id: page, template: %s}`, strings.ToLower(kind), kind, field, resource)
}

const (
	page  = `{apiVersion: v1, kind: ConfigMap, metadata: {name: page}, data: {text: "${string(schema.spec.field)}"}}`
	wrong = `{apiVersion: v1, kind: ConfigMap, metadata: {name: page}, data: {a: "${schema.spec.feild}", b: "x ${paeg.data.text}"}}`
)

// works waits until a wrong definition is refused.
func (w *world) works() {
	w.Helper()
	probe.Eventually(w, "the webhook to refuse what is wrong", func() error {
		out, err := w.hub.KubectlWith(w, rgd("Probing", "string", wrong), "apply", "--dry-run=server", "-f", "-")
		if err == nil || !strings.Contains(out, "feild") {
			return fmt.Errorf("kubectl apply fails is %t, and it says %s", err != nil, out)
		}
		return nil
	})
}

func (w *world) bundle() []byte {
	w.Helper()
	bundle, err := base64.StdEncoding.DecodeString(w.hub.Get(w, configurations, ConfigurationName).Text("webhooks.0.clientConfig.caBundle"))
	if err != nil {
		w.Fatal(err)
	}
	return bundle
}

func TestDefinitionsAreCheckedAsTheyAreApplied(t *testing.T) {
	w := begin(t)
	w.works()

	for _, args := range [][]string{{"apply", "-f", "-"}, {"apply", "--dry-run=server", "-f", "-"}, {"apply", "--server-side", "-f", "-"}} {
		t.Run("every mistake with its place by kubectl "+strings.Join(args, " "), func(t *testing.T) {
			out, err := w.hub.KubectlWith(t, rgd("Wrong", "text", wrong), args...)
			if err == nil {
				t.Fatalf("it was taken: %s", out)
			}
			for _, part := range []string{
				"spec.schema.spec.field: UnknownType",
				"spec.resources[0].template.data.a: UnknownField at offset 14: unknown field \"feild\"", "did you mean field?",
				"spec.resources[0].template.data.b: UnknownIdentifier at offset 4: unknown identifier \"paeg\"", "did you mean page?",
			} {
				if !strings.Contains(out, part) {
					t.Errorf("%q is missing in\n%s", part, out)
				}
			}
			if w.hub.Get(t, definitions, "wrong") != nil {
				t.Error("it was stored")
			}
		})
	}
	t.Run("a good one on trial", func(t *testing.T) {
		out, err := w.hub.KubectlWith(t, rgd("Good", "string", page), "apply", "--dry-run=server", "-f", "-")
		if err != nil || strings.Contains(out, "Warning") {
			t.Errorf("kubectl apply: %v\n%s", err, out)
		}
		if w.hub.Get(t, definitions, "good") != nil {
			t.Error("it was stored")
		}
	})
	t.Run("a kind that is not there yet is a warning", func(t *testing.T) {
		out, err := w.hub.KubectlWith(t, rgd("Early", "string", `{apiVersion: example.com/v1, kind: Later, metadata: {name: page}}`), "apply", "-f", "-")
		if err != nil || !strings.Contains(out, "Warning: spec.resources[0].template") || !strings.Contains(out, "no schema for kind Later in example.com/v1") {
			t.Errorf("kubectl apply: %v\n%s", err, out)
		}
		w.hub.Apply(t, `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: laters.example.com}
spec:
  group: example.com
  names: {kind: Later, plural: laters, singular: later, listKind: LaterList}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]`)
		w.ready("early")
	})
	t.Run("a breaking change is a warning", func(t *testing.T) {
		w.hub.Apply(t, rgd("Broken", "string", page))
		w.ready("broken")
		out, err := w.hub.KubectlWith(t, rgd("Broken", "integer", page), "apply", "--server-side", "--force-conflicts", "-f", "-")
		if err != nil || !strings.Contains(out, "Warning: breaking changes of brokens.kro.run") || !strings.Contains(out, "Warning: spec.field: ") {
			t.Errorf("kubectl apply: %v\n%s", err, out)
		}
	})
	t.Run("whatever was applied while the hub was away passes, and can be deleted", func(t *testing.T) {
		if err := w.stack.Hub.Kill(); err != nil {
			t.Fatal(err)
		}
		out, err := w.hub.KubectlWith(t, rgd("Slipped", "text", wrong), "apply", "-f", "-")
		if err != nil {
			t.Errorf("kubectl apply: %v\n%s", err, out)
		}
		if err := w.stack.Hub.Start(); err != nil {
			t.Fatal(err)
		}
		probe.Eventually(t, "the hub to refuse it", func() error {
			if c := w.hub.Get(t, definitions, "slipped").Condition("GraphAccepted"); c.Status != "False" {
				return fmt.Errorf("GraphAccepted is %v", c)
			}
			return nil
		})
		w.works()
		w.hub.Delete(t, definitions, "slipped")
		probe.Eventually(t, "it to go", func() error {
			if got := w.hub.Get(t, definitions, "slipped"); got != nil {
				return fmt.Errorf("its finalizers are %v", got.GetFinalizers())
			}
			return nil
		})
	})
}

func (w *world) ready(name string) {
	w.Helper()
	probe.Eventually(w, name+" to be ready", func() error {
		if c := w.hub.Get(w, definitions, name).Condition("Ready"); c.Status != "True" {
			return fmt.Errorf("Ready is %v", c)
		}
		return nil
	})
}

func TestTheHubKeepsTheWebhooksCertificate(t *testing.T) {
	w := begin(t)
	w.works()
	stored := func() credentials {
		t.Helper()
		obj := w.hub.Get(t, "secrets", secret)
		var c credentials
		for key, into := range map[string]*[]byte{"ca.crt": &c.authorities, "tls.crt": &c.certificate, "tls.key": &c.key} {
			var err error
			if *into, err = base64.StdEncoding.DecodeString(obj.Text("data", key)); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	// renewed waits until another certificate is stored, trusted and served.
	renewed := func(before credentials) credentials {
		t.Helper()
		var after credentials
		probe.Eventually(t, "another certificate", func() error {
			if w.hub.Get(t, "secrets", secret) == nil {
				return fmt.Errorf("there is no Secret")
			}
			after = stored()
			if bytes.Equal(after.certificate, before.certificate) || !bytes.Equal(w.bundle(), after.authorities) {
				return fmt.Errorf("the Secret holds\n%s\nthe API server trusts\n%s", after.certificate, w.bundle())
			}
			return nil
		})
		w.works()
		return after
	}
	put := func(c credentials) {
		t.Helper()
		encode := base64.StdEncoding.EncodeToString
		w.hub.Patch(t, "secrets", secret, fmt.Sprintf("data: {ca.crt: %s, tls.crt: %s, tls.key: %s}", encode(c.authorities), encode(c.certificate), encode(c.key)))
	}

	first := stored()
	if !bytes.Equal(w.bundle(), first.authorities) {
		t.Error("the API server does not trust what the Secret holds")
	}
	t.Run("one that runs out is replaced, and still trusted", func(t *testing.T) {
		old, err := issue([]string{"127.0.0.1"}, nil, time.Now().Add(time.Minute-lifetime))
		if err != nil {
			t.Fatal(err)
		}
		put(old)
		if after := renewed(old); !bytes.HasSuffix(after.authorities, old.authorities) {
			t.Error("the authority before is not trusted any more")
		}
	})
	t.Run("one that was damaged", func(t *testing.T) {
		put(credentials{authorities: []byte("none"), certificate: []byte("none"), key: []byte("none")})
		renewed(credentials{certificate: []byte("none")})
	})
	t.Run("one that was deleted", func(t *testing.T) {
		before := stored()
		w.hub.Delete(t, "secrets", secret)
		renewed(before)
	})
	t.Run("the API server's trust is put right", func(t *testing.T) {
		webhooks := w.hub.Get(t, configurations, ConfigurationName).At("webhooks").([]any)
		delete(webhooks[0].(map[string]any)["clientConfig"].(map[string]any), "caBundle")
		data, err := json.Marshal(map[string]any{"webhooks": webhooks})
		if err != nil {
			t.Fatal(err)
		}
		w.hub.Patch(t, configurations, ConfigurationName, string(data))
		probe.Eventually(t, "caBundle to be back", func() error {
			if !bytes.Equal(w.bundle(), stored().authorities) {
				return fmt.Errorf("it is %q", w.bundle())
			}
			return nil
		})
		w.works()
	})
	t.Run("the configuration is deleted and comes back", func(t *testing.T) {
		w.hub.Delete(t, configurations, ConfigurationName)
		w.configure("127.0.0.1")
		w.works()
	})
	t.Run("another address", func(t *testing.T) {
		before := stored()
		w.configure("localhost")
		renewed(before)
	})
	t.Run("a restart changes nothing", func(t *testing.T) {
		before := stored()
		if err := w.stack.Hub.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.works()
		if after := stored(); !slices.Equal(before.certificate, after.certificate) {
			t.Error("the certificate was replaced")
		}
	})
	t.Run("the hub may touch its own objects alone", func(t *testing.T) {
		hub, err := probe.Open("hub", filepath.Join(w.stack.Fleet.Dir(), "kronvoy-hub.kubeconfig"), w.stack.Fleet.Kubectl())
		if err != nil {
			t.Fatal(err)
		}
		for question, want := range map[string]string{
			"get secrets/" + SecretName + " -n " + stack.HubNamespace: "yes",
			"get secrets/other -n " + stack.HubNamespace:              "no",
			"list secrets -n " + stack.HubNamespace:                   "no",
			"create secrets -n " + stack.HubNamespace:                 "no",
			"list secrets -A": "no",
			"patch " + configurations + "/" + ConfigurationName:  "yes",
			"patch " + configurations + "/other":                 "no",
			"create " + configurations:                           "no",
			"delete " + configurations + "/" + ConfigurationName: "no",
		} {
			out, _ := hub.Kubectl(t, append([]string{"auth", "can-i"}, strings.Fields(question)...)...)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if got := strings.Fields(lines[len(lines)-1])[0]; got != want {
				t.Errorf("may it %s? %s, want %s", question, got, want)
			}
		}
	})
}
