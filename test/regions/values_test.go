//go:build integration

package regions

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/probe"
)

// valued is a definition's spec with one object that shows the instance's values,
// and tells them.
const valued = `
schema:
  spec:
    text: string | default="one"
    size: integer | default=1 maximum=10
    note: string
  status:
    where: ${settings.data.cluster}
    size: ${int(settings.data.size)}
resources:
- id: settings
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}"}
    data:
      text: "${schema.spec.text}"
      size: "${string(schema.spec.size)}"
      note: "${schema.spec.?note.orValue('none')}"
      cluster: "${cluster.name}"`

// east is an override that changes one field and takes another away.
const east = `{clusterSelector: {matchLabels: {region: us-east}}, spec: {text: %s, note: null}}`

// weighed is one by a label that only some clusters have.
const weighed = `{clusterSelector: {matchExpressions: [{key: weight, operator: Exists}]}, expressions: {size: "${int(cluster.labels.weight)}"}}`

// override makes or changes Distribution shop.
func (s *scene) override(kind string, overrides ...string) {
	s.Helper()
	s.distribute("shop", kind, "placement: {clusterSelector: {}}\noverrides: ["+strings.Join(overrides, ", ")+"]")
}

// target waits until what the hub says of instance one on a cluster is as wanted,
// and returns it.
func (s *scene) target(kind, cluster, what string, wanted func(t *probe.Object) bool) *probe.Object {
	s.Helper()
	var target *probe.Object
	probe.Eventually(s, "the target on "+cluster+" to be "+what, func() error {
		target = s.targets(kind, "one")[cluster]
		if target == nil || !wanted(target) {
			return fmt.Errorf("it is %v with status %v", target.At("spec"), target.At("status"))
		}
		return nil
	})
	return target
}

// carries waits until clusters have instance one with revisions other than these,
// and returns the new one, which is the same everywhere.
func (s *scene) carries(kind string, not map[string]bool, clusters ...string) string {
	s.Helper()
	revision := ""
	for _, cluster := range clusters {
		got := s.target(kind, cluster, "at a new revision", func(t *probe.Object) bool {
			return !not[t.Text("status.revision")] && t.Text("status.revision") == t.Text("spec.revision") && t.Text("status.state") == "Ready"
		}).Text("status.revision")
		if revision != "" && got != revision {
			s.Errorf("%s has revision %s, others have %s", cluster, got, revision)
		}
		revision = got
	}
	return revision
}

// versions are the resource versions of the works of instance one on a cluster,
// and of its object there.
func (s *scene) versions(kind, cluster string) string {
	s.Helper()
	versions := fmt.Sprintf("object %d", s.on(cluster, "configmaps", "one").Version())
	for _, w := range s.works(cluster, kind, "one") {
		versions += fmt.Sprintf(", work %s %d", w.GetName(), w.GetGeneration())
	}
	return versions
}

// unchanged fails when clusters have something else of instance one than before,
// at any time in a second.
func (s *scene) unchanged(kind string, before map[string]string) {
	s.Helper()
	probe.During(s, time.Second, "what clusters have to stay as it is", func() error {
		for cluster, want := range before {
			if got := s.versions(kind, cluster); got != want {
				return fmt.Errorf("%s has %s, and had %s", cluster, got, want)
			}
		}
		return nil
	})
}

// An override that changes is a new revision everywhere. A cluster on which it
// comes to nothing that is valid keeps what it has, through a suspension too, and
// the others go on.
func TestAnOverrideThatFailsOnOneClusterStopsThatClusterAlone(t *testing.T) {
	t.Parallel()
	s := begin(t, "overridden")
	defer s.end()
	const kind = "Overridden"
	s.define(kind, valued)
	s.override(kind, fmt.Sprintf(east, "east"))
	s.create(kind, "one", "", "note: base")
	s.ready(kind, "one", everywhere...)
	first := s.carries(kind, nil, everywhere...)
	s.holds(usEast1, "configmaps", "one", "data.text", "east")
	s.holds(usEast1, "configmaps", "one", "data.note", "none")
	s.holds(euWest1, "configmaps", "one", "data.text", "one")
	s.holds(euWest1, "configmaps", "one", "data.note", "base")

	// One is no number, and the other more than the kind allows.
	s.label(euWest1, "weight", "3")
	s.label(apSouth1, "weight", "many")
	s.label(apSouth2, "weight", "11")
	wrong := map[string]string{apSouth1: s.versions(kind, apSouth1), apSouth2: s.versions(kind, apSouth2)}
	s.override(kind, fmt.Sprintf(east, "orient"), weighed)
	second := s.carries(kind, map[string]bool{first: true}, euWest1, euWest2, usEast1, usEast2)
	s.holds(euWest1, "configmaps", "one", "data.size", "3")
	s.holds(usEast2, "configmaps", "one", "data.text", "orient")
	invalid := func(suspended bool) func(*probe.Object) bool {
		return func(t *probe.Object) bool {
			return t.Text("spec.revision") == second && t.Text("status.revision") == first && t.Text("status.state") == "Failed" &&
				t.Text("status.reason") == "InvalidOverride" && (t.Text("status.suspended") != "") == suspended
		}
	}
	for cluster, says := range map[string]string{apSouth1: "spec.overrides[1].expressions.size", apSouth2: "spec.size"} {
		target := s.target(kind, cluster, "without a valid spec", invalid(false))
		if message := target.Text("status.message"); !strings.Contains(message, says) {
			t.Errorf("the target on %s says %q, and not %s", cluster, message, says)
		}
	}
	s.unchanged(kind, wrong)
	if c := s.condition(distributions, "shop", "Accepted", "True", ""); c.Message != "" {
		t.Errorf("Accepted says %q", c.Message)
	}
	probe.Eventually(t, "the instance to say so", func() error {
		if i := s.instance(kind, "one"); i.Int("status.fleet.failed") != 2 || i.Text("status.state") != "ERROR" {
			return fmt.Errorf("its status is %v", i.At("status"))
		}
		return nil
	})

	// A suspended instance is suspended on clusters, too, that have nothing new.
	s.hub.Patch(t, probe.Resource(kind), s.ns+"/one", `{metadata: {annotations: {kro.run/reconcile: suspended}}}`)
	s.target(kind, apSouth1, "suspended", invalid(true))
	s.target(kind, apSouth2, "suspended", invalid(true))
	for _, cluster := range everywhere {
		probe.Eventually(t, "the works on "+cluster+" to be suspended", func() error {
			for _, w := range s.works(cluster, kind, "one") {
				if w.GetAnnotations()["kronvoy.io/reconcile"] != "suspended" {
					return fmt.Errorf("work %s is not", w.GetName())
				}
			}
			return nil
		})
	}
	s.label(apSouth1, "weight", "5")
	s.label(apSouth2, "weight", "6")
	for _, cluster := range []string{apSouth1, apSouth2} {
		s.target(kind, cluster, "suspended, with a valid spec", func(t *probe.Object) bool {
			return t.Text("status.reason") == "" && t.Text("status.suspended") != "" && t.Text("status.revision") == first
		})
		s.holds(cluster, "configmaps", "one", "data.size", "1")
	}
	s.hub.Patch(t, probe.Resource(kind), s.ns+"/one", `{metadata: {annotations: {kro.run/reconcile: null}}}`)
	s.ready(kind, "one", everywhere...)
	s.holds(apSouth1, "configmaps", "one", "data.size", "5")
	s.holds(apSouth2, "configmaps", "one", "data.size", "6")
}

// Overrides that do not fit the kind change nothing on any cluster, whatever else
// changes meanwhile.
func TestOverridesThatDoNotFitTheKindShipNothing(t *testing.T) {
	t.Parallel()
	s := begin(t, "unfit")
	defer s.end()
	const kind = "Unfit"
	s.define(kind, valued)
	s.override(kind, fmt.Sprintf(east, "east"))
	s.create(kind, "one", "", "")
	s.ready(kind, "one", everywhere...)
	first := s.carries(kind, nil, everywhere...)
	before := map[string]string{}
	for _, cluster := range everywhere {
		before[cluster] = s.versions(kind, cluster)
	}

	s.override(kind, fmt.Sprintf(east, "orient"), `{expressions: {text: "on ${cluster.nam}"}}`)
	accepted := s.condition(distributions, "shop", "Accepted", "False", "InvalidOverride")
	if !strings.HasPrefix(accepted.Message, "spec.overrides[1].expressions.text:1:14: ") || !strings.Contains(accepted.Message, "stays as it is") {
		t.Errorf("Accepted says %q", accepted.Message)
	}
	s.condition(probe.Resource(kind), "one", "Placed", "False", "InvalidDistribution")
	s.create(kind, "one", "", "note: changed")
	s.condition(probe.Resource(kind), "one", "Placed", "False", "InvalidDistribution")
	s.unchanged(kind, before)
	s.stays(kind, "one", everywhere...)

	s.override(kind, fmt.Sprintf(east, "orient"), `{expressions: {text: "on ${cluster.name}"}}`)
	s.ready(kind, "one", everywhere...)
	s.carries(kind, map[string]bool{first: true}, everywhere...)
	s.holds(usEast1, "configmaps", "one", "data.text", "on "+usEast1)
	s.holds(euWest1, "configmaps", "one", "data.note", "changed")
}

// sums waits until the fleet's summary of instance one has these aggregates, in
// the order of their names, and returns the instance.
func (s *scene) sums(kind, want string) *probe.Object {
	s.Helper()
	var instance *probe.Object
	probe.Eventually(s, kind+" one to have aggregates "+want, func() error {
		instance = s.instance(kind, "one")
		if got := fmt.Sprint(instance.At("status.fleet.aggregates")); got != want {
			return fmt.Errorf("they are %s; its status is %v", got, instance.At("status"))
		}
		return nil
	})
	return instance
}

// Values over all clusters are those of the definition, under those of the
// Distribution; where there is none, and clusters differ, the instance says so.
func TestAnInstanceHasValuesOverAllItsClusters(t *testing.T) {
	t.Parallel()
	s := begin(t, "summed")
	defer s.end()
	const kind = "Summed"
	s.define(kind, valued)
	s.place("all", "{}")
	s.create(kind, "one", "all", "")
	instance := s.ready(kind, "one", everywhere...)
	if differs := instance.Condition("StatusDiffers"); differs.Status != "True" || !strings.HasSuffix(differs.Message, ": where") {
		t.Errorf("StatusDiffers is %v", differs)
	}
	if instance.At("status.where") != nil || instance.Int("status.size") != 1 {
		t.Errorf("its status is %v", instance.At("status"))
	}

	aggregate := func(text string) {
		t.Helper()
		s.hub.Patch(t, definitions, strings.ToLower(kind), fmt.Sprintf("{metadata: {annotations: {kronvoy.io/aggregate: '%s'}}}", text))
	}
	aggregate(`{"total": "${clusters.filter(c, c.ready).map(c, c.status.size).sum()}"}`)
	s.sums(kind, "map[total:6]")
	aggregate(`{"count": "${size(clusters)}", "total": "${clusters.map(c, c.status.size * 10).sum()}"}`)
	s.sums(kind, "map[count:6 total:60]")

	s.distribute("shop", kind, `
aggregate:
  total: ${clusters.filter(c, c.labels.region == 'eu-west').map(c, c.status.size).sum()}
  where: ${clusters.filter(c, c.labels.tier == 'gold').map(c, c.name).join(', ')}`)
	gold := strings.Join([]string{apSouth1, euWest1, usEast1}, ", ")
	instance = s.sums(kind, "map[count:6 total:2 where:"+gold+"]")
	if got := instance.Text("status.where"); got != gold {
		t.Errorf("the author's field is %q", got)
	}
	if differs := instance.Condition("StatusDiffers"); differs.Status != "" {
		t.Errorf("StatusDiffers is %v", differs)
	}

	// One that is wrong stops the Distribution's aggregates, and nothing else.
	s.distribute("shop", kind, "aggregate: {total: '${clusters.map(c, c.nam)}'}")
	accepted := s.condition(distributions, "shop", "Accepted", "False", "InvalidAggregate")
	if !strings.HasPrefix(accepted.Message, "spec.aggregate.total:1:21: ") || !strings.HasSuffix(accepted.Message, "all else is in force") {
		t.Errorf("Accepted says %q", accepted.Message)
	}
	s.create(kind, "one", "all", "size: 2")
	s.sums(kind, "map[count:6 total:120]")
	for _, cluster := range everywhere {
		s.holds(cluster, "configmaps", "one", "data.size", "2")
	}
}
