// Package token reads what an administrator says with a ServiceAccount that
// lets one cluster join. It is pure: the hub and the command line share it.
package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// MaxTTL bounds how long a cluster has to join.
const MaxTTL = time.Hour

// Token is what the annotations of the ServiceAccount say.
type Token struct {
	// Labels are what the cluster gets when it is accepted.
	Labels map[string]string
	// Expires is from when on it does not count.
	Expires time.Time
	// Automatic lets the hub accept the cluster.
	Automatic bool
	// UsedBy is the UID of the request it was good for; empty before.
	UsedBy string
	// Lease is the resourceVersion that the cluster's lease had then.
	Lease string
}

// Is says whether a ServiceAccount is one that lets a cluster join: the
// namespace has others, as every namespace has.
func Is(account *corev1.ServiceAccount) bool {
	return account.Namespace == kronvoyv1alpha1.JoinNamespace && account.Annotations[kronvoyv1alpha1.AnnotationJoinExpires] != ""
}

// Parse reads the annotations of a ServiceAccount.
func Parse(account *corev1.ServiceAccount) (Token, error) {
	a := account.Annotations
	t := Token{UsedBy: a[kronvoyv1alpha1.AnnotationJoinUsedBy], Lease: a[kronvoyv1alpha1.AnnotationJoinLease]}
	var err error
	if t.Expires, err = time.Parse(time.RFC3339, a[kronvoyv1alpha1.AnnotationJoinExpires]); err != nil {
		return Token{}, fmt.Errorf("annotation %s: %w", kronvoyv1alpha1.AnnotationJoinExpires, err)
	}
	if t.Labels, err = ParseLabels(a[kronvoyv1alpha1.AnnotationJoinLabels]); err != nil {
		return Token{}, fmt.Errorf("annotation %s: %w", kronvoyv1alpha1.AnnotationJoinLabels, err)
	}
	switch approval := a[kronvoyv1alpha1.AnnotationJoinApproval]; approval {
	case kronvoyv1alpha1.JoinApprovalAutomatic:
		t.Automatic = true
	case kronvoyv1alpha1.JoinApprovalManual:
	default:
		return Token{}, fmt.Errorf("annotation %s is %q, not %s or %s", kronvoyv1alpha1.AnnotationJoinApproval, approval,
			kronvoyv1alpha1.JoinApprovalAutomatic, kronvoyv1alpha1.JoinApprovalManual)
	}
	return t, nil
}

// Annotations are what Parse reads.
func (t Token) Annotations() (map[string]string, error) {
	labels, err := json.Marshal(t.Labels)
	if err != nil {
		return nil, fmt.Errorf("encoding labels: %w", err)
	}
	if t.Labels == nil {
		labels = []byte("{}")
	}
	approval := kronvoyv1alpha1.JoinApprovalManual
	if t.Automatic {
		approval = kronvoyv1alpha1.JoinApprovalAutomatic
	}
	annotations := map[string]string{
		kronvoyv1alpha1.AnnotationJoinLabels:   string(labels),
		kronvoyv1alpha1.AnnotationJoinExpires:  t.Expires.UTC().Format(time.RFC3339),
		kronvoyv1alpha1.AnnotationJoinApproval: approval,
	}
	if t.UsedBy != "" {
		annotations[kronvoyv1alpha1.AnnotationJoinUsedBy] = t.UsedBy
		annotations[kronvoyv1alpha1.AnnotationJoinLease] = t.Lease
	}
	return annotations, nil
}

// Over says whether it no longer counts because of the time.
func (t Token) Over(now time.Time) bool { return !now.Before(t.Expires) }

// ParseLabels reads labels from a JSON object, and refuses what no label can be;
// an empty text holds none.
func ParseLabels(text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	var labels map[string]string
	if err := json.Unmarshal([]byte(text), &labels); err != nil {
		return nil, fmt.Errorf("reading labels: %w", err)
	}
	return labels, ValidateLabels(labels)
}

// ValidateLabels says what is wrong with labels.
func ValidateLabels(labels map[string]string) error {
	problems := metav1validation.ValidateLabels(labels, field.NewPath("labels"))
	slices.SortFunc(problems, func(a, b *field.Error) int { return slices.Compare([]string{a.Error()}, []string{b.Error()}) })
	errs := make([]error, 0, len(problems))
	for _, problem := range problems {
		errs = append(errs, problem)
	}
	return errors.Join(errs...)
}
