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
	// maxSessions bounds the memory that sessions take; the one used longest ago
	// gives way.
	maxSessions = 1000
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
	s.sweep(now)
	s.byID[sha256.Sum256(id)] = &session{
		access:  access{authority: s.authority, clock: s.clock, viewer: v},
		csrf:    random(),
		created: now, used: now, identified: now,
	}
	return encode(id) + "." + encode(s.sign(id))
}

// sweep drops what is over, and makes room.
func (s *sessions) sweep(now time.Time) {
	var oldest [sha256.Size]byte
	var since time.Time
	for id, session := range s.byID {
		used, over := session.age(now)
		if over {
			delete(s.byID, id)
			continue
		}
		if since.IsZero() || used.Before(since) {
			oldest, since = id, used
		}
	}
	if len(s.byID) >= maxSessions {
		delete(s.byID, oldest)
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

func (s *session) stillValid(ctx context.Context, now time.Time, watching bool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !watching {
		s.used = now
	}
	if now.Sub(s.identified) < identifyAgain {
		return true, nil
	}
	again, err := s.authority.identify(ctx, s.viewer.token)
	if err != nil {
		return false, err
	}
	// Another user behind the same token would get what was kept for this one.
	if again == nil || again.Name != s.viewer.Name || again.uid != s.viewer.uid {
		return false, nil
	}
	s.identified = now
	return true, nil
}

func (s *sessions) drop(hash [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, hash)
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
