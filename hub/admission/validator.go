package admission

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/definition"
)

const (
	// maxCompiles is how many definitions are compiled at once; the hub has more
	// to do.
	maxCompiles = 2
	// patience is how long one may take. The webhook's timeoutSeconds is longer,
	// so that what was not checked is said.
	patience = 4 * time.Second
	// maxWarnings and maxWarningBytes: an API server cuts a warning at 256 bytes
	// once all of a request's exceed 4 KiB.
	maxWarnings     = 12
	maxWarningBytes = 250
)

// Compiler compiles a definition as the hub serves it; *definition.Store is
// one.
type Compiler interface {
	Compile(*krov1alpha1.ResourceGraphDefinition) (*graph.Graph, graph.Issues)
}

// Validator judges definitions. Its zero value is not usable; see NewValidator.
type Validator struct {
	compiler Compiler
	reader   client.Reader
	compiles chan struct{}
}

var _ admission.Validator[*krov1alpha1.ResourceGraphDefinition] = &Validator{}

// NewValidator makes a Validator; reader reads CustomResourceDefinitions.
func NewValidator(compiler Compiler, reader client.Reader) *Validator {
	return &Validator{compiler: compiler, reader: reader, compiles: make(chan struct{}, maxCompiles)}
}

// ValidateCreate implements admission.Validator.
func (v *Validator) ValidateCreate(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition) (admission.Warnings, error) {
	return v.judge(ctx, rgd)
}

// ValidateUpdate implements admission.Validator. Only a changed spec is judged, and
// changed aggregates: nothing else is the author's, and a finalizer must always
// come and go.
func (v *Validator) ValidateUpdate(ctx context.Context, before, after *krov1alpha1.ResourceGraphDefinition) (admission.Warnings, error) {
	same := before.Annotations[kronvoyv1alpha1.AnnotationAggregate] == after.Annotations[kronvoyv1alpha1.AnnotationAggregate]
	if after.DeletionTimestamp != nil || same && equality.Semantic.DeepEqual(before.Spec, after.Spec) {
		return nil, nil
	}
	return v.judge(ctx, after)
}

// ValidateDelete implements admission.Validator.
func (v *Validator) ValidateDelete(context.Context, *krov1alpha1.ResourceGraphDefinition) (admission.Warnings, error) {
	return nil, nil
}

// judge refuses what is the author's mistake, and warns of what may yet come
// right: a kind that is installed later, a CRD that its owner gives up.
func (v *Validator) judge(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition) (admission.Warnings, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	g, issues, err := v.compile(ctx, rgd)
	if err != nil {
		return admission.Warnings{"not checked yet, as " + err.Error() + ": see the conditions of the definition"}, nil
	}
	mistakes, waits := sorted(issues)
	warnings := make(admission.Warnings, 0, len(waits))
	for _, issue := range waits {
		warnings = append(warnings, issue.Error()+"; the definition waits for it")
	}
	if g != nil {
		warnings = append(warnings, v.ofKind(ctx, rgd, g)...)
	}
	if len(mistakes) > 0 {
		return bounded(warnings), refusal(rgd.Name, mistakes)
	}
	return bounded(warnings), nil
}

var errBusy = errors.New("the hub is busy")

// compile gives up waiting when ctx ends. A compile itself cannot be ended, but
// is bounded by the compiler, and so is their number.
func (v *Validator) compile(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition) (*graph.Graph, graph.Issues, error) {
	select {
	case v.compiles <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, errBusy
	}
	type result struct {
		graph  *graph.Graph
		issues graph.Issues
		err    error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-v.compiles }()
		// Outside of the server's own goroutine nobody else recovers, and a fault of
		// the compiler must not end the hub.
		defer func() {
			if fault := recover(); fault != nil {
				done <- result{err: fmt.Errorf("the compiler failed: %v", fault)}
			}
		}()
		g, issues := v.compiler.Compile(rgd)
		done <- result{graph: g, issues: issues}
	}()
	select {
	case r := <-done:
		return r.graph, r.issues, r.err
	case <-ctx.Done():
		return nil, nil, errBusy
	}
}

// sorted tells mistakes from what the hub lacks now and may have later.
func sorted(issues graph.Issues) (mistakes, waits graph.Issues) {
	for _, issue := range issues {
		if definition.MayComeRight(issue) {
			waits = append(waits, issue)
		} else {
			mistakes = append(mistakes, issue)
		}
	}
	return mistakes, waits
}

// ofKind warns of what would keep the CRD from being made or updated.
func (v *Validator) ofKind(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition, g *graph.Graph) admission.Warnings {
	desired := g.CRD()
	live := &apiextensionsv1.CustomResourceDefinition{}
	err := v.reader.Get(ctx, client.ObjectKeyFromObject(desired), live)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return admission.Warnings{fmt.Sprintf("not compared with CRD %s: %v", desired.Name, err)}
	}
	if conflict := definition.Conflict(live, rgd.Name); conflict != "" {
		return admission.Warnings{conflict}
	}
	breaking := definition.BreakingChanges(live, desired)
	if len(breaking) == 0 || definition.BreakingAllowed(rgd) {
		return nil
	}
	warnings := admission.Warnings{fmt.Sprintf("breaking changes of %s: they wait for the annotation %s: \"true\", and instances are served as before", desired.Name, definition.AnnotationAllowBreaking)}
	for _, change := range breaking {
		warnings = append(warnings, change.String())
	}
	return warnings
}

// refusal is the error that kubectl prints line by line, an issue in each.
func refusal(name string, mistakes graph.Issues) error {
	status := metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
		Message: fmt.Sprintf("ResourceGraphDefinition %s is invalid: %v", name, mistakes.Err()),
		Details: &metav1.StatusDetails{Group: krov1alpha1.GroupVersion.Group, Kind: "ResourceGraphDefinition", Name: name},
	}
	for _, issue := range mistakes {
		status.Details.Causes = append(status.Details.Causes, metav1.StatusCause{
			Type: metav1.CauseType(issue.Reason), Field: issue.Path, Message: explain(issue),
		})
	}
	return &apierrors.StatusError{ErrStatus: status}
}

// explain is all that an issue says beside its path.
func explain(issue graph.Issue) string {
	var b strings.Builder
	b.WriteString(issue.Reason)
	if issue.Offset >= 0 {
		fmt.Fprintf(&b, " at offset %d", issue.Offset)
	}
	b.WriteString(": " + issue.Message)
	if issue.Snippet != "" {
		fmt.Fprintf(&b, ", in %q", issue.Snippet)
	}
	if issue.Suggestion != "" {
		fmt.Fprintf(&b, " (%s)", issue.Suggestion)
	}
	return b.String()
}

// bounded keeps within what an API server passes on whole, in single lines.
func bounded(warnings admission.Warnings) admission.Warnings {
	if extra := len(warnings) - maxWarnings; extra > 0 {
		warnings = append(warnings[:maxWarnings], fmt.Sprintf("and %d more: see the conditions of the definition", extra))
	}
	for i, warning := range warnings {
		warning = strings.ReplaceAll(warning, "\n", " ")
		if len(warning) > maxWarningBytes {
			warning = strings.ToValidUTF8(warning[:maxWarningBytes], "") + "…"
		}
		warnings[i] = warning
	}
	return warnings
}
