package definition

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/evolution"
)

// AnnotationAllowBreaking on a definition lets changes of its kind through that
// may break instances or clients.
const AnnotationAllowBreaking = "kro.run/allow-breaking-changes"

// kindState is how the kind of a definition stands.
type kindState struct {
	established bool
	// created says that there was no CRD: watches on its kind have gone stale.
	created bool
	// fault says why the CRD is not as the definition wants it: somebody else's,
	// an update that would break, …
	fault string
	// kept says that the kind goes on being served as it was, the fault
	// notwithstanding.
	kept bool
}

func (k kindState) verdict() verdict {
	switch {
	case k.fault != "":
		return unmet(reasonFailed, k.fault)
	case k.established:
		return met("Ready", "the kind is served")
	}
	return verdict{metav1.ConditionUnknown, reasonAwaiting, "the API server does not serve the kind yet"}
}

// ensureCRD creates the generated CRD, or puts it right: what the definition
// says of it wins over what was edited. A CRD of somebody else's is never
// touched, and no change that breaks is made unless the author says so, be it
// only to undo an edit: instances may rely on it.
func (r *Reconciler) ensureCRD(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition, g *graph.Graph) (kindState, error) {
	desired := g.CRD()
	live := &apiextensionsv1.CustomResourceDefinition{}
	err := r.Reader.Get(ctx, client.ObjectKeyFromObject(desired), live)
	if apierrors.IsNotFound(err) {
		if err := r.Client.Create(ctx, desired, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil {
			return kindState{}, fmt.Errorf("creating CRD %s: %w", desired.Name, err)
		}
		return kindState{created: true}, nil
	}
	if err != nil {
		return kindState{}, fmt.Errorf("reading CRD %s: %w", desired.Name, err)
	}
	if conflict := Conflict(live, rgd.Name); conflict != "" {
		return kindState{fault: conflict}, nil
	}
	if live.DeletionTimestamp != nil {
		return kindState{kept: true, fault: fmt.Sprintf("CRD %s is being deleted, and with it every %s; it is made anew when they are gone", live.Name, desired.Spec.Names.Kind)}, nil
	}
	if breaking := BreakingChanges(live, desired); len(breaking) > 0 && !BreakingAllowed(rgd) {
		return kindState{kept: true, fault: blocked(desired.Name, breaking)}, nil
	}
	updated, err := updatedCRD(live, desired)
	if err != nil {
		return kindState{}, fmt.Errorf("updating CRD %s: %w", desired.Name, err)
	}
	if !equality.Semantic.DeepEqual(live, updated) {
		if err := r.Client.Update(ctx, updated, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil {
			return kindState{}, fmt.Errorf("updating CRD %s: %w", desired.Name, err)
		}
	}
	established, fault := isEstablished(updated)
	return kindState{established: established, fault: fault}, nil
}

// updatedCRD is live as the definition wants it. Labels and annotations that
// others have put on it stay.
func updatedCRD(live, desired *apiextensionsv1.CustomResourceDefinition) (*apiextensionsv1.CustomResourceDefinition, error) {
	labels, annotations, err := ownMetadata(live.ManagedFields)
	if err != nil {
		return nil, err
	}
	updated := live.DeepCopy()
	updated.Spec = desired.Spec
	updated.Spec.Conversion = live.Spec.Conversion
	updated.Labels = replace(live.Labels, labels, desired.Labels)
	updated.Annotations = replace(live.Annotations, annotations, desired.Annotations)
	return updated, nil
}

// ownMetadata are the labels and annotations that the hub alone has put on an
// object, as the API server recorded.
func ownMetadata(managed []metav1.ManagedFieldsEntry) (labels, annotations []string, err error) {
	// The API server prefixes names of fields with "f:".
	type fields struct {
		Metadata struct {
			Labels      map[string]any `json:"f:labels"`
			Annotations map[string]any `json:"f:annotations"`
		} `json:"f:metadata"`
	}
	var own, others fields
	for _, entry := range managed {
		if entry.FieldsV1 == nil {
			continue
		}
		into := &others
		if entry.Manager == kronvoyv1alpha1.FieldManagerHub {
			into = &own
		}
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), into); err != nil {
			return nil, nil, fmt.Errorf("reading what %s manages: %w", entry.Manager, err)
		}
	}
	alone := func(own, others map[string]any) []string {
		var names []string
		for field := range own {
			if name, isField := strings.CutPrefix(field, "f:"); isField && others[field] == nil {
				names = append(names, name)
			}
		}
		return names
	}
	return alone(own.Metadata.Labels, others.Metadata.Labels), alone(own.Metadata.Annotations, others.Metadata.Annotations), nil
}

// replace takes keys out of a map and puts others in; live itself is not
// changed.
func replace(live map[string]string, out []string, in map[string]string) map[string]string {
	replaced := maps.Clone(live)
	for _, key := range out {
		delete(replaced, key)
	}
	if replaced == nil && len(in) > 0 {
		replaced = map[string]string{}
	}
	maps.Copy(replaced, in)
	return replaced
}

// maxBreakingBytes bounds the list in a condition's message.
const maxBreakingBytes = 30 << 10

// BreakingAllowed says whether the author lets changes of the kind through that
// may break instances or clients.
func BreakingAllowed(rgd *krov1alpha1.ResourceGraphDefinition) bool {
	return rgd.Annotations[AnnotationAllowBreaking] == "true"
}

// BreakingChanges is what an update of the CRD would break.
func BreakingChanges(live, desired *apiextensionsv1.CustomResourceDefinition) []evolution.Change {
	return evolution.Breaking(evolution.Compare(live, desired))
}

// blocked says which changes keep the CRD from being updated.
func blocked(crd string, breaking []evolution.Change) string {
	var b strings.Builder
	fmt.Fprintf(&b, "cannot update CRD %s: breaking changes detected: ", crd)
	for i, change := range breaking {
		text := change.String()
		if b.Len()+len(text) > maxBreakingBytes {
			fmt.Fprintf(&b, "; and %d more", len(breaking)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(text)
	}
	fmt.Fprintf(&b, ". Instances are served as before; the annotation %s: \"true\" on the definition lets the changes through", AnnotationAllowBreaking)
	return b.String()
}

// Conflict says whose a CRD is, if it is not that of the definition. One that
// an earlier definition of the same name has left is adopted, as in kro.
func Conflict(live *apiextensionsv1.CustomResourceDefinition, definition string) string {
	switch owner := live.Labels[graph.LabelDefinition]; {
	case live.Labels[graph.LabelOwned] != "true":
		return fmt.Sprintf("CRD %s exists and was not made from a definition, but by %s: choose another kind or group", live.Name, madeBy(live))
	case owner != definition:
		return fmt.Sprintf("CRD %s belongs to definition %s: choose another kind or group", live.Name, owner)
	}
	return ""
}

// madeBy names who looks after an object: its controller, the tool that says it
// does, or who wrote it.
func madeBy(obj metav1.Object) string {
	if owner := metav1.GetControllerOf(obj); owner != nil {
		return owner.Kind + " " + owner.Name
	}
	if tool := obj.GetLabels()["app.kubernetes.io/managed-by"]; tool != "" {
		return tool
	}
	for _, entry := range obj.GetManagedFields() {
		if entry.Subresource == "" {
			return entry.Manager
		}
	}
	return "somebody else"
}

// isEstablished says whether the API server serves a kind, or why it never
// will.
func isEstablished(crd *apiextensionsv1.CustomResourceDefinition) (established bool, fault string) {
	for _, c := range crd.Status.Conditions {
		switch {
		case c.Type == apiextensionsv1.NamesAccepted && c.Status == apiextensionsv1.ConditionFalse:
			fault = fmt.Sprintf("the API server refuses the names of CRD %s: %s", crd.Name, c.Message)
		case c.Type == apiextensionsv1.Established:
			established = c.Status == apiextensionsv1.ConditionTrue
		}
	}
	return established, fault
}

func isNoMatch(err error) bool { return apimeta.IsNoMatchError(err) }
