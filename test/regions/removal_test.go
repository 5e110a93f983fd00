//go:build integration

package regions

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/kronvoy/kronvoy/test/probe"
)

const approvalRequests = "approvalrequests.kronvoy.io"

// everywhere are all clusters.
var everywhere = []string{apSouth1, apSouth2, euWest1, euWest2, usEast1, usEast2}

// drawn puts an instance of a kind of its own on clusters with the label of the
// scene's namespace; at first all clusters have it.
func (s *scene) drawn(kind, removal string) {
	s.Helper()
	for _, cluster := range everywhere {
		s.label(cluster, s.ns, "drawn")
	}
	s.place("drawn", "{matchLabels: {"+s.ns+": drawn}}")
	s.define(kind, settings)
	s.distribute("drawn", kind, "removal: {"+removal+"}")
	s.create(kind, "one", "drawn", "")
	s.ready(kind, "one", everywhere...)
}

// uids of the instance's object, by cluster.
func (s *scene) uids() map[string]types.UID {
	s.Helper()
	uids := map[string]types.UID{}
	for _, cluster := range everywhere {
		if obj := s.on(cluster, "configmaps", "one"); obj != nil {
			uids[cluster] = obj.GetUID()
		}
	}
	return uids
}

// leaving waits until clusters are marked as having left, with this said about
// why they are kept, and returns since when.
func (s *scene) leaving(kind, held string, clusters ...string) map[string]string {
	s.Helper()
	since := map[string]string{}
	probe.Eventually(s, fmt.Sprintf("%v to be known to have left, held: %q", clusters, held), func() error {
		targets := s.targets(kind, "one")
		for _, cluster := range clusters {
			t := targets[cluster]
			if since[cluster] = t.Text("spec.removal.since"); since[cluster] == "" || !strings.Contains(t.Text("spec.removal.held"), held) || held == "" && t.Text("spec.removal.held") != "" {
				return fmt.Errorf("the target on %s says %v", cluster, t.At("spec"))
			}
		}
		return nil
	})
	return since
}

// question waits until the hub asks about so many clusters, and nothing else.
func (s *scene) question(clusters int64) *probe.Object {
	s.Helper()
	var request *probe.Object
	probe.Eventually(s, fmt.Sprintf("a question about %d clusters", clusters), func() error {
		requests := s.hub.List(s, approvalRequests, s.ns)
		if len(requests) != 1 || requests[0].Int("spec.clusterCount") != clusters {
			return fmt.Errorf("there are %d: %v", len(requests), requests)
		}
		request = requests[0]
		return nil
	})
	return request
}

// settled waits until the hub asks nothing, and says nothing about it.
func (s *scene) settled(kind string) {
	s.Helper()
	probe.Eventually(s, "the question to be settled", func() error {
		if requests := s.hub.List(s, approvalRequests, s.ns); len(requests) > 0 {
			return fmt.Errorf("there is %v", requests[0])
		}
		if held := s.instance(kind, "one").Condition("RemovalHeld"); held.Status != "" {
			return fmt.Errorf("the instance says %v", held)
		}
		return nil
	})
}

// A label that is mistyped empties a placement: nothing goes until somebody who
// may says so, and then it goes within the budget.
func TestAnEmptiedPlacementIsHeldUntilItIsApprovedAndGoesWithinTheBudget(t *testing.T) {
	t.Parallel()
	s := begin(t, "typo")
	defer s.end()
	s.drawn("Mistyped", "maxPercent: 35")
	before := s.uids()

	s.place("drawn", "{matchLabels: {typo: darwn}}")
	held := s.condition(probe.Resource("Mistyped"), "one", "RemovalHeld", "True", "NeedsApproval")
	request := s.question(6)
	if want := "kronvoy rollout approve " + request.GetName() + " -n typo"; !strings.Contains(held.Message, want) || !strings.Contains(held.Message, "6 clusters") {
		t.Errorf("the condition says %q, and not %q", held.Message, want)
	}
	s.condition(distributions, "drawn", "RemovalHeld", "True", "NeedsApproval")
	s.leaving("Mistyped", "somebody has to approve it", everywhere...)
	// It goes on being served, by a hub too that knows only what is stored.
	s.restartHub()
	s.create("Mistyped", "one", "drawn", "text: two")
	for _, cluster := range everywhere {
		s.holds(cluster, "configmaps", "one", "data.text", "two")
		if s.on(cluster, "configmaps", "one").GetUID() != before[cluster] {
			t.Errorf("the object on %s was replaced", cluster)
		}
	}

	s.kronvoy(s.person("reader", tenant), "rollout", "approve", request.GetName(), "-n", s.ns).want(s, 1, approver)
	seen := s.hub.Record(t, "", targets)
	s.kronvoy(s.person("boss", approver), "rollout", "approve", request.GetName(), "-n", s.ns, "--reason", "moved away").
		want(s, 0, "approved by system:serviceaccount:typo:boss")
	for _, cluster := range everywhere {
		s.goes(cluster, "configmaps", "one")
	}
	s.settled("Mistyped")
	s.condition(probe.Resource("Mistyped"), "one", "Placed", "False", "NoClusters")
	if at, most := s.atOnce(seen, "Mistyped"); most > 2 || most == 0 {
		t.Errorf("%d clusters were taken down at a time: %s", most, at)
	}
}

// atOnce is how many Targets of a kind were seen in teardown together, and where.
func (s *scene) atOnce(seen *probe.Recording, kind string) (where string, most int) {
	s.Helper()
	going := map[string]bool{}
	for _, event := range seen.Events(s) {
		t := &probe.Object{Unstructured: event.Unstructured}
		if t.Text("spec.instance.kind") != kind {
			continue
		}
		if going[t.GetNamespace()] = t.GetDeletionTimestamp() != nil && event.Type != "DELETED"; !going[t.GetNamespace()] {
			delete(going, t.GetNamespace())
		}
		if len(going) > most {
			where, most = fmt.Sprint(going), len(going)
		}
	}
	return where, most
}

// What is asked about is these clusters, and no others.
func TestAnAnswerCountsForItsQuestionAlone(t *testing.T) {
	t.Parallel()
	s := begin(t, "asked")
	defer s.end()
	s.drawn("Asked", "maxPercent: 20, gracePeriod: 1h")
	before := s.uids()
	boss := s.person("boss", approver)

	s.label(euWest1, s.ns, "")
	s.label(euWest2, s.ns, "")
	first := s.question(2)
	s.label(usEast1, s.ns, "")
	second := s.question(3)
	s.kronvoy(boss, "rollout", "approve", first.GetName(), "-n", s.ns).want(s, 1, "another one may have taken its place")
	s.kronvoy(boss, "rollout", "reject", second.GetName(), "-n", s.ns).want(s, 0)
	s.condition(probe.Resource("Asked"), "one", "RemovalHeld", "True", "ApprovalRejected")
	s.leaving("Asked", "rejected its removal", euWest1, euWest2, usEast1)
	s.restartHub()
	// Who has changed his mind is asked again.
	s.hub.Delete(t, approvalRequests, s.ns+"/"+second.GetName())
	s.condition(probe.Resource("Asked"), "one", "RemovalHeld", "True", "NeedsApproval")
	if again := s.question(3); again.GetName() != second.GetName() || again.GetUID() == second.GetUID() {
		t.Errorf("the same question is %s, and was %s", again.GetName(), second.GetName())
	}

	// One that comes back makes another question of it; when all are back there is
	// none.
	s.label(euWest1, s.ns, "drawn")
	s.question(2)
	s.condition(probe.Resource("Asked"), "one", "RemovalHeld", "True", "NeedsApproval")
	s.label(euWest2, s.ns, "drawn")
	s.label(usEast1, s.ns, "drawn")
	s.settled("Asked")
	s.ready("Asked", "one", everywhere...)
	for cluster, uid := range s.uids() {
		if uid != before[cluster] {
			t.Errorf("the object on %s was replaced", cluster)
		}
	}
}

// A cluster that left has time to come back, on a hub's clock that restarts with
// nothing.
func TestAClusterThatComesBackInTimeLosesNothing(t *testing.T) {
	t.Parallel()
	s := begin(t, "grace")
	defer s.end()
	s.drawn("Grace", "gracePeriod: 1h")
	before := s.uids()

	s.label(usEast2, s.ns, "")
	since := s.leaving("Grace", "", usEast2)
	s.restartHub()
	s.create("Grace", "one", "drawn", "text: two")
	s.holds(usEast2, "configmaps", "one", "data.text", "two")
	if after := s.leaving("Grace", "", usEast2); after[usEast2] != since[usEast2] {
		t.Errorf("it left at %s, and then at %s", since[usEast2], after[usEast2])
	}
	s.label(usEast2, s.ns, "drawn")
	probe.Eventually(t, "its mark to go", func() error {
		if removal := s.targets("Grace", "one")[usEast2].At("spec.removal"); removal != nil {
			return fmt.Errorf("it is %v", removal)
		}
		return nil
	})
	s.ready("Grace", "one", everywhere...)
	if after := s.uids(); after[usEast2] != before[usEast2] {
		t.Error("its object was replaced")
	}

	s.label(usEast2, s.ns, "")
	s.leaving("Grace", "", usEast2)
	s.distribute("drawn", "Grace", "removal: {gracePeriod: 1s}")
	s.goes(usEast2, "configmaps", "one")
	s.ready("Grace", "one", apSouth1, apSouth2, euWest1, euWest2, usEast1)
}

// Losing clusters never loses what runs there.
func TestARegionThatIsOutWhileThePlacementChangesKeepsTheInstanceUntilItIsBack(t *testing.T) {
	s := begin(t, "outage")
	defer s.end()
	s.drawn("Outage", "maxPercent: 50, gracePeriod: 0s")
	before := s.uids()

	over := s.outage(euWest1, euWest2)
	for _, cluster := range []string{euWest1, euWest2, usEast1} {
		s.label(cluster, s.ns, "")
	}
	s.goes(usEast1, "configmaps", "one")
	s.leaving("Outage", "cannot be reached", euWest1, euWest2)
	for _, cluster := range []string{euWest1, euWest2} {
		if works := s.works(cluster, "Outage", "one"); len(works) != 1 || works[0].GetDeletionTimestamp() != nil {
			t.Errorf("the works on %s are %v", cluster, works)
		}
		if s.on(cluster, "configmaps", "one").GetUID() != before[cluster] {
			t.Errorf("the object on %s was replaced", cluster)
		}
	}
	over()
	s.goes(euWest1, "configmaps", "one")
	s.goes(euWest2, "configmaps", "one")
	s.ready("Outage", "one", apSouth1, apSouth2, usEast2)
}

func TestWhatLeavesAsAnOrphanStaysOnItsCluster(t *testing.T) {
	t.Parallel()
	s := begin(t, "orphan")
	defer s.end()
	s.drawn("Orphaned", "policy: Orphan, gracePeriod: 0s")
	before := s.uids()

	s.label(apSouth1, s.ns, "")
	s.ready("Orphaned", "one", apSouth2, euWest1, euWest2, usEast1, usEast2)
	if works := s.works(apSouth1, "Orphaned", "one"); len(works) > 0 {
		t.Errorf("the hub still has %d works", len(works))
	}
	if s.uids()[apSouth1] != before[apSouth1] {
		t.Error("its object was deleted")
	}
	// It is nobody's, so it is taken again where that changes nothing.
	s.label(apSouth1, s.ns, "drawn")
	s.ready("Orphaned", "one", everywhere...)
	if s.on(apSouth1, "configmaps", "one").GetUID() != before[apSouth1] {
		t.Error("its object was replaced")
	}
}

// A resource that is an instance itself leaves with the one that it is a resource
// of, and as that one does.
func TestWhatIsMadeForAnOrphanStaysToo(t *testing.T) {
	t.Parallel()
	s := begin(t, "orphans")
	defer s.end()
	s.define("Inner", settings)
	s.define("Outer", `
schema:
  spec: {}
resources:
- id: inner
  template:
    apiVersion: kro.run/v1alpha1
    kind: Inner
    metadata: {name: "${schema.metadata.name}-inner"}
    spec: {text: "${cluster.name}"}`)
	s.place("east", "{matchLabels: {region: us-east}}")
	s.distribute("outer", "Outer", "removal: {policy: Orphan, gracePeriod: 0s}")
	s.create("Outer", "one", "east", "")
	s.ready("Outer", "one", usEast1, usEast2)
	s.holds(usEast1, "configmaps", "one-inner", "data.text", usEast1)
	before := s.on(usEast1, "configmaps", "one-inner").GetUID()

	s.place("east", "{matchLabels: {region: us-east, tier: silver}}")
	s.ready("Outer", "one", usEast2)
	if left := s.hub.Instances(s, "Inner", s.ns); len(left) != 1 {
		t.Errorf("%d instances are left on the hub", len(left))
	}
	if obj := s.on(usEast1, "configmaps", "one-inner"); obj == nil || obj.GetUID() != before {
		t.Errorf("its object is %v", obj)
	}
}

// One that is gone for good is counted no more, and holds up nobody.
func TestAClusterThatIsDetachedWhileItLeavesHoldsUpNobody(t *testing.T) {
	s := begin(t, "detached")
	defer s.end()
	s.drawn("Detached", "maxPercent: 20, gracePeriod: 1h")
	s.outage(apSouth1)
	s.label(apSouth1, s.ns, "")
	s.label(apSouth2, s.ns, "")
	s.question(2)

	s.undo = append(s.undo, func() {
		s.hub.Patch(s, managedClusters, apSouth1, `{metadata: {annotations: {kronvoy.io/detached: null, kronvoy.io/detached-by: null}}}`)
	})
	s.kronvoy(s.hub.Kubeconfig, "detach", apSouth1, "--yes").want(s, 0)
	s.settled("Detached")
	s.distribute("drawn", "Detached", "removal: {maxPercent: 20, gracePeriod: 0s}")
	s.goes(apSouth2, "configmaps", "one")
	s.ready("Detached", "one", euWest1, euWest2, usEast1, usEast2)
}
