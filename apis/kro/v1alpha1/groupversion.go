// Package v1alpha1 holds the ResourceGraphDefinition of the group kro.run,
// field-compatible with kro v0.9.4: the same YAML is valid for both.
//
// +kubebuilder:object:generate=true
// +groupName=kro.run
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion of the types in this package; generated kinds without a group
// of their own live in its group, too.
var GroupVersion = schema.GroupVersion{Group: "kro.run", Version: "v1alpha1"}

var schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme adds the types of this package to a scheme.
var AddToScheme = schemeBuilder.AddToScheme

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &ResourceGraphDefinition{}, &ResourceGraphDefinitionList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
