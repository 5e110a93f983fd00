package dashboard

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// patterns collects routes.
type patterns []string

func (p *patterns) HandleFunc(pattern string, _ func(http.ResponseWriter, *http.Request)) {
	*p = append(*p, pattern)
}

var variable = regexp.MustCompile(`\{[^}]*\}`)

// routesOf are all routes of a method, with something in the place of variables.
func (b *testbed) routesOf(method string) []string {
	var all patterns
	b.server.routes(&all)
	var paths []string
	for _, pattern := range all {
		if path, is := strings.CutPrefix(pattern, method+" "); is {
			paths = append(paths, variable.ReplaceAllStringFunc(path, func(v string) string {
				return strings.TrimSuffix(strings.Trim(v, "{}"), "$")
			}))
		}
	}
	if len(paths) == 0 {
		b.Fatalf("there is no route of %s", method)
	}
	return paths
}

func TestEveryPageNeedsALogin(t *testing.T) {
	b := newTestbed(t)
	for _, path := range b.routesOf(http.MethodGet) {
		got := b.browser().get(path)
		if got.status != http.StatusSeeOther || !strings.HasPrefix(got.header.Get("Location"), "/login?next=") {
			t.Errorf("%s gives %d", path, got.status)
		}
	}
	for _, path := range b.routesOf(http.MethodPost) {
		got := b.browser().post(path, url.Values{"csrf": {"x"}})
		if got.status != http.StatusSeeOther || got.header.Get("Location") != "/login" {
			t.Errorf("%s gives %d, and sends to %q", path, got.status, got.header.Get("Location"))
		}
	}
}

func TestEveryActionIsGuarded(t *testing.T) {
	b := newTestbed(t)
	acted := false
	b.server.as = func(*Viewer) (client.Client, error) { acted = true; return b.client, nil }
	user, other := b.as("admin-token"), b.as("admin-token")
	own, foreign := user.csrf(), other.csrf()
	for _, path := range append(b.routesOf(http.MethodPost), "/logout") {
		for name, send := range map[string]func() answer{
			"without a token":                       func() answer { return user.post(path, url.Values{}) },
			"with another session's":                func() answer { return user.post(path, url.Values{"csrf": {foreign}}) },
			"with the token in the address":         func() answer { return user.post(path+"?csrf="+url.QueryEscape(own), url.Values{}) },
			"from another site":                     func() answer { return user.from("Sec-Fetch-Site", "cross-site", path, own) },
			"from another port of this host":        func() answer { return user.from("Sec-Fetch-Site", "same-site", path, own) },
			"from another origin":                   func() answer { return user.from("Origin", "http://127.0.0.1:9999", path, own) },
			"from a page that says nothing of it":   func() answer { return user.from("Origin", "null", path, own) },
			"to a host that is another's by name":   func() answer { return user.from("Host", "rebound.example:8088", path, own) },
			"with a form that is larger than forms": func() answer { return user.post(path, url.Values{"csrf": {strings.Repeat("x", maxBodyBytes)}}) },
		} {
			if got := send(); got.status != http.StatusForbidden && got.status != http.StatusMisdirectedRequest {
				t.Errorf("%s %s: it gives %d", path, name, got.status)
			}
		}
		if got := user.get(path + "?csrf=" + url.QueryEscape(own)); got.status == http.StatusSeeOther {
			t.Errorf("%s is done by GET", path)
		}
	}
	if acted {
		t.Error("something was done with the viewer's token")
	}
	if got := user.get("/"); got.status != http.StatusOK {
		t.Errorf("the session is gone: %d", got.status)
	}
}

// from posts what the session's own form would, with one header of a browser.
func (b *browser) from(header, value, path, csrf string) answer {
	b.Helper()
	r := b.request(http.MethodPost, path, url.Values{"csrf": {csrf}})
	r.Header.Set(header, value)
	if header == "Host" {
		r.Host = value
	}
	return b.send(r)
}

func TestOtherMethodsAndOddPathsAreRefused(t *testing.T) {
	b := newTestbed(t, managed("eu-west", "eu"))
	user := b.as("admin-token")
	for _, path := range append(b.routesOf(http.MethodGet), "/live", "/login") {
		for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, "PROPFIND", http.MethodOptions, http.MethodTrace} {
			r := user.request(method, path, nil)
			if got := user.send(r).status; got != http.StatusMethodNotAllowed && got != http.StatusForbidden {
				t.Errorf("%s %s gives %d", method, path, got)
			}
		}
	}
	for path, want := range map[string]int{
		"/clusters/..%2feu-west": http.StatusNotFound, "/clusters/%2e%2e": http.StatusNotFound, "/static/../login": http.StatusTemporaryRedirect,
		"/static/" + b.server.assets.version + "/..%2f..%2frender.go": http.StatusNotFound, "/static/x/app.js": http.StatusNotFound,
		"//evil.example/": http.StatusTemporaryRedirect, "/instances/kro.run/v1alpha1/Secret/kube-system/x": http.StatusNotFound,
		"/instances/" + url.PathEscape("../../api") + "/v1/Secret/-/x": http.StatusNotFound, "/clusters/eu-west%00": http.StatusNotFound,
	} {
		got := user.get(path)
		if got.status != want && (want != http.StatusTemporaryRedirect || got.status != http.StatusMovedPermanently) {
			t.Errorf("%s gives %d, want %d", path, got.status, want)
		}
		if to := got.header.Get("Location"); strings.Contains(to, "evil") && !strings.HasPrefix(to, "/evil") {
			t.Errorf("%s leads to %q", path, to)
		}
	}
}

// Everything here is called confidential, and nobody has granted anything.
func TestWhoMayNothingLearnsNothing(t *testing.T) {
	target := targetOn("confidential", "confidential", kronvoyv1alpha1.TargetFailed)
	target.Spec.Instance.Namespace = "confidential"
	report := &kronvoyv1alpha1.WorkReport{}
	report.Namespace, report.Name = "confidential", "confidential"
	report.Status.Findings = []kronvoyv1alpha1.Finding{{ID: "confidential", ObjectReference: kronvoyv1alpha1.ObjectReference{Kind: "ConfigMap", Name: "confidential"}}}
	definition := &krov1alpha1.ResourceGraphDefinition{}
	definition.Name = "confidential"
	placement := &clusterv1beta1.Placement{}
	placement.Namespace, placement.Name = "confidential", "confidential"
	approval := &kronvoyv1alpha1.ApprovalRequest{}
	approval.Namespace, approval.Name, approval.UID = "confidential", "confidential", "1"
	b := newTestbed(t, managed("confidential", "confidential"), target, report, definition, placement, approval)
	user := b.as("none-token")
	b.wants(b.as("admin-token").get("/approvals").body, "confidential")
	for _, path := range b.routesOf(http.MethodGet) {
		got := user.get(path)
		b.lacks(got.body, "confidential")
		// What is there is answered like what is not, but for the name asked for.
		if !strings.Contains(path, "/name") {
			continue
		}
		there := user.get(strings.NewReplacer("/namespace", "/confidential", "/name", "/confidential").Replace(path))
		if there.status != got.status {
			t.Errorf("%s: what is there gives %d, what is not %d", path, there.status, got.status)
		}
		if a, b := scrub(there.body), scrub(got.body); a != b {
			t.Errorf("%s: the answers differ:\n%s\n%s", path, a, b)
		}
	}
	// Nor do the events of pages that he may load.
	fleet, lists := user.listen("/live?fleet=1&seen=0"), user.listen(user.streamOf("/approvals"))
	admin := b.as("admin-token").listen("/live?fleet=1&seen=0")
	target.Status.State = kronvoyv1alpha1.TargetReady
	b.change(target)
	b.change(approval)
	for !strings.HasPrefix(admin.next(), "counters") {
	}
	for name, stream := range map[string]*listener{"the fleet": fleet, "a list": lists} {
		select {
		case line := <-stream.lines:
			t.Errorf("the stream of %s tells %s", name, line)
		default:
		}
	}
}

var formToken = regexp.MustCompile(`value="[A-Za-z0-9_-]{86}"|[0-9T:-]+Z`)

// scrub takes out what differs in any case.
func scrub(body string) string {
	return strings.NewReplacer("confidential", "x", "namespace", "x", "name", "x").Replace(formToken.ReplaceAllString(body, ""))
}

var streamOfPage = regexp.MustCompile(`data-stream="([^"]*)"`)

// streamOf is the address of a page's events.
func (b *browser) streamOf(path string) string {
	b.Helper()
	found := streamOfPage.FindStringSubmatch(b.get(path).body)
	if found == nil {
		b.Fatalf("%s has no stream", path)
	}
	return strings.ReplaceAll(found[1], "&amp;", "&")
}

// The hub's own troubles with its API server are not for viewers' eyes.
func TestTheHubsOwnErrorsAreNotShown(t *testing.T) {
	b := newTestbed(t, managed("eu-west", "eu"))
	user := b.as("admin-token")
	b.api.fails = apierrors.NewForbidden(schema.GroupResource{Group: "authorization.k8s.io", Resource: "subjectaccessreviews"}, "", fmt.Errorf("kronvoy-hub may not"))
	got := user.get("/clusters/eu-west")
	if got.status != http.StatusServiceUnavailable {
		t.Errorf("it gives %d", got.status)
	}
	b.lacks(got.body, "kronvoy-hub", "subjectaccessreviews")
	login := b.browser().post("/login", url.Values{"token": {"admin-token"}})
	if login.status != http.StatusServiceUnavailable {
		t.Errorf("a login that nobody can judge gives %d", login.status)
	}
	b.lacks(login.body, "kronvoy-hub", "does not know this token")
}

func TestACookieOfAnotherProcessIsNone(t *testing.T) {
	before, after := newTestbed(t), newTestbed(t)
	user := before.as("admin-token")
	again := after.browser()
	again.cookies = user.cookies
	if got := again.get("/"); got.status != http.StatusSeeOther {
		t.Errorf("it gives %d", got.status)
	}
}

func TestALoginReplacesTheSessionBefore(t *testing.T) {
	b := newTestbed(t)
	user := b.as("admin-token")
	old := user.cookies["kronvoy"]
	if got := user.post("/login", url.Values{"token": {"none-token"}}); got.status != http.StatusSeeOther {
		t.Fatalf("it gives %d", got.status)
	}
	if user.cookies["kronvoy"].Value == old.Value {
		t.Error("the cookie is the same")
	}
	again := b.browser()
	again.cookies["kronvoy"] = old
	if got := again.get("/"); got.status != http.StatusSeeOther {
		t.Errorf("the old one gives %d", got.status)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	b := newTestbed(t)
	s, other := b.server.sessions, &Viewer{Name: "other", token: "none-token"}
	first := s.open(other)
	var mine []string
	for range maxSessionsEach + 5 {
		b.clock.Step(time.Second)
		mine = append(mine, s.open(&Viewer{Name: "admin", token: "admin-token"}))
	}
	if len(s.byID) != maxSessionsEach+1 {
		t.Errorf("one user and another one have %d sessions", len(s.byID))
	}
	for name, cookie := range map[string]string{"the other user's": first, "his newest": mine[len(mine)-1]} {
		if _, err := s.resume(t.Context(), cookie, true); err != nil {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
	if _, err := s.resume(t.Context(), mine[0], true); err == nil {
		t.Error("his oldest is still there")
	}
	for i := range 2 * maxSessions {
		s.open(&Viewer{Name: fmt.Sprint(i)})
	}
	if len(s.byID) != maxSessions {
		t.Errorf("all have %d sessions", len(s.byID))
	}
}

// The API server takes its time for one token: the others go on.
func TestASlowAnswerHoldsNobodyElseUp(t *testing.T) {
	b := newTestbed(t)
	slow, other := b.as("admin-token"), b.as("admin-token")
	b.clock.Step(identifyAgain)
	other.get("/")
	stall := make(chan struct{})
	b.api.mu.Lock()
	b.api.stall = stall
	b.api.mu.Unlock()
	waiting := make(chan answer)
	go func() { waiting <- slow.get("/") }()
	done := make(chan answer)
	go func() {
		b.server.sessions.open(&Viewer{Name: "third"})
		done <- other.get("/")
	}()
	select {
	case got := <-done:
		if got.status != http.StatusOK {
			t.Errorf("the other one gets %d", got.status)
		}
	case <-time.After(5 * time.Second):
		t.Error("the other one waits, too")
	}
	close(stall)
	if got := <-waiting; got.status != http.StatusOK {
		t.Errorf("the slow one gets %d", got.status)
	}
}

func TestALogoutEndsStreams(t *testing.T) {
	for name, address := range map[string]func(*browser) string{
		"of the fleet": func(*browser) string { return "/live?fleet=1&seen=0" },
		"of a page":    func(b *browser) string { return b.streamOf("/drift") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestbed(t)
			user := b.as("admin-token")
			stream := user.listen(address(user))
			user.post("/logout", url.Values{"csrf": {user.csrf()}})
			for _, want := range []string{"ended {}", "closed"} {
				if got := stream.next(); got != want {
					t.Errorf("there comes %s, want %s", got, want)
				}
			}
		})
	}
}

func TestARightThatIsTakenAwayEndsStreams(t *testing.T) {
	for name, address := range map[string]func(*browser) string{
		"of the fleet":   func(*browser) string { return "/live?fleet=1&seen=0" },
		"of one cluster": func(b *browser) string { return b.streamOf("/clusters/eu-west") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestbed(t, managed("eu-west", "eu"))
			user := b.as("admin-token")
			stream := user.listen(address(user))
			b.api.mu.Lock()
			b.api.rights["admin"] = nil
			b.api.mu.Unlock()
			b.beat()
			b.beat()
			for _, want := range []string{"changed {}", "closed"} {
				if got := stream.next(); got != want {
					t.Errorf("there comes %s, want %s", got, want)
				}
			}
		})
	}
}

// beat lets one heartbeat of a stream come.
func (b *testbed) beat() {
	b.Helper()
	for !b.clock.HasWaiters() {
		if b.Context().Err() != nil {
			b.Fatal("no stream waits")
		}
	}
	b.clock.Step(accessTTL)
}

func TestStreamsAreBounded(t *testing.T) {
	b := newTestbed(t)
	of := func(user string) *session { return &session{access: access{viewer: &Viewer{Name: user}}} }
	for range maxStreamsEach {
		if _, err := b.server.live.subscribe(of("greedy")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.server.live.subscribe(of("greedy")); err == nil {
		t.Error("one user has more than he may")
	}
	for i := range 2 * maxStreams {
		_, _ = b.server.live.subscribe(of(fmt.Sprint(i)))
	}
	if len(b.server.live.streams) != maxStreams {
		t.Errorf("there are %d streams", len(b.server.live.streams))
	}
}

func TestThousandsOfAddressesTakeNoMemory(t *testing.T) {
	b := newTestbed(t)
	throttle := b.server.throttle
	for i := range 2 * maxAddresses {
		throttle.allows(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255))
	}
	if len(throttle.addresses) > maxAddresses {
		t.Errorf("%d are known", len(throttle.addresses))
	}
	b.clock.Step(time.Hour)
	if _, allowed := throttle.allows("192.0.2.1:1"); !allowed {
		t.Error("an hour later nobody may log in")
	}
}

func TestManyPeopleBehindOneAddressLogIn(t *testing.T) {
	b := newTestbed(t)
	for i := range 4 * loginsAtOnce {
		if got := b.browser().post("/login", url.Values{"token": {"admin-token"}}); got.status != http.StatusSeeOther {
			t.Fatalf("login %d gives %d", i, got.status)
		}
	}
}

func TestWhatIsKnownOfRightsIsBounded(t *testing.T) {
	b := newTestbed(t)
	a := newAccess(b.server.authority, b.clock, &Viewer{Name: "nobody"})
	for i := range maxAccess {
		if _, err := a.May(t.Context(), mayCluster(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.known) > maxAccess {
		t.Errorf("%d answers are kept", len(a.known))
	}
}
