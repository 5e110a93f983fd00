//go:build integration

package lifecycle

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/test/probe"
)

const chain = `
schema:
  apiVersion: v1alpha1
  kind: Chain
  spec: {text: string | default=hello}
  status: {last: "${second.data.text}"}
resources:
- id: first
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-first"}
    data: {text: "${schema.spec.text}"}
- id: second
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-second"}
    data: {text: "${first.data.text + '!'}"}`

func TestAnInstanceWithoutAPlacementRunsOnTheHub(t *testing.T) {
	s := begin(t, "local")
	defer s.end()
	s.active("Chain", chain)
	s.create("Chain", "one", "{text: good day}")
	got := s.reaches("Chain", "one", "ACTIVE")
	if got.Text("status.last") != "good day!" {
		t.Errorf("status.last is %q", got.Text("status.last"))
	}
	if placed := got.Condition("Placed"); placed.Status != "True" {
		t.Errorf("Placed is %v", placed)
	}
	child := s.appears("configmaps", "one-second")
	labels := child.GetLabels()
	want := map[string]string{
		"kro.run/owned": "true", "kro.run/node-id": "second",
		"kro.run/instance-name": "one", "kro.run/instance-namespace": "local", "kro.run/instance-kind": "Chain",
		"kro.run/instance-group": "kro.run", "kro.run/instance-version": "v1alpha1", "kro.run/instance-id": string(got.GetUID()),
	}
	for key := range labels {
		if _, wanted := want[key]; !wanted {
			delete(labels, key)
		}
	}
	if diff := cmp.Diff(want, labels); diff != "" {
		t.Errorf("labels that kro's users select on (-want +got):\n%s", diff)
	}
	if work := s.cluster.Get(t, "manifestworks.work.open-cluster-management.io", "local-cluster/namespace-local"); work != nil {
		t.Error("the namespace of the instance is shipped to the cluster it is on")
	}
}

func TestTheDefaultNamespaceIsAsGoodAsAnyOnTheHub(t *testing.T) {
	s := begin(t, "local-default")
	defer s.end()
	s.active("Plain", `
schema: {apiVersion: v1alpha1, kind: Plain}
resources:
- id: settings
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${schema.metadata.name}"}, data: {a: b}}`)
	s.apply("apiVersion: kro.run/v1alpha1\nkind: Plain\nmetadata: {name: here, namespace: default}")
	probe.Eventually(t, "Plain here to be ACTIVE", func() error {
		if got := s.cluster.Get(t, s.defined["Plain"], "default/here"); got.Text("status.state") != "ACTIVE" {
			return fmt.Errorf("its status is %v", got.At("status"))
		}
		return nil
	})
}

func TestWhatRunsOnTheHubStaysWhenAnotherClusterIsAccepted(t *testing.T) {
	s := begin(t, "joined")
	defer s.end()
	s.active("Chain", chain)
	s.create("Chain", "before", "{text: early}")
	s.reaches("Chain", "before", "ACTIVE")
	s.apply(`
apiVersion: cluster.open-cluster-management.io/v1
kind: ManagedCluster
metadata: {name: second}
spec: {hubAcceptsClient: true}`)
	defer s.cluster.Delete(t, "managedclusters.cluster.open-cluster-management.io", "second")

	s.create("Chain", "after", "{text: late}")
	probe.Eventually(t, "after to say that nothing places it", func() error {
		if placed := s.instance("Chain", "after").Condition("Placed"); placed.Status != "False" || placed.Reason != "NoPlacement" {
			return fmt.Errorf("Placed is %v", placed)
		}
		return nil
	})
	s.create("Chain", "before", "{text: changed}")
	if got := s.reaches("Chain", "before", "ACTIVE"); got.Text("status.last") != "changed!" || got.Condition("Placed").Status != "True" {
		t.Errorf("its status is %v", got.At("status"))
	}

	s.cluster.Delete(t, "managedclusters.cluster.open-cluster-management.io", "second")
	s.reaches("Chain", "after", "ACTIVE")
}

func TestACollectionShrinksBeforeTheEyesOfWhatReadsIt(t *testing.T) {
	s := begin(t, "shrinking")
	defer s.end()
	s.active("Herd", `
schema:
  apiVersion: v1alpha1
  kind: Herd
  spec: {names: "[]string"}
  status: {count: "${size(sheep)}"}
resources:
- id: sheep
  forEach: [{name: "${schema.spec.names}"}]
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: "${name}"}, data: {name: "${name}"}}
- id: dog
  template: {apiVersion: v1, kind: ConfigMap, metadata: {name: dog}, data: {watches: "${sheep.map(s, s.metadata.name).join(',')}"}}`)
	s.create("Herd", "one", "{names: [ann, bea, cleo]}")
	s.reaches("Herd", "one", "ACTIVE")
	s.create("Herd", "one", "{names: [cleo, ann]}")
	s.goes("configmaps", "bea")
	probe.Eventually(t, "the herd to be two", func() error {
		got, dog := s.reaches("Herd", "one", "ACTIVE"), s.get("configmaps", "dog")
		if got.Int("status.count") != 2 || dog.Text("data.watches") != "cleo,ann" {
			return fmt.Errorf("the status is %v, the dog watches %q", got.At("status"), dog.Text("data.watches"))
		}
		return nil
	})
}
