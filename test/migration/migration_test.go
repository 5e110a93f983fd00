//go:build integration

package migration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/kro"
	"github.com/kronvoy/kronvoy/test/probe"
	"github.com/kronvoy/kronvoy/test/stack"
)

const namespace = "shop"

// definition of the application; each line of extra is one more entry of the
// ConfigMap's data, and each label one more label of the Deployment.
func definition(extra, label string) string {
	return fmt.Sprintf(`
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: shop}
spec:
  schema:
    apiVersion: v1alpha1
    kind: Shop
    spec:
      replicas: integer | default=2
      greeting: string | default=hello
      regions: "[]string"
    status:
      address: ${service.spec.clusterIP}
      available: ${deployment.status.availableReplicas}
  resources:
  - id: settings
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: "${schema.metadata.name}-settings"}
      data:
        greeting: ${schema.spec.greeting}
        %s
  - id: deployment
    readyWhen: ["${deployment.status.availableReplicas == deployment.spec.replicas}"]
    template:
      apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: ${schema.metadata.name}
        labels: {tier: web%s}
      spec:
        replicas: ${schema.spec.replicas}
        selector: {matchLabels: {app: "${schema.metadata.name}"}}
        template:
          metadata: {labels: {app: "${schema.metadata.name}"}}
          spec:
            containers:
            - name: web
              image: nginx:1.29
              env: [{name: SETTINGS, value: "${settings.metadata.name}"}]
  - id: service
    template:
      apiVersion: v1
      kind: Service
      metadata: {name: "${schema.metadata.name}"}
      spec:
        selector: ${deployment.spec.selector.matchLabels}
        ports: [{port: 80}]
  - id: pages
    forEach: [{region: "${schema.spec.regions}"}]
    template:
      apiVersion: v1
      kind: ConfigMap
      metadata: {name: "${schema.metadata.name}-${region}"}
      data: {region: "${region}"}
`, extra, label)
}

// district has a shop among its resources.
const district = `
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: district}
spec:
  schema:
    apiVersion: v1alpha1
    kind: District
    status: {address: "${shop.status.address}"}
  resources:
  - id: shop
    template:
      apiVersion: kro.run/v1alpha1
      kind: Shop
      metadata: {name: "${schema.metadata.name}-shop"%s}
      spec: {replicas: 1, regions: [%s]}
`

const instance = `
apiVersion: kro.run/v1alpha1
kind: Shop
metadata: {name: corner, namespace: shop}
spec: {regions: [eu, us], replicas: %d}
`

// place is one cluster, on which kro's controller and Kronvoy take turns.
type place struct {
	*testing.T
	fleet   *fleet.Fleet
	cluster *probe.Cluster
	kro     *kro.Kro
	root    string
}

func begin(t *testing.T) *place {
	t.Helper()
	root, err := stack.FindRoot()
	if err != nil {
		t.Fatal(err)
	}
	p := &place{T: t, root: root}
	p.fleet, err = fleet.Start(t.Context(), fleet.Options{
		Name: "migration", Dir: filepath.Join(t.TempDir(), "fleet"), Spokes: []fleet.ClusterOptions{},
		Hub: fleet.ClusterOptions{Nodes: 1}, Progress: os.Stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.fleet.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if p.cluster, err = probe.OpenIn(p.fleet, fleet.HubName); err != nil {
		t.Fatal(err)
	}
	if p.kro, err = kro.Install(t.Context(), p.fleet, p.fleet.Hub(), root); err != nil {
		t.Fatal(err)
	}
	return p
}

// startKro runs kro's controller.
func (p *place) startKro() {
	p.Helper()
	if err := p.kro.Start(); err != nil {
		p.Fatal(err)
	}
}

func (p *place) stopKro() {
	p.Helper()
	if err := p.kro.Stop(p.Context()); err != nil {
		p.Fatal(err)
	}
}

// install installs and starts Kronvoy.
func (p *place) install() *stack.Stack {
	p.Helper()
	s, err := stack.On(p.Context(), p.fleet, stack.Options{Local: true, Progress: os.Stderr})
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		if p.Failed() {
			p.Logf("the hub's log ends with:\n%s", probe.Tail(s.Hub.Log(), 30))
		}
	})
	return s
}

// active waits until the instance is ACTIVE and passes a check.
func (p *place) active(check func(*probe.Object) error) *probe.Object {
	p.Helper()
	return p.reaches("shops.kro.run", "corner", check)
}

// reaches waits until an instance is ACTIVE and passes a check.
func (p *place) reaches(resource, name string, check func(*probe.Object) error) *probe.Object {
	p.Helper()
	var got *probe.Object
	probe.Eventually(p, name+" to be ACTIVE", func() error {
		got = p.cluster.Get(p, resource, namespace+"/"+name)
		if got.Text("status.state") != "ACTIVE" {
			return fmt.Errorf("its status is %v", got.At("status"))
		}
		return check(got)
	})
	return got
}

// served waits until kro serves a definition's kind.
func (p *place) served(definition string) {
	p.Helper()
	probe.Eventually(p, "kro to serve "+definition, func() error {
		if rgd := p.cluster.Get(p, "resourcegraphdefinitions.kro.run", definition); rgd.Text("status.state") != "Active" {
			return fmt.Errorf("its status is %v", rgd.At("status"))
		}
		return nil
	})
}

// children are the UIDs of what the instance consists of, Pods included.
func (p *place) children() map[string]string {
	p.Helper()
	uids := map[string]string{}
	for _, resource := range []string{"shops.kro.run", "configmaps", "deployments.apps", "services", "replicasets.apps", "pods"} {
		for _, obj := range p.cluster.List(p, resource, namespace) {
			if obj.GetName() != "kube-root-ca.crt" {
				uids[obj.GetKind()+" "+obj.GetName()] = string(obj.GetUID())
			}
		}
	}
	return uids
}

// managers are the field managers of an object that have applied it.
func managers(obj *probe.Object) []string {
	var found []string
	for _, entry := range obj.GetManagedFields() {
		if entry.Operation == "Apply" {
			found = append(found, entry.Manager)
		}
	}
	slices.Sort(found)
	return found
}

func (p *place) applied(resource, name string) *probe.Object {
	p.Helper()
	return p.cluster.Get(p, resource, namespace+"/"+name)
}

// kronvoy runs the command line.
func (p *place) kronvoy(args ...string) string {
	p.Helper()
	cmd := exec.CommandContext(p.Context(), "go", append([]string{"run", "./cmd/kronvoy"}, args...)...)
	cmd.Dir = p.root
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.Fatalf("kronvoy %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestAnApplicationMovesFromKroToKronvoyAndBack(t *testing.T) {
	p := begin(t)
	p.startKro()
	p.cluster.Apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}")
	p.cluster.Apply(t, definition("stale: entry", ", stale: label"))
	p.served("shop")
	p.cluster.Apply(t, fmt.Sprintf(district, ", labels: {stale: label}", "asia"))
	p.served("district")
	p.cluster.Apply(t, fmt.Sprintf(instance, 2))
	p.cluster.Apply(t, "apiVersion: kro.run/v1alpha1\nkind: District\nmetadata: {name: old-town, namespace: shop}")
	p.active(func(*probe.Object) error { return nil })
	p.reaches("shops.kro.run", "old-town-shop", func(*probe.Object) error { return nil })
	before := p.children()
	if len(before) != 16 {
		t.Fatalf("kro made %v", before)
	}

	kronvoy := p.install()
	probe.Eventually(t, "the hub to say that kro's controller is live", func() error {
		if ready := p.cluster.Get(t, "resourcegraphdefinitions.kro.run", "shop").Condition("ControllerReady"); ready.Reason != "KroControllerLive" {
			return fmt.Errorf("ControllerReady is %v", ready)
		}
		return nil
	})
	if targets := p.cluster.List(t, "targets.kronvoy.io", ""); len(targets) > 0 {
		t.Errorf("the hub acts beside kro: target %s is there", targets[0].GetName())
	}
	p.stopKro()
	p.active(func(o *probe.Object) error {
		if o.Int("status.fleet.ready") != 1 || o.Int("status.available") != 2 {
			return fmt.Errorf("its status is %v", o.At("status"))
		}
		return nil
	})
	if diff := cmp.Diff(before, p.children()); diff != "" {
		t.Errorf("the move to Kronvoy made other objects (-kro +kronvoy):\n%s", diff)
	}
	for _, name := range []string{"corner-settings", "corner-eu", "corner-us"} {
		child := p.applied("configmaps", name)
		for _, manager := range managers(child) {
			if !strings.HasPrefix(manager, "work-agent-kronvoy-") {
				t.Errorf("%s is still applied by %s", name, manager)
			}
		}
		if mark := child.GetLabels()["applyset.kubernetes.io/part-of"]; mark != "" {
			t.Errorf("%s still carries kro's mark %s", name, mark)
		}
	}

	p.reaches("districts.kro.run", "old-town", func(o *probe.Object) error {
		if o.Int("status.fleet.ready") != 1 || o.Text("status.address") == "" {
			return fmt.Errorf("its status is %v", o.At("status"))
		}
		return nil
	})
	if by := managers(p.applied("shops.kro.run", "old-town-shop")); !slices.Contains(by, "kronvoy-hub") || slices.Contains(by, "kro.run/applyset") {
		t.Errorf("old-town-shop was applied by %q", by)
	}

	p.cluster.Apply(t, definition("", ""))
	p.cluster.Apply(t, fmt.Sprintf(district, "", "asia"))
	probe.Eventually(t, "what left the definition to leave the objects", func() error {
		if p.applied("shops.kro.run", "old-town-shop").GetLabels()["stale"] != "" {
			return fmt.Errorf("the shop has its label")
		}
		if _, stale := p.applied("configmaps", "corner-settings").At("data").(map[string]any)["stale"]; stale {
			return fmt.Errorf("the ConfigMap has its entry")
		}
		if p.applied("deployments.apps", "corner").GetLabels()["stale"] != "" {
			return fmt.Errorf("the Deployment has its label")
		}
		return nil
	})
	if diff := cmp.Diff(before, p.children()); diff != "" {
		t.Errorf("the change made other objects:\n%s", diff)
	}

	if err := kronvoy.Hub.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.kronvoy("migrate", "to-kro", "--kubeconfig", p.cluster.Kubeconfig)
	if diff := cmp.Diff(before, p.children()); diff != "" {
		t.Errorf("handing over made other objects:\n%s", diff)
	}
	p.startKro()
	p.cluster.Apply(t, definition("late: entry", ", late: label"))
	p.cluster.Apply(t, fmt.Sprintf(district, ", labels: {late: label}", "asia"))
	probe.Eventually(t, "kro to add what the definition has more", func() error {
		if p.applied("deployments.apps", "corner").GetLabels()["late"] == "" || p.applied("shops.kro.run", "old-town-shop").GetLabels()["late"] == "" {
			return fmt.Errorf("the definition says %v, the instance %v", p.cluster.Get(t, "resourcegraphdefinitions.kro.run", "shop").At("status.conditions"),
				p.cluster.Get(t, "shops.kro.run", "shop/corner").At("status"))
		}
		return nil
	})
	p.active(func(*probe.Object) error { return nil })
	if diff := cmp.Diff(before, p.children()); diff != "" {
		t.Errorf("the move back to kro made other objects (-kronvoy +kro):\n%s", diff)
	}
	for name := range map[string]bool{"corner-settings": true, "corner-eu": true, "corner-us": true} {
		child := p.applied("configmaps", name)
		if diff := cmp.Diff([]string{"kro.run/applyset"}, managers(child)); diff != "" {
			t.Errorf("who applied %s (-want +got):\n%s", name, diff)
		}
		if child.GetLabels()["kronvoy.io/managed"] != "" || len(child.GetOwnerReferences()) > 0 {
			t.Errorf("%s is still marked as ours: %v", name, child.At("metadata"))
		}
	}
	if by := managers(p.applied("shops.kro.run", "old-town-shop")); slices.Contains(by, "kronvoy-hub") || !slices.Contains(by, "kro.run/applyset") {
		t.Errorf("old-town-shop was applied by %q", by)
	}
	p.cluster.Delete(t, "districts.kro.run", "shop/old-town")
	p.cluster.Delete(t, "shops.kro.run", "shop/corner")
	probe.Eventually(t, "kro to delete what it was given", func() error {
		if left := p.children(); len(left) > 0 {
			return fmt.Errorf("there are %v", left)
		}
		return nil
	})
}
