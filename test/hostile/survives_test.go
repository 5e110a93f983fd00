//go:build integration

package hostile

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

const (
	// flood is how many answers, each as large as the policies let through, one
	// cluster sends.
	flood = 300
	// memory is what the hub's process may use during all of this. Installed, its
	// limit is 1 GiB.
	memory = 500 << 20
)

// TestTheHubSurvives floods the hub with what a cluster may write, and then has
// it serve a good instance on a good cluster.
func TestTheHubSurvives(t *testing.T) {
	w := shared.Get(t)
	w.spoke.Apply(t, deployment)
	w.hub.Apply(t, placed("tenant-a", "deployer"))
	answer := `{status: {values: [` + strings.Repeat(`{name: a, path: data, value: "`+strings.Repeat("x", 60<<10)+`"},`, 6) + `], observedHash: h%d}}`
	most := int64(0)
	probe.Eventually(t, "the agent's rights", func() error {
		_, err := w.actors[spoke].send(t.Context(), http.MethodPatch, kronvoy+"c1/workreports/victim/status", fmt.Sprintf(answer, 0))
		return err
	})
	for i := range flood {
		if _, err := w.actors[spoke].send(t.Context(), http.MethodPatch, kronvoy+"c1/workreports/victim/status", fmt.Sprintf(answer, i)); err != nil {
			t.Fatal(err)
		}
		most = max(most, w.stack.Hub.RSS())
	}
	s := &scene{kind: "Honest", in: "tenant-a", resource: "configmaps", object: "tenant-a/honest",
		resources: `{id: it, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: honest, namespace: tenant-a}, data: {owner: tenant}}}`}
	w.define(t, s)
	w.instantiate(t, s)
	probe.Eventually(t, "a good instance to be ready", func() error {
		if ready := w.instance(t, s).Condition("Ready"); ready.Status != "True" {
			return fmt.Errorf("Ready is %v", ready)
		}
		return nil
	})
	most = max(most, w.stack.Hub.RSS())
	if most == 0 || most > memory {
		t.Errorf("the hub has used %d MiB, at most %d are allowed", most>>20, memory>>20)
	}
	t.Logf("the hub has used %d MiB at most", most>>20)
}
