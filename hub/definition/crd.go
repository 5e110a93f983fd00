package definition

import (
	"context"
	"fmt"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema/evolution"
)

const (
	labelOwned          = "kro.run/owned"
	labelDefinitionName = "kro.run/resource-graph-definition-name"
)

// annotationAllowBreaking on a definition lets changes of its kind through that
// may break instances or clients.
const annotationAllowBreaking = "kro.run/allow-breaking-changes"

// kindState is how the kind of a definition stands.
type kindState struct {
	established bool
	// conflict says whose the CRD is.
	conflict string
	// blocked lists the breaking changes for which it was left as it is.
	blocked string
}

// ensureCRD creates or updates the generated CRD. A CRD of somebody else's is
// never touched, and no change that breaks is made unless the author says so.
func (r *Reconciler) ensureCRD(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition, g *graph.Graph) (kindState, error) {
	desired := g.CRD()
	live := &apiextensionsv1.CustomResourceDefinition{}
	err := r.Reader.Get(ctx, client.ObjectKeyFromObject(desired), live)
	if apierrors.IsNotFound(err) {
		if err := r.Client.Create(ctx, desired, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil {
			return kindState{}, fmt.Errorf("creating CRD %s: %w", desired.Name, err)
		}
		return kindState{}, nil
	}
	if err != nil {
		return kindState{}, fmt.Errorf("reading CRD %s: %w", desired.Name, err)
	}
	if conflict := ownedByOther(live, rgd.Name); conflict != "" {
		return kindState{conflict: conflict}, nil
	}
	if blocked := breakingChanges(live, desired); blocked != "" && rgd.Annotations[annotationAllowBreaking] != "true" {
		return kindState{blocked: blocked}, nil
	}
	updated := live.DeepCopy()
	updated.Spec = desired.Spec
	updated.Spec.Conversion = live.Spec.Conversion
	updated.Labels = merge(live.Labels, desired.Labels)
	updated.Annotations = merge(live.Annotations, desired.Annotations)
	defaultNames(&updated.Spec)
	if equality.Semantic.DeepEqual(live.Spec, updated.Spec) && equality.Semantic.DeepEqual(live.ObjectMeta, updated.ObjectMeta) {
		return kindState{established: isEstablished(live)}, nil
	}
	if err := r.Client.Update(ctx, updated, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil {
		return kindState{}, fmt.Errorf("updating CRD %s: %w", desired.Name, err)
	}
	return kindState{established: isEstablished(updated)}, nil
}

// maxBreakingBytes bounds the list in a condition's message.
const maxBreakingBytes = 30 << 10

// breakingChanges lists what an update of the CRD would break; empty for nothing.
func breakingChanges(live, desired *apiextensionsv1.CustomResourceDefinition) string {
	breaking := evolution.Breaking(evolution.Compare(live, desired))
	if len(breaking) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "cannot update CRD %s: breaking changes detected: ", desired.Name)
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
	fmt.Fprintf(&b, ". Instances are served as before; the annotation %s: \"true\" on the definition lets the changes through", annotationAllowBreaking)
	return b.String()
}

func ownedByOther(live *apiextensionsv1.CustomResourceDefinition, definition string) string {
	switch owner := live.Labels[labelDefinitionName]; {
	case live.Labels[labelOwned] != "true":
		return fmt.Sprintf("CRD %s exists and was not made from a definition: choose another kind or group", live.Name)
	case owner != definition:
		return fmt.Sprintf("CRD %s belongs to definition %s: choose another kind or group", live.Name, owner)
	}
	return ""
}

func isEstablished(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, c := range crd.Status.Conditions {
		if c.Type == apiextensionsv1.Established {
			return c.Status == apiextensionsv1.ConditionTrue
		}
	}
	return false
}

// defaultNames fills in what the server would, so that an unchanged CRD
// compares equal.
func defaultNames(spec *apiextensionsv1.CustomResourceDefinitionSpec) {
	if spec.Names.ListKind == "" {
		spec.Names.ListKind = spec.Names.Kind + "List"
	}
}

func merge(into, from map[string]string) map[string]string {
	merged := make(map[string]string, len(into)+len(from))
	for key, value := range into {
		merged[key] = value
	}
	for key, value := range from {
		merged[key] = value
	}
	if len(merged) == 0 {
		return into
	}
	return merged
}

func isNoMatch(err error) bool { return apimeta.IsNoMatchError(err) }
