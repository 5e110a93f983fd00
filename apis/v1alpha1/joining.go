package v1alpha1

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// What an administrator says with the ServiceAccount that lets one cluster join:
// it is in JoinNamespace of the hub and has the cluster's name.
const (
	// JoinNamespace holds one ServiceAccount for each cluster that may join.
	JoinNamespace = "kronvoy-join"
	// JoinGroup is the group of all of them; config/hub binds it to the
	// ClusterRole of the same name as the namespace.
	JoinGroup = "system:serviceaccounts:" + JoinNamespace

	// AnnotationJoinLabels holds the labels that the cluster gets when it is
	// accepted, as a JSON object.
	AnnotationJoinLabels = "kronvoy.io/join-labels"
	// AnnotationJoinExpires is when the ServiceAccount no longer counts, as
	// RFC 3339.
	AnnotationJoinExpires = "kronvoy.io/join-expires"
	// AnnotationJoinApproval says who accepts the cluster: JoinApprovalAutomatic or
	// JoinApprovalManual.
	AnnotationJoinApproval = "kronvoy.io/join-approval"
	// AnnotationJoinUsedBy is the UID of the one CertificateSigningRequest that the
	// ServiceAccount was good for. The hub writes it before it approves.
	AnnotationJoinUsedBy = "kronvoy.io/join-used-by"
	// AnnotationJoinLease, written with it, is the resourceVersion that the cluster's
	// lease had then, empty for none: another one shows that the agent came back
	// with its certificate.
	AnnotationJoinLease = "kronvoy.io/join-lease"
)

// Values of AnnotationJoinApproval.
const (
	// JoinApprovalAutomatic: the hub accepts the cluster that comes with the token.
	JoinApprovalAutomatic = "automatic"
	// JoinApprovalManual: a person does, see "kronvoy accept".
	JoinApprovalManual = "manual"
)

// Annotations of a ManagedCluster.
const (
	// AnnotationRequestedLabels holds the labels that the cluster itself asks for,
	// as a JSON object: shown to who accepts it, never applied.
	AnnotationRequestedLabels = "kronvoy.io/requested-labels"
	// AnnotationDetached says since when the hub does not wait for the cluster any
	// more, as RFC 3339: see "kronvoy detach".
	AnnotationDetached = "kronvoy.io/detached"
	// AnnotationDetachedBy says beside it by whom.
	AnnotationDetachedBy = "kronvoy.io/detached-by"
)

// ConditionDetached of a ManagedCluster is True when the hub has let go of all
// that waited for a cluster with AnnotationDetached.
const ConditionDetached = "Detached"

// Secrets in an agent's namespace, by OCM's names and with OCM's keys.
const (
	// BootstrapSecret holds the kubeconfig with which a cluster joins.
	BootstrapSecret = "bootstrap-hub-kubeconfig"
	// HubSecret holds what the agent reaches the hub with once it has joined.
	HubSecret = "hub-kubeconfig-secret"

	// SecretKubeconfig is a key of both.
	SecretKubeconfig = "kubeconfig"
	// SecretClusterName is the key of the cluster's name on the hub. Without it in
	// BootstrapSecret the namespace of the kubeconfig's current context counts.
	SecretClusterName = "cluster-name"
	// SecretAgentName is the key of the last part of the agent's user name.
	SecretAgentName = "agent-name"
	// SecretTLSKey is the key of the agent's private key, as PEM.
	SecretTLSKey = "tls.key"
	// SecretTLSCertificate is the key of the agent's client certificate, as PEM.
	SecretTLSCertificate = "tls.crt"
)

const (
	// AgentsGroup is the group of all agents (OCM).
	AgentsGroup = "system:open-cluster-management:managed-clusters"
	// agentPrefix begins the name of an agent, and of its cluster's group (OCM).
	agentPrefix = "system:open-cluster-management:"
)

// AgentUser is the user name of an agent of the cluster: the common name of its
// certificate.
func AgentUser(cluster, agent string) string { return AgentGroup(cluster) + ":" + agent }

// AgentGroup is the group of the cluster's agents.
func AgentGroup(cluster string) string { return agentPrefix + cluster }

// AgentGroups are the groups of an agent, sorted: the organizations of its
// certificate, no more and no less.
func AgentGroups(cluster string) []string {
	groups := []string{AgentGroup(cluster), AgentsGroup}
	slices.Sort(groups)
	return groups
}

// ParseAgentUser takes the name of an agent apart. ok is false for every name
// that AgentUser does not give for a cluster and an agent with valid names.
func ParseAgentUser(user string) (cluster, agent string, ok bool) {
	rest, found := strings.CutPrefix(user, agentPrefix)
	if !found {
		return "", "", false
	}
	cluster, agent, found = strings.Cut(rest, ":")
	if !found || len(validation.IsDNS1123Label(cluster)) > 0 || len(validation.IsDNS1123Label(agent)) > 0 {
		return "", "", false
	}
	return cluster, agent, true
}

// JoinUser is the user name of the ServiceAccount with which the cluster joins.
func JoinUser(cluster string) string {
	return "system:serviceaccount:" + JoinNamespace + ":" + cluster
}

// ParseJoinUser returns the cluster that the user may join, and whether it is
// the user of a ServiceAccount in JoinNamespace at all.
func ParseJoinUser(user string) (cluster string, ok bool) {
	return strings.CutPrefix(user, JoinUser(""))
}

// ValidateJoinName says why no cluster may join by the name: a cluster's name
// is that of its namespace on the hub.
func ValidateJoinName(name string) error {
	if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
		return fmt.Errorf("the cluster name %q is not valid: %s", name, strings.Join(problems, "; "))
	}
	for _, reserved := range []string{"kube-", "kronvoy-", "open-cluster-management"} {
		if strings.HasPrefix(name, reserved) {
			return fmt.Errorf("the cluster name %q is reserved: names that begin with %s belong to the hub; choose another one", name, reserved)
		}
	}
	for _, reserved := range []string{"default", LocalCluster, "managed-clusters"} {
		if name == reserved {
			return fmt.Errorf("the cluster name %q is reserved; choose another one", name)
		}
	}
	return nil
}
