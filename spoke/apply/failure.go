package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// maxMessage bounds a condition's message.
const maxMessage = 1024

// fieldConflict is one field that another manager owns.
type fieldConflict struct {
	Field   string // as the server writes it: .spec.replicas
	Message string // conflict with "kubectl" with subresource "scale" using apps/v1
}

// conflictsOf reads an apply's conflicts; nil for any other error.
func conflictsOf(err error) []fieldConflict {
	var status apierrors.APIStatus
	if !apierrors.IsConflict(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	var conflicts []fieldConflict
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict {
			conflicts = append(conflicts, fieldConflict{Field: cause.Field, Message: cause.Message})
		}
	}
	return conflicts
}

// conflictMessage names managers and fields.
func conflictMessage(conflicts []fieldConflict) string {
	byManager := map[string][]string{}
	var managers []string
	for _, conflict := range conflicts {
		manager := strings.TrimPrefix(conflict.Message, "conflict with ")
		if byManager[manager] == nil {
			managers = append(managers, manager)
		}
		byManager[manager] = append(byManager[manager], strings.TrimPrefix(conflict.Field, "."))
	}
	slices.Sort(managers)
	parts := make([]string, 0, len(managers))
	for _, manager := range managers {
		fields := byManager[manager]
		slices.Sort(fields)
		parts = append(parts, fmt.Sprintf("%s owns %s", manager, strings.Join(fields, ", ")))
	}
	return strings.Join(parts, "; ")
}

// explain gives the reason and message of an error for a condition.
func explain(item *Item, err error) (reason, message string) {
	var refused *refusal
	var ignoring *ignoreFailure
	switch {
	case errors.As(err, &refused):
		return kronvoyv1alpha1.ReasonTakeoverRefused, fmt.Sprintf("%s: %v", item, err)
	case errors.As(err, &ignoring):
		return workv1.AppliedManifestSSAIgnoreFieldError, fmt.Sprintf("%s: %v", item, err)
	case conflictsOf(err) != nil:
		return kronvoyv1alpha1.ReasonApplyConflict, fmt.Sprintf("%s: %s", item, conflictMessage(conflictsOf(err)))
	case immutable(err) != "":
		return kronvoyv1alpha1.ReasonImmutableField, fmt.Sprintf(
			"%s: the manifest changes %s, which cannot change; delete the object or undo the change: %v", item, immutable(err), err)
	case apierrors.IsForbidden(err):
		return kronvoyv1alpha1.ReasonForbidden, fmt.Sprintf("%s: %v", item, err) + howToImpersonate(err)
	case apimeta.IsNoMatchError(err):
		return kronvoyv1alpha1.ReasonNoSuchKind, fmt.Sprintf("%s: %v", item, err)
	case errors.Is(err, context.DeadlineExceeded):
		return workv1.AppliedManifestFailed, fmt.Sprintf("%s: %s: %v", item, noAnswer, err)
	}
	return workv1.AppliedManifestFailed, fmt.Sprintf("%s: %v", item, err)
}

// noAnswer is what can be said of a request that took too long.
const noAnswer = "the API server did not answer in time, as when an admission webhook hangs; the next try may take longer"

// howToImpersonate says what to do when the agent may not act in the name of a
// work's executor; empty for any other error. The API has no code for it; the
// text only chooses a better message.
func howToImpersonate(err error) string {
	if !strings.Contains(err.Error(), "cannot impersonate") {
		return ""
	}
	return "; bind ClusterRole kronvoy-agent-executor to the agent in the service account's namespace on this cluster"
}

// onceSet are what API servers say of a field that is set once. The API has no
// code for it; the text only chooses a better message.
var onceSet = []string{"immutable", "may not change", "cannot change", "cannot be changed", "may not be changed", "updates to"}

// immutable names the fields because of which an update was refused, as they are
// set once; empty for any other error.
func immutable(err error) string {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return ""
	}
	var fields []string
	for _, cause := range status.Status().Details.Causes {
		message := strings.ToLower(cause.Message)
		if slices.ContainsFunc(onceSet, func(text string) bool { return strings.Contains(message, text) }) && !slices.Contains(fields, cause.Field) {
			fields = append(fields, cause.Field)
		}
	}
	return strings.Join(fields, ", ")
}

// passing says whether an error may go away by itself within moments.
func passing(err error) bool {
	return apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) ||
		apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err) ||
		(apierrors.IsConflict(err) && conflictsOf(err) == nil) || notStatus(err)
}

// unanswered says whether nobody knows if what was asked is done, or will be.
func unanswered(err error) bool {
	return notStatus(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsInternalError(err) ||
		apierrors.IsServiceUnavailable(err)
}

// notStatus is an error that did not come from the API server, such as a lost
// connection.
func notStatus(err error) bool {
	var refused *refusal
	var ignoring *ignoreFailure
	if errors.As(err, &refused) || errors.As(err, &ignoring) {
		return false
	}
	var status apierrors.APIStatus
	return !errors.As(err, &status)
}

func truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	return string(runes[:limit-1]) + "…"
}
