package status

import (
	"cmp"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// The bounds of what status.fleet says of nodes; Targets say it all.
const (
	// maxNodes of all clusters together, and maxRowNodes of one.
	maxNodes    = 100
	maxRowNodes = 10
	// maxRowWaits is how many things a node is said to wait for, of
	// maxRowText characters each.
	maxRowWaits = 3
	maxRowText  = 256
)

func settled(node kronvoyv1alpha1.NodeStatus) bool {
	return node.State == "Ready" || node.State == "Excluded"
}

// waiting are the nodes of a cluster that are not ready, or not healthy, in
// topological order, each with what it waits for or what is wrong.
func waiting(t *kronvoyv1alpha1.Target, limit int) []any {
	var rows []any
	for _, node := range t.Status.Nodes {
		if settled(node) && !unhealthy(node.Health) || len(rows) >= limit {
			continue
		}
		row := map[string]any{"id": node.ID, "state": node.State}
		if unhealthy(node.Health) {
			row["health"] = string(node.Health)
		}
		if len(node.WaitsFor) > 0 {
			row["waitsFor"] = texts(node.WaitsFor)
		}
		if message := cmp.Or(node.Message, sick(node)); message != "" {
			row["message"] = cut(message, maxRowText)
		}
		rows = append(rows, row)
	}
	return rows
}

func texts(waits []string) []any {
	out := make([]any, 0, maxRowWaits)
	for _, wait := range waits[:min(len(waits), maxRowWaits)] {
		out = append(out, cut(wait, maxRowText))
	}
	return out
}
