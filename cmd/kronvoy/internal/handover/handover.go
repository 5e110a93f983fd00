// Package handover gives what a hub runs on its own cluster to kro's
// controller: the objects stay as they are, and become kro's to change and to
// delete.
package handover

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/managedfields"
)

// Object is one object that is handed over.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`

	manager string
}

// String is Kind namespace/name.
func (o Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// Plan is what a hand-over does.
type Plan struct {
	// Instances that are handed over, as Kind.group/namespace/name.
	Instances []string `json:"instances"`
	// Objects that they consist of.
	Objects []Object `json:"objects"`
	// Obstacles are the reasons why it cannot be done now.
	Obstacles []string `json:"obstacles,omitempty"`

	works     []workv1.ManifestWork
	inventory []workv1.AppliedManifestWork
	targets   []kronvoyv1alpha1.Target
	kinds     []apiextensionsv1.CustomResourceDefinition
}

// Gather looks at a hub and says what is to be handed over; it changes nothing.
// hubNamespace is where the hub runs.
func Gather(ctx context.Context, c client.Client, hubNamespace string, now time.Time) (*Plan, error) {
	p := &Plan{Instances: []string{}, Objects: []Object{}}
	if running, err := hubRuns(ctx, c, hubNamespace, now); err != nil {
		return nil, err
	} else if running != "" {
		p.Obstacles = append(p.Obstacles, running)
	}
	if err := p.gatherTargets(ctx, c); err != nil {
		return nil, err
	}
	if err := p.gatherWorks(ctx, c); err != nil {
		return nil, err
	}
	return p, p.gatherKinds(ctx, c)
}

// hubRuns says that a hub holds its lease.
func hubRuns(ctx context.Context, c client.Client, namespace string, now time.Time) (string, error) {
	var lease coordinationv1.Lease
	err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "kronvoy-hub"}, &lease)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking whether the hub runs: %w", err)
	}
	holder, renewed, seconds := lease.Spec.HolderIdentity, lease.Spec.RenewTime, lease.Spec.LeaseDurationSeconds
	if holder == nil || *holder == "" || renewed == nil || seconds == nil ||
		now.Sub(renewed.Time) > time.Duration(*seconds)*time.Second {
		return "", nil
	}
	return fmt.Sprintf("the hub runs as %s: stop it first, as with kubectl scale -n %s deployment/kronvoy-hub --replicas=0", *holder, namespace), nil
}

// gatherTargets finds the instances; one that runs on other clusters too is
// beyond kro.
func (p *Plan) gatherTargets(ctx context.Context, c client.Client) error {
	var targets kronvoyv1alpha1.TargetList
	if err := c.List(ctx, &targets); err != nil {
		return fmt.Errorf("listing targets: %w", err)
	}
	elsewhere := map[string][]string{}
	for _, target := range targets.Items {
		identity := work.IdentityOf(target.Spec.Instance).String()
		if target.Namespace != kronvoyv1alpha1.LocalCluster {
			elsewhere[identity] = append(elsewhere[identity], target.Namespace)
			continue
		}
		p.targets = append(p.targets, target)
		p.Instances = append(p.Instances, identity)
		for _, child := range target.Status.Children {
			err := p.add(ctx, c, Object{
				APIVersion: child.APIVersion, Kind: child.Kind, Namespace: child.Namespace, Name: child.Name, manager: kronvoyv1alpha1.FieldManagerHub,
			})
			if err != nil {
				return err
			}
		}
		if target.DeletionTimestamp != nil {
			p.Obstacles = append(p.Obstacles, identity+" is being deleted: let the hub finish")
		}
	}
	for _, identity := range p.Instances {
		if clusters := elsewhere[identity]; len(clusters) > 0 {
			p.Obstacles = append(p.Obstacles, fmt.Sprintf("%s runs on other clusters too, which kro does not know: %s", identity, strings.Join(clusters, ", ")))
		}
	}
	slices.Sort(p.Instances)
	return nil
}

// gatherWorks finds the works on the hub's own cluster and what they applied.
func (p *Plan) gatherWorks(ctx context.Context, c client.Client) error {
	var works workv1.ManifestWorkList
	if err := c.List(ctx, &works, client.InNamespace(kronvoyv1alpha1.LocalCluster), client.HasLabels{kronvoyv1alpha1.LabelInstance}); err != nil {
		return fmt.Errorf("listing works: %w", err)
	}
	p.works = works.Items
	for i := range works.Items {
		objects, err := objectsOf(&works.Items[i])
		if err != nil {
			return err
		}
		for _, object := range objects {
			if err := p.add(ctx, c, object); err != nil {
				return err
			}
		}
	}
	var inventory workv1.AppliedManifestWorkList
	if err := c.List(ctx, &inventory); err != nil {
		return fmt.Errorf("listing inventories: %w", err)
	}
	for _, applied := range inventory.Items {
		ours := func(w workv1.ManifestWork) bool { return w.Name == applied.Spec.ManifestWorkName }
		if applied.Spec.AgentID == kronvoyv1alpha1.LocalCluster && slices.ContainsFunc(p.works, ours) {
			p.inventory = append(p.inventory, applied)
		}
	}
	return nil
}

// gatherKinds finds the generated kinds, without what only a fleet's status
// needs: kro takes its absence in a definition for a breaking change.
func (p *Plan) gatherKinds(ctx context.Context, c client.Client) error {
	var definitions krov1alpha1.ResourceGraphDefinitionList
	if err := c.List(ctx, &definitions); err != nil {
		return fmt.Errorf("listing definitions: %w", err)
	}
	var kinds apiextensionsv1.CustomResourceDefinitionList
	if err := c.List(ctx, &kinds, client.HasLabels{graph.LabelDefinition}); err != nil {
		return fmt.Errorf("listing generated kinds: %w", err)
	}
	for _, kind := range kinds.Items {
		for i := range definitions.Items {
			if definition := &definitions.Items[i]; definition.Name == kind.Labels[graph.LabelDefinition] && withoutFleet(&kind, definition) {
				p.kinds = append(p.kinds, kind)
			}
		}
	}
	return nil
}

// withoutFleet removes the hub's own field of the status from a kind and says
// whether it was there.
func withoutFleet(kind *apiextensionsv1.CustomResourceDefinition, definition *krov1alpha1.ResourceGraphDefinition) bool {
	field := graph.FleetField
	if definition.Spec.Schema != nil {
		var author map[string]any
		// What does not decode has no field of that name.
		if err := json.Unmarshal(definition.Spec.Schema.Status.Raw, &author); err == nil && author[field] != nil {
			field = graph.ShadowedFleetField
		}
	}
	found := false
	for _, version := range kind.Spec.Versions {
		if version.Schema == nil || version.Schema.OpenAPIV3Schema == nil {
			continue
		}
		status := version.Schema.OpenAPIV3Schema.Properties["status"]
		if _, has := status.Properties[field]; has {
			delete(status.Properties, field)
			found = true
		}
	}
	return found
}

// add takes an object into the plan if we have applied it.
func (p *Plan) add(ctx context.Context, c client.Client, object Object) error {
	live, err := applied(ctx, c, object)
	if live != nil {
		p.Objects = append(p.Objects, object)
	}
	return err
}

// objectsOf are the objects in a work, those included that it only reads.
func objectsOf(w *workv1.ManifestWork) ([]Object, error) {
	manager := work.FieldManager(w.Labels[kronvoyv1alpha1.LabelInstance])
	objects := make([]Object, 0, len(w.Spec.Workload.Manifests))
	for i, manifest := range w.Spec.Workload.Manifests {
		var content metav1.PartialObjectMetadata
		if err := json.Unmarshal(manifest.Raw, &content); err != nil {
			return nil, fmt.Errorf("reading manifest %d of work %s: %w", i, w.Name, err)
		}
		objects = append(objects, Object{
			APIVersion: content.APIVersion, Kind: content.Kind, Namespace: content.Namespace, Name: content.Name, manager: manager,
		})
	}
	return objects, nil
}

// Carry hands everything over: first the objects, so that nothing is ever
// deleted with what owned them; then the records go. It may be run again after
// a failure.
func (p *Plan) Carry(ctx context.Context, c client.Client) error {
	for _, object := range p.Objects {
		if err := p.handOver(ctx, c, object); err != nil {
			return fmt.Errorf("handing over %s: %w", object, err)
		}
	}
	for i := range p.kinds {
		if err := c.Update(ctx, &p.kinds[i]); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("changing kind %s: %w", p.kinds[i].Name, err)
		}
	}
	for i := range p.inventory {
		if err := remove(ctx, c, &p.inventory[i]); err != nil {
			return err
		}
	}
	for i := range p.works {
		if err := remove(ctx, c, &p.works[i]); err != nil {
			return err
		}
	}
	for i := range p.targets {
		if err := remove(ctx, c, &p.targets[i]); err != nil {
			return err
		}
	}
	return nil
}

// applied reads an object; nil where we have applied nothing, or it is gone.
func applied(ctx context.Context, c client.Client, object Object) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetAPIVersion(object.APIVersion)
	live.SetKind(object.Kind)
	err := c.Get(ctx, client.ObjectKey{Namespace: object.Namespace, Name: object.Name}, live)
	if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", object, err)
	}
	ours := func(entry metav1.ManagedFieldsEntry) bool {
		return entry.Manager == object.manager && entry.Operation == metav1.ManagedFieldsOperationApply
	}
	if !slices.ContainsFunc(live.GetManagedFields(), ours) {
		return nil, nil
	}
	return live, nil
}

// handOver makes kro the manager of one object, and takes the owner away that
// would delete it. What only we mark it with goes with kro's next apply.
func (p *Plan) handOver(ctx context.Context, c client.Client, object Object) error {
	live, err := applied(ctx, c, object)
	if err != nil || live == nil {
		return err
	}
	owners := slices.DeleteFunc(live.GetOwnerReferences(), func(ref metav1.OwnerReference) bool {
		return slices.ContainsFunc(p.inventory, func(a workv1.AppliedManifestWork) bool { return a.UID == ref.UID })
	})
	patch, kind, err := managedfields.Handover(live, object.manager, managedfields.Kro, map[string]any{"ownerReferences": owners})
	if err != nil {
		return err
	}
	return c.Patch(ctx, live, client.RawPatch(kind, patch), client.FieldOwner(managedfields.Kro))
}

// remove deletes a record without what it would have done on its way out.
func remove(ctx context.Context, c client.Client, record client.Object) error {
	if len(record.GetFinalizers()) > 0 {
		record.SetFinalizers(nil)
		if err := c.Update(ctx, record); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("letting go of %T %s: %w", record, record.GetName(), err)
		}
	}
	err := c.Delete(ctx, record, client.PropagationPolicy(metav1.DeletePropagationOrphan))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting %T %s: %w", record, record.GetName(), err)
	}
	return nil
}
