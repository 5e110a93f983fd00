package facts

import (
	"cmp"
	"maps"
	"slices"
)

// Claim is one thing that a cluster says of itself.
type Claim struct{ Name, Value string }

// What a hub takes of one cluster: see config/policies/sizes.yaml. A hub that
// refused the status for its size would not hear of an outage, either.
const (
	maxClaims = 100
	maxSize   = 32768
)

// Claims puts what the agent found beside what people say in ClusterClaims on
// the cluster, by name. Names of ours are ours alone; of OCM's reserved names
// (platform, product) people may say what the agent did not find. Of the others
// at most limit are told, the first by name; the rest are in left (OCM:
// --max-custom-cluster-claims). All in all there are never more than a hub takes.
func Claims(found, said map[string]string, limit int) (claims []Claim, left []string) {
	for name, value := range found {
		claims = append(claims, Claim{name, value})
	}
	custom, size := 0, 0
	for _, claim := range claims {
		size += len(claim.Value)
	}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		value := said[name]
		if _, ours := found[name]; ours || value == "" {
			continue
		}
		switch {
		case Own(name) && !reserved(name):
			continue
		case len(value) > MaxValue, len(claims) == maxClaims, size+len(value) > maxSize, !reserved(name) && custom >= limit:
			left = append(left, name)
			continue
		case !reserved(name):
			custom++
		}
		size += len(value)
		claims = append(claims, Claim{name, value})
	}
	slices.SortFunc(claims, func(a, b Claim) int { return cmp.Compare(a.Name, b.Name) })
	return claims, left
}

// reserved are OCM's ReservedClusterClaimNames.
func reserved(name string) bool {
	return name == ClaimID || name == ClaimKubeVersion || name == ClaimPlatform || name == ClaimProduct
}
