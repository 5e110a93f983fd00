package dashboard

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func TestNothingIsShownWithoutALogin(t *testing.T) {
	b := newTestbed(t, managed("eu-west", "eu"))
	got := b.browser().get("/?state=failed")
	if got.status != http.StatusSeeOther || got.header.Get("Location") != "/login?next=%2F%3Fstate%3Dfailed" {
		t.Errorf("the fleet gives %d, and sends to %q", got.status, got.header.Get("Location"))
	}
	b.lacks(got.body, "eu-west")
	if got := b.browser().get("/live?fleet=1"); got.status != http.StatusUnauthorized {
		t.Errorf("the stream gives %d", got.status)
	}
	forged := b.browser()
	forged.cookies["kronvoy"] = &http.Cookie{Name: "kronvoy", Value: encode(random()) + "." + encode(random())}
	if got := forged.get("/"); got.status != http.StatusSeeOther {
		t.Errorf("a forged cookie gives %d", got.status)
	}
}

func TestEveryAnswerCarriesTheHeaders(t *testing.T) {
	b := newTestbed(t)
	admin := b.as("admin-token")
	for path, browser := range map[string]*browser{"/": admin, "/login": b.browser(), "/nowhere": admin, "/static/0/app.js": admin} {
		header := browser.get(path).header
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin",
		} {
			if !strings.Contains(header.Get(name), want) {
				t.Errorf("%s: %s is %q", path, name, header.Get(name))
			}
		}
		for _, unsafe := range []string{"unsafe", "*", "http"} {
			if strings.Contains(header.Get("Content-Security-Policy"), unsafe) {
				t.Errorf("%s: the policy has %s: %s", path, unsafe, header.Get("Content-Security-Policy"))
			}
		}
	}
}

func TestTheCookieIsForThisSiteAlone(t *testing.T) {
	for name, test := range map[string]struct {
		cert, name string
		secure     bool
	}{
		"localhost": {"", "kronvoy", false},
		"TLS":       {"tls.crt", "__Host-kronvoy", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestbed(t)
			b.server.opts.TLSCert = test.cert
			cookie := b.as("admin-token").cookies[test.name]
			if cookie == nil || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Secure != test.secure || cookie.Path != "/" ||
				cookie.Domain != "" || cookie.MaxAge != int(sessionLife/time.Second) {
				t.Errorf("the cookie is %+v", cookie)
			}
			if strings.Contains(cookie.Value, "admin-token") {
				t.Error("the cookie has the token")
			}
		})
	}
}

func TestASessionEnds(t *testing.T) {
	for name, test := range map[string]struct {
		then func(*testbed, *browser)
		ends bool
	}{
		"not while it is used": {func(b *testbed, u *browser) {
			for range 10 {
				b.clock.Step(29 * time.Minute)
				u.get("/")
			}
		}, false},
		"without use": {func(b *testbed, _ *browser) { b.clock.Step(30 * time.Minute) }, true},
		"after eight hours": {func(b *testbed, u *browser) {
			for range 20 {
				b.clock.Step(25 * time.Minute)
				u.get("/")
			}
		}, true},
		"with the token":              {func(b *testbed, _ *browser) { delete(b.api.users, "admin-token"); b.clock.Step(time.Minute) }, true},
		"when the token is another's": {func(b *testbed, _ *browser) { b.api.users["admin-token"] = "other"; b.clock.Step(time.Minute) }, true},
		"by watching alone": {func(b *testbed, u *browser) {
			r := u.request(http.MethodGet, "/live", nil)
			r.AddCookie(u.cookies["kronvoy"])
			for range 4 {
				b.clock.Step(10 * time.Minute)
				_, _ = b.server.session(r, true)
			}
		}, true},
		"by logging out": {func(_ *testbed, u *browser) {
			cookie := u.cookies["kronvoy"]
			u.post("/logout", url.Values{"csrf": {u.csrf()}})
			u.cookies["kronvoy"] = cookie
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestbed(t)
			user := b.as("admin-token")
			test.then(b, user)
			if got := user.get("/").status; (got == http.StatusSeeOther) != test.ends {
				t.Errorf("the fleet gives %d", got)
			}
		})
	}
}

func TestAnActionNeedsTheTokenOfItsOwnSession(t *testing.T) {
	b := newTestbed(t)
	user, other := b.as("admin-token"), b.as("admin-token")
	for name, form := range map[string]url.Values{
		"none": {}, "nonsense": {"csrf": {"x"}}, "another session's": {"csrf": {other.csrf()}},
	} {
		if got := user.post("/logout", form); got.status != http.StatusForbidden {
			t.Errorf("%s: it gives %d", name, got.status)
		}
	}
	foreign := user.request(http.MethodPost, "/logout", url.Values{"csrf": {user.csrf()}})
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := user.send(foreign); got.status != http.StatusForbidden {
		t.Errorf("from another site it gives %d", got.status)
	}
	if a, b := user.csrf(), user.csrf(); a == b {
		t.Error("the form's token is the same each time: a compressed page gives it away")
	}
	if got := user.post("/logout", url.Values{"csrf": {user.csrf()}}); got.status != http.StatusSeeOther {
		t.Errorf("its own gives %d", got.status)
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	b := newTestbed(t)
	guess := func(address, token string) answer {
		user := b.browser()
		r := user.request(http.MethodPost, "/login", url.Values{"token": {token}})
		r.RemoteAddr = address
		return user.send(r)
	}
	var bodies []string
	for i := range loginsAtOnce {
		token := []string{"", "wrong", strings.Repeat("x", 5000)}[i%3]
		got := guess("10.0.0.1:1", token)
		if got.status != http.StatusUnauthorized {
			t.Fatalf("a wrong token gives %d", got.status)
		}
		bodies = append(bodies, got.body)
	}
	for _, body := range bodies {
		if body != bodies[0] {
			t.Error("answers to wrong tokens differ")
		}
	}
	asked := b.api.tokenReviews
	if got := guess("10.0.0.1:2", "admin-token"); got.status != http.StatusTooManyRequests || b.api.tokenReviews != asked {
		t.Errorf("after %d attempts it gives %d", loginsAtOnce, got.status)
	}
	if got := guess("10.0.0.2:1", "admin-token"); got.status != http.StatusSeeOther {
		t.Errorf("another address gets %d", got.status)
	}
	if got := guess("[2001:db8::1]:1", "x"); got.status != http.StatusUnauthorized {
		t.Errorf("an address of IPv6 gets %d", got.status)
	}
	for i := range loginsAtOnce {
		guess("[2001:db8::"+string(rune('2'+i))+"]:1", "x")
	}
	if got := guess("[2001:db8::99]:1", "x"); got.status != http.StatusTooManyRequests {
		t.Errorf("another address of one network gets %d", got.status)
	}
	b.clock.Step(time.Minute)
	for i := range 100 {
		if guess("10.1."+string(rune('0'+i%10))+"."+string(rune('0'+i/10))+":1", "x").status == http.StatusTooManyRequests {
			return
		}
	}
	t.Error("many addresses together are not slowed down")
}

func TestALoginLeadsToNoOtherSite(t *testing.T) {
	for next, want := range map[string]string{
		"": "/", "/?state=failed": "/?state=failed", "/clusters/a%20b": "/clusters/a%20b",
		"https://evil.example": "/", "//evil.example": "/", "/\\evil.example": "/", "/%2fevil.example": "/", "javascript:alert(1)": "/", "http:evil": "/",
		"/\t/evil.example": "/", "evil.example": "/", "/login?next=/x": "/", "///evil.example": "/",
	} {
		if got := localPath(next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

func TestAnotherHostsNameIsRefusedOnLocalhost(t *testing.T) {
	b := newTestbed(t)
	for host, want := range map[string]int{
		"127.0.0.1:8088": http.StatusOK, "localhost:8088": http.StatusOK, "[::1]:8088": http.StatusOK, "evil.example": http.StatusMisdirectedRequest,
		"127.0.0.1.evil.example:8088": http.StatusMisdirectedRequest, "": http.StatusMisdirectedRequest,
	} {
		user := b.browser()
		r := user.request(http.MethodGet, "/login", nil)
		r.Host = host
		if got := user.send(r).status; got != want {
			t.Errorf("host %q gives %d, want %d", host, got, want)
		}
	}
}

func TestOnlyLocalhostGoesWithoutTLS(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1:8088": true, "[::1]:0": true, "localhost:1": true, ":8088": false, "0.0.0.0:8088": false, "10.0.0.1:1": false, "nonsense": false,
	} {
		if err := (Options{Address: address}).Check(); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
		if err := (Options{Address: address, TLSCert: "a", TLSKey: "b"}).Check(); (err == nil) != (address != "nonsense") {
			t.Errorf("%s with TLS: %v", address, err)
		}
	}
	if (Options{Address: "127.0.0.1:1", TLSCert: "a"}).Check() == nil {
		t.Error("a certificate without a key is taken")
	}
}

func TestAViewerSeesWhatIsHisAlone(t *testing.T) {
	b := newTestbed(t, managed("eu-west", "eu"), managed("us-east", "us"), managed("ap-south", "ap"),
		targetOn("eu-west", "shop", kronvoyv1alpha1.TargetFailed), targetOn("us-east", "secret", kronvoyv1alpha1.TargetFailed))
	b.api.rights["nobody"] = []Right{
		{Verb: "get", Group: clusterGroup, Resource: "managedclusters", Name: "us-east"},
		{Verb: "get", Group: clusterGroup, Resource: "managedclusters", Name: "eu-west"},
		{Verb: "list", Group: kronvoyGroup, Resource: "targets", Namespace: "eu-west"},
		{Verb: "list", Group: kronvoyGroup, Resource: "workreports", Namespace: "eu-west"},
	}
	body := b.as("none-token").get("/").body
	b.wants(body, `id="c-eu-west" class="tile failed"`, `id="c-us-east" class="tile unknown"`, `<b data-count="total">2</b>`)
	b.lacks(body, "ap-south", `id="c-us-east" class="tile failed"`)
	b.wants(b.as("admin-token").get("/").body, `id="c-us-east" class="tile failed"`, `id="c-ap-south" class="tile idle"`)
}

func TestARightThatIsTakenAwayIsGoneSoon(t *testing.T) {
	b := newTestbed(t, managed("eu-west", "eu"))
	user := b.as("admin-token")
	b.wants(user.get("/").body, "c-eu-west")
	b.api.rights["admin"] = nil
	b.clock.Step(accessTTL)
	b.lacks(user.get("/").body, "c-eu-west")
}

func TestRightsAreAskedForSeldom(t *testing.T) {
	b := newTestbed(t, managed("eu-west", "eu"), managed("us-east", "us"), managed("ap-south", "ap"))
	user := b.as("admin-token")
	for range 5 {
		user.get("/")
	}
	if b.api.accessReviews > 3 {
		t.Errorf("who may do everything was asked about %d times", b.api.accessReviews)
	}
}

func TestHostileTextStaysText(t *testing.T) {
	c := managed("eu-west", hostile)
	c.Labels["<b>"] = hostile
	c.Status.ClusterClaims = append(c.Status.ClusterClaims, claim(hostile, hostile))
	b := newTestbed(t, c)
	b.api.users["hostile-token"] = hostile
	b.api.rights[hostile] = []Right{everything}
	user := b.as("hostile-token")
	for _, path := range []string{"/", "/?group=" + url.QueryEscape("<b>"), "/?text=" + url.QueryEscape(hostile), "/login?next=" + url.QueryEscape("/?x="+hostile)} {
		b.lacks(user.get(path).body, "<script>alert", "<img src=x")
	}
	b.lacks(b.browser().get("/login?next="+url.QueryEscape("/?x="+hostile)).body, "<script>alert", "<img src=x")
}

func TestAClusterIsShownToWhoMaySeeIt(t *testing.T) {
	b := newTestbed(t, managed("eu-west", "eu"), managed("us-east", "us"), targetOn("eu-west", "shop", kronvoyv1alpha1.TargetFailed))
	b.api.rights["nobody"] = []Right{{Verb: "get", Group: clusterGroup, Resource: "managedclusters", Name: "eu-west"}}
	b.wants(b.as("admin-token").get("/clusters/eu-west").body, "shop/WebApp/shop", "failed")
	narrow := b.as("none-token")
	got := narrow.get("/clusters/eu-west")
	b.wants(got.body, "What runs there is not shown", "Works are not shown")
	b.lacks(got.body, "WebApp")
	// Whether there is a cluster is not told to those who may not see it.
	there, gone := narrow.get("/clusters/us-east"), narrow.get("/clusters/nowhere")
	if there.status != http.StatusForbidden || gone.status != http.StatusForbidden {
		t.Errorf("they give %d and %d", there.status, gone.status)
	}
	if got := b.as("admin-token").get("/clusters/nowhere").status; got != http.StatusNotFound {
		t.Errorf("one that is not there gives %d", got)
	}
}
