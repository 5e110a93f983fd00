// Package ration bounds how often something is told: a few times at once, then
// one from time to time, with a count of what was left out.
package ration

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Ration holds how much each key has left. It is safe for concurrent use, and
// keeps every key that it was asked about: there should be few of them.
type Ration[K comparable] struct {
	burst int
	every time.Duration

	mu    sync.Mutex
	known map[K]*share
}

// New gives each key as many as burst at once, and another one after every.
func New[K comparable](burst int, every time.Duration) *Ration[K] {
	return &Ration[K]{burst: burst, every: every, known: map[K]*share{}}
}

type share struct {
	limit *rate.Limiter
	left  int
}

// Take says whether a key may be told of now and, if so, how often it was not
// since it last was.
func (r *Ration[K]) Take(key K, now time.Time) (left int, granted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.known[key]
	if s == nil {
		s = &share{limit: rate.NewLimiter(rate.Every(r.every), r.burst)}
		r.known[key] = s
	}
	if !s.limit.AllowN(now, 1) {
		s.left++
		return 0, false
	}
	left, s.left = s.left, 0
	return left, true
}
