package rollout

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/index"
)

const namespace = "shop"

// reader answers from objects, as the hub's cache does.
func reader(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{kronvoyv1alpha1.AddToScheme, clusterv1.Install, clusterv1beta1.Install, appsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithIndex(&kronvoyv1alpha1.Target{}, index.Child, index.Children).Build()
}

func placement(name string, conditions ...metav1.Condition) *clusterv1beta1.Placement {
	return &clusterv1beta1.Placement{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name)},
		Status:     clusterv1beta1.PlacementStatus{Conditions: conditions},
	}
}

// ending is a Placement on its way out.
func ending(p *clusterv1beta1.Placement) *clusterv1beta1.Placement {
	now := metav1.Now()
	p.DeletionTimestamp, p.Finalizers = &now, []string{metav1.FinalizerDeleteDependents}
	return p
}

// kept is a Placement that the hub keeps for a Distribution.
func kept(p *clusterv1beta1.Placement, d *kronvoyv1alpha1.Distribution) *clusterv1beta1.Placement {
	p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(d, kronvoyv1alpha1.GroupVersion.WithKind("Distribution"))}
	return p
}

// page is one of a Placement's decisions, of the Placement with the given UID.
func page(placement string, uid types.UID, number, index int, group string, clusters ...string) *clusterv1beta1.PlacementDecision {
	d := &clusterv1beta1.PlacementDecision{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: placement + "-decision-" + strconv.Itoa(number),
		Labels: map[string]string{
			clusterv1beta1.PlacementLabel: placement, clusterv1beta1.DecisionGroupNameLabel: group,
			clusterv1beta1.DecisionGroupIndexLabel: strconv.Itoa(index),
		},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "cluster.open-cluster-management.io/v1beta1", Kind: "Placement", Name: placement, UID: uid, Controller: new(true)}},
	}}
	for _, cluster := range clusters {
		d.Status.Decisions = append(d.Status.Decisions, clusterv1beta1.ClusterDecision{ClusterName: cluster})
	}
	return d
}

func decides(placement string, clusters ...string) *clusterv1beta1.PlacementDecision {
	return page(placement, types.UID(placement), 1, 0, "", clusters...)
}

func distribution(name string, placement *kronvoyv1alpha1.DistributionPlacement) *kronvoyv1alpha1.Distribution {
	return &kronvoyv1alpha1.Distribution{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("distribution-" + name)},
		Spec: kronvoyv1alpha1.DistributionSpec{
			Instances: kronvoyv1alpha1.InstanceSelector{APIVersion: "kro.run/v1alpha1", Kind: "WebApp"}, Placement: placement,
		},
	}
}

func refs(names ...string) *kronvoyv1alpha1.DistributionPlacement {
	p := &kronvoyv1alpha1.DistributionPlacement{}
	for _, name := range names {
		p.Refs = append(p.Refs, kronvoyv1alpha1.PlacementReference{Name: name})
	}
	return p
}

func selector(operator metav1.LabelSelectorOperator) *kronvoyv1alpha1.DistributionPlacement {
	return &kronvoyv1alpha1.DistributionPlacement{ClusterSelector: &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "env", Operator: operator}},
	}}
}

func TestWhereAnInstanceRuns(t *testing.T) {
	var (
		shop       = Authority{ByDistribution, "shop"}
		misconf    = metav1.Condition{Type: clusterv1beta1.PlacementConditionMisconfigured, Status: metav1.ConditionTrue, Reason: "Misconfigured", Message: "spec.predicates[0] is odd"}
		wellconf   = metav1.Condition{Type: clusterv1beta1.PlacementConditionMisconfigured, Status: metav1.ConditionFalse, Reason: "Succeedconfigured"}
		selectable = distribution("shop", selector(metav1.LabelSelectorOpExists))
		local      = &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: kronvoyv1alpha1.LocalCluster}, Spec: clusterv1.ManagedClusterSpec{HubAcceptsClient: true}}
	)
	unsatisfied := func(reason string) metav1.Condition {
		return metav1.Condition{Type: clusterv1beta1.PlacementConditionSatisfied, Status: metav1.ConditionFalse, Reason: reason, Message: "none fits"}
	}
	broken := distribution("shop", nil)
	broken.Spec.Policies = []kronvoyv1alpha1.DistributionPolicy{{ClusterSelector: selector("Like").ClusterSelector, Drift: kronvoyv1alpha1.DriftReport}}
	misfit := distribution("shop", refs("prod"))
	misfit.Spec.Overrides = []kronvoyv1alpha1.Override{{}}
	unfit := func(d *kronvoyv1alpha1.Distribution) error {
		if len(d.Spec.Overrides) == 0 {
			return nil
		}
		return errors.New("spec.overrides[0].spec.size: unknown field")
	}
	by := func(placement string) Place { return Place{Placement: placement} }
	cases := map[string]struct {
		label   string
		owner   *kronvoyv1alpha1.Distribution
		objects []client.Object
		want    Decision
	}{
		"by its label": {
			label: "prod", objects: []client.Object{placement("prod", wellconf), decides("prod", "eu", "us")},
			want: Decision{
				Decided: true, Reason: ReasonPlaced, By: Authority{ByLabel, "prod"},
				Clusters: []string{"eu", "us"}, Places: map[string]Place{"eu": by("prod"), "us": by("prod")},
			},
		},
		"by its label, when its Distribution leaves that to it": {
			label: "prod", owner: distribution("shop", nil), objects: []client.Object{placement("prod"), decides("prod", "eu")},
			want: Decision{Decided: true, Reason: ReasonPlaced, By: Authority{ByLabel, "prod"}, Clusters: []string{"eu"}, Places: map[string]Place{"eu": by("prod")}},
		},
		"by its Distribution, before its label": {
			label: "prod", owner: distribution("shop", refs("test")),
			objects: []client.Object{placement("prod"), decides("prod", "eu"), placement("test"), decides("test", "us")},
			want:    Decision{Decided: true, Reason: ReasonPlaced, By: shop, Shadowed: "prod", Clusters: []string{"us"}, Places: map[string]Place{"us": by("test")}},
		},
		"by the default, when nobody else says where": {
			owner: distribution("shop", nil), objects: []client.Object{local},
			want: Decision{Decided: true, Reason: ReasonPlaced, By: Authority{Kind: ByDefault}, Clusters: []string{kronvoyv1alpha1.LocalCluster}},
		},
		"nowhere": {
			want: Decision{Reason: ReasonNoPlacement, By: Authority{Kind: ByDefault}, Message: "nothing says where this instance runs: " +
				"label it kronvoy.io/placement=<name of a Placement in its namespace>, or select it with a Distribution that has spec.placement"},
		},
		"a cluster that several select is the first one's, with its group": {
			owner: distribution("shop", refs("canary", "prod")),
			objects: []client.Object{
				placement("canary"), page("canary", "canary", 1, 0, "early", "eu"), page("canary", "canary", 2, 1, "late", "us"),
				placement("prod"), page("prod", "prod", 1, 0, "all", "eu", "ap"),
			},
			want: Decision{
				Decided: true, Reason: ReasonPlaced, By: shop, Clusters: []string{"ap", "eu", "us"},
				Places: map[string]Place{"eu": {"canary", "early", 0}, "us": {"canary", "late", 1}, "ap": {"prod", "all", 0}},
			},
		},
		"one on pages of two groups is in the first": {
			label: "prod",
			objects: []client.Object{
				placement("prod"), page("prod", "prod", 1, 1, "late", "eu"), page("prod", "prod", 2, 0, "early", "eu"), page("prod", "prod", 3, 2, "last", "eu"),
			},
			want: Decision{Decided: true, Reason: ReasonPlaced, By: Authority{ByLabel, "prod"}, Clusters: []string{"eu"}, Places: map[string]Place{"eu": {"prod", "early", 0}}},
		},
		"one that selects nothing takes nothing from another": {
			owner: distribution("shop", refs("empty", "prod")),
			objects: []client.Object{
				placement("empty", unsatisfied("NoManagedClusterMatched")), decides("empty"), placement("prod"), decides("prod", "eu"),
			},
			want: Decision{Decided: true, Reason: ReasonPlaced, By: shop, Clusters: []string{"eu"}, Places: map[string]Place{"eu": by("prod")}},
		},
		"with one that is missing nothing is concluded": {
			owner: distribution("shop", refs("prod", "gone")), objects: []client.Object{placement("prod"), decides("prod", "eu")},
			want: Decision{By: shop, Reason: kronvoyv1alpha1.ReasonPlacementNotFound,
				Message: "spec.placement.refs[1] of Distribution shop: there is no Placement gone in namespace shop; create it, or name another"},
		},
		"with one that is being deleted neither, for its pages go one by one": {
			owner: distribution("shop", refs("prod")), objects: []client.Object{ending(placement("prod")), page("prod", "prod", 2, 0, "", "us")},
			want: Decision{By: shop, Reason: kronvoyv1alpha1.ReasonPlacementNotFound,
				Message: "spec.placement.refs[0] of Distribution shop: Placement prod in namespace shop is being deleted; name another"},
		},
		"pages of one that was deleted before count for nothing": {
			label: "prod", objects: []client.Object{placement("prod"), page("prod", "former", 1, 0, "", "eu")},
			want: Decision{By: Authority{ByLabel, "prod"}, Reason: kronvoyv1alpha1.ReasonPlacementPending, Message: "Placement prod has no decision yet"},
		},
		"the label's is missing": {
			label: "gone",
			want: Decision{By: Authority{ByLabel, "gone"}, Reason: kronvoyv1alpha1.ReasonPlacementNotFound,
				Message: "label kronvoy.io/placement: there is no Placement gone in namespace shop; create it, or name another"},
		},
		"one that is misconfigured and never decided": {
			label: "prod", objects: []client.Object{placement("prod", misconf)},
			want: Decision{By: Authority{ByLabel, "prod"}, Reason: kronvoyv1alpha1.ReasonPlacementMisconfigured, Message: "Placement prod: spec.predicates[0] is odd"},
		},
		"one that is misconfigured and has decided": {
			owner: distribution("shop", refs("empty", "prod")), objects: []client.Object{placement("empty"), decides("empty"), placement("prod", misconf), decides("prod", "eu")},
			want: Decision{Decided: true, By: shop, Reason: kronvoyv1alpha1.ReasonPlacementMisconfigured, Clusters: []string{"eu"}, Places: map[string]Place{"eu": by("prod")},
				Message: "Placement prod: spec.predicates[0] is odd; what it decided before stands"},
		},
		"no cluster set is bound": {
			label: "prod", objects: []client.Object{placement("prod", unsatisfied("NoManagedClusterSetBindings")), decides("prod")},
			want: Decision{Decided: true, By: Authority{ByLabel, "prod"}, Reason: kronvoyv1alpha1.ReasonNoClusterSetBinding, Places: map[string]Place{},
				Message: "Placement prod selects no cluster, for no cluster set is bound to namespace shop: create a ManagedClusterSetBinding there"},
		},
		"none of its cluster sets is bound": {
			label: "prod", objects: []client.Object{placement("prod", unsatisfied("NoIntersection")), decides("prod")},
			want: Decision{Decided: true, By: Authority{ByLabel, "prod"}, Reason: kronvoyv1alpha1.ReasonNoClusterSetBinding, Places: map[string]Place{},
				Message: "Placement prod selects no cluster, for none of its spec.clusterSets is bound to namespace shop: create a ManagedClusterSetBinding there"},
		},
		"no cluster matches": {
			label: "prod", objects: []client.Object{placement("prod", unsatisfied("NoManagedClusterMatched")), decides("prod")},
			want: Decision{Decided: true, By: Authority{ByLabel, "prod"}, Reason: kronvoyv1alpha1.ReasonNoClusters, Places: map[string]Place{},
				Message: "Placement prod selects no cluster: none fits"},
		},
		"by the Placement that the hub keeps": {
			owner: selectable, objects: []client.Object{kept(placement("kronvoy-shop"), selectable), decides("kronvoy-shop", "eu")},
			want: Decision{Decided: true, Reason: ReasonPlaced, By: shop, Clusters: []string{"eu"}, Places: map[string]Place{"eu": by("kronvoy-shop")}},
		},
		"which is not made yet": {
			owner: selectable,
			want: Decision{By: shop, Reason: kronvoyv1alpha1.ReasonPlacementPending,
				Message: "Placement kronvoy-shop, which the hub keeps for Distribution shop, is not there yet"},
		},
		"which was made for a Distribution that is gone": {
			owner: selectable, objects: []client.Object{ending(kept(placement("kronvoy-shop"), distribution("former", nil))), decides("kronvoy-shop", "eu")},
			want: Decision{By: shop, Reason: kronvoyv1alpha1.ReasonPlacementPending,
				Message: "Placement kronvoy-shop, which the hub keeps for Distribution shop, is not there yet"},
		},
		"whose name is somebody else's": {
			owner: selectable, objects: []client.Object{placement("kronvoy-shop"), decides("kronvoy-shop", "eu")},
			want: Decision{By: shop, Reason: kronvoyv1alpha1.ReasonPlacementTaken,
				Message: "Placement kronvoy-shop in namespace shop is not Distribution shop's: delete it, and the hub makes its own"},
		},
		"its Distribution cannot be used, though it has no placement": {
			label: "prod", owner: broken, objects: []client.Object{placement("prod"), decides("prod", "eu")},
			want: Decision{By: shop, Reason: kronvoyv1alpha1.ReasonInvalidDistribution,
				Message: `Distribution shop cannot be used: spec.policies[0].clusterSelector: "Like" is not a valid label selector operator`},
		},
		"its Distribution has overrides that do not fit": {
			owner: misfit, objects: []client.Object{placement("prod"), decides("prod", "eu")},
			want: Decision{By: shop, Reason: kronvoyv1alpha1.ReasonInvalidDistribution,
				Message: `Distribution shop cannot be used: spec.overrides[0].spec.size: unknown field`},
		},
		"its Distribution cannot be used": {
			label: "prod", owner: distribution("shop", selector("Like")), objects: []client.Object{placement("prod"), decides("prod", "eu")},
			want: Decision{By: shop, Reason: kronvoyv1alpha1.ReasonInvalidDistribution, Shadowed: "prod",
				Message: `Distribution shop cannot be used: spec.placement.clusterSelector: "Like" is not a valid label selector operator`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			instance := &unstructured.Unstructured{}
			instance.SetAPIVersion("kro.run/v1alpha1")
			instance.SetKind("WebApp")
			instance.SetNamespace(namespace)
			instance.SetName("front")
			if tc.label != "" {
				instance.SetLabels(map[string]string{kronvoyv1alpha1.LabelPlacement: tc.label})
			}
			got, err := Placer{Reader: reader(t, tc.objects...), Unfit: unfit}.Decide(context.Background(), instance, tc.owner)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}
