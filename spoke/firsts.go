package spoke

import "sync"

// firsts knows which works this process has met.
type firsts struct {
	mu  sync.Mutex
	met map[string]bool
}

func newFirsts() *firsts { return &firsts{met: map[string]bool{}} }

// first says whether a work is met for the first time.
func (f *firsts) first(work string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.met[work] {
		return false
	}
	f.met[work] = true
	return true
}

func (f *firsts) forget(work string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.met, work)
}
