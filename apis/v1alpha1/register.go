package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion of this package's kinds.
var GroupVersion = schema.GroupVersion{Group: "kronvoy.io", Version: "v1alpha1"}

// AddToScheme registers this package's kinds with a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&Target{}, &TargetList{},
		&WorkReport{}, &WorkReportList{},
		&Distribution{}, &DistributionList{},
		&ApprovalRequest{}, &ApprovalRequestList{},
		&Rollout{}, &RolloutList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
