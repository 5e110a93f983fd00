package plan

import (
	"fmt"
	"slices"
	"strings"

	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/work"
)

// Meet reads from a cluster's claims what its agent can do. described is false
// while nobody has described the cluster: OCM's agents and Kronvoy's write its
// version, and the claims with it. Until then the works tell what the last one
// could: only an agent that answers in reports is given any.
func Meet(c *clusterv1.ManagedCluster, reports map[string]*kronvoyv1alpha1.WorkReport) (agent work.Capabilities, described bool) {
	for _, claim := range c.Status.ClusterClaims {
		if claim.Name == kronvoyv1alpha1.ClaimFeatures || claim.Name == kronvoyv1alpha1.ClusterClaimFeatures {
			return work.ParseCapabilities(claim.Value), true
		}
	}
	described = c.Status.Version.Kubernetes != ""
	return work.Capabilities{Reports: !described && len(reports) > 0}, described
}

// govern finds out whether the instance may come to the cluster, what is to be
// done about its objects, and in whose name; while it is suspended nothing is.
func (p *Plan) govern(in Input) {
	if in.Suspended {
		return
	}
	if in.Described {
		if lack := in.Agent.Lacks(in.Graph); lack != nil {
			p.block(lack.Reason(), lack.String())
			return
		}
	}
	if leaves := in.leaksSecrets(); leaves != "" {
		p.block(kronvoyv1alpha1.ReasonSecretValues, leaves)
		return
	}
	var err error
	if d := in.Distribution; d != nil {
		if p.Policies, err = policy.On(&d.Spec, in.Cluster.Labels); err != nil {
			p.block(kronvoyv1alpha1.ReasonInvalidDistribution, fmt.Sprintf("Distribution %s cannot be used: %v", d.Name, err))
			return
		}
	}
	if p.Executor, err = in.ActsFor.Decide(); err != nil {
		p.block(kronvoyv1alpha1.ReasonNoServiceAccount, err.Error())
	}
}

// leaksSecrets says why values of Secrets would have to leave their cluster; the
// definition must say that they may. On the hub's own cluster they go nowhere.
func (in Input) leaksSecrets() string {
	uses := in.Graph.SecretUses()
	if len(uses) == 0 || in.SecretValuesTravel || in.ClusterName == kronvoyv1alpha1.LocalCluster {
		return ""
	}
	return fmt.Sprintf("%s, a value of a Secret, which would leave cluster %s for the hub: let the application read the Secret itself, "+
		"or run `kubectl annotate resourcegraphdefinition %s %s=%s`, and everybody who can read works or reports on the hub can read it",
		uses[0], in.ClusterName, in.Graph.Name(), kronvoyv1alpha1.AnnotationSecretValues, kronvoyv1alpha1.SecretValuesTravel)
}

// Reserved are namespaces that no instance may use on clusters: those that hold a
// cluster together, or agents. A service account there may do what no tenant may.
type Reserved struct {
	// Hub is the hub's own namespace.
	Hub string
	// Allowed may be used all the same.
	Allowed []string
}

var reservedPrefixes = []string{"kube-", "kronvoy-", "open-cluster-management"}

// refuse says why an instance in this namespace is not shipped to a cluster. On
// the hub's own the instance is in that namespace already.
func (r Reserved) refuse(cluster, namespace string) string {
	if cluster == kronvoyv1alpha1.LocalCluster {
		return ""
	}
	reserved := namespace == "default" || namespace == r.Hub || slices.ContainsFunc(reservedPrefixes, func(prefix string) bool {
		return strings.HasPrefix(namespace, prefix)
	})
	if !reserved || slices.Contains(r.Allowed, namespace) {
		return ""
	}
	return fmt.Sprintf("namespace %s is reserved on every cluster: move the instance to another one, or start the hub with --allow-namespace=%s", namespace, namespace)
}

// NeedsNamespace is true when the instance's namespace must be brought to the
// cluster: unless it is the hub's own, or the graph itself renders it.
func (p *Plan) NeedsNamespace(in Input) bool {
	if in.ClusterName == kronvoyv1alpha1.LocalCluster || in.Identity.Namespace == "" || in.Identity.Namespace == "default" {
		return false
	}
	for _, result := range p.Evaluation.Nodes {
		node := in.Graph.Node(result.ID)
		if node.GVK.Group != "" || node.GVK.Kind != "Namespace" {
			continue
		}
		for _, object := range result.Objects {
			metadata, _ := object["metadata"].(map[string]any)
			if metadata["name"] == in.Identity.Namespace {
				return false
			}
		}
	}
	return true
}
