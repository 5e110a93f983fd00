//go:build integration

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/probe"
)

const finite = `
apiVersion: work.open-cluster-management.io/v1
kind: ManifestWork
metadata: {name: expiry, namespace: us-east}
spec:
  deleteOption: {propagationPolicy: Foreground, ttlSecondsAfterFinished: 1}
  workload:
    manifests:
    - {apiVersion: v1, kind: Namespace, metadata: {name: by-hand}}
    - {apiVersion: v1, kind: ConfigMap, metadata: {name: step, namespace: by-hand}}
  manifestConfigs:
  - resourceIdentifier: {resource: configmaps, name: step, namespace: by-hand}
    updateStrategy: {type: ServerSideApply}
    conditionRules:
    - {condition: Complete, type: CEL, celExpressions: ["object.?data.state.orValue('') == 'done'"]}`

// A work as an OCM user writes it by hand: it is over when its object says so,
// and asks to be gone a second later.
func TestAWorkThatIsCompleteGoesWhenItsTimeIsUp(t *testing.T) {
	s := begin(t, "expiry")
	defer s.end()
	const works = "manifestworks.work.open-cluster-management.io"
	probe.Eventually(t, "the cluster to be joined", func() error { return s.hub.TryApply(t.Context(), finite) })
	complete := func(status string) {
		t.Helper()
		probe.Eventually(t, "the work to be Complete "+status, func() error {
			work := s.hub.Get(t, works, usEast+"/expiry")
			if work == nil || work.Condition("Complete").Status != status {
				return fmt.Errorf("it is %v", work)
			}
			return nil
		})
	}
	complete("False")

	s.hub.Patch(t, "managedclusters.cluster.open-cluster-management.io", usEast, "{metadata: {annotations: {kronvoy.io/reconcile: suspended}}}")
	s.spokes[usEast].Patch(t, "configmaps", "by-hand/step", "{data: {state: done}}")
	complete("True")
	probe.During(t, 3*time.Second, "the work to stay on a frozen cluster", func() error {
		if s.hub.Get(t, works, usEast+"/expiry").Object["metadata"].(map[string]any)["deletionTimestamp"] != nil {
			return fmt.Errorf("it is being deleted")
		}
		return nil
	})
	s.hub.Patch(t, "managedclusters.cluster.open-cluster-management.io", usEast, "{metadata: {annotations: {kronvoy.io/reconcile: null}}}")

	probe.Within(t, 30*time.Second, "the work to go with its objects", func() error {
		if s.hub.Get(t, works, usEast+"/expiry") != nil {
			return fmt.Errorf("the work is still there")
		}
		if s.spokes[usEast].Get(t, "configmaps", "by-hand/step") != nil {
			return fmt.Errorf("its object is still there")
		}
		return nil
	})
}
