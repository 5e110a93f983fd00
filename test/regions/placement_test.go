//go:build integration

package regions

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/probe"
)

// atOnce lets clusters leave without a delay and without being asked for.
const atOnce = "removal: {gracePeriod: 0s, maxPercent: 100}\n"

// refs is the part of a Distribution's spec that names Placements.
func refs(names ...string) string {
	for i, name := range names {
		names[i] = "{name: " + name + "}"
	}
	return atOnce + "placement: {refs: [" + strings.Join(names, ", ") + "]}"
}

// stays fails when an instance is on other clusters than these at any time in a
// second, or is not there as it was.
func (s *scene) stays(kind, name string, clusters ...string) {
	s.Helper()
	probe.During(s, time.Second, fmt.Sprintf("%s %s stays on %v", kind, name, clusters), func() error {
		found := s.targets(kind, name)
		for _, cluster := range clusters {
			t := found[cluster]
			if t == nil || t.GetDeletionTimestamp() != nil {
				return fmt.Errorf("its target on %s is %v", cluster, t)
			}
		}
		if len(found) != len(clusters) {
			return fmt.Errorf("it has %d targets", len(found))
		}
		return nil
	})
}

// A Distribution with a placement says where its instances run, whatever their
// label says, and tells that the label counts for nothing. With a Placement that
// is not there nothing comes and nothing leaves.
func TestADistributionsPlacementComesBeforeTheLabel(t *testing.T) {
	t.Parallel()
	s := begin(t, "before-label")
	defer s.end()
	s.place("label", "{matchLabels: {region: eu-west}}")
	s.place("ours", "{matchLabels: {region: us-east}}")
	s.define("Before", settings)
	s.create("Before", "one", "label", "")
	instance := s.ready("Before", "one", euWest1, euWest2)
	if c := instance.Condition("PlacementShadowed"); c.Status != "" {
		t.Errorf("without a Distribution PlacementShadowed is %v", c)
	}

	s.distribute("shop", "Before", refs("ours"))
	s.ready("Before", "one", usEast1, usEast2)
	s.goes(euWest1, "configmaps", "one")
	shadowed := s.condition(probe.Resource("Before"), "one", "PlacementShadowed", "True", "DistributionPlaces")
	for _, name := range []string{"Placement label", "Distribution shop"} {
		if !strings.Contains(shadowed.Message, name) {
			t.Errorf("PlacementShadowed does not name %s: %s", name, shadowed.Message)
		}
	}
	s.condition(distributions, "shop", "Ready", "True", "Resolved")

	s.distribute("shop", "Before", refs("ours", "later"))
	resolved := s.condition(distributions, "shop", "Resolved", "False", "PlacementNotFound")
	if want := "spec.placement.refs[1] of Distribution shop: there is no Placement later in namespace before-label"; !strings.HasPrefix(resolved.Message, want) {
		t.Errorf("Resolved says %q", resolved.Message)
	}
	placed := s.condition(probe.Resource("Before"), "one", "Placed", "False", "PlacementNotFound")
	if !strings.Contains(placed.Message, "the instance is kept where it is") {
		t.Errorf("Placed says %q", placed.Message)
	}
	s.stays("Before", "one", usEast1, usEast2)
	s.place("later", "{matchExpressions: [{key: region, operator: In, values: [us-east, ap-south]}, {key: tier, operator: In, values: [gold]}]}")
	s.ready("Before", "one", usEast1, usEast2, apSouth1)

	s.hub.Patch(t, distributions, s.ns+"/shop", `{"spec":{"placement":null}}`)
	instance = s.ready("Before", "one", euWest1, euWest2)
	if c := instance.Condition("PlacementShadowed"); c.Status != "" {
		t.Errorf("with a Distribution that leaves placing to the label PlacementShadowed is %v", c)
	}
}

// Who owns an instance keeps it when another comes that is the first by name, and
// when it changes hands the objects on clusters of both stay the same.
func TestAnInstanceIsHandedOverWithItsObjects(t *testing.T) {
	t.Parallel()
	s := begin(t, "handover")
	defer s.end()
	s.place("gold", "{matchLabels: {tier: gold}}")
	s.place("west", "{matchLabels: {region: eu-west}}")
	s.define("Handover", settings)
	s.distribute("b", "Handover", refs("west"))
	s.create("Handover", "one", "", "")
	s.ready("Handover", "one", euWest1, euWest2)
	uid := s.on(euWest1, "configmaps", "one").GetUID()

	s.distribute("a", "Handover", refs("gold"))
	conflicted := s.condition(distributions, "a", "Conflicted", "True", "OwnedByAnother")
	if !strings.Contains(conflicted.Message, "Handover one belongs to Distribution b") {
		t.Errorf("Conflicted says %q", conflicted.Message)
	}
	s.stays("Handover", "one", euWest1, euWest2)

	s.hub.Patch(t, distributions, s.ns+"/b", `{"spec":{"instances":{"selector":{"matchLabels":{"owner":"b"}}}}}`)
	s.ready("Handover", "one", euWest1, usEast1, apSouth1)
	s.goes(euWest2, "configmaps", "one")
	s.condition(distributions, "a", "Conflicted", "False", "NoConflict")
	if got := s.on(euWest1, "configmaps", "one").GetUID(); got != uid {
		t.Errorf("the object on a cluster of both was replaced")
	}

	s.hub.Patch(t, probe.Resource("Handover"), s.ns+"/one", `{"metadata":{"labels":{"owner":"b"}}}`)
	s.stays("Handover", "one", euWest1, usEast1, apSouth1)
	s.hub.Delete(t, distributions, s.ns+"/a")
	s.ready("Handover", "one", euWest1, euWest2)
	if got := s.on(euWest1, "configmaps", "one").GetUID(); got != uid {
		t.Errorf("the object on a cluster of both was replaced")
	}
}

// A Distribution that selects clusters by their labels follows them, and the
// Placement that the hub keeps for it is the hub's.
func TestADistributionFollowsTheLabelsOfClusters(t *testing.T) {
	t.Parallel()
	s := begin(t, "follows")
	defer s.end()
	name := "follows-" + strings.Repeat("x", 80)
	s.label(euWest1, "follows", "yes")
	s.define("Follow", settings)
	s.distribute(name, "Follow", atOnce+`placement: {clusterSelector: {matchLabels: {follows: "yes"}}}`)
	s.create("Follow", "one", "", "")
	s.ready("Follow", "one", euWest1)
	s.label(usEast1, "follows", "yes")
	s.restartHub()
	s.ready("Follow", "one", euWest1, usEast1)
	s.label(euWest1, "follows", "")
	s.ready("Follow", "one", usEast1)
	s.goes(euWest1, "configmaps", "one")

	kept := s.hub.List(t, placements, s.ns)
	if len(kept) != 1 || kept[0].GetGeneration() != 1 {
		t.Fatalf("the hub keeps %v, and should keep one that it never changed", kept)
	}
	placement := s.ns + "/" + kept[0].GetName()
	s.hub.Patch(t, placements, placement, `{"spec":{"numberOfClusters":5}}`)
	probe.Eventually(t, "the Placement to be put right", func() error {
		if p := s.hub.Get(t, placements, placement); p.At("spec.numberOfClusters") != nil || p.GetGeneration() != 3 {
			return fmt.Errorf("its generation is %d, its spec %v", p.GetGeneration(), p.At("spec"))
		}
		return nil
	})
	s.ready("Follow", "one", usEast1)

	s.place("west", "{matchLabels: {region: eu-west}}")
	s.hub.Patch(t, distributions, s.ns+"/"+name, `{"spec":{"placement":{"clusterSelector":null,"refs":[{"name":"west"}]}}}`)
	s.ready("Follow", "one", euWest1, euWest2)
	probe.Eventually(t, "the Placement to go", func() error {
		if p := s.hub.Get(t, placements, placement); p != nil {
			return fmt.Errorf("it is there")
		}
		return nil
	})

	// One of that name is somebody else's as long as it is there.
	s.place(kept[0].GetName(), "{matchLabels: {region: ap-south}}")
	s.hub.Patch(t, distributions, s.ns+"/"+name, `{"spec":{"placement":{"refs":null,"clusterSelector":{"matchLabels":{"follows":"yes"}}}}}`)
	s.condition(distributions, name, "Resolved", "False", "PlacementTaken")
	s.condition(probe.Resource("Follow"), "one", "Placed", "False", "PlacementTaken")
	s.stays("Follow", "one", euWest1, euWest2)
	s.hub.Delete(t, placements, placement)
	s.ready("Follow", "one", usEast1)
}

// A Placement that goes, or selects nothing any more, takes nothing away.
func TestAPlacementThatGoesOrEmptiesTakesNothingAway(t *testing.T) {
	t.Parallel()
	s := begin(t, "empties")
	defer s.end()
	s.place("west", "{matchLabels: {region: eu-west}}")
	s.define("Vacate", settings)
	s.distribute("shop", "Vacate", refs("west"))
	s.create("Vacate", "one", "", "")
	s.ready("Vacate", "one", euWest1, euWest2)

	s.hub.Delete(t, placements, s.ns+"/west")
	s.condition(probe.Resource("Vacate"), "one", "Placed", "False", "PlacementNotFound")
	s.stays("Vacate", "one", euWest1, euWest2)
	s.place("west", "{matchLabels: {tier: gold}}")
	s.ready("Vacate", "one", euWest1, usEast1, apSouth1)

	s.place("west", "{matchLabels: {region: nowhere}}")
	s.condition(distributions, "shop", "Resolved", "False", "NoClusters")
	s.condition(probe.Resource("Vacate"), "one", "RemovalHeld", "True", "NeedsApproval")
	s.stays("Vacate", "one", euWest1, usEast1, apSouth1)

	s.hub.Delete(t, "managedclustersetbindings.cluster.open-cluster-management.io", s.ns+"/global")
	resolved := s.condition(distributions, "shop", "Resolved", "False", "NoClusterSetBinding")
	if !strings.Contains(resolved.Message, "create a ManagedClusterSetBinding") {
		t.Errorf("Resolved says %q", resolved.Message)
	}
	s.stays("Vacate", "one", euWest1, usEast1, apSouth1)
}
