package view

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/hub/work"
)

// Event is something that happened on the hub.
type Event struct {
	At      time.Time `json:"at"`
	Count   int32     `json:"count"`
	Type    string    `json:"type"`
	Reason  string    `json:"reason"`
	Object  string    `json:"object"`
	By      string    `json:"by,omitempty"`
	Message string    `json:"message"`
	uid     string
}

// Key tells an event from others, and from itself before it happened again.
func (e Event) Key() string { return fmt.Sprintf("%s/%d", e.uid, e.Count) }

// Subjects says which objects' events are of interest.
type Subjects func(ref corev1.ObjectReference) bool

// Ours are the objects of Kronvoy and Open Cluster Management.
func Ours(namespace string) Subjects {
	groups := []string{"kronvoy.io", "kro.run", "cluster.open-cluster-management.io", "work.open-cluster-management.io"}
	return func(ref corev1.ObjectReference) bool {
		return slices.Contains(groups, schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group) && (namespace == "" || ref.Namespace == "" || ref.Namespace == namespace)
	}
}

// Concerned are an instance, its definition and Distribution, its Rollout, and
// what the hub keeps for it: Targets, works, reports and questions.
func Concerned(ctx context.Context, c client.Reader, instance *unstructured.Unstructured) (Subjects, error) {
	targets, err := Targets(ctx, c, instance)
	if err != nil && !apierrors.IsForbidden(err) {
		return nil, err
	}
	names := map[string]bool{"Rollout " + instance.GetNamespace() + "/" + work.IdentityOfInstance(instance).TargetName(): true}
	add := func(kind, namespace, name string) { names[kind+" "+namespace+"/"+name] = true }
	add(instance.GetKind(), instance.GetNamespace(), instance.GetName())
	for i := range targets {
		add("Target", targets[i].Namespace, targets[i].Name)
		if d := targets[i].Spec.Distribution; d != "" {
			add("Distribution", instance.GetNamespace(), d)
			add("Rollout", instance.GetNamespace(), d)
		}
	}
	var questions kronvoyv1alpha1.ApprovalRequestList
	if err := c.List(ctx, &questions, client.InNamespace(instance.GetNamespace())); err != nil && !apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("listing what the hub asks: %w", err)
	}
	for i := range questions.Items {
		q := &questions.Items[i]
		if ref := q.Spec.Instance; ref != nil && ref.Kind == instance.GetKind() && ref.Name == instance.GetName() || names["Distribution "+q.Namespace+"/"+q.Spec.Distribution] {
			add("ApprovalRequest", q.Namespace, q.Name)
		}
	}
	definition, err := definitionOf(ctx, c, instance.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	add(Definitions.Kind, "", definition)
	prefix := work.IdentityOfInstance(instance).TargetName() + "-"
	return func(ref corev1.ObjectReference) bool {
		if ref.Kind == "ManifestWork" || ref.Kind == "WorkReport" {
			return strings.HasPrefix(ref.Name, prefix)
		}
		return names[ref.Kind+" "+ref.Namespace+"/"+ref.Name]
	}, nil
}

// definitionOf is the name of the definition that a kind comes of.
func definitionOf(ctx context.Context, c client.Reader, gvk schema.GroupVersionKind) (string, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(Definitions.GroupVersion().WithKind(Definitions.Kind + "List"))
	if err := c.List(ctx, list); err != nil {
		return "", fmt.Errorf("listing ResourceGraphDefinitions: %w", err)
	}
	for i := range list.Items {
		kind, _, _ := unstructured.NestedString(list.Items[i].Object, "spec", "schema", "kind")
		group, _, _ := unstructured.NestedString(list.Items[i].Object, "spec", "schema", "group")
		if kind == gvk.Kind && cmp.Or(group, "kro.run") == gvk.Group {
			return list.Items[i].GetName(), nil
		}
	}
	return "", nil
}

// ListEvents reads the events about some objects, in the order in which they
// happened. Those in other namespaces are left out where they may not be read.
func ListEvents(ctx context.Context, c client.Reader, namespace string, of Subjects) ([]Event, error) {
	var found []eventsv1.Event
	take := func(l *eventsv1.EventList) { found = append(found, l.Items...) }
	err := each(ctx, c, &eventsv1.EventList{}, take)
	if apierrors.IsForbidden(err) && namespace != "" {
		err = each(ctx, c, &eventsv1.EventList{}, take, client.InNamespace(namespace))
	}
	if err != nil {
		return nil, fmt.Errorf("listing events: %w", err)
	}
	return inOrder(found, of), nil
}

func inOrder(found []eventsv1.Event, of Subjects) []Event {
	events := []Event{}
	for i := range found {
		e := &found[i]
		if !of(e.Regarding) {
			continue
		}
		event := Event{
			At: e.EventTime.Time, Count: max(e.DeprecatedCount, 1), Type: e.Type, Reason: e.Reason, By: cmp.Or(e.ReportingController, e.DeprecatedSource.Component),
			Object: e.Regarding.Kind + " " + e.Regarding.Name, Message: e.Note, uid: string(e.UID),
		}
		if e.Regarding.Namespace != "" {
			event.Object = e.Regarding.Kind + " " + e.Regarding.Namespace + "/" + e.Regarding.Name
		}
		if last := e.DeprecatedLastTimestamp.Time; last.After(event.At) {
			event.At = last
		}
		if e.Series != nil {
			event.At, event.Count = e.Series.LastObservedTime.Time, e.Series.Count
		}
		if event.At.IsZero() {
			event.At = e.CreationTimestamp.Time
		}
		events = append(events, event)
	}
	slices.SortFunc(events, func(a, b Event) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.uid, b.uid)) })
	return events
}

// WriteEvents prints a line for each.
func WriteEvents(w io.Writer, events []Event, look Look) error {
	table := &output.Table{Header: []string{"TIME", "TYPE", "COUNT", "REASON", "OBJECT", "MESSAGE"}}
	if look.Wide {
		table.Header = []string{"TIME", "TYPE", "COUNT", "REASON", "OBJECT", "BY", "MESSAGE"}
	}
	for _, e := range events {
		kind := output.Cell{Text: e.Type}
		if e.Type == corev1.EventTypeWarning {
			kind.Tone = output.Warn
		}
		cells := []any{e.At.UTC().Format(time.RFC3339), kind, e.Count, e.Reason, e.Object}
		if look.Wide {
			cells = append(cells, e.By)
		}
		table.Add(append(cells, e.Message)...)
	}
	return table.Write(w, look.Style)
}
