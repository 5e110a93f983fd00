package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/policy"
)

type (
	said    = kronvoyv1alpha1.DistributionPolicy
	decided = kronvoyv1alpha1.ManifestPolicy
	field   = kronvoyv1alpha1.FieldPolicy
)

func labels(key, value string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func TestTheFirstPolicyThatSaysSomethingCounts(t *testing.T) {
	cases := map[string]struct {
		policies []said
		want     decided
	}{
		"nothing is said": {},
		"of all nodes": {
			policies: []said{{Drift: kronvoyv1alpha1.DriftReport}},
			want:     decided{Drift: kronvoyv1alpha1.DriftReport},
		},
		"of another node": {
			policies: []said{{Nodes: []string{"db"}, Drift: kronvoyv1alpha1.DriftReport}},
		},
		"the first counts": {
			policies: []said{
				{Nodes: []string{"db", "web"}, Drift: kronvoyv1alpha1.DriftReport},
				{Drift: kronvoyv1alpha1.DriftIgnore},
			},
			want: decided{Drift: kronvoyv1alpha1.DriftReport},
		},
		"each attribute has a first of its own": {
			policies: []said{
				{Nodes: []string{"web"}, Drift: kronvoyv1alpha1.DriftReport},
				{Drift: kronvoyv1alpha1.DriftIgnore, Deletion: kronvoyv1alpha1.DeletionOrphan},
				{Takeover: kronvoyv1alpha1.TakeoverNever, Deletion: kronvoyv1alpha1.DeletionDelete},
			},
			want: decided{Drift: kronvoyv1alpha1.DriftReport, Takeover: kronvoyv1alpha1.TakeoverNever, Deletion: kronvoyv1alpha1.DeletionOrphan},
		},
		"the default can be said, and ends the search": {
			policies: []said{{Nodes: []string{"web"}, Drift: kronvoyv1alpha1.DriftCorrect}, {Drift: kronvoyv1alpha1.DriftIgnore}},
			want:     decided{Drift: kronvoyv1alpha1.DriftCorrect},
		},
		"fields are apart from the object, in order": {
			policies: []said{
				{Drift: kronvoyv1alpha1.DriftReport},
				{Paths: []string{"spec.replicas"}, Drift: kronvoyv1alpha1.DriftIgnore},
				{Nodes: []string{"db"}, Paths: []string{"data"}, Drift: kronvoyv1alpha1.DriftIgnore},
				{Paths: []string{"spec"}, Drift: kronvoyv1alpha1.DriftCorrect},
			},
			want: decided{Drift: kronvoyv1alpha1.DriftReport, Fields: []field{
				{Paths: []string{"spec.replicas"}, Drift: kronvoyv1alpha1.DriftIgnore},
				{Paths: []string{"spec"}, Drift: kronvoyv1alpha1.DriftCorrect},
			}},
		},
		"of other clusters": {
			policies: []said{
				{ClusterSelector: labels("size", "small"), Drift: kronvoyv1alpha1.DriftIgnore},
				{ClusterSelector: labels("size", "large"), Drift: kronvoyv1alpha1.DriftReport},
			},
			want: decided{Drift: kronvoyv1alpha1.DriftReport},
		},
		"of all clusters, by an empty selector": {
			policies: []said{{ClusterSelector: &metav1.LabelSelector{}, Drift: kronvoyv1alpha1.DriftReport}},
			want:     decided{Drift: kronvoyv1alpha1.DriftReport},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			policies, err := policy.On(&kronvoyv1alpha1.DistributionSpec{Policies: tc.policies}, map[string]string{"size": "large"})
			if err != nil {
				t.Fatal(err)
			}
			// What was decided before is forgotten, what the manifest is stays.
			got := decided{Node: "web", Index: 1, Wave: 2, Drift: "Old", Takeover: "Old", Deletion: "Old", Fields: []field{{}}}
			policies.Govern(&got)
			tc.want.Node, tc.want.Index, tc.want.Wave = "web", 1, 2
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("policy (-want +got):\n%s", diff)
			}
		})
	}
}

func TestADistributionThatCannotBeUsedSaysWhere(t *testing.T) {
	bad := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}
	var long []said
	for range 5 {
		long = append(long, said{Paths: []string{strings.Repeat("x", 4<<10)}, Drift: kronvoyv1alpha1.DriftIgnore})
	}
	cases := map[string]struct {
		spec          kronvoyv1alpha1.DistributionSpec
		field, reason string
	}{
		"a path": {
			spec: kronvoyv1alpha1.DistributionSpec{Policies: []said{
				{Drift: kronvoyv1alpha1.DriftReport},
				{Paths: []string{"spec.replicas", "spec..x"}, Drift: kronvoyv1alpha1.DriftIgnore, ClusterSelector: labels("nobody", "has")},
			}},
			field: "spec.policies[1].paths[1]", reason: kronvoyv1alpha1.ReasonInvalidPath,
		},
		"the selector of clusters": {
			spec:  kronvoyv1alpha1.DistributionSpec{Policies: []said{{ClusterSelector: bad, Drift: kronvoyv1alpha1.DriftReport}}},
			field: "spec.policies[0].clusterSelector", reason: kronvoyv1alpha1.ReasonInvalidSelector,
		},
		"the selector of instances": {
			spec:  kronvoyv1alpha1.DistributionSpec{Instances: kronvoyv1alpha1.InstanceSelector{Selector: bad}},
			field: "spec.instances.selector", reason: kronvoyv1alpha1.ReasonInvalidSelector,
		},
		"the selector of where it places": {
			spec:  kronvoyv1alpha1.DistributionSpec{Placement: &kronvoyv1alpha1.DistributionPlacement{ClusterSelector: bad}},
			field: "spec.placement.clusterSelector", reason: kronvoyv1alpha1.ReasonInvalidSelector,
		},
		"too much of it": {
			spec: kronvoyv1alpha1.DistributionSpec{Policies: long}, field: "spec.policies", reason: kronvoyv1alpha1.ReasonTooLarge,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := policy.On(&tc.spec, nil)
			var invalid *policy.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("the error is %v", err)
			}
			if diff := cmp.Diff([]string{tc.field, tc.reason}, []string{invalid.Field, invalid.Reason}); diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}
