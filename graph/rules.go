package graph

import (
	"slices"

	"github.com/kronvoy/kronvoy/graph/expr"
)

// readyRules rewrites readyWhen for the spoke: all of the conditions, or none
// when one of them cannot be judged there.
func readyRules(ready []condition, variable string) []string {
	out := make([]string, 0, len(ready))
	for _, c := range ready {
		rule, ok := c.expr.OnObject(variable)
		if !ok {
			return nil
		}
		out = append(out, rule)
	}
	return out
}

// basicRules tells whether OCM's own agent can judge all of the rules.
func basicRules(rules []string) bool {
	return !slices.ContainsFunc(rules, func(rule string) bool { return !expr.IsBasic(rule) })
}
