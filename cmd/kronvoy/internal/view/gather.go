package view

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/work"
)

// page bounds one answer of the API server.
const page = 500

// Definitions is the kind of which every other one comes.
var Definitions = krov1alpha1.GroupVersion.WithKind("ResourceGraphDefinition")

// Kinds are the generated kinds that the hub's definitions describe.
func Kinds(ctx context.Context, c client.Reader) ([]schema.GroupVersionKind, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(Definitions.GroupVersion().WithKind(Definitions.Kind + "List"))
	if err := c.List(ctx, list); err != nil {
		return nil, fmt.Errorf("listing ResourceGraphDefinitions: %w; is this the kubeconfig of a hub?", err)
	}
	var kinds []schema.GroupVersionKind
	for i := range list.Items {
		group, _, _ := unstructured.NestedString(list.Items[i].Object, "spec", "schema", "group")
		version, _, _ := unstructured.NestedString(list.Items[i].Object, "spec", "schema", "apiVersion")
		kind, _, _ := unstructured.NestedString(list.Items[i].Object, "spec", "schema", "kind")
		if kind != "" {
			kinds = append(kinds, schema.GroupVersionKind{Group: cmp.Or(group, "kro.run"), Version: version, Kind: kind})
		}
	}
	slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(kinds), nil
}

// each lists objects page by page. A cache, which has all of them at hand, knows
// no pages and gives them at once.
func each[L client.ObjectList](ctx context.Context, c client.Reader, list L, take func(L), options ...client.ListOption) error {
	_, live := c.(client.Client)
	if live {
		options = append(options, client.Limit(page))
	}
	for next := ""; ; {
		// Each page has its own memory: what is decoded into a list that has
		// something already would be mixed with it.
		answer, is := list.DeepCopyObject().(L)
		if !is {
			return fmt.Errorf("%T is no list", list)
		}
		if err := c.List(ctx, answer, append(slices.Clip(options), client.Continue(next))...); err != nil {
			return err
		}
		take(answer)
		next = answer.GetContinue()
		if next == "" || !live {
			return nil
		}
	}
}

// Instances are all instances of a namespace or, with "", of all.
func Instances(ctx context.Context, c client.Reader, namespace string) ([]unstructured.Unstructured, error) {
	kinds, err := Kinds(ctx, c)
	if err != nil {
		return nil, err
	}
	var instances []unstructured.Unstructured
	for _, kind := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		err := each(ctx, c, list, func(l *unstructured.UnstructuredList) { instances = append(instances, l.Items...) }, client.InNamespace(namespace))
		if err != nil && !notServed(err) {
			return nil, fmt.Errorf("listing %s: %w", kind.Kind, err)
		}
	}
	return instances, nil
}

// Gather reads what a fleet is seen by, of one namespace or, with "", of all. No
// Targets are: what the hub sums up in the instances is enough, and a fleet has
// many of them.
func Gather(ctx context.Context, c client.Reader, namespace string) (Objects, error) {
	var objects Objects
	var clusters, rollouts, questions error
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		objects.Instances, err = Instances(ctx, c, namespace)
		return err
	})
	group.Go(func() error {
		found := []clusterv1.ManagedCluster{}
		clusters = each(ctx, c, &clusterv1.ManagedClusterList{}, func(l *clusterv1.ManagedClusterList) { found = append(found, l.Items...) })
		if clusters == nil {
			objects.Clusters = found
		}
		return unless(apierrors.IsForbidden, clusters)
	})
	group.Go(func() error {
		rollouts = each(ctx, c, &kronvoyv1alpha1.RolloutList{}, func(l *kronvoyv1alpha1.RolloutList) { objects.Rollouts = append(objects.Rollouts, l.Items...) }, client.InNamespace(namespace))
		return unless(apierrors.IsForbidden, rollouts)
	})
	group.Go(func() error {
		questions = each(ctx, c, &kronvoyv1alpha1.ApprovalRequestList{}, func(l *kronvoyv1alpha1.ApprovalRequestList) {
			objects.Questions = append(objects.Questions, l.Items...)
		}, client.InNamespace(namespace))
		return unless(apierrors.IsForbidden, questions)
	})
	err := group.Wait()
	for _, unseen := range []error{clusters, rollouts, questions} {
		if apierrors.IsForbidden(unseen) {
			objects.Unseen = append(objects.Unseen, unseen.Error())
		}
	}
	return objects, err
}

// List is the fleet, or what of it concerns one namespace.
func List(ctx context.Context, c client.Reader, namespace string) (Fleet, error) {
	objects, err := Gather(ctx, c, namespace)
	if err != nil {
		return Fleet{}, err
	}
	return NewFleet(objects), nil
}

func unless(is func(error) bool, err error) error {
	if is(err) {
		return nil
	}
	return err
}

// Find reads one instance, named NAME, KIND/NAME or KIND.GROUP/NAME.
func Find(ctx context.Context, c client.Reader, namespace, reference string) (*unstructured.Unstructured, error) {
	kind, name, both := strings.Cut(reference, "/")
	if !both {
		kind, name = "", reference
	}
	kind, group, grouped := strings.Cut(kind, ".")
	kinds, err := Kinds(ctx, c)
	if err != nil {
		return nil, err
	}
	var found []*unstructured.Unstructured
	for _, gvk := range kinds {
		if kind != "" && !strings.EqualFold(kind, gvk.Kind) || grouped && group != gvk.Group {
			continue
		}
		obj := &unstructured.Unstructured{}
		obj.SetGroupVersionKind(gvk)
		err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, obj)
		if apierrors.IsNotFound(err) || notServed(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s %s/%s: %w", gvk.Kind, namespace, name, err)
		}
		found = append(found, obj)
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("no instance %q in namespace %q: `kronvoy status -A` lists all: %w", reference, namespace, ErrNotFound)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%q is a %s and a %s: say which, as in %s/%s", name, found[0].GetKind(), found[1].GetKind(), strings.ToLower(found[0].GetKind()), name)
}

// ErrNotFound is that there is no such instance.
var ErrNotFound = errors.New("not found")

// Get reads one instance with a row for every cluster.
func Get(ctx context.Context, c client.Reader, namespace, reference string) (Instance, error) {
	obj, err := Find(ctx, c, namespace, reference)
	if err != nil {
		return Instance{}, err
	}
	instance := read(obj)
	targets, err := Targets(ctx, c, obj)
	if apierrors.IsForbidden(err) {
		// The instance names the worst clusters, and that has to do.
		return instance, nil
	}
	if err != nil {
		return Instance{}, err
	}
	instance.addTargets(targets)
	return instance, instance.addPlaces(ctx, c, targets)
}

// Targets are those of one instance.
func Targets(ctx context.Context, c client.Reader, instance *unstructured.Unstructured) ([]kronvoyv1alpha1.Target, error) {
	hash := work.IdentityOfInstance(instance).Hash()
	var targets []kronvoyv1alpha1.Target
	err := each(ctx, c, &kronvoyv1alpha1.TargetList{}, func(l *kronvoyv1alpha1.TargetList) { targets = append(targets, l.Items...) },
		client.MatchingLabels{kronvoyv1alpha1.LabelInstance: hash})
	if err != nil {
		return nil, fmt.Errorf("listing the Targets of %s: %w", instance.GetName(), err)
	}
	return targets, nil
}

// addPlaces says which region and group clusters are in, as far as that may be
// read.
func (i *Instance) addPlaces(ctx context.Context, c client.Reader, targets []kronvoyv1alpha1.Target) error {
	groupBy := ""
	if i.Rollout != nil {
		r := &kronvoyv1alpha1.Rollout{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: i.Namespace, Name: i.Rollout.Name}, r); err == nil {
			i.addRollout([]kronvoyv1alpha1.Rollout{*r})
		} else if !absent(err) {
			return fmt.Errorf("reading Rollout %s: %w", i.Rollout.Name, err)
		}
		if n := slices.IndexFunc(targets, func(t kronvoyv1alpha1.Target) bool { return t.Spec.Distribution != "" }); n >= 0 {
			d := &kronvoyv1alpha1.Distribution{}
			if err := c.Get(ctx, client.ObjectKey{Namespace: i.Namespace, Name: targets[n].Spec.Distribution}, d); err == nil {
				if s := d.Spec.Rollout; s != nil && s.GroupBy != nil {
					groupBy = s.GroupBy.Label
				}
			} else if !absent(err) {
				return fmt.Errorf("reading Distribution %s: %w", targets[n].Spec.Distribution, err)
			}
		}
	}
	labels := map[string]map[string]string{}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: clusterv1.GroupName, Version: "v1", Kind: "ManagedClusterList"})
	err := each(ctx, c, list, func(l *metav1.PartialObjectMetadataList) {
		for n := range l.Items {
			labels[l.Items[n].Name] = l.Items[n].Labels
		}
	})
	if err != nil && !absent(err) {
		return fmt.Errorf("listing ManagedClusters: %w", err)
	}
	i.addLabels(labels, groupBy)
	return nil
}

// absent is an error that is no reason to show nothing at all.
func absent(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsNotFound(err) }

// notServed says that a kind is not there, or not yet.
func notServed(err error) bool {
	var failed *discovery.ErrGroupDiscoveryFailed
	return err != nil && (apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) || errors.As(err, &failed))
}
