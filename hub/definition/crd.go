package definition

import (
	"context"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
)

const (
	labelOwned          = "kro.run/owned"
	labelDefinitionName = "kro.run/resource-graph-definition-name"
)

// ensureCRD creates or updates the generated CRD. A CRD of somebody else's is
// never touched: conflict says whose it is.
func (r *Reconciler) ensureCRD(ctx context.Context, rgd *krov1alpha1.ResourceGraphDefinition, g *graph.Graph) (established bool, conflict string, err error) {
	desired := g.CRD()
	live := &apiextensionsv1.CustomResourceDefinition{}
	err = r.Reader.Get(ctx, client.ObjectKeyFromObject(desired), live)
	if apierrors.IsNotFound(err) {
		if err := r.Client.Create(ctx, desired, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil {
			return false, "", fmt.Errorf("creating CRD %s: %w", desired.Name, err)
		}
		return false, "", nil
	}
	if err != nil {
		return false, "", fmt.Errorf("reading CRD %s: %w", desired.Name, err)
	}
	if conflict := ownedByOther(live, rgd.Name); conflict != "" {
		return false, conflict, nil
	}
	updated := live.DeepCopy()
	updated.Spec = desired.Spec
	updated.Spec.Conversion = live.Spec.Conversion
	updated.Labels = merge(live.Labels, desired.Labels)
	updated.Annotations = merge(live.Annotations, desired.Annotations)
	defaultNames(&updated.Spec)
	if equality.Semantic.DeepEqual(live.Spec, updated.Spec) && equality.Semantic.DeepEqual(live.ObjectMeta, updated.ObjectMeta) {
		return isEstablished(live), "", nil
	}
	if err := r.Client.Update(ctx, updated, client.FieldOwner(kronvoyv1alpha1.FieldManagerHub)); err != nil {
		return false, "", fmt.Errorf("updating CRD %s: %w", desired.Name, err)
	}
	return isEstablished(updated), "", nil
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
