package drift

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/golden"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

func target(cluster, kind, namespace, name string, decisions string) *kronvoyv1alpha1.Target {
	t := &kronvoyv1alpha1.Target{ObjectMeta: metav1.ObjectMeta{
		Namespace: cluster, Name: strings.ToLower(kind) + "-" + name, Labels: map[string]string{kronvoyv1alpha1.LabelInstance: "hash-" + namespace + name + kind},
	}}
	t.Spec.Instance = kronvoyv1alpha1.InstanceReference{APIVersion: "kro.run/v1alpha1", Kind: kind, Namespace: namespace, Name: name}
	if decisions != "" {
		t.Annotations = map[string]string{kronvoyv1alpha1.AnnotationDriftDecisions: decisions}
	}
	return t
}

func report(of *kronvoyv1alpha1.Target, findings ...kronvoyv1alpha1.Finding) *kronvoyv1alpha1.WorkReport {
	return &kronvoyv1alpha1.WorkReport{
		ObjectMeta: metav1.ObjectMeta{Namespace: of.Namespace, Name: of.Name + "-0", Labels: of.Labels},
		Status:     kronvoyv1alpha1.WorkReportStatus{Findings: findings},
	}
}

func cluster(name, features string) *clusterv1.ManagedCluster {
	c := &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if features != "" {
		c.Status.ClusterClaims = []clusterv1.ManagedClusterClaim{{Name: kronvoyv1alpha1.ClaimFeatures, Value: features}}
	}
	return c
}

var (
	deployment = kronvoyv1alpha1.ObjectReference{Group: "apps", Version: "v1", Kind: "Deployment", Resource: "deployments", Namespace: "shop", Name: "web"}
	settings   = kronvoyv1alpha1.ObjectReference{Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Namespace: "shop", Name: "settings"}

	scaled = kronvoyv1alpha1.Finding{
		ID: "3fa2b1c0d9e8", ObjectReference: deployment, Node: "web", Action: kronvoyv1alpha1.FindingReported, Count: 2, DetailCount: 120,
		FirstSeen: ago(3 * time.Hour), LastSeen: ago(5 * time.Minute),
		Details: []kronvoyv1alpha1.FindingDetail{
			{Path: "spec.replicas", Desired: "2", Observed: "7", Manager: "kubectl (scale)"},
			{Path: `spec.template.spec.containers[name="web"].env[name="A"]`, Desired: `{"name":"A"}`, Manager: "kubectl-edit"},
			{Path: "metadata.labels.tier", Observed: `"web"`, Manager: "evil\x1b[2J"},
			{Path: "spec.paused", Observed: "true", Manager: "kubectl-edit"},
		},
	}
	gone = kronvoyv1alpha1.Finding{
		ID: "0011aabbccdd", ObjectReference: settings, Node: "settings", Action: kronvoyv1alpha1.FindingCorrected, Missing: true, Count: 1,
		FirstSeen: ago(time.Minute), LastSeen: ago(time.Minute),
	}
	older = kronvoyv1alpha1.Finding{
		ObjectReference: deployment, Action: kronvoyv1alpha1.FindingConflict, Count: 1, DetailCount: 1,
		FirstSeen: ago(time.Hour), LastSeen: ago(time.Hour), NextCorrection: ptr.To(ago(-time.Minute)),
		Details: []kronvoyv1alpha1.FindingDetail{{Path: "spec.replicas", Desired: "2", Observed: "9", Manager: "kube-controller-manager (scale)"}},
	}
)

// hub is a hub with findings on three clusters, one of them with OCM's agent.
func hub(t *testing.T, more ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clusterv1.Install, kronvoyv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	accepted := `[{"id":"77","verdict":"Accept","kind":"Deployment","group":"apps","resource":"deployments","namespace":"shop","name":"web",` +
		`"paths":["spec.replicas"],"by":"ann","at":"2026-11-22T10:00:00Z","reason":"black\nFriday"},` +
		`{"id":"78","verdict":"Correct","kind":"ConfigMap","resource":"configmaps","namespace":"shop","name":"settings","paths":["data.color"]}]`
	east, west := target("us-east", "WebApp", "shop", "shop", ""), target("eu-west", "WebApp", "shop", "shop", accepted)
	other := target("eu-west", "Job", "jobs", "nightly", "")
	objects := append([]client.Object{
		cluster("us-east", "WorkReport"), cluster("eu-west", "Other,WorkReport"), cluster("ocm", ""), cluster("unused", ""),
		east, west, other, target("ocm", "WebApp", "shop", "shop", ""),
		report(east, scaled, gone), report(west, older), report(other, gone),
		&kronvoyv1alpha1.WorkReport{
			ObjectMeta: metav1.ObjectMeta{Namespace: "us-east", Name: "namespace-shop", Labels: map[string]string{kronvoyv1alpha1.LabelNamespaceWork: "shop"}},
			Status: kronvoyv1alpha1.WorkReportStatus{Findings: []kronvoyv1alpha1.Finding{{
				ID: "99", ObjectReference: kronvoyv1alpha1.ObjectReference{Version: "v1", Kind: "Namespace", Resource: "namespaces", Name: "shop"},
				Action: kronvoyv1alpha1.FindingMutatedOnAdmission, Details: []kronvoyv1alpha1.FindingDetail{{Path: "metadata.labels.team"}},
			}}},
		},
	}, more...)
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

func TestGatherFindsWhatIsInScope(t *testing.T) {
	tests := map[string]struct {
		scope  Scope
		want   []string
		silent []string
	}{
		"everything": {
			want:   []string{"eu-west jobs/job/nightly 0011aabbccdd", "eu-west shop/webapp/shop ", "us-east - 99", "us-east shop/webapp/shop 0011aabbccdd", "us-east shop/webapp/shop 3fa2b1c0d9e8"},
			silent: []string{"ocm"},
		},
		"a namespace, and the namespace itself": {
			scope:  Scope{Namespace: "shop"},
			want:   []string{"eu-west shop/webapp/shop ", "us-east - 99", "us-east shop/webapp/shop 0011aabbccdd", "us-east shop/webapp/shop 3fa2b1c0d9e8"},
			silent: []string{"ocm"},
		},
		"an instance on one cluster": {
			scope: Scope{Instance: "webapp/shop", Cluster: "us-east"},
			want:  []string{"us-east shop/webapp/shop 0011aabbccdd", "us-east shop/webapp/shop 3fa2b1c0d9e8"},
		},
		"an instance with its group": {
			scope: Scope{Instance: "Job.kro.run/nightly"},
			want:  []string{"eu-west jobs/job/nightly 0011aabbccdd"},
		},
		"an action, in any case": {
			scope:  Scope{Actions: []string{"conflict", "Reported"}},
			want:   []string{"eu-west shop/webapp/shop ", "us-east shop/webapp/shop 3fa2b1c0d9e8"},
			silent: []string{"ocm"},
		},
		"a finding by its ID": {
			scope: Scope{IDs: []string{"3fa2b1c0d9e8"}},
			want:  []string{"us-east shop/webapp/shop 3fa2b1c0d9e8"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			view, err := Gather(t.Context(), hub(t), tc.scope)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range view.Findings {
				got = append(got, f.Cluster+" "+f.owner()+" "+f.ID)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.silent, view.Silent); diff != "" {
				t.Errorf("silent clusters (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGatherSaysWhatIsWrong(t *testing.T) {
	tests := map[string]struct {
		scope Scope
		more  []client.Object
		want  string
	}{
		"no such instance": {
			scope: Scope{Instance: "webapp/none", Namespace: "shop"},
			want:  "no cluster has an instance webapp/none in namespace shop: `kronvoy status -A` lists all",
		},
		"the wrong group": {scope: Scope{Instance: "webapp.example.com/shop"}, want: "no cluster has an instance webapp.example.com/shop"},
		"a name of two kinds": {
			scope: Scope{Instance: "shop"}, more: []client.Object{target("us-east", "Queue", "shop", "shop", "")},
			want: "shop is webapp.kro.run/shop and queue.kro.run/shop: say which, as in webapp.kro.run/shop",
		},
		"unreadable decisions": {
			more: []client.Object{target("us-east", "Queue", "shop", "queue", "[{")},
			want: "target us-east/queue-queue: reading annotation kronvoy.io/drift-decisions: unexpected end of JSON input: mend the annotation, or remove it and decide anew",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Gather(t.Context(), hub(t, tc.more...), tc.scope)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is %v, want %q", err, tc.want)
			}
		})
	}
}

// A cluster whose clock is wrong says what it likes; the hub saw it later.
func TestAnOpenFindingIsNoOlderThanWhatTheHubSawDifferThere(t *testing.T) {
	hubs := ago(2 * time.Hour)
	on := target("us-east", "WebApp", "shop", "shop", "")
	on.Status.Clocks.DriftSince = &hubs
	later := scaled
	later.ID, later.FirstSeen = "later", ago(time.Hour)
	view, err := Of([]kronvoyv1alpha1.Target{*on}, []kronvoyv1alpha1.WorkReport{*report(on, scaled, later, gone)})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]metav1.Time{}
	for _, f := range view.Findings {
		got[f.ID] = f.Since
	}
	want := map[string]metav1.Time{scaled.ID: hubs, "later": ago(time.Hour), gone.ID: gone.FirstSeen}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("since when (-want +got):\n%s", diff)
	}
}

// The API server may hand out pages of any size, and the fake one none.
func TestGatherReadsPageByPage(t *testing.T) {
	var asked []string
	paged := interceptor.NewClient(hub(t).(client.WithWatch), interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			options := (&client.ListOptions{}).ApplyOptions(opts)
			asked = append(asked, fmt.Sprintf("%T %d %s", list, options.Limit, options.Continue))
			if err := c.List(ctx, list, opts...); err != nil {
				return err
			}
			if reports, ok := list.(*kronvoyv1alpha1.WorkReportList); ok {
				half := len(reports.Items) / 2
				if options.Continue == "" {
					reports.Items, reports.Continue = reports.Items[:half], "more"
				} else {
					reports.Items = reports.Items[half:]
				}
			}
			return nil
		},
	})
	view, err := Gather(t.Context(), paged, Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if len(view.Findings) != 5 {
		t.Errorf("%d findings, want 5", len(view.Findings))
	}
	want := []string{"*v1alpha1.TargetList 100 ", "*v1alpha1.WorkReportList 100 ", "*v1alpha1.WorkReportList 100 more", "*v1.ManagedClusterList 100 "}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("lists (-want +got):\n%s", diff)
	}
}

func TestFindingsAreShown(t *testing.T) {
	view, err := Gather(t.Context(), hub(t), Scope{Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	show := func(f Finding) func(*bytes.Buffer) error {
		return func(out *bytes.Buffer) error { return WriteFinding(out, f, now) }
	}
	goldens := map[string]func(*bytes.Buffer) error{
		"findings":      func(out *bytes.Buffer) error { return WriteFindings(out, view.Findings, false, now) },
		"findings-wide": func(out *bytes.Buffer) error { return WriteFindings(out, view.Findings, true, now) },
		"no-findings":   func(out *bytes.Buffer) error { return WriteFindings(out, nil, true, now) },
		"accepted":      func(out *bytes.Buffer) error { return WriteDecisions(out, view.Accepted(), now) },
		"fields":        show(view.Findings[slices.IndexFunc(view.Findings, func(f Finding) bool { return f.ID == scaled.ID })]),
		"missing":       show(view.Findings[slices.IndexFunc(view.Findings, func(f Finding) bool { return f.Missing })]),
		"older-agent":   show(view.Findings[slices.IndexFunc(view.Findings, func(f Finding) bool { return f.ID == "" })]),
		"silent": func(out *bytes.Buffer) error {
			WriteSilent(out, nil)
			WriteSilent(out, []string{"a"})
			WriteSilent(out, []string{"a", "b", "c", "d", "e", "f", "g"})
			return nil
		},
	}
	for name, write := range goldens {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, filepath.Join("testdata", name+".txt"), out.String())
		})
	}
}
