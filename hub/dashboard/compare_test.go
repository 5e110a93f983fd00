package dashboard

import (
	"context"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/kinds"
	"github.com/kronvoy/kronvoy/hub/plan"
	policies "github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/target"
	"github.com/kronvoy/kronvoy/hub/work"
)

// plans gathers what the scene has, for an agent that may do everything.
type plans struct {
	client  client.Client
	graphs  Graphs
	blocked string
}

func (p plans) Gather(ctx context.Context, t *kronvoyv1alpha1.Target) (target.Gathered, error) {
	stored := &appsv1.ControllerRevision{}
	if err := p.client.Get(ctx, client.ObjectKey{Namespace: t.Spec.Instance.Namespace, Name: t.Spec.Revision}, stored); err != nil {
		return target.Gathered{}, err
	}
	parsed, err := revision.ParseInstance(stored)
	if err != nil {
		return target.Gathered{}, err
	}
	g, err := p.graphs.Shown(ctx, parsed.Definition)
	if err != nil {
		return target.Gathered{}, err
	}
	identity := work.IdentityOf(t.Spec.Instance)
	instance := kinds.Object(kinds.Request{Group: identity.Group, Version: identity.Version, Kind: identity.Kind}.GVK())
	instance.SetNamespace(identity.Namespace)
	instance.SetName(identity.Name)
	return target.Gathered{Blocked: p.blocked, Input: plan.Input{
		Identity: identity, Instance: instance, RevisionName: stored.Name, Revision: parsed, Graph: g, SecretValuesTravel: true,
		ClusterName: t.Namespace, Cluster: &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: t.Namespace}},
		Agent: work.Capabilities{Reports: true}, Described: true, ActsFor: policies.Identity{Namespace: "shop", Marked: "shop", AllowAgent: true},
		Observed: map[string]graph.Observed{"password": {Objects: []graph.ObservedObject{{Current: true, Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "password", "namespace": "shop"}, "data": map[string]any{"key": "aHVudGVyMg=="},
		}}}}},
	}}, nil
}

func (plans) Look(context.Context, *plan.Input, []kronvoyv1alpha1.ChildReference) error { return nil }

func TestWhatIsShippedIsComparedWithAnotherRevision(t *testing.T) {
	identity := work.Identity{Group: "kro.run", Version: "v1alpha1", Kind: "WebApp", Namespace: "shop", Name: "shop"}
	// The instance of the scene has no UID, nor has its controller then.
	other, err := revision.Instance{Definition: "webapp-1", Spec: map[string]any{"note": "another one", "token": "hunter3"}}.
		Object("shop", identity, 2, metav1.OwnerReference{APIVersion: "kro.run/v1alpha1", Kind: "WebApp", Name: "shop", Controller: ptr.To(true)})
	if err != nil {
		t.Fatal(err)
	}
	b := scene(t, other)
	b.server.opts.Plans = plans{client: b.client, graphs: b.server.opts.Graphs}
	path := instancePath + "?cluster=eu-west&against=@" + other.Name
	got := b.as("admin-token").get(path).body
	b.wants(got, `<optgroup label="Revisions">`, "would be there with revision <code>"+other.Name+"</code>", "<del>−   note: on eu-west</del><ins>+   note: another one</ins>")
	b.lacks(got, "hunter")

	b.server.opts.Plans = plans{client: b.client, graphs: b.server.opts.Graphs, blocked: "its overrides cannot be used"}
	b.wants(b.as("admin-token").get(path).body, "There is nothing to compare with: its overrides cannot be used")

	b.api.rights["nobody"] = []Right{
		{Verb: "*", Group: "kro.run", Resource: "*", Namespace: "*", Name: "*"}, {Verb: "list", Group: kronvoyGroup, Resource: "*", Namespace: "*", Name: "*"},
		{Verb: "list", Group: workGroup, Resource: "*", Namespace: "*", Name: "*"},
	}
	got = b.as("none-token").get(path).body
	b.wants(got, "Compare with")
	b.lacks(got, other.Name, "another one")
}
