package dashboard

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
)

const rolloutPath = "/rollouts/shop/shop"

// rolling is the scene with a rollout that waits for an approval: of WebApp api,
// whose second revision changes a value that becomes one of a Secret.
func rolling(t *testing.T) *testbed {
	t.Helper()
	d := &kronvoyv1alpha1.Distribution{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop", UID: "d"}, Spec: kronvoyv1alpha1.DistributionSpec{
		Instances: kronvoyv1alpha1.InstanceSelector{APIVersion: "kro.run/v1alpha1", Kind: "WebApp"},
		Rollout: &kronvoyv1alpha1.RolloutStrategy{
			GroupBy: &kronvoyv1alpha1.RolloutGroupBy{Label: "region"}, ProgressDeadline: &metav1.Duration{Duration: 10 * time.Minute},
		},
	}}
	counts := kronvoyv1alpha1.RolloutCounts{Total: 2, Updated: 1, Ready: 0, InFlight: 1}
	r := &kronvoyv1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop", OwnerReferences: []metav1.OwnerReference{
			*metav1.NewControllerRef(d, kronvoyv1alpha1.GroupVersion.WithKind("Distribution")),
		}},
		Status: kronvoyv1alpha1.RolloutStatus{
			Phase: kronvoyv1alpha1.RolloutWaitingForApproval, Message: hostile, Group: "eu", Counts: counts, ApprovalRequest: "enter",
			Groups: []kronvoyv1alpha1.RolloutGroup{
				{Name: "eu", State: "Soaking", Counts: kronvoyv1alpha1.RolloutCounts{Total: 1, Updated: 1, InFlight: 1}, SoakEndsAt: ptr.To(metav1.NewTime(noon.Add(90 * time.Second))), Message: hostile},
				{Name: "us", State: "NeedsApproval", Counts: kronvoyv1alpha1.RolloutCounts{Total: 1}},
			},
			Clusters: []kronvoyv1alpha1.RolloutCluster{
				{Name: "eu-west", Group: "eu", State: "InFlight", Reason: "NotReady", Message: "the deployment is not ready"},
				{Name: "us-east", Group: "us", State: "Held", Reason: "NeedsApproval", Message: hostile},
			},
		},
	}
	objects := []client.Object{d, r, &kronvoyv1alpha1.ApprovalRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "enter", UID: "u-2"},
		Spec: kronvoyv1alpha1.ApprovalRequestSpec{
			Action: kronvoyv1alpha1.ApprovalEnterGroup, Distribution: "shop", Group: "us", PlanHash: "h", ClusterCount: 1, Clusters: []string{"us-east"}, Message: "May us begin?",
		},
	}}
	moved := targetOn("eu-west", "api", kronvoyv1alpha1.TargetProgressing)
	moved.Spec.Distribution, moved.Spec.AssignedAt = "shop", ptr.To(metav1.NewMicroTime(noon.Add(-4*time.Minute)))
	objects = append(objects, moved)
	identity := work.Identity{Group: "kro.run", Version: "v1alpha1", Kind: "WebApp", Namespace: "shop", Name: "api"}
	owner := metav1.OwnerReference{APIVersion: "kro.run/v1alpha1", Kind: "WebApp", Name: "api", UID: "api", Controller: ptr.To(true)}
	for number, spec := range []map[string]any{{"note": "old", "token": "hunter3"}, {"note": hostile, "token": "hunter4"}} {
		stored, err := revision.Instance{Definition: "webapp-1", Spec: spec}.Object("shop", identity, int64(number+1), owner)
		if err != nil {
			t.Fatal(err)
		}
		if number == 0 {
			stored.Annotations[kronvoyv1alpha1.AnnotationSucceededAt] = "2026-11-22T11:00:00.000000Z"
		}
		objects = append(objects, stored)
	}
	return scene(t, objects...)
}

func (b *testbed) rollout() *kronvoyv1alpha1.Rollout {
	b.Helper()
	r := &kronvoyv1alpha1.Rollout{}
	if err := b.client.Get(b.Context(), client.ObjectKey{Namespace: "shop", Name: "shop"}, r); err != nil {
		b.Fatal(err)
	}
	return r
}

func TestARolloutIsShownWithItsGateAndWhatItChanges(t *testing.T) {
	b := rolling(t)
	admin := b.as("admin-token")
	b.wants(admin.get("/rollouts").body, `href="/rollouts/shop/shop"`, "waits for approval", "1 of 2")
	page := admin.get(rolloutPath)
	if page.status != http.StatusOK {
		t.Fatalf("the page gives %d", page.status)
	}
	b.wants(page.body, "soaking", `data-until="2026-11-22T12:01:30Z">1m30s`, "needs approval", "May us begin?", `value="Approved"`,
		// It was moved 4 minutes ago, and has 10.
		"4m ago", `data-until="2026-11-22T12:06:00Z">6m0s`,
		"spec.note", "<del>old</del>", "<code>spec.token</code></th><td><del>***</del></td><td><ins>***</ins>", "good", "newest", `value="pause"`, `value="api/1"`)
	b.lacks(page.body, "hunter", "<script>alert", "<img src=x", " style=")
	b.wants(admin.get("/approvals").body, `<a href="/rollouts/shop/shop">`)
}

func TestOrdersAreGivenInTheViewersName(t *testing.T) {
	b := rolling(t)
	admin := b.as("admin-token")
	seen := strings.Split(strings.Split(admin.get(rolloutPath).body, `name="seen" value="`)[1], `"`)[0]
	order := func(form url.Values) int {
		form.Set("csrf", admin.csrf())
		return admin.post(rolloutPath, form).status
	}
	if got := order(url.Values{"order": {"pause"}, "reason": {"incident"}}); got != http.StatusSeeOther {
		t.Fatalf("pausing gives %d", got)
	}
	want := &kronvoyv1alpha1.RolloutOrder{At: metav1.NewTime(noon), By: "admin", Reason: "incident"}
	if diff := cmp.Diff(want, b.rollout().Spec.Paused); diff != "" {
		t.Errorf("paused (-want +got):\n%s", diff)
	}
	b.wants(admin.get(rolloutPath).body, "Paused by admin", "incident", `value="resume"`)
	order(url.Values{"order": {"resume"}})
	order(url.Values{"order": {"retry"}})
	if spec := b.rollout().Spec; spec.Paused != nil || spec.Retry == nil {
		t.Errorf("after resume and retry it has %+v", spec)
	}
	if got := order(url.Values{"order": {"undo"}, "revision": {"api/1"}, "seen": {"of another time"}}); got != http.StatusConflict || b.rollout().Spec.Undo != nil {
		t.Errorf("taking back what nobody looked at gives %d", got)
	}
	if got := order(url.Values{"order": {"undo"}, "revision": {"api/1"}, "seen": {seen}}); got != http.StatusSeeOther {
		t.Errorf("taking back gives %d", got)
	}
	if undo := b.rollout().Spec.Undo; undo == nil || len(undo.Instances) != 1 || undo.Instances[0].Name != "api" || undo.By != "admin" {
		t.Errorf("undone is %+v", undo)
	}
	b.wants(admin.get(rolloutPath).body, "Taken back by admin", `value="cancel"`, "<ins>old</ins>")
	order(url.Values{"order": {"cancel"}})
	if undo := b.rollout().Spec.Undo; undo != nil {
		t.Errorf("after the cancel there is %+v", undo)
	}
	if got := order(url.Values{"order": {"undo"}, "instance": {"api", "api"}, "seen": {seen}}); got != http.StatusSeeOther {
		t.Errorf("taking back what was chosen gives %d", got)
	}
	if undo := b.rollout().Spec.Undo; undo == nil || len(undo.Instances) != 1 || undo.Instances[0].Name != "api" {
		t.Errorf("of what was chosen, undone is %+v", undo)
	}
	if got := order(url.Values{"order": {"undo"}, "instance": {"api", "another"}, "seen": {seen}}); got != http.StatusConflict {
		t.Errorf("taking back an instance that there is not gives %d", got)
	}
	if got := order(url.Values{"order": {"delete"}}); got != http.StatusBadRequest {
		t.Errorf("nonsense gives %d", got)
	}
	if got := admin.post(rolloutPath, url.Values{"order": {"pause"}}).status; got != http.StatusForbidden {
		t.Errorf("an order without the form's token gives %d", got)
	}
	got := admin.post("/approvals", url.Values{"csrf": {admin.csrf()}, "namespace": {"shop"}, "name": {"enter"}, "uid": {"u-2"}, "decision": {"Approved"}, "next": {"//elsewhere"}})
	if got.status != http.StatusSeeOther || got.header.Get("Location") != "/" {
		t.Errorf("approving gives %d, and goes on to %q", got.status, got.header.Get("Location"))
	}
}

func TestWhoMayLookAtARolloutMayNotSteerIt(t *testing.T) {
	b := rolling(t)
	b.api.rights["nobody"] = []Right{
		{Verb: "get", Group: kronvoyGroup, Resource: "rollouts", Namespace: "*", Name: "*"}, {Verb: "list", Group: kronvoyGroup, Resource: "rollouts", Namespace: "*", Name: "*"},
	}
	viewer := b.as("none-token")
	b.wants(viewer.get("/rollouts").body, rolloutPath)
	page := viewer.get(rolloutPath).body
	b.wants(page, "soaking", "Revisions are not shown: it takes the right to list controllerrevisions.apps in namespace shop")
	b.lacks(page, `value="pause"`, "May us begin?", "spec.note", "Take back", "4m ago", "The rules")
	b.api.rights["nobody"] = nil
	b.clock.Step(accessTTL)
	if got := viewer.get(rolloutPath).status; got != http.StatusForbidden {
		t.Errorf("without any right the page gives %d", got)
	}
	b.lacks(viewer.get("/rollouts").body, rolloutPath)
}
