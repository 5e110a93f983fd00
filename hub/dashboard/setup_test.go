package dashboard

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	eventsv1 "k8s.io/api/events/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1alpha1 "open-cluster-management.io/api/cluster/v1alpha1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	clusterv1beta2 "open-cluster-management.io/api/cluster/v1beta2"
	workv1 "open-cluster-management.io/api/work/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/index"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// hubAPI plays the hub's API server as far as viewers are concerned.
type hubAPI struct {
	// users by token, and rights by user; "*" in a field of a right is any.
	users  map[string]string
	rights map[string][]Right
	// What was asked is counted.
	mu                          sync.Mutex
	tokenReviews, accessReviews int
	// fails is what it answers instead, and stall holds answers to TokenReviews.
	fails error
	stall chan struct{}
}

func (h *hubAPI) create(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
	h.mu.Lock()
	stall := h.stall
	h.mu.Unlock()
	if _, is := o.(*authenticationv1.TokenReview); is && stall != nil {
		<-stall
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fails != nil {
		return h.fails
	}
	switch o := o.(type) {
	case *authenticationv1.TokenReview:
		h.tokenReviews++
		name, known := h.users[o.Spec.Token]
		o.Status = authenticationv1.TokenReviewStatus{Authenticated: known, User: authenticationv1.UserInfo{Username: name}}
		return nil
	case *authorizationv1.SubjectAccessReview:
		h.accessReviews++
		a := o.Spec.ResourceAttributes
		for _, r := range h.rights[o.Spec.User] {
			if matches(r.Verb, a.Verb) && matches(r.Group, a.Group) && matches(r.Resource, a.Resource) && matches(r.Namespace, a.Namespace) && matches(r.Name, a.Name) {
				o.Status.Allowed = true
			}
		}
		return nil
	}
	return c.Create(ctx, o, opts...)
}

func matches(granted, asked string) bool { return granted == "*" || granted == asked }

var everything = Right{Verb: "*", Group: "*", Resource: "*", Namespace: "*", Name: "*"}

// testbed is a dashboard over objects that are given.
type testbed struct {
	testing.TB
	server *Server
	api    *hubAPI
	clock  *clocktesting.FakeClock
	client client.Client
	web    *httptest.Server
}

func testScheme(t testing.TB) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, authenticationv1.AddToScheme, authorizationv1.AddToScheme, coordinationv1.AddToScheme, eventsv1.AddToScheme, clusterv1.Install, clusterv1alpha1.Install, clusterv1beta1.Install, clusterv1beta2.Install,
		workv1.Install, krov1alpha1.AddToScheme, kronvoyv1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

func newTestbed(t testing.TB, objects ...client.Object) *testbed {
	t.Helper()
	scheme := testScheme(t)
	api := &hubAPI{users: map[string]string{"admin-token": "admin", "none-token": "nobody"}, rights: map[string][]Right{"admin": {everything}}}
	webapp := schema.GroupVersionKind{Group: "kro.run", Version: "v1alpha1", Kind: "WebApp"}
	mapper := apimeta.NewDefaultRESTMapper(nil)
	for gvk := range scheme.AllKnownTypes() {
		mapper.Add(gvk, apimeta.RESTScopeNamespace)
	}
	mapper.Add(webapp, apimeta.RESTScopeNamespace)
	byInstance := func(o client.Object) []string { return []string{o.GetLabels()[kronvoyv1alpha1.LabelInstance]} }
	builder := fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(mapper).WithObjects(objects...).WithStatusSubresource(&kronvoyv1alpha1.ApprovalRequest{})
	for _, o := range []client.Object{&kronvoyv1alpha1.Target{}, &kronvoyv1alpha1.WorkReport{}, &workv1.ManifestWork{}} {
		builder = builder.WithIndex(o, index.Instance, byInstance)
	}
	c := builder.
		WithIndex(&eventsv1.Event{}, "regarding.kind", func(o client.Object) []string { return []string{o.(*eventsv1.Event).Regarding.Kind} }).
		WithIndex(&eventsv1.Event{}, "regarding.name", func(o client.Object) []string { return []string{o.(*eventsv1.Event).Regarding.Name} }).
		WithInterceptorFuncs(interceptor.Funcs{Create: api.create}).Build()
	clk := clocktesting.NewFakeClock(noon)
	server, err := newServer(Options{Address: "127.0.0.1:0", Client: c, Namespace: "kronvoy-system", Clock: clk, Log: testr.NewWithInterface(t, testr.Options{})}, c)
	if err != nil {
		t.Fatal(err)
	}
	server.as = func(*Viewer) (client.Client, error) { return c, nil }
	if err := server.fleet.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server.Handler())
	t.Cleanup(web.Close)
	return &testbed{TB: t, server: server, api: api, clock: clk, client: c, web: web}
}

// browser keeps cookies, and follows no redirect.
type browser struct {
	*testbed
	cookies map[string]*http.Cookie
}

func (b *testbed) browser() *browser { return &browser{b, map[string]*http.Cookie{}} }

// as logs in.
func (b *testbed) as(token string) *browser {
	b.Helper()
	browser := b.browser()
	if got := browser.post("/login", url.Values{"token": {token}}); got.status != http.StatusSeeOther {
		b.Fatalf("logging in gives %d", got.status)
	}
	return browser
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (b *browser) send(r *http.Request) answer {
	b.Helper()
	for _, cookie := range b.cookies {
		r.AddCookie(cookie)
	}
	recorder := httptest.NewRecorder()
	b.server.Handler().ServeHTTP(recorder, r)
	for _, cookie := range recorder.Result().Cookies() {
		b.cookies[cookie.Name] = cookie
		if cookie.MaxAge < 0 {
			delete(b.cookies, cookie.Name)
		}
	}
	return answer{recorder.Code, recorder.Header(), recorder.Body.String()}
}

func (b *browser) request(method, path string, form url.Values) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Host, r.RemoteAddr = "127.0.0.1:8088", "127.0.0.1:55555"
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

func (b *browser) get(path string) answer {
	b.Helper()
	return b.send(b.request(http.MethodGet, path, nil))
}

func (b *browser) post(path string, form url.Values) answer {
	b.Helper()
	return b.send(b.request(http.MethodPost, path, form))
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// csrf is the token of a page's forms.
func (b *browser) csrf() string {
	b.Helper()
	found := csrfField.FindStringSubmatch(b.get("/").body)
	if found == nil {
		b.Fatal("the page has no form with a token")
	}
	return found[1]
}

func managed(name, region string) *clusterv1.ManagedCluster {
	c := &clusterv1.ManagedCluster{}
	c.Name, c.Labels, c.Spec.HubAcceptsClient = name, map[string]string{"region": region}, true
	c.Status.Conditions = []metav1.Condition{{Type: clusterv1.ManagedClusterConditionAvailable, Status: metav1.ConditionTrue}}
	return c
}

func targetOn(cluster, name string, state kronvoyv1alpha1.TargetState) *kronvoyv1alpha1.Target {
	t := &kronvoyv1alpha1.Target{}
	t.Namespace, t.Name = cluster, name
	t.Spec.Instance = kronvoyv1alpha1.InstanceReference{APIVersion: "kro.run/v1alpha1", Kind: "WebApp", Namespace: "shop", Name: name}
	t.Status.State = state
	return t
}

func (b *testbed) wants(body string, parts ...string) {
	b.Helper()
	for _, part := range parts {
		if !strings.Contains(body, part) {
			b.Errorf("the page lacks %q", part)
		}
	}
}

func (b *testbed) lacks(body string, parts ...string) {
	b.Helper()
	for _, part := range parts {
		if strings.Contains(body, part) {
			b.Errorf("the page has %q", part)
		}
	}
}
