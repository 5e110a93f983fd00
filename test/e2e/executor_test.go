//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

const tenancy = `
schema:
  spec:
    secret: boolean | default=false
resources:
- id: settings
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}"}
    data: {color: blue}
- id: password
  includeWhen: ["${schema.spec.secret}"]
  template:
    apiVersion: v1
    kind: Secret
    metadata: {name: "${schema.metadata.name}"}
    stringData: {password: swordfish}`

// account makes a service account on a spoke, in the scene's namespace.
func (s *scene) account(cluster, name string) {
	s.Helper()
	s.spokes[cluster].Apply(s, fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: %[2]s, namespace: %[1]s}`, s.ns, name))
}

// grant gives a service account rights in the scene's namespace on a spoke.
func (s *scene) grant(cluster, account, resource string, verbs ...string) {
	s.Helper()
	s.spokes[cluster].Apply(s, fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: %[2]s-%[3]s, namespace: %[1]s}
rules: [{apiGroups: [""], resources: [%[3]s], verbs: [%[4]s]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: %[2]s-%[3]s, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: %[2]s-%[3]s}
subjects: [{kind: ServiceAccount, name: %[2]s, namespace: %[1]s}]`, s.ns, account, resource, strings.Join(verbs, ", ")))
}

// annotate sets an annotation of the scene's namespace on the hub.
func (s *scene) annotate(name, value string) {
	s.Helper()
	s.hub.Patch(s, "namespaces", s.ns, fmt.Sprintf(`{metadata: {annotations: {%q: %q}}}`, name, value))
}

// blames waits until Target and instance have a text in their messages.
func (s *scene) blames(cluster, kind, name, text string) {
	s.Helper()
	probe.Eventually(s, "Target and instance to say "+text, func() error {
		if t := s.target(cluster, kind, name); !strings.Contains(t.Text("status.message"), text) {
			return fmt.Errorf("the Target says %v", t.At("status"))
		}
		if ready := s.instance(kind, name).Condition("Ready"); ready.Status == "True" || !strings.Contains(ready.Message, text) {
			return fmt.Errorf("the instance says %v", ready)
		}
		return nil
	})
}

func (s *scene) executor(cluster, kind, name string) string {
	s.Helper()
	for _, w := range s.works(cluster, kind, name) {
		return w.Text("spec.executor.subject.serviceAccount.namespace") + "/" + w.Text("spec.executor.subject.serviceAccount.name")
	}
	return ""
}

func TestAnInstanceIsAppliedInTheNameOfItsTenant(t *testing.T) {
	s := beginTenant(t, "tenant")
	defer s.end()
	s.account(usEast, "deployer")
	s.define("Tenancy", tenancy)
	s.create("Tenancy", "one", usEast, "")

	// Nothing is shipped before somebody says in whose name.
	s.blames(usEast, "Tenancy", "one", "kubectl annotate namespace tenant kronvoy.io/service-account=<name>")
	if placed := s.instance("Tenancy", "one").Condition("Placed"); placed.Status != "False" || placed.Reason != "NoServiceAccount" {
		t.Errorf("Placed is %v", placed)
	}
	if works := s.works(usEast, "Tenancy", "one"); len(works) > 0 {
		t.Errorf("%d works are shipped", len(works))
	}
	s.annotate("kronvoy.io/service-account", "deployer")
	// The cluster's administrator has to allow it.
	s.blames(usEast, "Tenancy", "one", "bind ClusterRole kronvoy-agent-executor")
	s.blames(usEast, "Tenancy", "one", "cannot impersonate")
	if out, err := s.spokes[usEast].Kubectl(t, "create", "rolebinding", "kronvoy-agent-executor", "-n", s.ns,
		"--clusterrole", "kronvoy-agent-executor", "--serviceaccount", "kronvoy-agent:kronvoy-agent"); err != nil {
		t.Fatal(err, out)
	}
	s.blames(usEast, "Tenancy", "one", `"system:serviceaccount:tenant:deployer" cannot`)
	s.grant(usEast, "deployer", "configmaps", "get", "create", "patch")
	s.ready("Tenancy", "one", 1)
	if got := s.executor(usEast, "Tenancy", "one"); got != "tenant/deployer" {
		t.Errorf("the executor is %s", got)
	}

	// What the tenant renders beyond his rights is refused, and what he has stays.
	s.create("Tenancy", "one", usEast, "secret: true")
	s.blames(usEast, "Tenancy", "one", `"system:serviceaccount:tenant:deployer" cannot`)
	s.blames(usEast, "Tenancy", "one", `resource "secrets"`)
	if s.on(usEast, "configmaps", "one") == nil || s.on(usEast, "secrets", "one") != nil {
		t.Error("the config map must be there, and the secret not")
	}
	s.grant(usEast, "deployer", "secrets", "get", "create", "patch")
	s.ready("Tenancy", "one", 1)

	// A Distribution comes first. Another account without rights takes nothing
	// away, and what is there already stays in force.
	revision := s.target(usEast, "Tenancy", "one").Text("spec.revision")
	s.account(usEast, "successor")
	s.hub.Apply(t, `
apiVersion: kronvoy.io/v1alpha1
kind: Distribution
metadata: {name: tenancy, namespace: tenant}
spec: {instances: {apiVersion: kro.run/v1alpha1, kind: Tenancy}, serviceAccountName: successor}`)
	probe.Eventually(t, "the executor to change", func() error {
		if got := s.executor(usEast, "Tenancy", "one"); got != "tenant/successor" {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
	if now := s.target(usEast, "Tenancy", "one").Text("spec.revision"); now != revision {
		t.Errorf("the revision is %s, and was %s", now, revision)
	}

	// Teardown goes on in the name that the works have, and says what it lacks.
	if out, err := s.hub.Kubectl(t, "delete", probe.Resource("Tenancy"), "one", "-n", s.ns, "--wait=false"); err != nil {
		t.Fatal(err, out)
	}
	probe.Eventually(t, "the Target to say who may not delete", func() error {
		if message := s.target(usEast, "Tenancy", "one").Text("status.message"); !strings.Contains(message, `:successor" cannot delete`) {
			return fmt.Errorf("it says %q", message)
		}
		return nil
	})
	s.hub.Delete(t, "distributions.kronvoy.io", s.ns+"/tenancy")
	s.grant(usEast, "successor", "configmaps", "delete")
	s.grant(usEast, "successor", "secrets", "delete")
	s.goes(usEast, "configmaps", "one")
	s.goes(usEast, "secrets", "one")
}

// The hub makes nested instances with its own rights: a template must not lead
// into another tenant's namespace, not even one that is trusted.
func TestANestedInstanceStaysInItsTenantsNamespaceAndName(t *testing.T) {
	s := beginTenant(t, "outer")
	defer s.end()
	s.hub.Apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: outer-trusted, annotations: {kronvoy.io/agent-identity: allowed}}}")
	s.account(usEast, "deployer")
	s.annotate("kronvoy.io/service-account", "deployer")
	s.define("Inner", store)
	s.define("Outer", `
schema:
  spec: {namespace: string | required=true}
resources:
- id: inner
  template:
    apiVersion: kro.run/v1alpha1
    kind: Inner
    metadata: {name: "${schema.metadata.name}", namespace: "${schema.spec.namespace}"}
    spec: {}`)
	s.create("Outer", "one", usEast, "namespace: outer-trusted")
	s.blames(usEast, "Outer", "one", "may have instances on the hub in its own namespace only")
	if made := s.hub.List(t, probe.Resource("Inner"), "outer-trusted"); len(made) > 0 {
		t.Errorf("%s is in the other namespace", made[0].GetName())
	}
	s.create("Outer", "one", usEast, "namespace: outer")
	probe.Eventually(t, "the inner instance to be shipped in the tenant's name", func() error {
		for _, w := range s.hub.List(t, "manifestworks.work.open-cluster-management.io", usEast) {
			if !strings.HasPrefix(w.GetAnnotations()["kronvoy.io/instance"], "Inner.kro.run/outer/") {
				continue
			}
			if account := w.At("spec.executor.subject.serviceAccount"); fmt.Sprint(account) != "map[name:deployer namespace:outer]" {
				t.Fatalf("it is shipped in the name of %v", account)
			}
			return nil
		}
		return fmt.Errorf("it is not shipped: the Target of the outer one says %v", s.target(usEast, "Outer", "one").At("status"))
	})
}

// What README says an administrator does for a tenant is all that an ordinary
// application needs.
func TestTheBindingsOfTheReadmeAreEnough(t *testing.T) {
	s := &scene{T: t, world: shared.Get(t), ns: "shop"}
	for cluster, spoke := range s.spokes {
		s.account(cluster, "deployer")
		for _, command := range []string{
			"create rolebinding deployer -n shop --clusterrole edit --serviceaccount shop:deployer",
			"create rolebinding kronvoy-agent-executor -n shop --clusterrole kronvoy-agent-executor --serviceaccount kronvoy-agent:kronvoy-agent",
		} {
			if out, err := spoke.Kubectl(t, strings.Fields(command)...); err != nil {
				t.Fatal(err, out)
			}
		}
	}
	for _, args := range [][]string{
		{"apply", "-f", s.example("rgd.yaml"), "-f", s.example("placement.yaml")},
		{"annotate", "namespace", "shop", "kronvoy.io/service-account=deployer"},
		{"wait", "--for=condition=Ready", "rgd/webapp"},
		{"apply", "-f", s.example("instance.yaml")},
	} {
		if out, err := s.hub.Kubectl(t, args...); err != nil {
			t.Fatal(err, out)
		}
	}
	s.kinds = []string{"WebApp"}
	defer s.annotate("kronvoy.io/service-account", "")
	defer s.end()
	s.ready("WebApp", "shop", 3)
	if got := s.executor(usEast, "WebApp", "shop"); got != "shop/deployer" {
		t.Errorf("the executor is %s", got)
	}
}
