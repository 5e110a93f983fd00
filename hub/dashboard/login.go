package dashboard

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// The bounds of logins: from one address a few at once and then one every few
// seconds, from all of them some more.
const (
	loginsAtOnce    = 5
	loginEvery      = 6 * time.Second
	allLoginsAtOnce = 30
	allLoginsEvery  = 200 * time.Millisecond
	maxAddresses    = 10_000
)

// throttle slows guessing down.
type throttle struct {
	clock clock.Clock
	all   *rate.Limiter

	mu        sync.Mutex
	addresses map[netip.Prefix]*rate.Limiter
}

func newThrottle(c clock.Clock) *throttle {
	return &throttle{clock: c, all: rate.NewLimiter(rate.Every(allLoginsEvery), allLoginsAtOnce), addresses: map[netip.Prefix]*rate.Limiter{}}
}

// allows counts an attempt. An address that has used up its own takes nothing
// from the others. Whoever turns out to be somebody gives his attempt back: many
// people may have one address.
func (t *throttle) allows(remote string) (giveBack func(), allowed bool) {
	now := t.clock.Now()
	var taken []*rate.Reservation
	giveBack = func() {
		for _, r := range taken {
			r.CancelAt(now)
		}
	}
	for _, limiter := range []*rate.Limiter{t.of(remote, now), t.all} {
		r := limiter.ReserveN(now, 1)
		taken = append(taken, r)
		if !r.OK() || r.DelayFrom(now) > 0 {
			giveBack()
			return func() {}, false
		}
	}
	return giveBack, true
}

func (t *throttle) of(remote string, now time.Time) *rate.Limiter {
	prefix := network(remote)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.addresses) >= maxAddresses {
		for known, limiter := range t.addresses {
			if limiter.TokensAt(now) >= loginsAtOnce {
				delete(t.addresses, known)
			}
		}
	}
	if len(t.addresses) >= maxAddresses {
		return t.all // everybody waits for the same then
	}
	limiter := t.addresses[prefix]
	if limiter == nil {
		limiter = rate.NewLimiter(rate.Every(loginEvery), loginsAtOnce)
		t.addresses[prefix] = limiter
	}
	return limiter
}

// network is the address, or the network that one customer has of IPv6.
func network(remote string) netip.Prefix {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{}
	}
	address = address.Unmap()
	bits := address.BitLen()
	if address.Is6() {
		bits = 64
	}
	prefix, err := address.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// loginPage is what the login page shows.
type loginPage struct {
	Next   string
	Failed bool
	Slow   bool
	// Down: nobody could say whose token it is.
	Down bool
}

func (s *Server) showLogin(w http.ResponseWriter, r *http.Request) {
	if _, err := s.session(r, false); err == nil {
		http.Redirect(w, r, localPath(r.URL.Query().Get("next")), http.StatusSeeOther)
		return
	}
	s.render(w, r, http.StatusOK, nil, "login", "Log in", loginPage{Next: localPath(r.URL.Query().Get("next"))})
}

// logIn answers alike whatever is wrong with a token.
func (s *Server) logIn(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.PostFormValue("next"))
	giveBack, allowed := s.throttle.allows(r.RemoteAddr)
	if !allowed {
		w.Header().Set("Retry-After", "10")
		s.render(w, r, http.StatusTooManyRequests, nil, "login", "Log in", loginPage{Next: next, Slow: true})
		return
	}
	token := strings.TrimSpace(r.PostFormValue("token"))
	var viewer *Viewer
	if token != "" {
		var err error
		if viewer, err = s.authority.identify(r.Context(), token); err != nil {
			s.log.Error(err, "A login was not answered")
			s.render(w, r, http.StatusServiceUnavailable, nil, "login", "Log in", loginPage{Next: next, Down: true})
			return
		}
	}
	if viewer == nil {
		s.render(w, r, http.StatusUnauthorized, nil, "login", "Log in", loginPage{Next: next, Failed: true})
		return
	}
	giveBack()
	if old, err := r.Cookie(s.cookieName()); err == nil {
		s.sessions.close(old.Value)
	}
	http.SetCookie(w, s.cookie(s.sessions.open(viewer), sessionLife))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (s *Server) logOut(w http.ResponseWriter, r *http.Request, _ *session) {
	if cookie, err := r.Cookie(s.cookieName()); err == nil {
		s.sessions.close(cookie.Value)
	}
	http.SetCookie(w, s.cookie("", -time.Second))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// localPath is where to go after a login: a page of the dashboard, whatever
// somebody has put into the address.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(u.Path, "//") || strings.ContainsAny(next, "\\\r\n\t") || strings.HasPrefix(u.Path, "/login") {
		return "/"
	}
	return u.RequestURI()
}
