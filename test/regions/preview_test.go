//go:build integration

package regions

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

// previewed is what `kronvoy preview` says of one cluster, as far as the test
// compares it with what happens.
type previewed struct {
	Change    string
	Held      bool
	Resources []struct {
		Action, Kind, Name string
		Fields             []struct {
			Path     string
			Old, New any
		}
	}
}

// preview runs the command over objects of the scene's namespace. The texts are
// those of apply.
func (s *scene) preview(objects string) map[string]previewed {
	s.Helper()
	said := s.kronvoyWith(objects, s.hub.Kubeconfig, "preview", "-n", s.ns, "-f", "-", "-o", "json")
	if said.code != 0 && said.code != 2 {
		s.Fatalf("kronvoy preview exits with %d\n%s%s", said.code, said.out, said.err)
	}
	var result struct {
		Instances []struct {
			Clusters []struct {
				Name string
				previewed
			}
		}
	}
	said.decode(s, &result)
	found := map[string]previewed{}
	for _, i := range result.Instances {
		for _, c := range i.Clusters {
			found[c.Name] = c.previewed
		}
	}
	return found
}

// says compares a preview, in lines such as
//
//	eu-west-1 changed ConfigMap web data.text one two
func (s *scene) says(what string, got map[string]previewed, want ...string) {
	s.Helper()
	var lines []string
	for cluster, p := range got {
		if p.Change != "" {
			lines = append(lines, fmt.Sprintf("%s %s %t", cluster, p.Change, p.Held))
		}
		for _, r := range p.Resources {
			line := fmt.Sprintf("%s %s %s %s", cluster, r.Action, r.Kind, r.Name)
			for _, f := range r.Fields {
				line += fmt.Sprintf(" %s %v %v", f.Path, f.Old, f.New)
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	slices.Sort(want)
	if !slices.Equal(lines, want) {
		s.Errorf("%s: preview says\n\t%s\nwant\n\t%s", what, strings.Join(lines, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// Of each kind of change preview says what then happens on the clusters.
func TestWhatPreviewSaysIsWhatHappens(t *testing.T) {
	t.Parallel()
	s := begin(t, "foreseen")
	defer s.end()
	s.label(euWest1, "seen", "yes")
	s.label(euWest2, "seen", "yes")
	s.place("seen", "{matchLabels: {seen: \"yes\"}}")
	s.define("Foreseen", settings)
	s.distribute("foreseen", "Foreseen", "removal: {gracePeriod: 1s, maxPercent: 100}")
	s.create("Foreseen", "web", "seen", "")
	s.ready("Foreseen", "web", euWest1, euWest2)
	s.says("what is there", s.preview(`{apiVersion: kro.run/v1alpha1, kind: Foreseen, metadata: {name: web}, spec: {text: one}}`))

	s.says("an instance", s.preview(`{apiVersion: kro.run/v1alpha1, kind: Foreseen, metadata: {name: web}, spec: {text: two}}`),
		"eu-west-1 changed ConfigMap web data.text one two", "eu-west-2 changed ConfigMap web data.text one two")
	s.create("Foreseen", "web", "seen", "text: two")
	s.holds(euWest1, "configmaps", "web", "data.text", "two")
	s.holds(euWest2, "configmaps", "web", "data.text", "two")

	s.says("clusters", s.preview(`
{apiVersion: cluster.open-cluster-management.io/v1, kind: ManagedCluster, metadata: {name: us-east-1, labels: {seen: "yes"}}}
---
{apiVersion: cluster.open-cluster-management.io/v1, kind: ManagedCluster, metadata: {name: eu-west-2, labels: {seen: null}}}`),
		"eu-west-2 leaves false", "eu-west-2 deleted ConfigMap web",
		"us-east-1 joins false", "us-east-1 created Namespace foreseen", "us-east-1 created ConfigMap web")
	s.label(usEast1, "seen", "yes")
	s.label(euWest2, "seen", "")
	s.ready("Foreseen", "web", euWest1, usEast1)
	s.goes(euWest2, "configmaps", "web")
	s.holds(usEast1, "configmaps", "web", "data.cluster", usEast1)

	changed := strings.Replace(settings, "cluster: \"${cluster.name}\"", "region: \"${cluster.labels.region}\"", 1)
	s.says("a definition", s.preview(probe.Definition("foreseen", "Foreseen", changed)),
		"eu-west-1 changed ConfigMap web data.cluster eu-west-1 <nil> data.region <nil> eu-west",
		"us-east-1 changed ConfigMap web data.cluster us-east-1 <nil> data.region <nil> us-east")
	s.define("Foreseen", changed)
	s.holds(euWest1, "configmaps", "web", "data.region", euWest)
	s.holds(usEast1, "configmaps", "web", "data.cluster", nil)

	const distribution = `{apiVersion: kronvoy.io/v1alpha1, kind: Distribution, metadata: {name: foreseen}, spec: {
  instances: {apiVersion: kro.run/v1alpha1, kind: Foreseen}, removal: {gracePeriod: 1s, maxPercent: 100}, placement: {clusterSelector: {matchLabels: {region: eu-west}}}}}`
	// That the namespace was left on eu-west-2 is known to nobody on the hub.
	s.says("a Distribution", s.preview(distribution), "us-east-1 leaves false", "us-east-1 deleted ConfigMap web",
		"eu-west-2 joins false", "eu-west-2 created Namespace foreseen", "eu-west-2 created ConfigMap web")
	s.distribute("foreseen", "Foreseen", "removal: {gracePeriod: 1s, maxPercent: 100}\nplacement: {clusterSelector: {matchLabels: {region: eu-west}}}")
	s.ready("Foreseen", "web", euWest1, euWest2)
	s.goes(usEast1, "configmaps", "web")

	explained := s.kronvoy(s.hub.Kubeconfig, "explain", "instance", "foreseen/web", "-n", s.ns, "-o", "wide")
	explained.want(s, 0, "is placed by Distribution foreseen.", "Its label kronvoy.io/placement: seen counts for nothing")
	for _, cluster := range []string{euWest1, euWest2} {
		if row := regexp.MustCompile(cluster + ` +selected +kronvoy-foreseen +- +Selected +newest +Ready`); !row.MatchString(explained.out) {
			s.Errorf("kronvoy explain instance does not say %s:\n%s", row, explained.out)
		}
	}
	s.says("a selector that selects nothing", s.preview(strings.Replace(distribution, "region: eu-west", "region: nowhere", 1)),
		"eu-west-1 leaves true", "eu-west-2 leaves true")
}
