//go:build integration

package lifecycle

import (
	"fmt"
	"strings"
	"testing"
	"time"

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

// says waits until an instance's condition ResourcesReady holds a text.
func (s *scene) says(kind, name, text string) {
	s.Helper()
	probe.Eventually(s, kind+" "+name+" to say "+text, func() error {
		if message := s.instance(kind, name).Condition("ResourcesReady").Message; !strings.Contains(message, text) {
			return fmt.Errorf("it says %q", message)
		}
		return nil
	})
}

func TestADefinitionWaitsForTheOneWhoseKindItUses(t *testing.T) {
	s := begin(t, "nested-missing")
	defer s.end()
	uses := strings.ReplaceAll(strings.ReplaceAll(shop, "Database", "Missing"), "kind: Shop", "kind: MissingShop")
	if reason := s.refused("MissingShop", uses); !strings.Contains(reason, "no schema for kind Missing") {
		t.Errorf("it is refused since %q", reason)
	}
	provides := strings.ReplaceAll(database, "kind: Database", "kind: Missing")
	s.active("Missing", provides)
	s.active("MissingShop", uses)
	s.create("MissingShop", "one", "{}")
	s.reaches("MissingShop", "one", "ACTIVE")
	s.cluster.Delete(t, s.defined["MissingShop"], s.ns+"/one")
	s.awaitGone("MissingShop", "one")

	s.cluster.Delete(t, "resourcegraphdefinitions.kro.run", "missing")
	probe.Eventually(t, "the definition to go", func() error {
		if rgd := s.cluster.Get(t, "resourcegraphdefinitions.kro.run", "missing"); rgd != nil {
			return fmt.Errorf("its status is %v", rgd.At("status"))
		}
		return nil
	})
	s.create("MissingShop", "one", "{}")
	s.says("MissingShop", "one", "definition missing, which generates Missing, does not exist")
	if got := s.instance("Missing", "one-db"); got != nil {
		t.Errorf("nobody would look after %v", got)
	}
	s.active("Missing", provides)
	s.reaches("MissingShop", "one", "ACTIVE")
}

func TestANestedInstanceThatTheKindRefusesIsNamedAndChangesNothing(t *testing.T) {
	s := begin(t, "nested-refused")
	defer s.end()
	s.active("StrictDatabase", strings.Replace(strings.ReplaceAll(database, "kind: Database", "kind: StrictDatabase"),
		"string | default=small", `'string | default=small enum="small,large"'`, 1))
	s.active("StrictShop", strings.ReplaceAll(strings.ReplaceAll(shop, "Database", "StrictDatabase"), "kind: Shop", "kind: StrictShop"))
	s.create("StrictShop", "one", "{}")
	s.reaches("StrictShop", "one", "ACTIVE")
	s.create("StrictShop", "one", "{size: huge}")
	s.says("StrictShop", "one", "the hub refuses StrictDatabase "+s.ns+"/one-db")
	if got := s.instance("StrictDatabase", "one-db").Text("spec.size"); got != "small" {
		t.Errorf("its size is %q", got)
	}
	if got := s.get("configmaps", "one-after"); got == nil || got.Text("data.address") != "one-db.small" {
		t.Errorf("what depends on it is %v", got)
	}
	s.create("StrictShop", "one", "{size: large}")
	s.reaches("StrictShop", "one", "ACTIVE")
}

func TestNestedInstancesOfASuspendedOneStayAsTheyAre(t *testing.T) {
	s := begin(t, "nested-suspended")
	defer s.end()
	s.active("Database", database)
	s.active("Shop", shop)
	s.create("Shop", "one", "{}")
	s.reaches("Shop", "one", "ACTIVE")
	s.cluster.Patch(t, s.defined["Shop"], s.ns+"/one", "{metadata: {annotations: {kro.run/reconcile: suspended}}}")
	probe.Eventually(t, "the instance to say that it is suspended", func() error {
		if c := s.instance("Shop", "one").Condition("ResourcesReady"); c.Reason != "ReconciliationSuspended" {
			return fmt.Errorf("ResourcesReady is %v", c)
		}
		return nil
	})
	edited := s.cluster.Patch(t, s.defined["Database"], s.ns+"/one-db", "{spec: {size: huge}}")
	s.create("Shop", "one", "{withDatabase: false}")
	// The nested one goes on as it is: its change by hand arrives.
	probe.Eventually(t, "the change by hand to arrive", func() error {
		if got := s.get("configmaps", "one-db-settings").Text("data.size"); got != "huge" {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
	if now := s.instance("Database", "one-db"); now.GetGeneration() != edited.GetGeneration() || now.GetDeletionTimestamp() != nil {
		t.Errorf("it is %v", now)
	}
	s.cluster.Patch(t, s.defined["Shop"], s.ns+"/one", "{metadata: {annotations: {kro.run/reconcile: null}}}")
	s.awaitGone("Database", "one-db")
	s.reaches("Shop", "one", "ACTIVE")
}

func TestARestartWritesNothingForNestedInstances(t *testing.T) {
	s := begin(t, "nested-restart")
	defer s.end()
	s.active("Database", database)
	s.active("Shop", shop)
	s.create("Shop", "steady", "{}")
	s.reaches("Shop", "steady", "ACTIVE")
	s.audit.Quiet(t, 2*time.Second)
	begin := time.Now()
	if err := s.stack.Hub.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Something new passes through everybody: by then all that is old was looked at.
	s.create("Shop", "later", "{}")
	s.reaches("Shop", "later", "ACTIVE")
	s.audit.Quiet(t, 2*time.Second)
	for _, w := range s.audit.Since(t, begin) {
		if strings.HasPrefix(w.Name, "steady") {
			t.Errorf("it wrote %s", w)
		}
	}
}
