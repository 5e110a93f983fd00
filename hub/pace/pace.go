// Package pace bounds how often the hub writes what it knows. What came out is
// told at once, unless it changes all the time. What is still under way is told
// only if it takes a while, and by all together no faster than people read: a
// burst of work must not spend itself on telling of its progress.
package pace

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// every is how often one key may be told of, after the first few times.
	every = time.Second
	burst = 3
	// patience is how long something may be under way before that is told: it may
	// be there in a moment.
	patience = 250 * time.Millisecond
	// progressRate bounds how often progress is told of all keys together.
	progressRate  = 10
	progressBurst = 5
)

// Pace holds when each key may be told of again. The zero value is ready for
// use, by many goroutines.
type Pace[K comparable] struct {
	mu       sync.Mutex
	known    map[K]*pacer
	progress *rate.Limiter
}

type pacer struct {
	news *rate.Limiter
	// since is when the key was first seen under way; zero while it is not.
	since time.Time
	// due is when its progress may be told; zero while it has no turn.
	due time.Time
}

// News gives how long to wait before an outcome is told; zero means now, and
// counts.
func (p *Pace[K]) News(key K, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.of(key)
	reservation := k.news.ReserveN(now, 1)
	if wait := reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
		return wait
	}
	k.since, k.due = time.Time{}, time.Time{}
	return 0
}

// Progress gives how long to wait before it is told that a key is still under
// way; zero means now, and counts.
func (p *Pace[K]) Progress(key K, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.of(key)
	if k.since.IsZero() {
		k.since = now
	}
	if told := k.since.Add(patience); now.Before(told) {
		return told.Sub(now)
	}
	if k.due.IsZero() {
		// The turn is kept: who has to wait comes back once, not again and again.
		k.due = now.Add(p.progress.ReserveN(now, 1).DelayFrom(now))
	}
	if now.Before(k.due) {
		return k.due.Sub(now)
	}
	k.since, k.due = now.Add(every-patience), time.Time{}
	return 0
}

// Forget drops a key.
func (p *Pace[K]) Forget(key K) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, key)
}

func (p *Pace[K]) of(key K) *pacer {
	if p.known == nil {
		p.known = map[K]*pacer{}
		p.progress = rate.NewLimiter(progressRate, progressBurst)
	}
	k, found := p.known[key]
	if !found {
		k = &pacer{news: rate.NewLimiter(rate.Every(every), burst)}
		p.known[key] = k
	}
	return k
}
