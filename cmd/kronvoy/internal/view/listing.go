package view

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/hub/convert"
)

// Scope says which objects are listed.
type Scope struct {
	// Name of the only one; empty for all. Of instances it is KIND/NAME or NAME.
	Name string
	// Namespace of the instances; empty for all.
	Namespace string
	// Cluster is the only one; empty for all.
	Cluster string
	// Labels that objects have.
	Labels labels.Selector
	// Brief leaves out what takes reading a lot: of clusters, what runs on them.
	Brief bool
}

func (s Scope) options(namespace string) []client.ListOption {
	options := []client.ListOption{client.InNamespace(namespace)}
	if s.Labels != nil {
		options = append(options, client.MatchingLabelsSelector{Selector: s.Labels})
	}
	if s.Name != "" {
		options = append(options, client.MatchingFields{"metadata.name": s.Name})
	}
	return options
}

// Item is a line of a listing.
type Item interface {
	// Reference is resource.group/name.
	Reference() string
	cells(look Look) []any
}

// Listing is objects of one kind.
type Listing struct {
	Items        []Item
	header, wide []string
}

// Write prints a listing in a format.
func (l Listing) Write(w io.Writer, format string, look Look) error {
	switch format {
	case output.FormatName:
		for _, item := range l.Items {
			fmt.Fprintln(w, item.Reference())
		}
		return nil
	case output.FormatTable, output.FormatWide:
		if len(l.Items) == 0 {
			_, err := fmt.Fprintln(w, "there are none")
			return err
		}
		look.Wide = format == output.FormatWide
		table := &output.Table{Header: l.header}
		if look.Wide {
			table.Header = l.wide
		}
		for _, item := range l.Items {
			table.Add(item.cells(look)...)
		}
		return table.Write(w, look.Style)
	}
	items := l.Items
	if items == nil {
		items = []Item{}
	}
	return output.Encode(w, format, items)
}

// ClusterItem is a ManagedCluster.
type ClusterItem struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	// State is Available, Unreachable or Joining.
	State   string `json:"state"`
	Since   string `json:"since,omitempty"`
	Version string `json:"version,omitempty"`
	// Claims are the cluster's own word.
	Claims map[string]string `json:"claims,omitempty"`
	// Suspended says that nothing is written there.
	Suspended string `json:"suspended,omitempty"`
	Message   string `json:"message,omitempty"`
	// Instances on the cluster by their state.
	Instances *Placed `json:"instances,omitempty"`
}

// Reference implements Item.
func (c ClusterItem) Reference() string {
	return "managedcluster.cluster.open-cluster-management.io/" + c.Name
}

func (c ClusterItem) cells(look Look) []any {
	cells := []any{c.Name, c.Labels["region"], state(c.State), ago(c.Since, look.Now)}
	if p := c.Instances; p != nil {
		cells = append(cells, fmt.Sprintf("%d/%d", p.Ready, p.Total), count(p.Failed, output.Bad), count(p.Drifted, output.Warn))
	}
	cells = append(cells, c.Version)
	if look.Wide {
		cells = append(cells, labels.Set(c.Labels).String())
	}
	return append(cells, clip(cmp.Or(c.Suspended, c.Message), look.Wide))
}

// ListClusters lists clusters, and unless it is to be brief with what runs on them.
func ListClusters(ctx context.Context, c client.Reader, scope Scope) (Listing, error) {
	scope.Name = cmp.Or(scope.Name, scope.Cluster)
	var clusters []clusterv1.ManagedCluster
	err := each(ctx, c, &clusterv1.ManagedClusterList{}, func(l *clusterv1.ManagedClusterList) { clusters = append(clusters, l.Items...) }, scope.options("")...)
	if err != nil {
		return Listing{}, fmt.Errorf("listing ManagedClusters: %w", err)
	}
	if scope.Brief {
		return clusterListing(clusters, nil), nil
	}
	placed := map[string]*Placed{}
	err = each(ctx, c, &kronvoyv1alpha1.TargetList{}, func(l *kronvoyv1alpha1.TargetList) {
		for i := range l.Items {
			t := &l.Items[i]
			if placed[t.Namespace] == nil {
				placed[t.Namespace] = &Placed{}
			}
			placed[t.Namespace].add(t)
		}
	}, client.InNamespace(scope.Name))
	if err != nil {
		return Listing{}, fmt.Errorf("listing Targets: %w", err)
	}
	return clusterListing(clusters, placed), nil
}

func (p *Placed) add(t *kronvoyv1alpha1.Target) {
	p.Total++
	switch t.Status.State {
	case kronvoyv1alpha1.TargetReady:
		p.Ready++
	case kronvoyv1alpha1.TargetFailed:
		p.Failed++
	case kronvoyv1alpha1.TargetUnreachable:
		p.Unreachable++
	default:
		p.Progressing++
	}
	if t.Status.Drift.Objects > 0 {
		p.Drifted++
	}
	if t.Status.Health == kronvoyv1alpha1.HealthFailed || t.Status.Health == kronvoyv1alpha1.HealthProgressing {
		p.Unhealthy++
	}
}

// clusterListing has no columns of what runs on clusters where placed is nil.
func clusterListing(clusters []clusterv1.ManagedCluster, placed map[string]*Placed) Listing {
	list := Listing{
		header: []string{"CLUSTER", "REGION", "STATE", "SINCE", "VERSION", "MESSAGE"},
		wide:   []string{"CLUSTER", "REGION", "STATE", "SINCE", "READY", "FAILED", "DRIFTED", "VERSION", "LABELS", "MESSAGE"},
	}
	for i := range clusters {
		m := &clusters[i]
		item := ClusterItem{Name: m.Name, Labels: m.Labels, State: "Joining", Version: m.Status.Version.Kubernetes, Claims: convert.Claims(m)}
		if available := apimeta.FindStatusCondition(m.Status.Conditions, clusterv1.ManagedClusterConditionAvailable); available != nil && m.Spec.HubAcceptsClient {
			item.State, item.Since = "Available", available.LastTransitionTime.UTC().Format(time.RFC3339)
			if available.Status != metav1.ConditionTrue {
				item.State, item.Message = string(kronvoyv1alpha1.TargetUnreachable), available.Message
			}
		} else if !m.Spec.HubAcceptsClient {
			item.Message = "not accepted: kronvoy accept " + m.Name
		}
		if m.Annotations[kronvoyv1alpha1.AnnotationReconcile] != "" {
			item.Suspended = "frozen: " + m.Annotations[kronvoyv1alpha1.AnnotationReconcileReason]
		}
		if placed != nil {
			item.Instances = cmp.Or(placed[m.Name], &Placed{})
		}
		list.Items = append(list.Items, item)
	}
	return list
}

// InstanceItem is an instance on all of its clusters.
type InstanceItem struct {
	Group    string `json:"group"`
	Instance `json:",inline"`
}

// Reference implements Item.
func (i InstanceItem) Reference() string {
	return strings.ToLower(i.Kind) + "." + i.Group + "/" + i.Name
}

func (i InstanceItem) cells(look Look) []any {
	cells := instanceCells(i.Instance, look)
	if look.Wide {
		last := len(cells) - 1
		cells = append(cells[:last:last], i.Revision, cells[last])
	}
	return cells
}

// ListInstances lists instances of all kinds.
func ListInstances(ctx context.Context, c client.Reader, scope Scope) (Listing, error) {
	var found []unstructured.Unstructured
	if scope.Name != "" {
		obj, err := Find(ctx, c, scope.Namespace, scope.Name)
		if err != nil {
			return Listing{}, err
		}
		found = append(found, *obj)
	} else {
		all, err := Instances(ctx, c, scope.Namespace)
		if err != nil {
			return Listing{}, err
		}
		found = all
	}
	list := Listing{header: instanceHeader}
	last := len(instanceHeader) - 1
	list.wide = append(instanceHeader[:last:last], "REVISION", instanceHeader[last])
	for i := range found {
		if scope.Labels != nil && !scope.Labels.Matches(labels.Set(found[i].GetLabels())) {
			continue
		}
		list.Items = append(list.Items, InstanceItem{Group: found[i].GroupVersionKind().Group, Instance: read(&found[i])})
	}
	return list, nil
}

// TargetItem is an instance on one cluster.
type TargetItem struct {
	Cluster      string                            `json:"cluster"`
	Name         string                            `json:"name"`
	Instance     kronvoyv1alpha1.InstanceReference `json:"instance"`
	Distribution string                            `json:"distribution,omitempty"`
	// Wanted is the revision that the cluster should have.
	Wanted string  `json:"wanted"`
	Status Cluster `json:"status"`
}

// Reference implements Item.
func (t TargetItem) Reference() string { return "target.kronvoy.io/" + t.Name }

func (t TargetItem) cells(look Look) []any {
	revision := shortRevision(t.Status.Revision, look.Wide)
	if t.Status.Revision != t.Wanted {
		revision = fmt.Sprintf("%s, wanted %s", cmp.Or(revision, "none"), shortRevision(t.Wanted, look.Wide))
	}
	cells := []any{
		t.Cluster, t.Instance.Namespace, strings.ToLower(t.Instance.Kind) + "/" + t.Instance.Name, state(t.Status.Standing()),
		ago(t.Status.Since, look.Now), t.Status.Ready, revision,
	}
	if look.Wide {
		cells = append(cells, t.Status.Health, t.Distribution, t.Name)
	}
	return append(cells, clip(t.Status.Why(), look.Wide))
}

// ListTargets lists instances on clusters.
func ListTargets(ctx context.Context, c client.Reader, scope Scope) (Listing, error) {
	list := Listing{
		header: []string{"CLUSTER", "NAMESPACE", "INSTANCE", "STATE", "SINCE", "READY", "REVISION", "WHY"},
		wide:   []string{"CLUSTER", "NAMESPACE", "INSTANCE", "STATE", "SINCE", "READY", "REVISION", "HEALTH", "DISTRIBUTION", "NAME", "WHY"},
	}
	var items []TargetItem
	err := each(ctx, c, &kronvoyv1alpha1.TargetList{}, func(l *kronvoyv1alpha1.TargetList) {
		for i := range l.Items {
			t := &l.Items[i]
			if scope.Namespace != "" && t.Spec.Instance.Namespace != "" && t.Spec.Instance.Namespace != scope.Namespace {
				continue
			}
			items = append(items, TargetItem{
				Cluster: t.Namespace, Name: t.Name, Instance: t.Spec.Instance, Distribution: t.Spec.Distribution, Wanted: t.Spec.Revision, Status: ofTarget(t, Cluster{}),
			})
		}
	}, scope.options(scope.Cluster)...)
	if err != nil {
		return Listing{}, fmt.Errorf("listing Targets: %w", err)
	}
	slices.SortFunc(items, func(a, b TargetItem) int {
		return cmp.Or(a.Status.compare(b.Status), cmp.Compare(a.Instance.Namespace, b.Instance.Namespace), cmp.Compare(a.Instance.Name, b.Instance.Name))
	})
	for _, item := range items {
		list.Items = append(list.Items, item)
	}
	return list, nil
}

// WorkItem is a ManifestWork, without what is in its manifests: that may be secret.
type WorkItem struct {
	Cluster  string `json:"cluster"`
	Name     string `json:"name"`
	Instance string `json:"instance,omitempty"`
	Revision string `json:"revision,omitempty"`
	// Executor is the service account that the agent applies it as.
	Executor string `json:"executor,omitempty"`
	// Applied says in a word what the agent said of the whole work.
	Applied   string         `json:"applied"`
	Since     string         `json:"since,omitempty"`
	Message   string         `json:"message,omitempty"`
	Manifests []ManifestItem `json:"manifests"`
}

// ManifestItem is one object in a work, and what the agent said of it.
type ManifestItem struct {
	Object  string `json:"object"`
	Applied string `json:"applied"`
	Message string `json:"message,omitempty"`
}

// What an agent said.
const (
	workApplied = "Applied"
	workFailed  = "Failed"
	workNothing = "Pending"
	workLeaving = "Deleting"
)

// Reference implements Item.
func (w WorkItem) Reference() string {
	return "manifestwork.work.open-cluster-management.io/" + w.Name
}

func (w WorkItem) cells(look Look) []any {
	applied := 0
	var objects []string
	for _, m := range w.Manifests {
		if m.Applied == workApplied {
			applied++
		}
		objects = append(objects, m.Object)
	}
	cells := []any{
		w.Cluster, w.Name, w.Instance, output.Cell{Text: w.Applied, Tone: workTone(w.Applied)}, ago(w.Since, look.Now), fmt.Sprintf("%d/%d", applied, len(w.Manifests)),
	}
	if look.Wide {
		cells = append(cells, w.Executor)
	}
	return append(cells, clip(strings.Join(objects, ", "), look.Wide), clip(w.Message, look.Wide))
}

func workTone(applied string) output.Tone {
	switch applied {
	case workApplied:
		return output.Good
	case workFailed:
		return output.Bad
	}
	return output.Warn
}

// ListWorks lists works with what each holds and what the agent said.
func ListWorks(ctx context.Context, c client.Reader, scope Scope) (Listing, error) {
	var works []workv1.ManifestWork
	err := each(ctx, c, &workv1.ManifestWorkList{}, func(l *workv1.ManifestWorkList) { works = append(works, l.Items...) }, scope.options(scope.Cluster)...)
	if err != nil {
		return Listing{}, fmt.Errorf("listing ManifestWorks: %w", err)
	}
	return workListing(works, scope.Namespace), nil
}

func workListing(works []workv1.ManifestWork, namespace string) Listing {
	list := Listing{
		header: []string{"CLUSTER", "WORK", "INSTANCE", "AGENT SAYS", "SINCE", "APPLIED", "OBJECTS", "MESSAGE"},
		wide:   []string{"CLUSTER", "WORK", "INSTANCE", "AGENT SAYS", "SINCE", "APPLIED", "EXECUTOR", "OBJECTS", "MESSAGE"},
	}
	for i := range works {
		w := &works[i]
		instance := w.Annotations[kronvoyv1alpha1.AnnotationInstance]
		if namespace != "" && instance != "" && !strings.Contains(instance, "/"+namespace+"/") {
			continue
		}
		list.Items = append(list.Items, workItem(w))
	}
	slices.SortStableFunc(list.Items, func(a, b Item) int {
		x, y := a.(WorkItem), b.(WorkItem)
		return cmp.Or(cmp.Compare(workOrder(x.Applied), workOrder(y.Applied)), cmp.Compare(x.Cluster, y.Cluster), cmp.Compare(x.Name, y.Name))
	})
	return list
}

// workOrder puts first what is to be looked at.
func workOrder(applied string) int {
	return slices.Index([]string{workFailed, workLeaving, workNothing, workApplied}, applied)
}

func workItem(w *workv1.ManifestWork) WorkItem {
	item := WorkItem{
		Cluster: w.Namespace, Name: w.Name, Instance: w.Annotations[kronvoyv1alpha1.AnnotationInstance], Revision: w.Annotations[kronvoyv1alpha1.AnnotationRevision],
		Applied: workNothing, Manifests: []ManifestItem{},
	}
	if e := w.Spec.Executor; e != nil && e.Subject.ServiceAccount != nil {
		item.Executor = e.Subject.ServiceAccount.Namespace + "/" + e.Subject.ServiceAccount.Name
	}
	if c := apimeta.FindStatusCondition(w.Status.Conditions, workv1.WorkApplied); c != nil {
		item.Applied, item.Since, item.Message = said(c, w.Generation), c.LastTransitionTime.UTC().Format(time.RFC3339), unlessTrue(c)
	}
	if w.DeletionTimestamp != nil {
		item.Applied, item.Since = workLeaving, w.DeletionTimestamp.UTC().Format(time.RFC3339)
	}
	told := map[int32]*workv1.ManifestCondition{}
	for i := range w.Status.ResourceStatus.Manifests {
		told[w.Status.ResourceStatus.Manifests[i].ResourceMeta.Ordinal] = &w.Status.ResourceStatus.Manifests[i]
	}
	for i := range w.Spec.Workload.Manifests {
		m := ManifestItem{Object: named(w.Spec.Workload.Manifests[i].Raw), Applied: workNothing}
		if t := told[int32(i)]; t != nil {
			if c := apimeta.FindStatusCondition(t.Conditions, workv1.ManifestApplied); c != nil {
				m.Applied, m.Message = said(c, w.Generation), unlessTrue(c)
			}
		}
		item.Manifests = append(item.Manifests, m)
	}
	for _, m := range item.Manifests {
		if m.Applied == workFailed && m.Message != "" {
			item.Message = m.Object + ": " + m.Message
			break
		}
	}
	return item
}

// said is what a condition of a generation comes to: what the agent said of an
// older one is no answer.
func said(c *metav1.Condition, generation int64) string {
	switch {
	case c.ObservedGeneration != 0 && c.ObservedGeneration != generation:
		return workNothing
	case c.Status == metav1.ConditionTrue:
		return workApplied
	}
	return workFailed
}

func unlessTrue(c *metav1.Condition) string {
	if c.Status == metav1.ConditionTrue {
		return ""
	}
	return c.Message
}

// named is Kind namespace/name of a manifest, and nothing else of it.
func named(raw []byte) string {
	obj := &metav1.PartialObjectMetadata{}
	if err := decode(raw, obj); err != nil {
		return "an object that cannot be read"
	}
	if obj.Namespace == "" {
		return obj.Kind + " " + obj.Name
	}
	return obj.Kind + " " + obj.Namespace + "/" + obj.Name
}
