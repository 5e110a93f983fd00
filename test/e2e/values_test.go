//go:build integration

package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

func TestTheExampleRunsOnEveryClusterWithValuesOfItsOwn(t *testing.T) {
	s := begin(t, "shop")
	defer s.end()
	s.kinds = append(s.kinds, "WebApp")
	for _, step := range [][]string{
		{"apply", "-f", s.example("placement.yaml"), "-f", s.example("rgd.yaml")},
		{"wait", "--for=condition=Ready", "--timeout=60s", "rgd/webapp"},
		{"apply", "-f", s.example("instance.yaml")},
	} {
		if out, err := s.hub.Kubectl(t, step...); err != nil {
			t.Fatalf("kubectl %s: %v\n%s", strings.Join(step, " "), err, out)
		}
	}
	instance := s.ready("WebApp", "shop", 3)

	for cluster, replicas := range map[string]int64{euWest: 3, usEast: 2, apSouth: 1} {
		t.Run(cluster, func(t *testing.T) {
			if got := s.on(cluster, "deployments.apps", "shop").Int("status.availableReplicas"); got != replicas {
				t.Errorf("%d replicas are available, want %d", got, replicas)
			}
			if got, want := s.on(cluster, "configmaps", "shop-settings").Text("data.region"), cluster; got != want {
				t.Errorf("settings are for region %q, want %q", got, want)
			}
			ip := s.on(cluster, "services", "shop").Text("spec.clusterIP")
			if got := s.on(cluster, "configmaps", "shop-address").Text("data.address"); got != ip || ip == "" {
				t.Errorf("the address is %q, the Service has %q", got, ip)
			}
			row := fleetRow(instance, cluster)
			for path, want := range map[string]any{
				"state": "Ready", "region": cluster, "ready": "4/4",
				"values.availableReplicas": replicas, "values.address": ip + ":80",
			} {
				if got := row.At(path); got != want {
					t.Errorf("status.fleet says %s is %v, want %v", path, got, want)
				}
			}
		})
	}

	t.Run("values that differ are left out of the instance's own status, and named", func(t *testing.T) {
		if got := instance.At("status.availableReplicas"); got != nil {
			t.Errorf("availableReplicas is %v", got)
		}
		if got := instance.Condition("StatusDiffers"); got.Status != "True" || !strings.Contains(got.Message, "availableReplicas") {
			t.Errorf("StatusDiffers is %v", got)
		}
	})
	t.Run("kubectl get shows the columns of the definition", func(t *testing.T) {
		out, err := s.hub.Kubectl(t, "get", "webapp", "-n", "shop")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if err != nil || len(lines) != 2 {
			t.Fatalf("kubectl get webapp: %v\n%s", err, out)
		}
		if got, want := strings.Fields(lines[0]), []string{"NAME", "STATE", "READY", "AVAILABLE", "AGE"}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the columns are %v, want %v", got, want)
		}
		if got, want := strings.Fields(lines[1])[:3], []string{"shop", "ACTIVE", "True"}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the row begins with %v, want %v", got, want)
		}
	})
	t.Run("kubectl get targets shows where it is, and at which revision", func(t *testing.T) {
		out, err := s.hub.Kubectl(t, "get", "targets", "-n", euWest)
		if err != nil || !strings.Contains(out, "WebApp") || !strings.Contains(out, "Ready") || !strings.Contains(out, instance.Text("status.fleet.revision")) {
			t.Errorf("kubectl get targets: %v\n%s", err, out)
		}
	})
}

func (s *scene) example(file string) string {
	return filepath.Join(s.stack.Root(), "examples", "webapp", file)
}

// fleetRow is a cluster's row in an instance's status.
func fleetRow(instance *probe.Object, cluster string) *probe.Object {
	for _, row := range instance.List("status.fleet.clusters") {
		if row.Text("name") == cluster {
			return row
		}
	}
	return nil
}

func TestAnOptionalReadOfAnAbsentFieldAnswersAtOnceAndFollowsTheField(t *testing.T) {
	s := begin(t, "optional")
	defer s.end()
	s.define("Optional", `
schema:
  status:
    answer: ${reader.data.answer}
resources:
- id: source
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: source}
    data: {some: thing}
- id: reader
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: reader}
    data: {answer: '${source.data.?missing.orValue("none")}'}`)
	s.create("Optional", "one", euWest, "")
	if got := s.ready("Optional", "one", 1).Text("status.answer"); got != "none" {
		t.Errorf("the answer is %q, want none", got)
	}

	s.spokes[euWest].Patch(t, "configmaps", s.ns+"/source", `{data: {missing: here}}`)
	s.holds(euWest, "configmaps", "reader", "data.answer", "here")
	probe.Eventually(t, "the status to follow", func() error {
		if got := s.instance("Optional", "one").Text("status.answer"); got != "here" {
			return fmt.Errorf("the answer is %q", got)
		}
		return nil
	})
}

func TestRelabellingAClusterChangesItsValuesAndNoOthers(t *testing.T) {
	s := begin(t, "labels")
	defer s.end()
	s.define("Labelled", `
schema:
  spec: {}
resources:
- id: settings
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: settings}
    data: {tier: '${cluster.labels.?tier.orValue("none")}'}`)
	s.create("Labelled", "one", everywhere, "")
	s.ready("Labelled", "one", 3)
	others := map[string]string{}
	for _, cluster := range []string{usEast, apSouth} {
		others[cluster] = s.on(cluster, "configmaps", "settings").GetResourceVersion()
	}

	s.hub.Patch(t, "managedclusters.cluster.open-cluster-management.io", euWest, `{metadata: {labels: {tier: gold}}}`)
	s.holds(euWest, "configmaps", "settings", "data.tier", "gold")
	s.hub.Patch(t, "managedclusters.cluster.open-cluster-management.io", euWest, `{metadata: {labels: {tier: null}}}`)
	s.holds(euWest, "configmaps", "settings", "data.tier", "none")
	for cluster, version := range others {
		if got := s.on(cluster, "configmaps", "settings").GetResourceVersion(); got != version {
			t.Errorf("the object on %s was written, too", cluster)
		}
	}
}
