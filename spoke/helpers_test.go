//go:build integration

package spoke_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "h1-" + hex.EncodeToString(sum[:6])
}

// eventually waits until check finds nothing wrong.
func (w *world) eventually(what string, check func() error) {
	w.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("waiting for %s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// live reads an object; nil when it does not exist.
func (w *world) live(like *manifest) *unstructured.Unstructured {
	w.t.Helper()
	return w.read(like.object.GetAPIVersion(), like.object.GetKind(), like.object.GetNamespace(), like.object.GetName())
}

func (w *world) read(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	w.t.Helper()
	obj := &unstructured.Unstructured{}
	obj.SetAPIVersion(apiVersion)
	obj.SetKind(kind)
	err := w.client.Get(w.ctx, types.NamespacedName{Namespace: namespace, Name: name}, obj)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return obj
}

// settled waits until a work's status answers its generation with everything
// applied.
func (w *world) settled(name string) *workv1.ManifestWork {
	w.t.Helper()
	var work *workv1.ManifestWork
	w.eventually("work "+name+" to be applied", func() error {
		work = w.getWork(name)
		return condition(work.Status.Conditions, workv1.WorkApplied, metav1.ConditionTrue, work.Generation)
	})
	return work
}

func condition(conditions []metav1.Condition, kind string, status metav1.ConditionStatus, generation int64) error {
	c := apimeta.FindStatusCondition(conditions, kind)
	switch {
	case c == nil:
		return fmt.Errorf("no condition %s among %d", kind, len(conditions))
	case c.Status != status || c.ObservedGeneration != generation:
		return fmt.Errorf("condition %s is %s at %d (%s: %s), want %s at %d", kind, c.Status, c.ObservedGeneration, c.Reason, c.Message, status, generation)
	}
	return nil
}

func manifestStatus(work *workv1.ManifestWork, name string) *workv1.ManifestCondition {
	for i := range work.Status.ResourceStatus.Manifests {
		if work.Status.ResourceStatus.Manifests[i].ResourceMeta.Name == name {
			return &work.Status.ResourceStatus.Manifests[i]
		}
	}
	return &workv1.ManifestCondition{}
}

// values writes a manifest's feedback as name=value.
func values(work *workv1.ManifestWork, name string) map[string]string {
	found := map[string]string{}
	for _, value := range manifestStatus(work, name).StatusFeedbacks.Values {
		switch {
		case value.Value.Integer != nil:
			found[value.Name] = fmt.Sprint(*value.Value.Integer)
		case value.Value.String != nil:
			found[value.Name] = *value.Value.String
		case value.Value.Boolean != nil:
			found[value.Name] = fmt.Sprint(*value.Value.Boolean)
		}
	}
	return found
}

// patch changes an object as somebody else.
func (w *world) patch(like *manifest, who, content string) {
	w.t.Helper()
	target := like.object.DeepCopy()
	if err := w.client.Patch(w.ctx, target, client.RawPatch(types.MergePatchType, []byte(content)), client.FieldOwner(who)); err != nil {
		w.t.Fatal(err)
	}
}

// patchSub changes a subresource as somebody else.
func (w *world) patchSub(like *manifest, subresource, who, content string) {
	w.t.Helper()
	target := like.object.DeepCopy()
	if err := w.client.SubResource(subresource).Patch(w.ctx, target, client.RawPatch(types.MergePatchType, []byte(content)), client.FieldOwner(who)); err != nil {
		w.t.Fatal(err)
	}
}

// inventory reads the work's AppliedManifestWork; nil when there is none.
func (w *world) inventory(work string) *workv1.AppliedManifestWork {
	w.t.Helper()
	applied := &workv1.AppliedManifestWork{}
	err := w.client.Get(w.ctx, types.NamespacedName{Name: w.hubHash + "-" + work}, applied)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return applied
}

// inventoryLists waits until the inventory names exactly these objects.
func (w *world) inventoryLists(work string, names ...string) {
	w.t.Helper()
	want := strings.Join(names, ",")
	w.eventually("the inventory to list "+want, func() error {
		applied := w.inventory(work)
		if applied == nil {
			return fmt.Errorf("there is none")
		}
		var got []string
		for _, resource := range applied.Status.AppliedResources {
			got = append(got, resource.Name)
		}
		if strings.Join(got, ",") != want {
			return fmt.Errorf("it lists %v", got)
		}
		return nil
	})
}

// findings summarises a report: action kind/name path desired->observed (manager).
func findings(status kronvoyv1alpha1.WorkReportStatus) []string {
	var lines []string
	for _, finding := range status.Findings {
		line := fmt.Sprintf("%s %s/%s", finding.Action, finding.Kind, finding.Name)
		if finding.Missing {
			line += " missing"
		}
		for _, detail := range finding.Details {
			line += fmt.Sprintf(" %s %s->%s (%s)", detail.Path, detail.Desired, detail.Observed, detail.Manager)
		}
		lines = append(lines, line)
	}
	return lines
}

// in is the same world for a part of its test.
func (w *world) in(t *testing.T) *world {
	part := *w
	part.t = t
	return &part
}

// kebab makes a name of words.
func kebab(words ...string) string { return strings.ToLower(strings.Join(words, "-")) }
