// Package v1alpha1 holds the kinds of the group kronvoy.io and the names that
// hub and spoke agree on: labels, annotations, finalizers, field managers.
//
// +kubebuilder:object:generate=true
// +groupName=kronvoy.io
package v1alpha1
