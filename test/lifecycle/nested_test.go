//go:build integration

package lifecycle

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/probe"
)

// database is a kind that others use as a resource.
const database = `
schema:
  apiVersion: v1alpha1
  kind: Database
  spec: {size: string | default=small}
  status: {address: "${settings.data.address}"}
resources:
- id: settings
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-settings"}
    data: {size: "${schema.spec.size}", address: "${schema.metadata.name + '.' + schema.spec.size}"}`

// shop has a Database between two ConfigMaps.
const shop = `
schema:
  apiVersion: v1alpha1
  kind: Shop
  spec: {size: string | default=small, withDatabase: boolean | default=true}
  status: {address: "${database.status.address}"}
resources:
- id: before
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-before"}
    data: {size: "${schema.spec.size}"}
- id: database
  includeWhen: ["${schema.spec.withDatabase}"]
  readyWhen: ["${database.status.state == 'ACTIVE'}"]
  template:
    apiVersion: kro.run/v1alpha1
    kind: Database
    metadata: {name: "${schema.metadata.name}-db"}
    spec: {size: "${before.data.size}"}
- id: after
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-after"}
    data: {address: "${database.status.address}"}`

func TestANestedInstanceIsMadeItsStatusFlowsUpAndUpdatesFlowDown(t *testing.T) {
	s := begin(t, "nested")
	defer s.end()
	s.active("Database", database)
	s.active("Shop", shop)
	s.create("Shop", "one", "{}")
	got := s.reaches("Shop", "one", "ACTIVE")
	if got.Text("status.address") != "one-db.small" {
		t.Errorf("status.address is %q", got.Text("status.address"))
	}
	child := s.instance("Database", "one-db")
	labels := child.GetLabels()
	want := map[string]string{
		"kro.run/owned": "true", "kro.run/node-id": "database",
		"kro.run/instance-name": "one", "kro.run/instance-namespace": s.ns, "kro.run/instance-kind": "Shop",
		"kro.run/instance-group": "kro.run", "kro.run/instance-version": "v1alpha1", "kro.run/instance-id": string(got.GetUID()),
		"app.kubernetes.io/managed-by": "kronvoy", "kronvoy.io/cluster": "local-cluster",
	}
	if diff := cmp.Diff(want, labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}

	s.create("Shop", "one", "{size: large}")
	probe.Eventually(t, "the new size to arrive everywhere", func() error {
		if got := s.get("configmaps", "one-after").Text("data.address"); got != "one-db.large" {
			return fmt.Errorf("after says %q", got)
		}
		return nil
	})
	got = s.reaches("Shop", "one", "ACTIVE")
	if got.Text("status.address") != "one-db.large" {
		t.Errorf("status.address is %q", got.Text("status.address"))
	}
	if now := s.instance("Database", "one-db"); now.GetUID() != child.GetUID() {
		t.Error("the nested instance was replaced")
	}
}

func TestAChangeByHandOfANestedInstanceIsPutRight(t *testing.T) {
	s := begin(t, "nested-drift")
	defer s.end()
	s.active("Database", database)
	s.active("Shop", shop)
	s.create("Shop", "one", "{}")
	s.reaches("Shop", "one", "ACTIVE")
	edited := s.cluster.Patch(t, s.defined["Database"], s.ns+"/one-db", "{spec: {size: huge}}")
	probe.Eventually(t, "the size to be put right", func() error {
		if got := s.instance("Database", "one-db"); got.Version() <= edited.Version() || got.Text("spec.size") != "small" {
			return fmt.Errorf("it is %v", got.At("spec"))
		}
		return nil
	})
	before := s.instance("Database", "one-db")
	s.cluster.Delete(t, s.defined["Database"], s.ns+"/one-db")
	probe.Eventually(t, "the instance to come back", func() error {
		if got := s.instance("Database", "one-db"); got == nil || got.GetUID() == before.GetUID() {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
	s.reaches("Shop", "one", "ACTIVE")
}

// awaitGone waits until an instance has left.
func (s *scene) awaitGone(kind, name string) {
	s.Helper()
	s.goes(s.defined[kind], name)
}

func TestNestedInstancesAreDeletedInOrder(t *testing.T) {
	s := begin(t, "nested-order")
	defer s.end()
	s.active("Database", database)
	s.active("Shop", shop)
	s.create("Shop", "one", "{}")
	s.reaches("Shop", "one", "ACTIVE")
	seen := s.cluster.Record(t, s.ns, "configmaps", s.defined["Database"])
	s.cluster.Patch(t, "configmaps", s.ns+"/one-db-settings", `{metadata: {finalizers: ["example.com/hold"]}}`)
	s.cluster.Delete(t, s.defined["Shop"], s.ns+"/one")
	probe.Eventually(t, "the hub to say what it waits for", func() error {
		for _, target := range s.cluster.List(t, "targets.kronvoy.io", "local-cluster") {
			if target.Text("spec.instance.kind") == "Shop" && strings.Contains(target.Text("status.message"), "Database "+s.ns+"/one-db is still being deleted") {
				return nil
			}
		}
		return fmt.Errorf("the targets are %v", s.cluster.List(t, "targets.kronvoy.io", "local-cluster"))
	})
	if before := s.get("configmaps", "one-before"); before == nil || before.GetDeletionTimestamp() != nil {
		t.Errorf("one-before goes while what depends on it is there: %v", before)
	}
	s.cluster.Patch(t, "configmaps", s.ns+"/one-db-settings", `{metadata: {finalizers: null}}`)
	s.awaitGone("Shop", "one")
	var order []string
	for _, name := range []string{"one-after", "one-db-settings", "one-db", "one-before"} {
		order = append(order, fmt.Sprintf("%020d %s", seen.Await(t, "DELETED", name).Version(), name))
	}
	for i := 1; i < len(order); i++ {
		if order[i-1] >= order[i] {
			t.Errorf("they were deleted as %v: %s", order, seen.Summary(t))
		}
	}
}

func TestANestedInstanceThatIsExcludedLeavesAndComesBack(t *testing.T) {
	s := begin(t, "nested-excluded")
	defer s.end()
	s.active("Database", database)
	s.active("Shop", shop)
	s.create("Shop", "one", "{}")
	s.reaches("Shop", "one", "ACTIVE")
	s.create("Shop", "one", "{withDatabase: false}")
	s.awaitGone("Database", "one-db")
	s.reaches("Shop", "one", "ACTIVE")
	s.goes("configmaps", "one-after")
	s.goes("configmaps", "one-db-settings")
	s.create("Shop", "one", "{withDatabase: true}")
	s.appears("configmaps", "one-after")
	s.reaches("Shop", "one", "ACTIVE")
}

func TestAnInstanceOfThatNameThatIsSomebodyElsesIsAConflict(t *testing.T) {
	s := begin(t, "nested-conflict")
	defer s.end()
	s.active("Database", database)
	s.active("Shop", shop)
	s.create("Database", "one-db", "{size: theirs}")
	theirs := s.reaches("Database", "one-db", "ACTIVE")
	s.create("Shop", "one", "{}")
	got := s.reaches("Shop", "one", "ERROR")
	if message := got.Condition("ResourcesReady").Message; !strings.Contains(message, "Database "+s.ns+"/one-db exists and was not made for this resource") {
		t.Errorf("ResourcesReady says %q", message)
	}
	s.cluster.Delete(t, s.defined["Shop"], s.ns+"/one")
	s.awaitGone("Shop", "one")
	if now := s.instance("Database", "one-db"); now == nil || now.GetGeneration() != theirs.GetGeneration() || now.GetDeletionTimestamp() != nil {
		t.Fatalf("it is %v", now)
	}
	s.create("Shop", "one", "{}")
	s.reaches("Shop", "one", "ERROR")
	s.cluster.Delete(t, s.defined["Database"], s.ns+"/one-db")
	s.reaches("Shop", "one", "ACTIVE")
}

func TestInstancesNestThreeDeep(t *testing.T) {
	s := begin(t, "nested-deep")
	defer s.end()
	s.active("Database", database)
	s.active("Shop", shop)
	s.active("Mall", `
schema:
  apiVersion: v1alpha1
  kind: Mall
  spec: {shops: "[]string"}
  status: {addresses: "${shops.map(s, s.status.address)}"}
resources:
- id: shops
  forEach: [{name: "${schema.spec.shops}"}]
  readyWhen: ["${each.status.state == 'ACTIVE'}"]
  template: {apiVersion: kro.run/v1alpha1, kind: Shop, metadata: {name: "${schema.metadata.name}-${name}"}}
- id: sign
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-sign"}
    data: {shops: "${shops.map(s, s.metadata.name).join(' ')}"}`)
	s.create("Mall", "m", "{shops: [a, b, c]}")
	got := s.reaches("Mall", "m", "ACTIVE")
	if diff := cmp.Diff([]any{"m-a-db.small", "m-b-db.small", "m-c-db.small"}, got.At("status.addresses")); diff != "" {
		t.Errorf("status.addresses (-want +got):\n%s", diff)
	}
	s.create("Mall", "m", "{shops: [b, c]}")
	s.awaitGone("Shop", "m-a")
	s.goes("configmaps", "m-a-db-settings")
	got = s.reaches("Mall", "m", "ACTIVE")
	if diff := cmp.Diff([]any{"m-b-db.small", "m-c-db.small"}, got.At("status.addresses")); diff != "" {
		t.Errorf("status.addresses (-want +got):\n%s", diff)
	}
	if sign := s.get("configmaps", "m-sign").Text("data.shops"); sign != "m-b m-c" {
		t.Errorf("the sign says %q", sign)
	}
	s.cluster.Delete(t, s.defined["Mall"], s.ns+"/m")
	s.awaitGone("Mall", "m")
	for _, kind := range []string{"Shop", "Database"} {
		if left := s.cluster.List(t, s.defined[kind], s.ns); len(left) > 0 {
			t.Errorf("%s %s is left", kind, left[0].GetName())
		}
	}
}

func TestADefinitionThatContainsItselfEndsByItsDataOrAtTheLimit(t *testing.T) {
	s := begin(t, "nested-self")
	defer s.end()
	const leaf = `
schema: {apiVersion: v1alpha1, kind: Doll, spec: {size: integer | default=1}}
resources: []`
	const recursive = `
schema: {apiVersion: v1alpha1, kind: Doll, spec: {size: integer | default=1}}
resources:
- id: inner
  includeWhen: ["${schema.spec.size > 1}"]
  readyWhen: ["${inner.status.state == 'ACTIVE'}"]
  template: {apiVersion: kro.run/v1alpha1, kind: Doll, metadata: {name: "${schema.metadata.name}-i"}, spec: {size: "${schema.spec.size - 1}"}}`
	s.active("Doll", leaf)
	s.active("Doll", recursive)
	s.create("Doll", "small", "{size: 4}")
	s.reaches("Doll", "small", "ACTIVE")
	if got := len(s.cluster.List(t, s.defined["Doll"], s.ns)); got != 4 {
		t.Errorf("there are %d dolls, want 4", got)
	}
	s.create("Doll", "endless", "{size: 1000}")
	innermost := "endless" + strings.Repeat("-i", 8)
	got := s.reaches("Doll", innermost, "ERROR")
	if message := got.Condition("ResourcesReady").Message; !strings.Contains(message, "8 levels deep") {
		t.Errorf("ResourcesReady says %q", message)
	}
	if got := len(s.cluster.List(t, s.defined["Doll"], s.ns)); got != 4+9 {
		t.Errorf("there are %d dolls, want 13", got)
	}
	s.cluster.Delete(t, s.defined["Doll"], s.ns+"/endless")
	s.awaitGone("Doll", "endless")
}
