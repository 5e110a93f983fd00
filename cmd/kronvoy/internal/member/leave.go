package member

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/install"
	"github.com/kronvoy/kronvoy/spoke/join"
)

// page bounds one answer of a list.
const page = 500

// Leaving is one cluster's way out of a fleet.
type Leaving struct {
	Cluster   client.Client
	Discovery discovery.DiscoveryInterface
	// DeleteWorkloads deletes what the hub's works brought; otherwise it stays, and
	// belongs to nobody.
	DeleteWorkloads bool
	Progress        io.Writer
}

// Left says what was done.
type Left struct {
	Cluster string `json:"cluster,omitempty"`
	Hub     string `json:"hub,omitempty"`
	Works   int    `json:"works"`
	// Kept or Deleted objects of works.
	Kept    int `json:"kept"`
	Deleted int `json:"deleted"`
}

// Run takes the agent and all that is its own off the cluster. It may be run
// again after a failure: what says which works are the hub's goes last.
func (l *Leaving) Run(ctx context.Context) (*Left, error) {
	result := &Left{}
	joined, err := l.joined(ctx)
	if err != nil {
		return result, err
	}
	if err := l.stop(ctx); err != nil {
		return result, err
	}
	if joined != nil {
		result.Cluster, result.Hub = joined.Cluster, joined.Server
		if err := l.letGo(ctx, joined, result); err != nil {
			return result, err
		}
	}
	return result, l.uninstall(ctx)
}

func (l *Leaving) say(format string, args ...any) { fmt.Fprintf(l.Progress, format+"\n", args...) }

func (l *Leaving) joined(ctx context.Context) (*join.Joined, error) {
	return (&Joining{Cluster: l.Cluster}).identity(ctx)
}

// stop ends the agent first: it would put back what is changed.
func (l *Leaving) stop(ctx context.Context) error {
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: install.AgentNamespace, Name: install.AgentDeployment}}
	if err := l.Cluster.Delete(ctx, deployment, client.PropagationPolicy(metav1.DeletePropagationForeground)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the agent's Deployment: %w", err)
	}
	l.say("waiting for the agent to end")
	return l.until(ctx, "the agent's pods to end", func(ctx context.Context) (bool, error) {
		pods := &corev1.PodList{}
		err := l.Cluster.List(ctx, pods, client.InNamespace(install.AgentNamespace), client.MatchingLabels{"app.kubernetes.io/name": install.AgentDeployment})
		return len(pods.Items) == 0, err
	})
}

func (l *Leaving) until(ctx context.Context, what string, done wait.ConditionWithContextFunc) error {
	if err := wait.PollUntilContextCancel(ctx, look, true, done); err != nil {
		return fmt.Errorf("waiting for %s: %w; run this again", what, err)
	}
	return nil
}

// letGo ends the inventories of the hub's works. The garbage collector deletes
// whatever has no other owner once its inventory is gone, so objects that are to
// stay lose that owner first, and an inventory goes only when a look at the whole
// cluster finds no object that it owns.
func (l *Leaving) letGo(ctx context.Context, joined *join.Joined, result *Left) error {
	works, err := l.works(ctx, joined)
	if err != nil || len(works) == 0 {
		return err
	}
	owners := map[types.UID]string{}
	for _, work := range works {
		owners[work.UID] = work.Name
	}
	result.Works = len(works)
	if !l.DeleteWorkloads {
		l.say("letting go of the objects of %d works", len(works))
		for {
			owned, err := l.owned(ctx, owners)
			if err != nil {
				return err
			}
			if len(owned) == 0 {
				break
			}
			for _, object := range owned {
				if err := l.disown(ctx, object, owners); err != nil {
					return err
				}
			}
			result.Kept = max(result.Kept, len(owned))
		}
	} else {
		owned, err := l.owned(ctx, owners)
		if err != nil {
			return err
		}
		result.Deleted = len(owned)
		l.say("deleting the %d objects of %d works", len(owned), len(works))
	}
	for i := range works {
		if err := l.end(ctx, &works[i]); err != nil {
			return err
		}
	}
	if !l.DeleteWorkloads {
		return nil
	}
	return l.until(ctx, "the objects to go", func(ctx context.Context) (bool, error) {
		left, err := l.owned(ctx, owners)
		return len(left) == 0, err
	})
}

// works are the inventories of the hub's works, by OCM's hash of its address.
func (l *Leaving) works(ctx context.Context, joined *join.Joined) ([]workv1.AppliedManifestWork, error) {
	sum := sha256.Sum256([]byte(joined.Server))
	list := &workv1.AppliedManifestWorkList{}
	if err := l.Cluster.List(ctx, list); apimeta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("listing AppliedManifestWorks: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(w workv1.AppliedManifestWork) bool {
		return w.Spec.HubHash != hex.EncodeToString(sum[:])
	}), nil
}

// owned are the objects that any of the inventories owns. All that an agent
// applies carries a label.
func (l *Leaving) owned(ctx context.Context, owners map[types.UID]string) ([]*metav1.PartialObjectMetadata, error) {
	lists, err := l.Discovery.ServerPreferredResources()
	if err != nil && len(lists) == 0 {
		return nil, fmt.Errorf("asking the cluster for its kinds: %w", err)
	}
	if discovery.IsGroupDiscoveryFailedError(err) {
		return nil, fmt.Errorf("asking the cluster for its kinds: %w; objects of these kinds could not be looked after: mend or delete the APIServices, and run this again", err)
	}
	var found []*metav1.PartialObjectMetadata
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") || !slices.Contains(resource.Verbs, "patch") {
				continue
			}
			of, err := l.ownedOfKind(ctx, version.WithKind(resource.Kind), owners)
			if err != nil {
				return nil, err
			}
			found = append(found, of...)
		}
	}
	return found, nil
}

func (l *Leaving) ownedOfKind(ctx context.Context, kind schema.GroupVersionKind, owners map[types.UID]string) ([]*metav1.PartialObjectMetadata, error) {
	var found []*metav1.PartialObjectMetadata
	list := &metav1.PartialObjectMetadataList{}
	for next := ""; ; next = list.Continue {
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		err := l.Cluster.List(ctx, list, client.MatchingLabels{kronvoyv1alpha1.LabelManaged: "true"}, client.Limit(page), client.Continue(next))
		if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
			return nil, nil // it is not served any more, or was never an object
		}
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", kind.GroupKind(), err)
		}
		for i := range list.Items {
			object := list.Items[i].DeepCopy()
			object.SetGroupVersionKind(kind)
			if slices.ContainsFunc(object.OwnerReferences, func(o metav1.OwnerReference) bool { return owners[o.UID] != "" }) {
				found = append(found, object)
			}
		}
		if list.Continue == "" {
			return found, nil
		}
	}
}

// disown takes the inventories from an object's owners.
func (l *Leaving) disown(ctx context.Context, object *metav1.PartialObjectMetadata, owners map[types.UID]string) error {
	left := slices.DeleteFunc(slices.Clone(object.OwnerReferences), func(o metav1.OwnerReference) bool { return owners[o.UID] != "" })
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": object.UID, "resourceVersion": object.ResourceVersion, "ownerReferences": left,
	}})
	if err != nil {
		return err
	}
	err = l.Cluster.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // the next look sees how it is now
	}
	if err != nil {
		return fmt.Errorf("letting go of %s %s/%s: %w", object.Kind, object.Namespace, object.Name, err)
	}
	return nil
}

// end deletes an inventory, whose finalizers nobody is left to take off.
func (l *Leaving) end(ctx context.Context, work *workv1.AppliedManifestWork) error {
	if len(work.Finalizers) > 0 {
		patch := []byte(`{"metadata":{"finalizers":null}}`)
		if err := l.Cluster.Patch(ctx, work, client.RawPatch(types.MergePatchType, patch)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("taking the finalizers off AppliedManifestWork %s: %w", work.Name, err)
		}
	}
	err := l.Cluster.Delete(ctx, work, client.Preconditions{UID: &work.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting AppliedManifestWork %s: %w", work.Name, err)
	}
	return nil
}

// uninstall deletes what is installed, but for the CustomResourceDefinition where
// another agent uses it.
func (l *Leaving) uninstall(ctx context.Context) error {
	objects, err := (install.Agent{Image: "any"}).Objects()
	if err != nil {
		return err
	}
	shared, err := l.shared(ctx)
	if err != nil {
		return err
	}
	if shared {
		objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "CustomResourceDefinition" })
	}
	l.say("removing the agent, its Secrets and its rights")
	return install.Delete(ctx, l.Cluster, objects...)
}

// shared is whether somebody else has AppliedManifestWorks: a klusterlet of OCM's,
// or an agent of another hub.
func (l *Leaving) shared(ctx context.Context) (bool, error) {
	err := l.Cluster.Get(ctx, client.ObjectKey{Name: "open-cluster-management-agent"}, &corev1.Namespace{})
	if err == nil {
		return true, nil
	}
	if !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("looking for an agent of OCM's: %w", err)
	}
	list := &workv1.AppliedManifestWorkList{}
	if err := l.Cluster.List(ctx, list, client.Limit(1)); apimeta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("listing AppliedManifestWorks: %w", err)
	}
	return len(list.Items) > 0, nil
}

// Patience is how long a command waits for a cluster by default.
const Patience = 5 * time.Minute
