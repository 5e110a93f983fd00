package cluster

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/spoke/facts"
)

// TestApplyTo writes a status as "claim=value …; resource=amount …".
func TestApplyTo(t *testing.T) {
	known := clusterv1.ManagedClusterStatus{
		Version: clusterv1.ManagedClusterVersion{Kubernetes: "v1.35.0"},
		ClusterClaims: []clusterv1.ManagedClusterClaim{
			{Name: facts.ClaimKubeVersion, Value: "v1.35.0"}, {Name: facts.ClaimTalosVersion, Value: "v1.12.0"},
			{Name: facts.ExtensionPrefix + "x", Value: "1"}, {Name: "team", Value: "shop"},
		},
		Capacity: clusterv1.ResourceList{"cpu": resource.MustParse("4"), "example.com/seats": resource.MustParse("7")},
	}
	for name, test := range map[string]struct {
		say  statement
		want string
	}{
		"an API server that is down leaves all facts": {
			want: "v1.35.0; extensions.talos.dev/x=1 kubeversion.open-cluster-management.io=v1.35.0 team=shop version.talos.dev=v1.12.0; cpu=4 example.com/seats=7",
		},
		"what was found replaces what was there": {
			say: statement{
				Version: "v1.36.0", Claims: []facts.Claim{{Name: facts.ClaimTalosVersion, Value: "v1.13.0"}, {Name: "owner", Value: "me"}},
				Facts: facts.Facts{Capacity: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourcePods: resource.MustParse("9")}},
			},
			want: "v1.36.0; owner=me version.talos.dev=v1.13.0; cpu=8 example.com/seats=7 pods=9",
		},
		"nodes that are not read yet keep what rests on them": {
			say:  statement{Version: "v1.36.0", NodesPending: true, Claims: []facts.Claim{{Name: facts.ClaimKubeVersion, Value: "v1.36.0"}}},
			want: "v1.36.0; extensions.talos.dev/x=1 kubeversion.open-cluster-management.io=v1.36.0 version.talos.dev=v1.12.0; cpu=4 example.com/seats=7",
		},
		"nodes that may not be read take it away": {
			say:  statement{Version: "v1.36.0", Claims: []facts.Claim{{Name: facts.ClaimKubeVersion, Value: "v1.36.0"}}},
			want: "v1.36.0; kubeversion.open-cluster-management.io=v1.36.0; example.com/seats=7",
		},
		"ClusterClaims that are not read yet stay": {
			say:  statement{Version: "v1.36.0", ClaimsPending: true},
			want: "v1.36.0; team=shop; example.com/seats=7",
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := known.DeepCopy()
			got := test.say.applyTo(known)
			if diff := cmp.Diff(test.want, write(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if !equality.Semantic.DeepEqual(*before, known) {
				t.Error("the status of before was changed")
			}
			if again := test.say.applyTo(got); !equality.Semantic.DeepEqual(got, again) {
				t.Errorf("said twice it is another status: %s", cmp.Diff(write(got), write(again)))
			}
		})
	}
}

func write(status clusterv1.ManagedClusterStatus) string {
	var claims, resources []string
	for _, claim := range status.ClusterClaims {
		claims = append(claims, claim.Name+"="+claim.Value)
	}
	for name, quantity := range status.Capacity {
		resources = append(resources, fmt.Sprintf("%s=%s", name, quantity.String()))
	}
	slices.Sort(claims)
	slices.Sort(resources)
	return status.Version.Kubernetes + "; " + strings.Join(claims, " ") + "; " + strings.Join(resources, " ")
}

func TestConditionsOfOthersStay(t *testing.T) {
	joined := metav1.Condition{Type: clusterv1.ManagedClusterConditionJoined, Status: metav1.ConditionTrue, Reason: "Joined"}
	unknown := metav1.Condition{Type: clusterv1.ManagedClusterConditionAvailable, Status: metav1.ConditionUnknown, Reason: "ManagedClusterLeaseUpdateStopped"}
	status := clusterv1.ManagedClusterStatus{Conditions: []metav1.Condition{joined, unknown}}
	down := metav1.Condition{Type: clusterv1.ManagedClusterConditionAvailable, Status: metav1.ConditionFalse, Reason: reasonUnavailable, Message: "one thing"}
	got := (&statement{Available: &down}).applyTo(status)
	available := apimeta.FindStatusCondition(got.Conditions, clusterv1.ManagedClusterConditionAvailable)
	if len(got.Conditions) != 2 || got.Conditions[0] != joined || available == nil || available.Status != metav1.ConditionFalse || available.LastTransitionTime.IsZero() {
		t.Errorf("the conditions are %v", got.Conditions)
	}
	down.Message = "another thing"
	if again := (&statement{Available: &down}).applyTo(got); !equality.Semantic.DeepEqual(got, again) {
		t.Errorf("the same verdict in other words is written: %v", again.Conditions)
	}
	if silent := (&statement{}).applyTo(status); !equality.Semantic.DeepEqual(status, silent) {
		t.Errorf("without a verdict the conditions are %v", silent.Conditions)
	}
}

func TestClusterClaimsThatAreNotToldAreNamed(t *testing.T) {
	said := statement{Version: "v1.36.0", Left: []string{"a", "b", "c", "d", "e", "f", "g"}}
	got := said.applyTo(clusterv1.ManagedClusterStatus{})
	truncated := apimeta.FindStatusCondition(got.Conditions, kronvoyv1alpha1.ConditionClaimsTruncated)
	if truncated == nil || truncated.Status != metav1.ConditionTrue || !strings.Contains(truncated.Message, "a, b, c, d, e and 2 more") {
		t.Fatalf("it says %v", truncated)
	}
	said.Left = nil
	if over := said.applyTo(got); len(over.Conditions) != 0 {
		t.Errorf("it still says %v", over.Conditions)
	}
	said.ClaimsPending = true
	if pending := said.applyTo(got); len(pending.Conditions) != 1 {
		t.Errorf("while nobody knows it says %v", pending.Conditions)
	}
}
