//go:build integration

package hostile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

// deployment is how tenant-a may be deployed on the good cluster: in the name of
// an account that administers its namespace there, and nothing else.
const deployment = `
{apiVersion: v1, kind: Namespace, metadata: {name: tenant-a}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: tenant-b}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: deployer, namespace: tenant-a}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: deployer, namespace: tenant-b}}
---
{apiVersion: v1, kind: Secret, metadata: {name: theirs, namespace: tenant-b}, stringData: {password: swordfish}}
---
{apiVersion: v1, kind: Secret, metadata: {name: own, namespace: tenant-a}, stringData: {password: swordfish}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: deployer, namespace: tenant-a},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}, subjects: [{kind: ServiceAccount, name: deployer, namespace: tenant-a}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: deployer, namespace: tenant-b},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}, subjects: [{kind: ServiceAccount, name: deployer, namespace: tenant-b}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: agent, namespace: tenant-a},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kronvoy-agent-executor}, subjects: [{kind: ServiceAccount, name: kronvoy-agent, namespace: kronvoy-agent}]}`

// sight lets the agent look at kinds beyond the usual ones, as an administrator
// does who has works with them.
const sight = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: hostile-sight, labels: {rbac.kronvoy.io/aggregate-to-spoke: "true"}}
rules: [{apiGroups: [rbac.authorization.k8s.io], resources: [roles, clusterrolebindings], verbs: [get, list, watch]}]`

// placed is what a namespace of the hub needs to reach the good cluster.
func placed(namespace, account string) string {
	return fmt.Sprintf(`
{apiVersion: v1, kind: Namespace, metadata: {name: %[1]s, annotations: {kronvoy.io/service-account: %[2]s}}}
---
{apiVersion: cluster.open-cluster-management.io/v1beta2, kind: ManagedClusterSetBinding, metadata: {name: global, namespace: %[1]s}, spec: {clusterSet: global}}
---
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: good, namespace: %[1]s}
spec: {clusterSets: [global], predicates: [{requiredClusterSelector: {labelSelector: {matchLabels: {region: eu}}}}]}`, namespace, account)
}

// scene is an attack through definitions and instances.
type scene struct {
	// name says what the attacker is after, and kind is that of its instances.
	name, kind string
	// in is the namespace of the instance.
	in string
	// template is the resource that it is about, with others after it.
	resources string
	// resource and object are what is on the good cluster if it succeeds.
	resource, object string
	// says is a part of the message when it is refused.
	says string
	// unguard takes the guard away, guard sets it up again.
	unguard, guard func(t *testing.T, w *world)
}

const almighty = `
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: hostile-deployer},
 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{kind: ServiceAccount, name: deployer, namespace: tenant-a}]}`

const bindings = "clusterrolebindings.rbac.authorization.k8s.io"

// Rights of the account in whose name an instance is applied.
func moreRights(t *testing.T, w *world) { t.Helper(); w.spoke.Apply(t, almighty) }
func lessRights(t *testing.T, w *world) {
	t.Helper()
	w.spoke.Delete(t, bindings, "hostile-deployer")
}

func scenes() []scene {
	configMap := func(namespace, name string) string {
		return fmt.Sprintf(`{id: it, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: %s, namespace: %s}, data: {owner: hostile}}}`, name, namespace)
	}
	return []scene{
		{name: "become the cluster's administrator", kind: "Crown", in: "tenant-a", resource: bindings, object: "crown", says: "clusterrolebindings",
			resources: `{id: it, template: {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: crown}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{kind: ServiceAccount, name: default, namespace: tenant-a}]}}`,
			unguard:   moreRights, guard: lessRights},
		{name: "give oneself a right in one's own namespace", kind: "Ladder", in: "tenant-a", resource: "roles.rbac.authorization.k8s.io", object: "tenant-a/ladder", says: "attempting to grant RBAC permissions not currently held",
			resources: `{id: it, template: {apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: ladder, namespace: tenant-a}, rules: [{apiGroups: [certificates.k8s.io], resources: ["*"], verbs: ["*"]}]}}`,
			unguard:   moreRights, guard: lessRights},
		{name: "write into kube-system", kind: "Burrow", in: "tenant-a", resource: "configmaps", object: "kube-system/burrow", says: `in the namespace "kube-system"`,
			resources: configMap("kube-system", "burrow"), unguard: moreRights, guard: lessRights},
		{name: "write into another tenant's namespace", kind: "Neighbour", in: "tenant-a", resource: "configmaps", object: "tenant-b/neighbour", says: `in the namespace "tenant-b"`,
			resources: configMap("tenant-b", "neighbour"), unguard: moreRights, guard: lessRights},
		{name: "make namespaces", kind: "Settler", in: "tenant-a", resource: "namespaces", object: "settler", says: `resource "namespaces"`,
			resources: `{id: it, template: {apiVersion: v1, kind: Namespace, metadata: {name: settler}}}`, unguard: moreRights, guard: lessRights},
		{name: "read another tenant's Secret by reference", kind: "Reader", in: "tenant-a", resource: "configmaps", object: "tenant-a/reader", says: `resource "secrets"`,
			resources: `{id: theirs, externalRef: {apiVersion: v1, kind: Secret, metadata: {name: theirs, namespace: tenant-b}}}, {id: it, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: reader, namespace: tenant-a}, data: {kind: "${theirs.type}"}}}`,
			unguard:   moreRights, guard: lessRights},
		{name: "act in the name of another tenant's account", kind: "Mask", in: "tenant-c", resource: "configmaps", object: "tenant-b/mask", says: "cannot impersonate",
			resources: configMap("tenant-b", "mask"),
			unguard: func(t *testing.T, w *world) {
				t.Helper()
				w.spoke.Apply(t, `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: agent, namespace: tenant-b}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kronvoy-agent-executor}, subjects: [{kind: ServiceAccount, name: kronvoy-agent, namespace: kronvoy-agent}]}`)
			},
			guard: func(t *testing.T, w *world) {
				t.Helper()
				w.spoke.Delete(t, "rolebindings.rbac.authorization.k8s.io", "tenant-b/agent")
			}},
		{name: "act in the name of the agent itself", kind: "Puppet", in: "tenant-e", resource: "configmaps", object: "tenant-b/puppet", says: "cannot impersonate",
			resources: configMap("tenant-b", "puppet"),
			unguard: func(t *testing.T, w *world) {
				t.Helper()
				w.spoke.Apply(t, `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: hostile, namespace: kronvoy-agent}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kronvoy-agent-executor}, subjects: [{kind: ServiceAccount, name: kronvoy-agent, namespace: kronvoy-agent}]}`)
			},
			guard: func(t *testing.T, w *world) {
				t.Helper()
				w.spoke.Delete(t, "rolebindings.rbac.authorization.k8s.io", "kronvoy-agent/hostile")
			}},
		{name: "carry a value of a Secret off its cluster", kind: "Courier", in: "tenant-a", resource: "configmaps", object: "tenant-a/courier", says: "a value of a Secret, which would leave cluster",
			resources: `{id: own, externalRef: {apiVersion: v1, kind: Secret, metadata: {name: own, namespace: tenant-a}}}, {id: it, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: courier, namespace: tenant-a}, data: {password: "${string(own.data.password)}"}}}`,
			unguard: func(t *testing.T, w *world) {
				t.Helper()
				w.hub.Patch(t, definitions, "courier", `{metadata: {annotations: {kronvoy.io/secret-values: travel}}}`)
			},
			guard: func(t *testing.T, w *world) {
				t.Helper()
				w.hub.Patch(t, definitions, "courier", `{metadata: {annotations: {kronvoy.io/secret-values: null}}}`)
			}},
		{name: "run where no set is bound", kind: "Stray", in: "tenant-d", resource: "configmaps", object: "tenant-a/stray", says: "is bound to none of the cluster sets",
			resources: configMap("tenant-a", "stray"),
			unguard:   func(t *testing.T, w *world) { t.Helper(); w.hub.Apply(t, placed("tenant-d", "tenant-a/deployer")) },
			guard: func(t *testing.T, w *world) {
				t.Helper()
				w.hub.Delete(t, "managedclustersetbindings.cluster.open-cluster-management.io", "tenant-d/global")
			}},
	}
}

// TestScenes runs attacks through the whole of Kronvoy: an instance is made, and
// what came of it on the good cluster is looked at. In between the guard is taken
// away and set up again.
func TestScenes(t *testing.T) {
	w := shared.Get(t)
	w.spoke.Apply(t, deployment)
	w.spoke.Apply(t, sight)
	w.hub.Apply(t, placed("tenant-a", "deployer"))
	w.hub.Apply(t, placed("tenant-c", "tenant-b/deployer"))
	w.hub.Apply(t, placed("tenant-d", "tenant-a/deployer"))
	w.hub.Apply(t, placed("tenant-e", "kronvoy-agent/kronvoy-agent"))
	all := scenes()
	for i := range all {
		w.define(t, &all[i])
	}
	for i := range all {
		s := &all[i]
		t.Run(s.name, func(t *testing.T) {
			tally.note(tally.run, s.name)
			s.unguard(t, w)
			w.instantiate(t, s)
			probe.Eventually(t, "the attack to succeed without its guard", func() error {
				if w.spoke.Get(t, s.resource, s.object) == nil {
					return fmt.Errorf("%s %s is not on the cluster; the instance says %v", s.resource, s.object, w.instance(t, s).At("status"))
				}
				return nil
			})
			tally.note(tally.unguarded, s.name)
			w.vanish(t, s)
			s.guard(t, w)
			w.instantiate(t, s)
			probe.Eventually(t, "the attack to be refused", func() error {
				if status := fmt.Sprint(w.instance(t, s).At("status"), w.placement(t, s)); !strings.Contains(status, s.says) {
					return fmt.Errorf("%q is not in what the instance says: %s", s.says, status)
				}
				return nil
			})
			if w.spoke.Get(t, s.resource, s.object) != nil {
				t.Fatalf("%s %s is on the cluster", s.resource, s.object)
			}
			tally.note(tally.denied, s.name)
			s.unguard(t, w)
			w.vanish(t, s)
			s.guard(t, w)
		})
	}
}

const definitions = "resourcegraphdefinitions.kro.run"

// define makes the definition of a scene.
func (w *world) define(t *testing.T, s *scene) {
	t.Helper()
	w.hub.Apply(t, fmt.Sprintf(`
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: %s}
spec: {schema: {apiVersion: v1alpha1, kind: %s, spec: {}}, resources: [%s]}`, strings.ToLower(s.kind), s.kind, s.resources))
	probe.Eventually(t, "definition "+s.kind+" to be served", func() error {
		if ready := w.hub.Get(t, definitions, strings.ToLower(s.kind)).Condition("Ready"); ready.Status != "True" {
			return fmt.Errorf("Ready is %v", ready)
		}
		return nil
	})
}

func (s *scene) plural() string { return strings.ToLower(s.kind) + "s.kro.run" }

func (w *world) instance(t *testing.T, s *scene) *probe.Object {
	t.Helper()
	return w.hub.Get(t, s.plural(), s.in+"/it")
}

// placement is what is said of where the instance runs.
func (w *world) placement(t *testing.T, s *scene) any {
	t.Helper()
	return w.hub.Get(t, "placements.cluster.open-cluster-management.io", s.in+"/good").At("status")
}

func (w *world) instantiate(t *testing.T, s *scene) {
	t.Helper()
	w.hub.Apply(t, fmt.Sprintf(`{apiVersion: kro.run/v1alpha1, kind: %s, metadata: {name: it, namespace: %s, labels: {kronvoy.io/placement: good}}, spec: {}}`, s.kind, s.in))
}

// vanish deletes the instance and waits until nothing of it is left.
func (w *world) vanish(t *testing.T, s *scene) {
	t.Helper()
	w.hub.Delete(t, s.plural(), s.in+"/it")
	probe.Eventually(t, "the instance to be gone", func() error {
		if instance := w.instance(t, s); instance != nil || w.spoke.Get(t, s.resource, s.object) != nil {
			return fmt.Errorf("the instance says %v, its works %v", instance.At("status"), w.statuses(t, s))
		}
		return nil
	})
}

// statuses are those of the instance's works and reports.
func (w *world) statuses(t *testing.T, s *scene) []any {
	t.Helper()
	var all []any
	for _, kind := range []string{"manifestworks.work.open-cluster-management.io", "workreports.kronvoy.io"} {
		for _, obj := range w.hub.List(t, kind, good) {
			if strings.HasPrefix(obj.GetAnnotations()["kronvoy.io/instance"], s.kind+".") {
				all = append(all, obj.At("status"))
			}
		}
	}
	return all
}
