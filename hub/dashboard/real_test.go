//go:build integration

package dashboard

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr/testr"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/test/audit"
	localfleet "github.com/kronvoy/kronvoy/test/fleet"
)

// realbed is a dashboard on a real API server: tokens, TokenReviews, RBAC and
// admission are its own.
type realbed struct {
	*testbed
	admin client.Client
	audit *audit.Log
}

func newReal(t *testing.T) *realbed {
	t.Helper()
	dir := t.TempDir()
	log, err := audit.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := localfleet.Start(t.Context(), localfleet.Options{
		Name: "dashboard-test", Dir: filepath.Join(dir, "fleet"),
		Hub: localfleet.ClusterOptions{APIServerOnly: true, APIServerArgs: log.Args(localfleet.HubName)}, Spokes: []localfleet.ClusterOptions{},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	config := filepath.Join("..", "..", "config")
	err = f.Hub().InstallCRDs(t.Context(), filepath.Join(config, "crd"), filepath.Join(config, "ocm", "hub"))
	if err == nil {
		err = f.Hub().Apply(t.Context(), filepath.Join(config, "hub", "rbac-drift.yaml"), filepath.Join(config, "hub", "rbac-viewer.yaml"))
	}
	if err != nil {
		t.Fatal(err)
	}
	restConfig, err := f.Hub().RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	known := testScheme(t)
	if err := scheme.AddToScheme(known); err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(restConfig, client.Options{Scheme: known})
	if err != nil {
		t.Fatal(err)
	}
	informers, err := cache.New(restConfig, cache.Options{Scheme: known})
	if err != nil {
		t.Fatal(err)
	}
	cached, err := client.New(restConfig, client.Options{Scheme: known, Cache: &client.CacheOptions{Reader: informers}})
	if err != nil {
		t.Fatal(err)
	}
	clk := clocktesting.NewFakeClock(noon)
	server, err := New(Options{
		Address: "127.0.0.1:0", Config: restConfig, Client: cached, Cache: informers, Namespace: "kronvoy-system", Clock: clk,
		Log: testr.NewWithInterface(t, testr.Options{}),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- informers.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	r := &realbed{&testbed{TB: t, server: server, clock: clk, client: admin}, admin, log}
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "eu-west"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "us-east"}},
		managed("eu-west", "eu"), managed("us-east", "us"), placed("eu-west"), placed("us-east"),
	} {
		r.create(o)
	}
	if err := server.live.watch(ctx, informers); err != nil {
		t.Fatal(err)
	}
	if !informers.WaitForCacheSync(ctx) {
		t.Fatal("the caches are not filled")
	}
	if err := server.fleet.load(ctx); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *realbed) create(o client.Object) {
	r.Helper()
	if err := r.admin.Create(r.Context(), o); err != nil {
		r.Fatal(err)
	}
}

// user has some rights, everywhere or in one namespace, and a token.
func (r *realbed) user(name, namespace string, rules ...rbacv1.PolicyRule) string {
	r.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	r.create(account)
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: name}}
	r.create(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules})
	role := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}
	if namespace == "" {
		r.create(&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: role, Subjects: subjects})
	} else {
		r.create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, RoleRef: role, Subjects: subjects})
	}
	request := &authenticationv1.TokenRequest{}
	if err := r.admin.SubResource("token").Create(r.Context(), account, request); err != nil {
		r.Fatal(err)
	}
	return request.Status.Token
}

func TestOnARealAPIServer(t *testing.T) {
	r := newReal(t)
	clusters := rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{clusterGroup}, Resources: []string{"managedclusters"}}
	workloads := rbacv1.PolicyRule{Verbs: []string{"list", "get"}, APIGroups: []string{kronvoyGroup}, Resources: []string{"targets", "workreports"}}

	t.Run("a token that nobody gave out opens nothing", func(t *testing.T) {
		if got := r.browser().post("/login", url.Values{"token": {"eyJhbGciOiJSUzI1NiJ9.e30.x"}}); got.status != http.StatusUnauthorized {
			t.Errorf("it gives %d", got.status)
		}
	})
	t.Run("rights are those of the API server, namespace by namespace", func(t *testing.T) {
		all, own, none := r.user("all", "", clusters, workloads), r.user("own", "eu-west", workloads), r.user("none", "")
		r.wants(r.as(all).get("/").body, `id="c-eu-west"`, `id="c-us-east"`)
		r.wants(r.as(all).get("/clusters/us-east").body, "shop/WebApp/shop")
		// Whoever has a role in a namespace alone does not see the cluster itself.
		for _, token := range []string{own, none} {
			narrow := r.as(token)
			r.lacks(narrow.get("/").body, "c-eu-west", "c-us-east")
			if got := narrow.get("/clusters/eu-west"); got.status != http.StatusForbidden {
				t.Errorf("the cluster gives %d", got.status)
			}
		}
	})
	t.Run("a right that is taken away is gone", func(t *testing.T) {
		user := r.as(r.user("leaving", "", clusters))
		r.wants(user.get("/clusters/eu-west").body, "eu-west")
		if err := r.admin.Delete(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "leaving"}}); err != nil {
			t.Fatal(err)
		}
		// The API server, too, takes a moment to see it.
		eventually(t, "it is refused", func() bool {
			r.clock.Step(accessTTL)
			return user.get("/clusters/eu-west").status == http.StatusForbidden
		})
	})
	t.Run("a user who is deleted is logged out", func(t *testing.T) {
		user := r.as(r.user("deleted", "", clusters))
		if err := r.admin.Delete(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "deleted"}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "he is", func() bool {
			r.clock.Step(identifyAgain)
			return user.get("/").status == http.StatusSeeOther
		})
	})
	t.Run("an action is the viewer's own, and the API server's to refuse", func(t *testing.T) {
		report := &kronvoyv1alpha1.WorkReport{ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west", Name: "shop"}}
		r.create(report)
		approve := rbacv1.PolicyRule{Verbs: []string{"patch", "get", "update"}, APIGroups: []string{kronvoyGroup}, Resources: []string{"approvalrequests", "approvalrequests/status"}}
		request := &kronvoyv1alpha1.ApprovalRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west", Name: "question"}}
		request.Spec = kronvoyv1alpha1.ApprovalRequestSpec{Action: "Remove", Distribution: "shop", PlanHash: "h", ClusterCount: 1, Clusters: []string{"eu-west"}, Message: "May it?"}
		r.create(request)
		for _, test := range []struct {
			name string
			who  string
			want int
		}{{"whoever may not", r.user("looks", "", clusters), http.StatusForbidden}, {"whoever may", r.user("answers", "eu-west", approve), http.StatusSeeOther}} {
			user := r.as(test.who)
			got := user.post("/approvals", url.Values{
				"csrf": {user.csrf()}, "namespace": {"eu-west"}, "name": {"question"}, "uid": {string(request.UID)}, "decision": {"Approved"},
			})
			if got.status != test.want {
				t.Errorf("%s: it gives %d\n%s", test.name, got.status, got.body)
			}
		}
		if err := r.admin.Get(t.Context(), client.ObjectKeyFromObject(request), request); err != nil {
			t.Fatal(err)
		}
		if request.Status.DecidedBy != "system:serviceaccount:default:answers" {
			t.Errorf("it was decided by %q", request.Status.DecidedBy)
		}
		writes, err := r.audit.Writes()
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range writes {
			if w.Resource == "approvalrequests/status" && w.User != request.Status.DecidedBy && w.User != "system:serviceaccount:default:looks" {
				t.Errorf("%s wrote %s", w.User, w)
			}
		}
	})
}

// placed is a Target that the API server takes.
func placed(cluster string) *kronvoyv1alpha1.Target {
	t := targetOn(cluster, "shop", "")
	t.Spec.Revision = "shop-1"
	return t
}
