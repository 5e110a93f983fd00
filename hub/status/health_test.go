package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// sickly is a Target that is ready and of which a node has a health.
func sickly(cluster string, health kronvoyv1alpha1.Health, message string) kronvoyv1alpha1.Target {
	t := target(cluster, ready, "")
	t.Status.Health = health
	t.Status.Nodes = []kronvoyv1alpha1.NodeStatus{
		{ID: "config", State: "Ready", Health: kronvoyv1alpha1.Healthy}, {ID: "web", State: "Ready", Health: health, HealthMessage: message},
	}
	if health == kronvoyv1alpha1.Healthy {
		t.Status.Clocks.HealthySince = &noon
	}
	return t
}

func TestAnInstanceThatIsReadyShowsWhereItIsNotHealthy(t *testing.T) {
	const why = "deployments.apps shop/web: ProgressDeadlineExceeded: timed out"
	status := Summarize(input(
		sickly("a", kronvoyv1alpha1.Healthy, ""), sickly("b", kronvoyv1alpha1.HealthFailed, why),
		sickly("c", kronvoyv1alpha1.HealthProgressing, "not yet"), sickly("d", kronvoyv1alpha1.HealthUnknown, "its agent does not judge health"),
	))
	if status["state"] != Active || conditionsOf(status)["Ready"] != "True/Ready" {
		t.Errorf("it is %v, %s: health is no part of readyWhen", status["state"], conditionsOf(status)["Ready"])
	}
	fleet := status["fleet"].(map[string]any)
	if fleet["healthy"] != int64(1) || fleet["unhealthy"] != int64(2) || fleet["ready"] != int64(4) {
		t.Errorf("%v healthy, %v unhealthy, %v ready", fleet["healthy"], fleet["unhealthy"], fleet["ready"])
	}
	row := func(name, health string, more map[string]any) map[string]any {
		r := map[string]any{"name": name, "state": "Ready", "revision": "r1", "ready": "2/2", "health": health}
		for key, value := range more {
			r[key] = value
		}
		return r
	}
	node := func(health, message string) []any {
		return []any{map[string]any{"id": "web", "state": "Ready", "health": health, "message": message}}
	}
	want := []any{
		row("a", "Healthy", nil),
		row("b", "Failed", map[string]any{"message": "web is not healthy, and has failed: " + why, "nodes": node("Failed", why)}),
		row("c", "Progressing", map[string]any{"message": "web is not healthy yet: not yet", "nodes": node("Progressing", "not yet")}),
		row("d", "Unknown", nil),
	}
	if diff := cmp.Diff(want, fleet["clusters"]); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestWhatIsNotReadySaysThatFirst(t *testing.T) {
	sick := sickly("a", kronvoyv1alpha1.HealthProgressing, "not yet")
	sick.Status.State, sick.Status.Message = progressing, "web waits for web to be ready"
	fleet := Summarize(input(sick))["fleet"].(map[string]any)
	if got := fleet["clusters"].([]any)[0].(map[string]any)["message"]; got != "web waits for web to be ready" {
		t.Errorf("it says %q", got)
	}
}

func TestHealthOfAnInstanceByItsStatus(t *testing.T) {
	for name, test := range map[string]struct {
		status map[string]any
		health kronvoyv1alpha1.Health
		why    string
	}{
		"one that says nothing of it":        {status: map[string]any{"fleet": map[string]any{"placed": int64(1), "ready": int64(1)}}},
		"one without a status":               {},
		"one whose author has a field fleet": {status: map[string]any{"fleet": "mine", "kronvoyFleet": map[string]any{"placed": int64(1), "healthy": int64(1)}}, health: kronvoyv1alpha1.Healthy},
		"healthy everywhere":                 {status: Summarize(input(sickly("a", kronvoyv1alpha1.Healthy, ""))), health: kronvoyv1alpha1.Healthy},
		"failed":                             {status: Summarize(input(sickly("a", kronvoyv1alpha1.HealthFailed, "x"))), health: kronvoyv1alpha1.HealthFailed, why: "web is not healthy, and has failed: x"},
		"the worst of several":               {status: Summarize(input(sickly("a", kronvoyv1alpha1.HealthProgressing, "x"), sickly("b", kronvoyv1alpha1.HealthFailed, "y"))), health: kronvoyv1alpha1.HealthFailed, why: "web is not healthy, and has failed: y"},
		"not known":                          {status: Summarize(input(sickly("a", kronvoyv1alpha1.HealthUnknown, "x"))), health: kronvoyv1alpha1.HealthUnknown, why: "its health is Unknown"},
		"healthy at an earlier revision":     {status: earlier(), health: kronvoyv1alpha1.HealthProgressing, why: "not all of its clusters are ready"},
		"placed nowhere":                     {status: Summarize(input()), health: kronvoyv1alpha1.HealthProgressing, why: "not all of its clusters are ready"},
	} {
		t.Run(name, func(t *testing.T) {
			health, why := Health(test.status)
			if health != test.health || why != test.why {
				t.Errorf("%s, %q; want %s, %q", health, why, test.health, test.why)
			}
		})
	}
}

// earlier is healthy at a revision that is not the newest.
func earlier() map[string]any {
	in := input(sickly("a", kronvoyv1alpha1.Healthy, ""))
	in.Revision = "r2"
	return Summarize(in)
}
