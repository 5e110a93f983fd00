package clusters

import (
	"fmt"
	"strconv"
	"strings"

	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/convert"
)

// Claims of Kronvoy's agent that tell of maintenance; see docs/claims.md.
const (
	claimTalosUpgrading = "upgrading.talos.dev"
	claimNodesTotal     = "nodes.kronvoy.io/total"
	claimNodesCordoned  = "nodes.kronvoy.io/cordoned"
)

// maxReason is how much of somebody's reason is told, in characters.
const maxReason = 256

// Maintenance says what is under way on a cluster, so that nothing new should begin
// there; empty for nothing. People say it in an annotation on the hub. The cluster
// itself says it in its claims, which nobody checks: Talos is being upgraded, or at
// least a third of its nodes is cordoned, which is one of up to three, so that
// what moves there would find little room.
func Maintenance(c *clusterv1.ManagedCluster) string {
	if reason, marked := c.Annotations[kronvoyv1alpha1.AnnotationMaintenance]; marked && !strings.EqualFold(reason, "false") {
		if reason = strings.TrimSpace(reason); reason == "" || strings.EqualFold(reason, "true") {
			return "in maintenance by the annotation " + kronvoyv1alpha1.AnnotationMaintenance
		}
		return "in maintenance: " + shortened(reason)
	}
	claims := convert.Claims(c)
	if claims[claimTalosUpgrading] == "true" {
		return "Talos is being upgraded"
	}
	total, cordoned := nodes(claims[claimNodesTotal]), nodes(claims[claimNodesCordoned])
	if total == 0 || cordoned == 0 || 3*cordoned < total {
		return ""
	}
	return fmt.Sprintf("%d of %d nodes are cordoned", min(cordoned, total), total)
}

// nodes is a number of nodes as a claim has it; 0 for what is none.
func nodes(claim string) uint64 {
	n, err := strconv.ParseUint(claim, 10, 32)
	if err != nil {
		return 0
	}
	return n
}

func shortened(text string) string {
	if characters := []rune(text); len(characters) > maxReason {
		return string(characters[:maxReason-1]) + "…"
	}
	return text
}
