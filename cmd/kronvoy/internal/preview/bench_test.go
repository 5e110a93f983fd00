package preview

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/manifest"
	"github.com/kronvoy/kronvoy/graph/schema/builtin"
	"github.com/kronvoy/kronvoy/hub"
	"github.com/kronvoy/kronvoy/hub/policy"
)

// fiveNodes is a definition with five resources, and an instance of it.
const fiveNodes = `
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: app}
spec:
  schema: {apiVersion: v1alpha1, kind: App, spec: {image: string}}
  resources:
  - id: settings
    template: {apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {cluster: "${cluster.name}", region: "${cluster.labels.region}"}}
  - id: account
    template: {apiVersion: v1, kind: ServiceAccount, metadata: {name: app}}
  - id: deployment
    template:
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: app}
      spec:
        selector: {matchLabels: {app: app}}
        template:
          metadata: {labels: {app: app}}
          spec:
            serviceAccountName: ${account.metadata.name}
            containers: [{name: app, image: "${schema.spec.image}", envFrom: [{configMapRef: {name: "${settings.metadata.name}"}}]}]
  - id: service
    template: {apiVersion: v1, kind: Service, metadata: {name: app}, spec: {selector: "${deployment.spec.selector.matchLabels}", ports: [{port: 80}]}}
  - id: budget
    template: {apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: app}, spec: {minAvailable: 1, selector: {matchLabels: {app: "${service.metadata.name}"}}}}
---
apiVersion: cluster.open-cluster-management.io/v1beta2
kind: ManagedClusterSetBinding
metadata: {name: global, namespace: shop}
spec: {clusterSet: global}
---
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: all, namespace: shop}
spec: {clusterSets: [global]}
---
apiVersion: kro.run/v1alpha1
kind: App
metadata: {name: app, namespace: shop, labels: {kronvoy.io/placement: all}}
spec: {image: "nginx:0"}
`

// BenchmarkPreview1000Clusters is a change of an image on 1,000 clusters, from
// what is in memory to a printed table.
func BenchmarkPreview1000Clusters(b *testing.B) {
	var base strings.Builder
	base.WriteString(fiveNodes)
	for i := range 1000 {
		fmt.Fprintf(&base, "---\n{apiVersion: cluster.open-cluster-management.io/v1, kind: ManagedCluster, metadata: {name: c%d, labels: {region: r%d}}, spec: {hubAcceptsClient: true}}\n", i, i%10)
	}
	scheme, err := hub.Scheme()
	if err != nil {
		b.Fatal(err)
	}
	s := newSimulation(b.Context(), Options{
		Scheme: scheme, Resolver: builtin.Resolver(), Namespace: "shop", HubNamespace: "kronvoy-system", AgentIdentity: policy.AgentIdentityTrue,
		Now: time.Date(2026, 9, 4, 12, 0, 0, 0, time.UTC),
	})
	documents := read(b, base.String())
	if err := s.loadFleet(); err != nil {
		b.Fatal(err)
	}
	if err := s.found(documents); err != nil {
		b.Fatal(err)
	}
	if err := s.suppose(documents); err != nil {
		b.Fatal(err)
	}
	image := 0
	b.ReportAllocs()
	for b.Loop() {
		image++
		result, err := s.change(read(b, fmt.Sprintf("{apiVersion: kro.run/v1alpha1, kind: App, metadata: {name: app, namespace: shop}, spec: {image: \"nginx:%d\"}}", image)))
		if err != nil {
			b.Fatal(err)
		}
		if result.Summary.Changed != 1000 {
			b.Fatal(result.Summary)
		}
		var out strings.Builder
		if err := result.Write(&out, false); err != nil {
			b.Fatal(err)
		}
	}
}

func read(b testing.TB, text string) []*manifest.Document {
	b.Helper()
	documents, err := manifest.Read(strings.NewReader(text), []string{"-"})
	if err != nil {
		b.Fatal(err)
	}
	return documents
}
