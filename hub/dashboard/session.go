package dashboard

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// sessionLife is how long a session lasts at most, sessionIdle without use.
	sessionLife = 8 * time.Hour
	sessionIdle = 30 * time.Minute
	// identifyAgain is how often the API server is asked whether the token still
	// counts.
	identifyAgain = time.Minute
	// maxSessions bounds the memory that sessions take, maxSessionsEach what one
	// user has of it: of his own, or else of all, the one used longest ago gives way.
	maxSessions, maxSessionsEach = 1000, 20
	// pagesAtOnce is how many pages a session is served at a time.
	pagesAtOnce = 8
	keyBytes    = 32
)

// errNoSession asks for a login.
var errNoSession = errors.New("there is no session")

// session is one login. The token stays in the memory of this process: neither
// the cookie nor a disk has it.
type session struct {
	access
	csrf    []byte
	created time.Time
	pages   chan struct{} // pagesAtOnce
	// over is closed when the session ends: streams end with it.
	over chan struct{}

	mu               sync.Mutex
	used, identified time.Time
}

// sessions are those of this process.
type sessions struct {
	authority authority
	clock     clock.Clock
	key       []byte

	mu sync.Mutex
	// byID by the hash of their id.
	byID map[[sha256.Size]byte]*session
}

func newSessions(a authority, c clock.Clock) *sessions {
	return &sessions{authority: a, clock: c, key: random(), byID: map[[sha256.Size]byte]*session{}}
}

// random never fails (crypto/rand).
func random() []byte {
	b := make([]byte, keyBytes)
	_, _ = rand.Read(b)
	return b
}

// open starts a session and returns what the cookie holds: a random id and its
// signature.
func (s *sessions) open(v *Viewer) string {
	now, id := s.clock.Now(), random()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now, v)
	s.byID[sha256.Sum256(id)] = &session{
		access:  newAccess(s.authority, s.clock, v),
		csrf:    random(),
		pages:   make(chan struct{}, pagesAtOnce),
		over:    make(chan struct{}),
		created: now, used: now, identified: now,
	}
	return encode(id) + "." + encode(s.sign(id))
}

// sweep drops what is over, and makes room for one more of a viewer's.
func (s *sessions) sweep(now time.Time, v *Viewer) {
	type candidate struct {
		id   [sha256.Size]byte
		used time.Time
	}
	var all, own candidate
	owned := 0
	for id, session := range s.byID {
		used, over := session.age(now)
		if over {
			s.end(id)
			continue
		}
		if all.used.IsZero() || used.Before(all.used) {
			all = candidate{id, used}
		}
		if !session.viewer.is(v) {
			continue
		}
		if owned++; own.used.IsZero() || used.Before(own.used) {
			own = candidate{id, used}
		}
	}
	switch {
	case owned >= maxSessionsEach:
		s.end(own.id)
	case len(s.byID) >= maxSessions:
		s.end(all.id)
	}
}

// end forgets a session, and ends its streams. The caller holds the lock.
func (s *sessions) end(id [sha256.Size]byte) {
	if session := s.byID[id]; session != nil {
		close(session.over)
		delete(s.byID, id)
	}
}

func (s *session) age(now time.Time) (used time.Time, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used, now.Sub(s.created) >= sessionLife || now.Sub(s.used) >= sessionIdle
}

// resume finds the session of a cookie. Watching does not count as use.
func (s *sessions) resume(ctx context.Context, cookie string, watching bool) (*session, error) {
	id, ok := s.verify(cookie)
	if !ok {
		return nil, errNoSession
	}
	hash := sha256.Sum256(id)
	s.mu.Lock()
	session := s.byID[hash]
	s.mu.Unlock()
	if session == nil {
		return nil, errNoSession
	}
	now := s.clock.Now()
	if _, over := session.age(now); over {
		s.drop(hash)
		return nil, errNoSession
	}
	valid, err := session.stillValid(ctx, now, watching)
	if err != nil {
		return nil, err
	}
	if !valid {
		s.drop(hash)
		return nil, errNoSession
	}
	return session, nil
}

// stillValid asks the API server without the lock: what it takes to answer is
// nobody else's wait.
func (s *session) stillValid(ctx context.Context, now time.Time, watching bool) (bool, error) {
	s.mu.Lock()
	if !watching {
		s.used = now
	}
	fresh := now.Sub(s.identified) < identifyAgain
	s.mu.Unlock()
	if fresh {
		return true, nil
	}
	again, err := s.authority.identify(ctx, s.viewer.token)
	if err != nil {
		return false, err
	}
	// Another user behind the same token would get what was kept for this one.
	if !s.viewer.is(again) {
		return false, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.identified = now
	return true, nil
}

// is says whether it is the same user with the same groups.
func (v *Viewer) is(other *Viewer) bool {
	return other != nil && v.Name == other.Name && v.uid == other.uid && slices.Equal(v.groups, other.groups)
}

func (s *sessions) drop(hash [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(hash)
}

func (s *sessions) close(cookie string) {
	if id, ok := s.verify(cookie); ok {
		s.drop(sha256.Sum256(id))
	}
}

func (s *sessions) sign(id []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(id)
	return mac.Sum(nil)
}

func (s *sessions) verify(cookie string) ([]byte, bool) {
	left, right, _ := strings.Cut(cookie, ".")
	id, err := decode(left)
	if err != nil {
		return nil, false
	}
	signature, err := decode(right)
	return id, err == nil && hmac.Equal(signature, s.sign(id))
}

// CSRF is the session's token for forms. It is another text each time, so that
// a compressed page does not give it away (BREACH).
func (s *session) CSRF() string {
	pad := random()
	masked := make([]byte, keyBytes)
	subtle.XORBytes(masked, pad, s.csrf)
	return encode(append(pad, masked...))
}

func (s *session) confirms(token string) bool {
	b, err := decode(token)
	if err != nil || len(b) != 2*keyBytes {
		return false
	}
	plain := make([]byte, keyBytes)
	subtle.XORBytes(plain, b[:keyBytes], b[keyBytes:])
	return subtle.ConstantTimeCompare(plain, s.csrf) == 1
}

func encode(b []byte) string             { return base64.RawURLEncoding.EncodeToString(b) }
func decode(text string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(text) }

// cookieName binds the cookie to this host and to TLS where there is TLS.
func (s *Server) cookieName() string {
	if s.opts.tls() {
		return "__Host-kronvoy"
	}
	return "kronvoy"
}

func (s *Server) cookie(value string, age time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: s.cookieName(), Value: value, Path: "/", MaxAge: int(age / time.Second),
		HttpOnly: true, Secure: s.opts.tls(), SameSite: http.SameSiteStrictMode,
	}
}

// session of a request.
func (s *Server) session(r *http.Request, watching bool) (*session, error) {
	cookie, err := r.Cookie(s.cookieName())
	if err != nil {
		return nil, errNoSession
	}
	return s.sessions.resume(r.Context(), cookie.Value, watching)
}
