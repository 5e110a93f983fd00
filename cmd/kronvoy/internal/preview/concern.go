package preview

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
)

// scope is on which clusters an instance is concerned.
type scope struct {
	all bool
	// clusters that are, unless all.
	clusters map[string]bool
}

// concern finds the instances that a change may mean something to.
func (s *simulation) concern(c change, concerned map[work.Identity]*scope) error {
	switch obj := c.object.(type) {
	case *unstructured.Unstructured:
		concernOne(concerned, work.IdentityOfInstance(obj)).all = true
	case *kronvoyv1alpha1.Distribution:
		return s.concernDistribution(obj, concerned)
	case *clusterv1.ManagedCluster:
		var targets kronvoyv1alpha1.TargetList
		if err := s.load(&targets, client.InNamespace(obj.Name)); err != nil {
			return err
		}
		if err := s.memory.List(s.ctx, &targets, client.InNamespace(obj.Name)); err != nil {
			return err
		}
		for i := range targets.Items {
			concernOne(concerned, work.IdentityOf(targets.Items[i].Spec.Instance)).add(obj.Name)
		}
	default:
		if obj.GetObjectKind().GroupVersionKind().Kind != "Namespace" {
			return nil
		}
		// In whose name agents act there.
		return s.eachInstance(func(instance *unstructured.Unstructured) {
			if instance.GetNamespace() == obj.GetName() {
				concernOne(concerned, work.IdentityOfInstance(instance)).all = true
			}
		})
	}
	return nil
}

// concernDistribution is about the instances that a Distribution selects, or did.
func (s *simulation) concernDistribution(d *kronvoyv1alpha1.Distribution, concerned map[work.Identity]*scope) error {
	rgd := s.generated(policy.KindOf(d))
	if rgd == nil {
		return nil
	}
	instances, err := s.ofKind(kindOf(rgd))
	for _, instance := range instances {
		if instance.GetNamespace() == d.Namespace {
			concernOne(concerned, work.IdentityOfInstance(&instance)).all = true
		}
	}
	return err
}

func (s *simulation) concernKind(gvk runtimeschema.GroupVersionKind, concerned map[work.Identity]*scope) error {
	instances, err := s.ofKind(gvk)
	for i := range instances {
		concernOne(concerned, work.IdentityOfInstance(&instances[i])).all = true
	}
	return err
}

func concernOne(concerned map[work.Identity]*scope, identity work.Identity) *scope {
	if concerned[identity] == nil {
		concerned[identity] = &scope{clusters: map[string]bool{}}
	}
	return concerned[identity]
}

func (s *scope) add(cluster string) { s.clusters[cluster] = true }

func (s *scope) has(cluster string) bool { return s.all || s.clusters[cluster] }

func (s *simulation) ofKind(gvk runtimeschema.GroupVersionKind) ([]unstructured.Unstructured, error) {
	if err := s.loadKind(gvk); err != nil {
		return nil, err
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	err := s.memory.List(s.ctx, list)
	return list.Items, err
}

// eachInstance goes over all instances of all kinds.
func (s *simulation) eachInstance(visit func(*unstructured.Unstructured)) error {
	var list krov1alpha1.ResourceGraphDefinitionList
	if err := s.memory.List(s.ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		instances, err := s.ofKind(kindOf(&list.Items[i]))
		if err != nil {
			return err
		}
		for k := range instances {
			visit(&instances[k])
		}
	}
	return nil
}

// places says whether a change may make Placements decide anew.
func (c change) places() bool {
	switch c.object.(type) {
	case *clusterv1.ManagedCluster, *clusterv1beta2.ManagedClusterSet, *clusterv1beta2.ManagedClusterSetBinding,
		*clusterv1beta1.Placement, *clusterv1alpha1.AddOnPlacementScore:
		return true
	}
	return false
}

// placed is where all instances run, if a change could move any of them.
func (s *simulation) placed(changes []change) (map[work.Identity]rollout.Decision, error) {
	if !slices.ContainsFunc(changes, change.places) {
		return nil, nil
	}
	decisions := map[work.Identity]rollout.Decision{}
	var failed error
	err := s.eachInstance(func(instance *unstructured.Unstructured) {
		decision, err := s.decide(instance)
		failed = errors.Join(failed, err)
		decisions[work.IdentityOfInstance(instance)] = decision
	})
	return decisions, errors.Join(err, failed)
}

// decide says where an instance runs, without its Targets.
func (s *simulation) decide(instance *unstructured.Unstructured) (rollout.Decision, error) {
	owner, err := rollout.Owner(s.ctx, s.memory, instance, nil)
	if err != nil {
		return rollout.Decision{}, err
	}
	if err := s.loadParent(instance); err != nil {
		return rollout.Decision{}, err
	}
	return s.placer.Decide(s.ctx, instance, owner)
}

// loadParent takes the Target into memory that an instance says it was made for.
func (s *simulation) loadParent(instance *unstructured.Unstructured) error {
	mark, marked := kronvoyv1alpha1.ParseNestedMark(work.IdentityOfInstance(instance).Reference(), instance.GetAnnotations())
	if !marked {
		return nil
	}
	key := client.ObjectKey{Namespace: mark.Cluster, Name: work.IdentityOf(mark.Parent).TargetName()}
	return client.IgnoreNotFound(s.memory.Get(s.ctx, key, &kronvoyv1alpha1.Target{}))
}

// moved concerns instances on clusters that come or go.
func (s *simulation) moved(before map[work.Identity]rollout.Decision, concerned map[work.Identity]*scope) error {
	if before == nil {
		return nil
	}
	var failed error
	err := s.eachInstance(func(instance *unstructured.Unstructured) {
		identity := work.IdentityOfInstance(instance)
		after, err := s.decide(instance)
		failed = errors.Join(failed, err)
		was, is := set(before[identity].Clusters), set(after.Clusters)
		for cluster := range was {
			if !is[cluster] {
				concernOne(concerned, identity).add(cluster)
			}
		}
		for cluster := range is {
			if !was[cluster] {
				concernOne(concerned, identity).add(cluster)
			}
		}
	})
	return errors.Join(err, failed)
}

func set(names []string) map[string]bool {
	out := make(map[string]bool, len(names))
	for _, name := range names {
		out[name] = true
	}
	return out
}

// sortedIdentities are in the order in which they are shown.
func sortedIdentities(concerned map[work.Identity]*scope) []work.Identity {
	return slices.SortedFunc(maps.Keys(concerned), func(a, b work.Identity) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name), strings.Compare(a.Group, b.Group))
	})
}
