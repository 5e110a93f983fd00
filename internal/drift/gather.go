// Package drift reads what agents report about drift, prints it for people, and
// keeps their decisions about it. It reads Targets, WorkReports and
// ManagedClusters, and nothing else: above all no works, which hold manifests.
package drift

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// pageSize bounds one answer of the API server: a report may have 400 KiB.
const pageSize = 100

// Scope says which findings are meant.
type Scope struct {
	// Instance is KIND/NAME, KIND.GROUP/NAME or NAME; empty for all.
	Instance string
	// Namespace of the instances; empty for all.
	Namespace string
	// Cluster is the only one to look at; empty for all.
	Cluster string
	// Actions of the findings; empty for all.
	Actions []string
	// IDs of the findings; empty for all.
	IDs []string
}

// Instance names an instance on the hub.
type Instance struct {
	Kind      string `json:"kind"`
	Group     string `json:"group,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// Finding is a difference on one cluster.
type Finding struct {
	Cluster string `json:"cluster"`
	// Instance is missing where the object belongs to several, as their
	// namespace does.
	Instance *Instance `json:"instance,omitempty"`
	// Open findings hold until somebody acts; the others are news of what is
	// over.
	Open bool `json:"open"`
	// Since is when it was first seen: by the cluster's clock, but for what is open no
	// earlier than the hub, by its own, saw any of what differs there now. A cluster
	// whose clock is slow does not stand out as the oldest.
	Since                   metav1.Time `json:"since,omitzero"`
	kronvoyv1alpha1.Finding `json:",inline"`

	target client.ObjectKey
}

// Decision is what somebody decided about a finding.
type Decision struct {
	Cluster                       string   `json:"cluster"`
	Instance                      Instance `json:"instance"`
	kronvoyv1alpha1.DriftDecision `json:",inline"`

	target client.ObjectKey
}

// View is what the hub knows of drift.
type View struct {
	Findings []Finding `json:"findings"`
	// Decisions that stand.
	Decisions []Decision `json:"decisions,omitempty"`
	// Silent are clusters in scope whose agents report no drift.
	Silent []string `json:"silent,omitempty"`
}

// Open counts the findings that hold.
func (v View) Open() int {
	open := 0
	for _, f := range v.Findings {
		if f.Open {
			open++
		}
	}
	return open
}

// Gather reads all findings in scope, page by page.
func Gather(ctx context.Context, c client.Client, scope Scope) (View, error) {
	targets, err := scope.targets(ctx, c)
	if err != nil {
		return View{}, err
	}
	view, owners, err := begin(targets, scope)
	if err != nil {
		return View{}, err
	}
	options := []client.ListOption{client.InNamespace(scope.Cluster)}
	if hash := onlyInstance(targets); scope.Instance != "" {
		options = append(options, client.MatchingLabels{kronvoyv1alpha1.LabelInstance: hash})
	}
	err = pages(ctx, c, func() *kronvoyv1alpha1.WorkReportList { return &kronvoyv1alpha1.WorkReportList{} }, func(list *kronvoyv1alpha1.WorkReportList) {
		for i := range list.Items {
			view.addReport(&list.Items[i], owners, scope)
		}
	}, options...)
	if err != nil {
		return View{}, explain("WorkReports", err)
	}
	view.sort()
	return view, view.addSilent(ctx, c, targets, scope)
}

// Of is what Targets and reports tell, of whichever clusters they are. It knows of
// no silent ones.
func Of(targets []kronvoyv1alpha1.Target, reports []kronvoyv1alpha1.WorkReport) (View, error) {
	view, owners, err := begin(targets, Scope{})
	if err != nil {
		return View{}, err
	}
	for i := range reports {
		// What belongs to no instance is shown, too.
		r := &reports[i]
		view.addFindings(r, owners[client.ObjectKey{Namespace: r.Namespace, Name: r.Labels[kronvoyv1alpha1.LabelInstance]}], Scope{})
	}
	view.sort()
	return view, nil
}

type owners map[client.ObjectKey]*kronvoyv1alpha1.Target

// begin has the decisions, and finds a report's Target.
func begin(targets []kronvoyv1alpha1.Target, scope Scope) (View, owners, error) {
	view, byReport := View{Findings: []Finding{}}, owners{}
	for i := range targets {
		byReport[client.ObjectKey{Namespace: targets[i].Namespace, Name: targets[i].Labels[kronvoyv1alpha1.LabelInstance]}] = &targets[i]
	}
	err := view.addDecisions(targets, scope)
	return view, byReport, err
}

func (v *View) addReport(report *kronvoyv1alpha1.WorkReport, owners owners, scope Scope) {
	owner := owners[client.ObjectKey{Namespace: report.Namespace, Name: report.Labels[kronvoyv1alpha1.LabelInstance]}]
	if owner != nil || scope.inNamespace(report.Labels[kronvoyv1alpha1.LabelNamespaceWork]) {
		v.addFindings(report, owner, scope)
	}
}

// targets are the Targets of the instances in scope.
func (s Scope) targets(ctx context.Context, c client.Client) ([]kronvoyv1alpha1.Target, error) {
	var targets []kronvoyv1alpha1.Target
	err := pages(ctx, c, func() *kronvoyv1alpha1.TargetList { return &kronvoyv1alpha1.TargetList{} }, func(list *kronvoyv1alpha1.TargetList) {
		for i := range list.Items {
			if t := &list.Items[i]; s.selects(instanceOf(t)) {
				targets = append(targets, *t)
			}
		}
	}, client.InNamespace(s.Cluster))
	if err != nil {
		return nil, explain("Targets", err)
	}
	if s.Instance == "" {
		return targets, nil
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("no cluster has an instance %s: `kronvoy status -A` lists all", s.place())
	}
	first := instanceOf(&targets[0])
	for i := range targets {
		if other := instanceOf(&targets[i]); other != first {
			return nil, ambiguous(s.Instance, first, other)
		}
	}
	return targets, nil
}

func ambiguous(reference string, a, b Instance) error {
	if a.Namespace != b.Namespace {
		return fmt.Errorf("%s is in the namespaces %s and %s: say which with --namespace", reference, a.Namespace, b.Namespace)
	}
	return fmt.Errorf("%s is %s and %s: say which, as in %s", reference, a.full(), b.full(), a.full())
}

func (s Scope) place() string {
	text := s.Instance
	if s.Namespace != "" {
		text += " in namespace " + s.Namespace
	}
	if s.Cluster != "" {
		text += " on cluster " + s.Cluster
	}
	return text
}

// onlyInstance is the label of the one instance that targets belong to.
func onlyInstance(targets []kronvoyv1alpha1.Target) string {
	if len(targets) == 0 {
		return ""
	}
	return targets[0].Labels[kronvoyv1alpha1.LabelInstance]
}

// selects says whether an instance is in scope. One without a namespace is in
// every namespace's.
func (s Scope) selects(instance Instance) bool {
	if s.Namespace != "" && instance.Namespace != "" && instance.Namespace != s.Namespace {
		return false
	}
	if s.Instance == "" {
		return true
	}
	kind, name, both := strings.Cut(s.Instance, "/")
	if !both {
		return instance.Name == s.Instance
	}
	kind, group, grouped := strings.Cut(kind, ".")
	return instance.Name == name && strings.EqualFold(instance.Kind, kind) && (!grouped || instance.Group == group)
}

// inNamespace says whether the work of a namespace is in scope.
func (s Scope) inNamespace(namespace string) bool {
	return s.Instance == "" && namespace != "" && (s.Namespace == "" || s.Namespace == namespace)
}

func (s Scope) has(f *kronvoyv1alpha1.Finding) bool {
	return (len(s.Actions) == 0 || slices.ContainsFunc(s.Actions, func(action string) bool { return strings.EqualFold(action, string(f.Action)) })) &&
		(len(s.IDs) == 0 || slices.Contains(s.IDs, f.ID))
}

func (v *View) addFindings(report *kronvoyv1alpha1.WorkReport, owner *kronvoyv1alpha1.Target, scope Scope) {
	for _, f := range report.Status.Findings {
		if !scope.has(&f) {
			continue
		}
		finding := Finding{
			Cluster: report.Namespace, Finding: f,
			Open: isOpen(f), Since: f.FirstSeen,
		}
		if owner != nil {
			instance := instanceOf(owner)
			finding.Instance, finding.target = &instance, client.ObjectKeyFromObject(owner)
			if known := owner.Status.Clocks.DriftSince; finding.Open && known != nil && f.FirstSeen.Before(known) {
				finding.Since = *known
			}
		}
		v.Findings = append(v.Findings, finding)
	}
}

func (v *View) addDecisions(targets []kronvoyv1alpha1.Target, scope Scope) error {
	for i := range targets {
		t := &targets[i]
		decisions, err := kronvoyv1alpha1.ParseDriftDecisions(t.Annotations)
		if err != nil {
			return fmt.Errorf("target %s/%s: %w: mend the annotation, or remove it and decide anew", t.Namespace, t.Name, err)
		}
		for _, d := range decisions {
			if len(scope.IDs) == 0 || slices.Contains(scope.IDs, d.ID) {
				v.Decisions = append(v.Decisions, Decision{Cluster: t.Namespace, Instance: instanceOf(t), DriftDecision: d, target: client.ObjectKeyFromObject(t)})
			}
		}
	}
	return nil
}

// addSilent finds the clusters in scope whose agents do not write reports, as
// they say by the claim of their features.
func (v *View) addSilent(ctx context.Context, c client.Client, targets []kronvoyv1alpha1.Target, scope Scope) error {
	used := map[string]bool{}
	for i := range targets {
		used[targets[i].Namespace] = true
	}
	if len(used) == 0 || len(scope.IDs) > 0 {
		return nil
	}
	err := pages(ctx, c, func() *clusterv1.ManagedClusterList { return &clusterv1.ManagedClusterList{} }, func(list *clusterv1.ManagedClusterList) {
		for i := range list.Items {
			if cluster := &list.Items[i]; used[cluster.Name] && !reports(cluster) {
				v.Silent = append(v.Silent, cluster.Name)
			}
		}
	})
	if err != nil {
		return explain("ManagedClusters", err)
	}
	slices.Sort(v.Silent)
	return nil
}

func reports(cluster *clusterv1.ManagedCluster) bool {
	for _, claim := range cluster.Status.ClusterClaims {
		if claim.Name == kronvoyv1alpha1.ClaimFeatures {
			return slices.Contains(strings.Split(claim.Value, ","), kronvoyv1alpha1.FeatureWorkReport)
		}
	}
	return false
}

func (v *View) sort() {
	slices.SortStableFunc(v.Findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.owner(), b.owner()),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
		)
	})
	slices.SortStableFunc(v.Decisions, func(a, b Decision) int {
		return cmp.Or(
			cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(a.Instance.String(), b.Instance.String()),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
		)
	})
}

func instanceOf(t *kronvoyv1alpha1.Target) Instance {
	ref := t.Spec.Instance
	return Instance{Kind: ref.Kind, Group: schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group, Namespace: ref.Namespace, Name: ref.Name}
}

// String is namespace/kind/name, as people tell instances apart.
func (i Instance) String() string {
	text := strings.ToLower(i.Kind) + "/" + i.Name
	if i.Namespace != "" {
		text = i.Namespace + "/" + text
	}
	return text
}

// full is the form that leaves no doubt within a namespace.
func (i Instance) full() string { return strings.ToLower(i.Kind) + "." + i.Group + "/" + i.Name }

func (f Finding) owner() string {
	if f.Instance == nil {
		return "-"
	}
	return f.Instance.String()
}

// pages lists everything, a page at a time.
func pages[L client.ObjectList](ctx context.Context, c client.Client, empty func() L, page func(L), options ...client.ListOption) error {
	token := ""
	for {
		list := empty()
		if err := c.List(ctx, list, append(slices.Clone(options), client.Limit(pageSize), client.Continue(token))...); err != nil {
			return err
		}
		page(list)
		if token = list.GetContinue(); token == "" {
			return nil
		}
	}
}

// explain says what to do about a list that failed.
func explain(what string, err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("listing %s: %w; the ClusterRole kronvoy-drift-reader allows it", what, err)
	case apierrors.IsNotFound(err), strings.Contains(err.Error(), "no matches for kind"):
		return fmt.Errorf("listing %s: %w; is this the kubeconfig of a hub?", what, err)
	}
	return fmt.Errorf("listing %s: %w", what, err)
}

// Accepted are the decisions to let a difference stay.
func (v View) Accepted() []Decision {
	accepted := []Decision{}
	for _, d := range v.Decisions {
		if d.Verdict == kronvoyv1alpha1.DriftAccept {
			accepted = append(accepted, d)
		}
	}
	return accepted
}
