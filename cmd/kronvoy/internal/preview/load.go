package preview

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
)

// pageSize bounds one answer of the API server: a work may have 500 KiB.
const pageSize = 100

// loadFleet takes into memory what says where instances run, and all definitions.
func (s *simulation) loadFleet() error {
	for _, list := range []client.ObjectList{
		&krov1alpha1.ResourceGraphDefinitionList{}, &kronvoyv1alpha1.DistributionList{},
		&clusterv1.ManagedClusterList{}, &clusterv1beta2.ManagedClusterSetList{}, &clusterv1beta2.ManagedClusterSetBindingList{},
		&clusterv1beta1.PlacementList{}, &clusterv1beta1.PlacementDecisionList{}, &clusterv1alpha1.AddOnPlacementScoreList{},
	} {
		if err := s.load(list); err != nil {
			return err
		}
	}
	return nil
}

// loadKind takes all instances of a kind into memory, once.
func (s *simulation) loadKind(gvk schema.GroupVersionKind) error {
	if s.loaded[gvk] {
		return nil
	}
	s.loaded[gvk] = true
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	return s.load(list)
}

// loadOne takes what belongs to one instance into memory, once: Targets, works,
// reports, and questions about it.
func (s *simulation) loadOne(identity work.Identity) error {
	if s.own[identity] {
		return nil
	}
	s.own[identity] = true
	of := client.MatchingLabels{kronvoyv1alpha1.LabelInstance: identity.Hash()}
	for _, list := range []client.ObjectList{
		&kronvoyv1alpha1.TargetList{}, &workv1.ManifestWorkList{}, &kronvoyv1alpha1.WorkReportList{}, &kronvoyv1alpha1.ApprovalRequestList{},
	} {
		if err := s.load(list, of); err != nil {
			return err
		}
	}
	return nil
}

// loadRevisions takes the revisions of a definition into memory, once.
func (s *simulation) loadRevisions(definition string) error {
	if s.listed[definition] {
		return nil
	}
	s.listed[definition] = true
	return s.load(&appsv1.ControllerRevisionList{}, client.InNamespace(s.HubNamespace), client.MatchingLabels(revision.DefinitionSelector(definition)))
}

// load takes a list into memory, a page at a time. What memory has already is not
// replaced. A kind is complete when all of it was listed.
func (s *simulation) load(list client.ObjectList, opts ...client.ListOption) error {
	gvk, err := apiutil.GVKForObject(list, s.memory.scheme)
	if err != nil {
		return err
	}
	gvk.Kind = gvk.Kind[:len(gvk.Kind)-len("List")]
	if len(opts) == 0 {
		s.memory.whole[gvk] = true
	}
	if s.Live == nil {
		return nil
	}
	for token := ""; ; {
		err := s.Live.List(s.ctx, list, append(opts[:len(opts):len(opts)], client.Limit(pageSize), client.Continue(token))...)
		switch {
		case apimeta.IsNoMatchError(err) || apierrors.IsNotFound(err):
			// Scores of add-ons, and kinds whose definition is not served yet.
			return nil
		case apierrors.IsForbidden(err):
			return fmt.Errorf("reading what is on the hub: %w; the ClusterRole kronvoy-previewer allows it", err)
		case err != nil:
			return fmt.Errorf("reading what is on the hub: %w", err)
		}
		err = apimeta.EachListItem(list, func(item runtime.Object) error {
			obj, _ := item.DeepCopyObject().(client.Object)
			obj.GetObjectKind().SetGroupVersionKind(gvk)
			s.read++
			if s.memory.has(gvk, client.ObjectKeyFromObject(obj)) {
				return nil
			}
			return s.memory.put(obj)
		})
		if err != nil {
			return err
		}
		s.Progress(fmt.Sprintf("%d objects read, now %s", s.read, gvk.Kind))
		if token = list.GetContinue(); token == "" {
			return nil
		}
	}
}
