//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

// directory lists the ConfigMaps of a role in the instance's namespace, and
// hands on what it finds.
const directory = `
schema:
  spec:
    role: string | default="db"
  status:
    found: ${found.map(x, x.metadata.name + "=" + x.data.?color.orValue("none"))}
resources:
- id: found
  externalRef:
    apiVersion: v1
    kind: ConfigMap
    metadata:
      namespace: ${schema.metadata.namespace}
      selector: {matchLabels: {role: "${schema.spec.role}"}}
- id: summary
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: summary}
    data: {names: '${found.map(x, x.metadata.name).join(",")}'}`

// labelled makes a ConfigMap of a role on a spoke, as somebody there.
func (s *scene) labelled(cluster, name, role, data string) {
	s.Helper()
	s.spokes[cluster].Apply(s, fmt.Sprintf(`
apiVersion: v1
kind: ConfigMap
metadata: {name: %s, namespace: %s, labels: {role: %s}}
data: %s`, name, s.ns, role, data))
}

// finds waits until the instance's row of a cluster says what was found there,
// and the object made of it on the cluster does, too.
func (s *scene) finds(cluster, kind, name string, want ...string) {
	s.Helper()
	s.says(cluster, kind, name, want...)
	var names []string
	for _, line := range want {
		names = append(names, strings.Split(line, "=")[0])
	}
	s.holds(cluster, "configmaps", "summary", "data.names", strings.Join(names, ","))
}

func (s *scene) says(cluster, kind, name string, want ...string) {
	s.Helper()
	probe.Eventually(s, fmt.Sprintf("the status of %s to say that %s has %v", name, cluster, want), func() error {
		instance := s.instance(kind, name)
		row := fleetRow(instance, cluster)
		got, listed := row.At("values.found").([]any)
		if !listed || fmt.Sprint(got) != fmt.Sprint(want) || row.Text("state") != "Ready" {
			return fmt.Errorf("its status is %v", instance.At("status"))
		}
		return nil
	})
}

func TestWhatASelectorFindsIsInTheStatusAndFlowsIntoOtherResources(t *testing.T) {
	s := begin(t, "directory")
	defer s.end()
	s.define("Directory", directory)
	s.create("Directory", "one", everywhere, "")

	// Nothing matches: that is an answer.
	s.ready("Directory", "one", 3)
	for _, cluster := range []string{euWest, usEast, apSouth} {
		s.finds(cluster, "Directory", "one")
	}

	s.labelled(euWest, "a", "db", "{color: red}")
	s.labelled(euWest, "b", "db", "{}")
	s.labelled(euWest, "c", "web", "{color: blue}")
	s.labelled(usEast, "d", "db", "{color: green}")
	s.finds(euWest, "Directory", "one", "a=red", "b=none")
	s.finds(usEast, "Directory", "one", "d=green")

	s.spokes[euWest].Patch(t, "configmaps", s.ns+"/c", `{metadata: {labels: {role: db}}}`)
	s.spokes[euWest].Patch(t, "configmaps", s.ns+"/b", `{metadata: {labels: {role: null}}}`)
	s.spokes[euWest].Patch(t, "configmaps", s.ns+"/a", `{data: {color: yellow}}`)
	s.finds(euWest, "Directory", "one", "a=yellow", "c=blue")
	s.spokes[euWest].Delete(t, "configmaps", s.ns+"/a")
	s.finds(euWest, "Directory", "one", "c=blue")

	t.Run("another selector finds something else", func(t *testing.T) {
		s.labelled(usEast, "e", "web", "{color: white}")
		s.create("Directory", "one", everywhere, "role: web")
		s.ready("Directory", "one", 3)
		s.finds(usEast, "Directory", "one", "e=white")
		s.finds(euWest, "Directory", "one")
		s.finds(apSouth, "Directory", "one")
	})
	t.Run("a restart of the agent misses nothing", func(t *testing.T) {
		agent := s.stack.Agents[usEast]
		if err := agent.Kill(); err != nil {
			t.Fatal(err)
		}
		s.labelled(usEast, "f", "web", "{color: black}")
		if err := agent.Start(); err != nil {
			t.Fatal(err)
		}
		s.finds(usEast, "Directory", "one", "e=white", "f=black")
	})
	for cluster, names := range map[string][]string{euWest: {"b", "c"}, usEast: {"d", "e", "f"}} {
		for _, name := range names {
			if s.on(cluster, "configmaps", name) == nil {
				t.Errorf("%s of somebody else is gone from %s", name, cluster)
			}
		}
	}
}

func TestADefinitionThatOnlySelectsIsReadyWhenEachOfWhatItFindsIs(t *testing.T) {
	s := begin(t, "lookout")
	defer s.end()
	s.define("Lookout", `
schema:
  status:
    found: ${found.map(x, x.metadata.name)}
resources:
- id: found
  readyWhen: ["${each.data.state == 'up'}"]
  externalRef:
    apiVersion: v1
    kind: ConfigMap
    metadata: {selector: {matchExpressions: [{key: role, operator: In, values: [lookout]}]}}`)
	s.create("Lookout", "one", euWest, "")
	s.ready("Lookout", "one", 1)
	s.says(euWest, "Lookout", "one")
	s.labelled(euWest, "early", "lookout", "{state: up}")
	s.says(euWest, "Lookout", "one", "early")

	s.labelled(euWest, "late", "lookout", "{state: down}")
	s.node(euWest, "Lookout", "one", "found", "Progressing")
	s.spokes[euWest].Patch(t, "configmaps", s.ns+"/late", `{data: {state: up}}`)
	s.ready("Lookout", "one", 1)
	s.says(euWest, "Lookout", "one", "early", "late")
}

func TestWhatAnAgentMayNotListIsNamedInTheStatusAndHoldsNothingElseUp(t *testing.T) {
	s := begin(t, "unlistable")
	defer s.end()
	s.define("Census", `
schema:
  spec: {}
resources:
- id: volumes
  externalRef: {apiVersion: v1, kind: PersistentVolume, metadata: {selector: {}}}
- id: beside
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: beside}
- id: after
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: after}
    data: {count: '${string(size(volumes))}'}`)
	s.create("Census", "one", euWest, "")
	s.appears(euWest, "configmaps", "beside")
	node := s.node(euWest, "Census", "one", "volumes", "Failed")
	if got := node.Text("message"); !strings.Contains(got, `cannot list resource "persistentvolumes"`) {
		t.Errorf("its message is %q", got)
	}
	s.node(euWest, "Census", "one", "beside", "Ready")
	s.node(euWest, "Census", "one", "after", "Held")
}
