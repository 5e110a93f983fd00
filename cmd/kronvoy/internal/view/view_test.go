package view

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// shop is an instance whose definition has conditions of its own, on a cluster
// where one node waits and another one is wrong.
var shop = &unstructured.Unstructured{Object: map[string]any{
	"kind": "WebApp", "metadata": map[string]any{"namespace": "shop", "name": "shop"},
	"status": map[string]any{
		"state":      "ERROR",
		"conditions": []any{map[string]any{"type": "Ready", "status": "True", "message": "the author's"}},
		"fleet": map[string]any{
			"placed": int64(1), "ready": int64(0), "failed": int64(1),
			"conditions": []any{map[string]any{"type": "Ready", "status": "False", "message": "0 of 1 clusters are ready"}},
			"clusters": []any{map[string]any{
				"name": "eu-west", "state": "Failed", "ready": "1/3", "revision": "shop-7f",
				"nodes": []any{
					map[string]any{"id": "web", "state": "Pending", "waitsFor": []any{"db.status.host", "db.status.port"}},
					map[string]any{"id": "dns", "state": "Failed", "message": "division by zero"},
					map[string]any{"id": "api", "state": "Ready", "health": "Failed", "message": "deployments.apps shop/api: timed out"},
				},
			}},
		},
	},
}}

func TestAnInstanceIsShownWithTheNodesThatAreNotReady(t *testing.T) {
	var out bytes.Buffer
	if err := WriteInstance(&out, read(shop), false); err != nil {
		t.Fatal(err)
	}
	const want = `webapp/shop in namespace shop: ERROR, 0 of 1 clusters ready
CLUSTER   REGION   REVISION   STATE    READY   MESSAGE
eu-west   -        7f         Failed   1/3     -

CLUSTER   NODE   STATE     HEALTH   WAITS FOR
eu-west   web    Pending   -        db.status.host, db.status.port
eu-west   dns    Failed    -        division by zero
eu-west   api    Ready     Failed   deployments.apps shop/api: timed out
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheMessageIsThatOfTheBuiltInConditionsThenOfTheAuthorsStatus(t *testing.T) {
	if got := read(shop).Message; got != "0 of 1 clusters are ready" {
		t.Errorf("the message is %q", got)
	}
	ready := shop.DeepCopy()
	fleet := ready.Object["status"].(map[string]any)["fleet"].(map[string]any)
	fleet["conditions"] = []any{map[string]any{"type": "Ready", "status": "True"}}
	fleet["issues"] = []any{"on eu-west: spec.schema.status.n: division by zero"}
	if got := read(ready).Message; got != "on eu-west: spec.schema.status.n: division by zero" {
		t.Errorf("the message is %q", got)
	}
	delete(fleet, "issues")
	fleet["unhealthy"] = int64(1)
	if got := read(ready).Message; got != "ready, but not healthy on 1 of 1 clusters" {
		t.Errorf("the message is %q", got)
	}
}
