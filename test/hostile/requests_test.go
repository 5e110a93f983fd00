//go:build integration

package hostile

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// Paths of the hub's API.
const (
	clusters = "/apis/cluster.open-cluster-management.io/v1/managedclusters"
	sets     = "/apis/cluster.open-cluster-management.io/v1beta2/namespaces/"
	decided  = "/apis/cluster.open-cluster-management.io/v1beta1/namespaces/"
	works    = "/apis/work.open-cluster-management.io/v1/namespaces/"
	kronvoy  = "/apis/kronvoy.io/v1alpha1/namespaces/"
	leases   = "/apis/coordination.k8s.io/v1/namespaces/"
	requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
	core     = "/api/v1/namespaces/"
	rights   = "/apis/rbac.authorization.k8s.io/v1/"

	get, list, post, patch, put, del = http.MethodGet, http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete
)

// byAgents are the requests of a cluster whose agent is the attacker's. It has a
// good certificate.
func byAgents() []attack {
	const agent = "system:open-cluster-management:c1:agent"
	request := func(name, label, signer string) string {
		return fmt.Sprintf(`{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: %s, labels: {%s}},
  spec: {request: %s, signerName: %s, usages: [client auth]}}`, name, label, csr(agent, "system:open-cluster-management:c1"), signer)
	}
	const client = "kubernetes.io/kube-apiserver-client"
	event := func(namespace, about, text string) string {
		return fmt.Sprintf(`{apiVersion: v1, kind: Event, metadata: {name: hostile, namespace: %[1]s}, involvedObject: {kind: ManifestWork, namespace: %[1]s, name: %[2]s}, message: %[3]q, reason: Hostile, type: Normal}`,
			namespace, about, text)
	}
	attacks := []attack{
		{name: "read a work of another cluster", method: get, path: works + "c10/manifestworks/victim", guard: rbac},
		{name: "list the works of all clusters", method: list, path: "/apis/work.open-cluster-management.io/v1/manifestworks", guard: rbac},
		{name: "watch the works of another cluster", method: list, path: works + "c10/manifestworks?watch=true&timeoutSeconds=1", guard: rbac},
		{name: "list the reports of another cluster", method: list, path: kronvoy + "c10/workreports", guard: rbac},
		{name: "list all clusters", method: list, path: clusters, guard: rbac},
		{name: "read another cluster", method: get, path: clusters + "/c10", guard: rbac},
		{name: "list all requests for certificates", method: list, path: requests, guard: rbac},
		{name: "watch all requests for certificates", method: list, path: requests + "?watch=true&timeoutSeconds=1", guard: rbac},
		{name: "read Targets in its own namespace", method: list, path: kronvoy + "c1/targets", guard: rbac},
		{name: "read revisions of instances", method: list, path: "/apis/apps/v1/controllerrevisions", guard: rbac},
		{name: "read Secrets in its own namespace", method: get, path: core + "c1/secrets/pull", guard: rbac},
		{name: "read what tenants have on the hub", method: list, path: core + "tenant-a/configmaps", guard: rbac},
		{name: "list definitions", method: list, path: "/apis/kro.run/v1alpha1/resourcegraphdefinitions", guard: rbac},
		{name: "read what the hub asks people", method: list, path: kronvoy + "tenant-a/approvalrequests", guard: rbac},
		{name: "list Placements", method: list, path: "/apis/cluster.open-cluster-management.io/v1beta1/placements", guard: rbac},
		{name: "list namespaces", method: list, path: "/api/v1/namespaces", guard: rbac},
		{name: "read another lease of its namespace", method: list, path: leases + "c1/leases", guard: rbac},
		{name: "bind itself to another role", method: post, path: rights + "namespaces/c1/rolebindings", guard: rbac,
			body: `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: mine, namespace: c1}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}, subjects: []}`},
		{name: "take the hub's token", method: post, path: core + "kronvoy-system/serviceaccounts/kronvoy-hub/token", guard: rbac,
			body: `{apiVersion: authentication.k8s.io/v1, kind: TokenRequest, spec: {}}`},
		{name: "run a pod on the hub", method: post, path: core + "c1/pods?dryRun=All", guard: rbac,
			body: `{apiVersion: v1, kind: Pod, metadata: {name: mine}, spec: {automountServiceAccountToken: false, containers: [{name: a, image: a}]}}`},

		{name: "say for another cluster that it lives", method: patch, path: leases + "c10/leases/managed-cluster-lease", guard: "kronvoy-spoke-leases",
			body: `{spec: {renewTime: "2036-01-01T00:00:00.000000Z"}}`},
		{name: "keep other leases in its namespace", method: post, path: leases + "c1/leases", guard: "kronvoy-spoke-leases",
			body: `{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: mine, namespace: c1}}`},
		{name: "keep data in its lease's annotations", method: patch, path: leases + "c1/leases/managed-cluster-lease", guard: "kronvoy-spoke-leases",
			body: `{metadata: {annotations: {note: x}}}`},

		{name: "change its own work", method: patch, path: works + "c1/manifestworks/victim", guard: "kronvoy-spoke-works",
			body: `{spec: {workload: {manifests: []}}}`},
		{name: "say in whose name its work is applied", method: patch, path: works + "c1/manifestworks/victim", guard: "kronvoy-spoke-works",
			body: `{spec: {executor: {subject: {type: ServiceAccount, serviceAccount: {namespace: kube-system, name: admin}}}}}`},
		{name: "relabel its work", method: patch, path: works + "c1/manifestworks/victim", guard: "kronvoy-spoke-works", body: `{metadata: {labels: {team: b}}}`},
		{name: "forge the hash of its work", method: patch, path: works + "c1/manifestworks/victim", guard: "kronvoy-spoke-works", body: `{metadata: {annotations: {kronvoy.io/hash: v1-2}}}`},
		{name: "keep its work from going", method: patch, path: works + "c1/manifestworks/victim", guard: "kronvoy-spoke-works", body: `{metadata: {finalizers: [hostile.example/stay]}}`},
		{name: "have its work deleted with something else", method: patch, path: works + "c1/manifestworks/victim", guard: "kronvoy-spoke-works",
			body: `{metadata: {ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: none, uid: "0"}]}}`},
		{name: "delete its work", method: del, path: works + "c1/manifestworks/victim", guard: "kronvoy-spoke-works"},
		{name: "give itself a work", method: post, path: works + "c1/manifestworks", guard: "kronvoy-spoke-works",
			body: `{apiVersion: work.open-cluster-management.io/v1, kind: ManifestWork, metadata: {name: mine, namespace: c1}, spec: {workload: {manifests: []}}}`},
		{name: "answer a work of another cluster", method: patch, path: works + "c10/manifestworks/victim/status", guard: "kronvoy-spoke-works",
			body: `{status: {conditions: [{type: Hostile, status: "True", reason: Hostile, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]}}`},

		{name: "relabel itself to receive what is for others", method: patch, path: clusters + "/c1", guard: "kronvoy-spoke-clusters", body: `{metadata: {labels: {tier: secret}}}`},
		{name: "annotate itself, as to be thawed", method: patch, path: clusters + "/c1", guard: "kronvoy-spoke-clusters", body: `{metadata: {annotations: {kronvoy.io/reconcile: enabled}}}`},
		{name: "take off its taint", method: patch, path: clusters + "/c1", guard: "kronvoy-spoke-clusters", body: `{spec: {taints: null}}`},
		{name: "change how soon it counts as gone", method: patch, path: clusters + "/c1", guard: "kronvoy-spoke-clusters", body: `{spec: {leaseDurationSeconds: 100000}}`},
		{name: "put itself into a set", method: patch, path: clusters + "/c1", guard: "kronvoy-spoke-clusters",
			body: `{metadata: {labels: {cluster.open-cluster-management.io/clusterset: vault}}}`},
		{name: "take over another cluster's description", method: patch, path: clusters + "/c10/status", guard: "kronvoy-spoke-clusters", body: `{status: {version: {kubernetes: v0.0.0}}}`},
		{name: "say that it is accepted", method: patch, path: clusters + "/c1/status", guard: "kronvoy-spoke-clusters",
			body: `{status: {conditions: [{type: HubAcceptedManagedCluster, status: "True", reason: Me, message: mine, lastTransitionTime: "2026-01-01T00:00:00Z"}]}}`},
		{name: "introduce another cluster", method: post, path: clusters, guard: "kronvoy-spoke-clusters",
			body: `{apiVersion: cluster.open-cluster-management.io/v1, kind: ManagedCluster, metadata: {name: c2}}`},
		{name: "leave without being let go", method: del, path: clusters + "/c1?dryRun=All", guard: "kronvoy-spoke-clusters"},

		{name: "make a report", method: post, path: kronvoy + "c1/workreports", guard: "kronvoy-spoke-reports",
			body: `{apiVersion: kronvoy.io/v1alpha1, kind: WorkReport, metadata: {name: mine, namespace: c1}}`},
		{name: "relabel a report, so that it answers another instance", method: patch, path: kronvoy + "c1/workreports/victim", guard: "kronvoy-spoke-reports",
			body: `{metadata: {labels: {kronvoy.io/instance: other}}}`},
		{name: "delete a report", method: del, path: kronvoy + "c1/workreports/victim", guard: "kronvoy-spoke-reports"},
		{name: "answer a report of another cluster", method: patch, path: kronvoy + "c10/workreports/victim/status", guard: "kronvoy-spoke-reports", body: `{status: {observedHash: v1-2}}`},
		{name: "say what it should run", method: patch, path: kronvoy + "c1/targets/victim", guard: "kronvoy-spoke-reports", body: `{spec: {revision: ghost-2}}`},
		{name: "say that it runs it", method: patch, path: kronvoy + "c1/targets/victim/status", guard: "kronvoy-spoke-reports", body: `{status: {state: Ready}}`},

		{name: "ask for another cluster's certificate", method: post, path: requests, guard: "kronvoy-spoke-requests",
			body: request("c10-forged", "open-cluster-management.io/cluster-name: c10", client)},
		{name: "ask for a certificate without saying whose", method: post, path: requests, guard: "kronvoy-spoke-requests", body: request("c1-unlabelled", "", client)},
		{name: "take the name of another cluster's request", method: post, path: requests, guard: "kronvoy-spoke-requests",
			body: request("c1-x-7f3a", "open-cluster-management.io/cluster-name: c1", client)},
		{name: "ask for the certificate of a node", method: post, path: requests, guard: "kronvoy-spoke-requests",
			body: request("c1-node", "open-cluster-management.io/cluster-name: c1", "hostile.example/anything")},
		{name: "approve its own certificate", method: patch, path: requests + "/c1-pending/approval?dryRun=All", guard: "kronvoy-spoke-requests",
			body: `{status: {conditions: [{type: Approved, status: "True", reason: Me, message: mine}]}}`},

		{name: "tell an event in another cluster's namespace", method: post, path: core + "c10/events", guard: "kronvoy-spoke-events", body: event(good, "victim", "x")},
		{name: "tell an event of 64 KiB", method: post, path: core + "c1/events", guard: "kronvoy-spoke-events", body: event(bad, "victim", strings.Repeat("x", 64<<10))},
		{name: "delete events", method: del, path: core + "c1/events/kept?dryRun=All", guard: "kronvoy-spoke-events"},

		{name: "fill the hub with a status of a megabyte", method: patch, path: works + "c1/manifestworks/victim/status", guard: "kronvoy-size-of-works", body: manifestsOf(30, 30<<10, "")},
		{name: "send a value of 100 KiB", method: patch, path: works + "c1/manifestworks/victim/status", guard: "kronvoy-size-of-works", body: manifestsOf(1, 0, strings.Repeat("x", 100<<10))},
		{name: "answer for 2000 manifests", method: patch, path: works + "c1/manifestworks/victim/status", guard: "kronvoy-size-of-works", body: manifestsOf(2000, 1, "")},
		{name: "fill the hub with a report of a megabyte", method: patch, path: kronvoy + "c1/workreports/victim/status", guard: "kronvoy-size-of-reports",
			body: `{status: {values: [` + strings.Repeat(`{name: a, path: data, value: "`+strings.Repeat("x", 60<<10)+`"},`, 16) + `]}}`},
		{name: "fill the hub with findings", method: patch, path: kronvoy + "c1/workreports/victim/status", guard: "kronvoy-size-of-reports",
			body: `{status: {findings: [` + strings.Repeat(`{name: a, action: Reported, details: [`+strings.Repeat(`{path: "`+strings.Repeat("p", 900)+`"},`, 10)+`]},`, 50) + `]}}`},
		{name: "make 2000 claims", method: patch, path: clusters + "/c1/status", guard: "kronvoy-size-of-clusters", body: claims(2000, "claim-%d", "v")},
		{name: "make claims of 100 KiB", method: patch, path: clusters + "/c1/status", guard: "kronvoy-size-of-clusters", body: claims(100, "claim-%d", strings.Repeat("x", 1000))},
		{name: "make a claim whose name is a path", method: patch, path: clusters + "/c1/status", guard: "kronvoy-size-of-clusters", body: claims(1, "../../%d", "v")},
		{name: "make a claim whose name is HTML", method: patch, path: clusters + "/c1/status", guard: "kronvoy-size-of-clusters", body: claims(1, "<script>%d", "v")},
		{name: "make a claim with control characters", method: patch, path: clusters + "/c1/status", guard: "kronvoy-size-of-clusters", body: claims(1, "claim-%d", `\u001b[2J`)},
		{name: "make a version of 10 KiB", method: patch, path: clusters + "/c1/status", guard: "kronvoy-size-of-clusters", body: `{status: {version: {kubernetes: ` + strings.Repeat("9", 10<<10) + `}}}`},
	}
	for i := range attacks {
		attacks[i].by = spoke
	}
	return append(attacks,
		attack{name: "change a work with a certificate for two clusters", by: twin, method: patch, path: works + "c1/manifestworks/victim/status", guard: "kronvoy-spoke-works",
			body: `{status: {conditions: [{type: Hostile, status: "True", reason: Hostile, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]}}`},
		attack{name: "read c1's works as c1:x", by: suffix, method: list, path: works + "c1/manifestworks", guard: rbac},
	)
}

func manifestsOf(count, message int, value string) string {
	var b strings.Builder
	for i := range count {
		feedback := ""
		if value != "" {
			feedback = `, statusFeedback: {values: [{name: v, fieldValue: {type: String, string: "` + value + `"}}]}`
		}
		fmt.Fprintf(&b, `{resourceMeta: {ordinal: %d, group: "", version: v1, kind: ConfigMap, resource: configmaps, name: a, namespace: b}, conditions: [{type: Applied, status: "True", reason: R, message: "%s", lastTransitionTime: "2026-01-01T00:00:00Z"}]%s},`,
			i, strings.Repeat("m", message), feedback)
	}
	return `{status: {resourceStatus: {manifests: [` + b.String() + `]}}}`
}

func claims(count int, name, value string) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, `{name: "`+name+`", value: "%s"},`, i, value)
	}
	return `{status: {clusterClaims: [` + b.String() + `]}}`
}

// byJoiners are the requests of somebody with a token for joining as c7.
func byJoiners() []attack {
	introduce := func(name, metadata, spec string) string {
		return fmt.Sprintf(`{apiVersion: cluster.open-cluster-management.io/v1, kind: ManagedCluster, metadata: {name: %s%s}, spec: {%s}}`, name, metadata, spec)
	}
	request := func(name, cluster string) string {
		return fmt.Sprintf(`{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: %s, labels: {open-cluster-management.io/cluster-name: %s}},
  spec: {request: %s, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}}`,
			name, cluster, csr("system:open-cluster-management:c7:agent", "system:open-cluster-management:c7"))
	}
	attacks := []attack{
		{name: "join as another cluster", method: post, path: clusters, guard: "kronvoy-join-clusters", body: introduce("c8", "", "")},
		{name: "join accepted", method: post, path: clusters, guard: "kronvoy-join-clusters", body: introduce("c7", "", "hubAcceptsClient: true")},
		{name: "join with labels", method: post, path: clusters, guard: "kronvoy-join-clusters", body: introduce("c7", ", labels: {tier: secret}", "")},
		{name: "join in a set", method: post, path: clusters, guard: "kronvoy-join-clusters", body: introduce("c7", ", labels: {cluster.open-cluster-management.io/clusterset: vault}", "")},
		{name: "join with taints", method: post, path: clusters, guard: "kronvoy-join-clusters", body: introduce("c7", "", "taints: [{key: a, effect: NoSelect}]")},
		{name: "join for ever", method: post, path: clusters, guard: "kronvoy-join-clusters", body: introduce("c7", ", finalizers: [hostile.example/stay]", "")},
		{name: "join with annotations of 100 KiB", method: post, path: clusters, guard: "kronvoy-join-clusters", body: introduce("c7", ", annotations: {a: "+strings.Repeat("x", 100<<10)+"}", "")},
		{name: "change a cluster with a token for joining", method: patch, path: clusters + "/c1", guard: "kronvoy-join-clusters", body: `{metadata: {labels: {tier: secret}}}`},
		{name: "ask for another cluster's certificate with a token for joining", method: post, path: requests, guard: "kronvoy-join-requests", body: request("c10-forged", good)},
		{name: "ask under another cluster's name with a token for joining", method: post, path: requests, guard: "kronvoy-join-requests", body: request("c10-forged", "c7")},
		{name: "approve with a token for joining", method: patch, path: requests + "/c1-pending/approval?dryRun=All", guard: "kronvoy-join-requests",
			body: `{status: {conditions: [{type: Approved, status: "True", reason: Me, message: mine}]}}`},
		{name: "write anything else with a token for joining", method: post, path: core + "kronvoy-join/configmaps", guard: "kronvoy-join-nothing-else",
			body: `{apiVersion: v1, kind: ConfigMap, metadata: {name: mine, namespace: kronvoy-join}}`},
		{name: "make more tokens for joining", method: post, path: core + "kronvoy-join/serviceaccounts", guard: "kronvoy-join-nothing-else",
			body: `{apiVersion: v1, kind: ServiceAccount, metadata: {name: c10, namespace: kronvoy-join}}`},
		{name: "list clusters with a token for joining", method: list, path: clusters, guard: rbac},
		{name: "list requests with a token for joining", method: list, path: requests, guard: rbac},
		{name: "read other tokens' accounts", method: list, path: core + "kronvoy-join/serviceaccounts", guard: rbac},
	}
	for i := range attacks {
		attacks[i].by = joiner
	}
	return attacks
}

// byPeople are the requests of those who use the hub, or administer a part of it.
func byPeople() []attack {
	binding := func(name, set string) string {
		return fmt.Sprintf(`{apiVersion: cluster.open-cluster-management.io/v1beta2, kind: ManagedClusterSetBinding, metadata: {name: %s, namespace: tenant-a}, spec: {clusterSet: %s}}`, name, set)
	}
	const set = "cluster.open-cluster-management.io/clusterset"
	return []attack{
		{name: "bind a set of clusters to one's namespace", by: clerk, method: post, path: sets + "tenant-a/managedclustersetbindings", guard: "kronvoy-clustersetbindings", body: binding("vault", "vault")},
		{name: "bind a set under another one's name", by: clerk, method: post, path: sets + "tenant-a/managedclustersetbindings", guard: "kronvoy-clustersetbindings", body: binding("harmless", "vault")},
		{name: "accept a cluster", by: clerk, method: post, path: clusters, guard: "kronvoy-clusters",
			body: `{apiVersion: cluster.open-cluster-management.io/v1, kind: ManagedCluster, metadata: {name: c9}, spec: {hubAcceptsClient: true}}`},
		{name: "move a cluster into a set", by: clerk, method: patch, path: clusters + "/c1", guard: "kronvoy-clusters", body: `{metadata: {labels: {` + set + `: vault}}}`},
		{name: "call a cluster as the group of all agents", by: administrator, method: post, path: clusters, guard: "kronvoy-clusters",
			body: `{apiVersion: cluster.open-cluster-management.io/v1, kind: ManagedCluster, metadata: {name: managed-clusters}}`},
		{name: "let agents use their own rights", by: clerk, method: patch, path: core + "tenant-a", guard: "kronvoy-namespaces", body: `{metadata: {annotations: {kronvoy.io/agent-identity: allowed}}}`},
		{name: "act in another tenant's name", by: clerk, method: patch, path: core + "tenant-a", guard: "kronvoy-namespaces", body: `{metadata: {annotations: {kronvoy.io/service-account: tenant-b/deployer}}}`},
		{name: "make a namespace that of a cluster to come", by: clerk, method: post, path: "/api/v1/namespaces", guard: "kronvoy-namespaces",
			body: `{apiVersion: v1, kind: Namespace, metadata: {name: c11, labels: {open-cluster-management.io/cluster-name: c11}}}`},
		{name: "change what a cluster should run, deciding about drift", by: operator, method: patch, path: kronvoy + "c1/targets/victim", guard: "kronvoy-targets", body: `{spec: {revision: ghost-2}}`},
		{name: "change a Target's labels, deciding about drift", by: operator, method: patch, path: kronvoy + "c1/targets/victim", guard: "kronvoy-targets", body: `{metadata: {labels: {kronvoy.io/instance: other}}}`},
		{name: "keep a Target from going, deciding about drift", by: operator, method: patch, path: kronvoy + "c1/targets/victim", guard: "kronvoy-targets", body: `{metadata: {finalizers: [hostile.example/stay]}}`},
		{name: "change another annotation, deciding about drift", by: operator, method: patch, path: kronvoy + "c1/targets/victim", guard: "kronvoy-targets", body: `{metadata: {annotations: {note: x}}}`},
		{name: "decide with 200 KiB", by: operator, method: patch, path: kronvoy + "c1/targets/victim", guard: "kronvoy-targets",
			body: `{metadata: {annotations: {kronvoy.io/drift-decisions: ` + strings.Repeat("x", 200<<10) + `}}}`},
		{name: "say that all is well, deciding about drift", by: operator, method: patch, path: kronvoy + "c1/targets/victim/status", guard: "kronvoy-targets", body: `{status: {state: Ready}}`},
		{name: "approve without the right to", by: tenant, method: patch, path: kronvoy + "tenant-a/approvalrequests/victim/status", guard: "kronvoy-approvals",
			body: `{status: {decision: Approved, decidedBy: "system:serviceaccount:tenant-a:tenant"}}`},
		{name: "approve in another one's name", by: decider, method: patch, path: kronvoy + "tenant-a/approvalrequests/victim/status", guard: "kronvoy-approvals",
			body: `{status: {decision: Approved, decidedBy: alice}}`},
		{name: "put a question of one's own in the hub's mouth", by: tenant, method: post, path: kronvoy + "tenant-a/approvalrequests", guard: "kronvoy-questions",
			body: `{apiVersion: kronvoy.io/v1alpha1, kind: ApprovalRequest, metadata: {name: mine, namespace: tenant-a}, spec: {action: Remove, planHash: delete-2, clusterCount: 1, message: "a small thing?"}}`},
		{name: "pause a rollout in another one's name", by: decider, method: patch, path: kronvoy + "tenant-a/rollouts/victim", guard: "kronvoy-rollout-orders",
			body: `{spec: {paused: {at: "2026-11-22T12:00:00Z", by: alice}}}`},
		{name: "try a rollout again in another one's name", by: decider, method: patch, path: kronvoy + "tenant-a/rollouts/victim", guard: "kronvoy-rollout-orders",
			body: `{spec: {retry: {at: "2026-11-22T12:00:00Z", by: alice}}}`},
		{name: "undo a rollout in another one's name", by: decider, method: patch, path: kronvoy + "tenant-a/rollouts/victim", guard: "kronvoy-rollout-orders",
			body: `{spec: {undo: {at: "2026-11-22T12:00:00Z", by: alice, instances: [{name: ghost, from: ghost-2, to: ghost-1}]}}}`},
		{name: "say that a rollout has entered a group", by: decider, method: patch, path: kronvoy + "tenant-a/rollouts/victim/status", guard: "kronvoy-rollouts",
			body: `{status: {group: us-east, entered: true}}`},
		{name: "make a rollout of one's own", by: tenant, method: post, path: kronvoy + "tenant-a/rollouts", guard: "kronvoy-rollouts",
			body: `{apiVersion: kronvoy.io/v1alpha1, kind: Rollout, metadata: {name: mine, namespace: tenant-a}}`},
		{name: "steer a rollout as a tenant", by: tenant, method: patch, path: kronvoy + "tenant-a/rollouts/victim", guard: rbac,
			body: `{spec: {paused: {at: "2026-11-22T12:00:00Z", by: "system:serviceaccount:tenant-a:tenant"}}}`},
		{name: "approve in another namespace", by: decider, method: patch, path: kronvoy + "tenant-b/approvalrequests/theirs/status", guard: rbac,
			body: `{status: {decision: Approved, decidedBy: "system:serviceaccount:tenant-a:approver"}}`},
		{name: "read works, deciding about drift", by: operator, method: list, path: works + "c1/manifestworks", guard: rbac},
		{name: "read works as a tenant", by: tenant, method: list, path: works + "c10/manifestworks", guard: rbac},
		{name: "read reports as a tenant", by: tenant, method: list, path: kronvoy + "c10/workreports", guard: rbac},
		{name: "read Targets as a tenant", by: tenant, method: list, path: kronvoy + "c10/targets", guard: rbac},
		{name: "read the hub's revisions as a tenant", by: tenant, method: list, path: "/apis/apps/v1/namespaces/kronvoy-system/controllerrevisions", guard: rbac},
		{name: "write a revision as a tenant", by: tenant, method: post, path: "/apis/apps/v1/namespaces/tenant-a/controllerrevisions", guard: rbac,
			body: `{apiVersion: apps/v1, kind: ControllerRevision, metadata: {name: mine, namespace: tenant-a}, data: {}, revision: 1}`},
		{name: "write a work as a tenant", by: tenant, method: post, path: works + "c10/manifestworks?dryRun=All", guard: rbac,
			body: `{apiVersion: work.open-cluster-management.io/v1, kind: ManifestWork, metadata: {name: mine, namespace: c10}, spec: {workload: {manifests: []}}}`},
		{name: "choose clusters oneself", by: tenant, method: post, path: decided + "tenant-a/placementdecisions", guard: rbac,
			body: `{apiVersion: cluster.open-cluster-management.io/v1beta1, kind: PlacementDecision, metadata: {name: mine, namespace: tenant-a}}`},
		{name: "distribute another tenant's instances", by: tenant, method: post, path: kronvoy + "tenant-b/distributions?dryRun=All", guard: rbac,
			body: `{apiVersion: kronvoy.io/v1alpha1, kind: Distribution, metadata: {name: mine, namespace: tenant-b}, spec: {instances: {apiVersion: kro.run/v1alpha1, kind: Ghost}}}`},
		{name: "place in another tenant's namespace", by: tenant, method: post, path: decided + "tenant-b/placements?dryRun=All", guard: rbac,
			body: `{apiVersion: cluster.open-cluster-management.io/v1beta1, kind: Placement, metadata: {name: mine, namespace: tenant-b}, spec: {}}`},
		{name: "write a definition as a tenant", by: tenant, method: post, path: "/apis/kro.run/v1alpha1/resourcegraphdefinitions?dryRun=All", guard: rbac,
			body: `{apiVersion: kro.run/v1alpha1, kind: ResourceGraphDefinition, metadata: {name: mine}, spec: {schema: {apiVersion: v1alpha1, kind: Mine}, resources: []}}`},
	}
}

// TestRequests makes every request three times: without policies and with rights
// that nobody has, where it must go through; with the policies and those rights,
// where the policy that it is about must refuse it; and as everything is
// installed.
func TestRequests(t *testing.T) {
	w := shared.Get(t)
	attacks := append(append(byAgents(), byJoiners()...), byPeople()...)
	w.hub.Apply(t, `{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: c1-pending}, spec: {request: `+
		csr("system:open-cluster-management:c1:agent", "system:open-cluster-management:c1")+`, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}}
---
{apiVersion: v1, kind: Event, metadata: {name: kept, namespace: c1}, involvedObject: {kind: ManifestWork, namespace: c1, name: victim}, message: x, reason: Hostile, type: Normal}`)
	refused := map[string]int{}
	each := func(phase string, check func(t *testing.T, a *attack)) {
		t.Run(phase, func(t *testing.T) {
			for i := range attacks {
				t.Run(attacks[i].name, func(t *testing.T) { check(t, &attacks[i]) })
			}
		})
	}
	w.unbind(t)
	w.hub.Apply(t, tooMuch)
	each("without guards", func(t *testing.T, a *attack) {
		tally.note(tally.run, a.name)
		if w.succeeds(t, a) {
			tally.note(tally.unguarded, a.name)
		}
	})
	w.bind(t)
	each("with the policies alone", func(t *testing.T, a *attack) {
		if a.guard == rbac || w.denied(t, a, a.guard) {
			refused[a.name]++
		}
	})
	for _, name := range []string{"hostile-agents", "hostile-people"} {
		w.hub.Delete(t, "clusterrolebindings.rbac.authorization.k8s.io", name)
	}
	each("as installed", func(t *testing.T, a *attack) {
		guard := ""
		if a.guard == rbac {
			guard = rbac
		}
		if w.denied(t, a, guard) {
			refused[a.name]++
		}
		if refused[a.name] == 2 {
			tally.note(tally.denied, a.name)
		}
	})
}

const policyBindings = "validatingadmissionpolicybindings.admissionregistration.k8s.io"

// unbind takes off Kronvoy's policies.
func (w *world) unbind(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if err := w.stack.Fleet.Hub().Apply(context.WithoutCancel(t.Context()), w.stack.Policies()...); err != nil {
			t.Error(err)
		}
	})
	for _, b := range w.hub.List(t, policyBindings, "") {
		if strings.HasPrefix(b.GetName(), "kronvoy-") {
			w.hub.Delete(t, policyBindings, b.GetName())
		}
	}
}

// bind puts them in force again.
func (w *world) bind(t *testing.T) {
	t.Helper()
	if err := w.stack.Fleet.Hub().Apply(t.Context(), w.stack.Policies()...); err != nil {
		t.Fatal(err)
	}
}
