package spoke

import "sync"

// firsts knows which works this process has met.
type firsts struct {
	mu    sync.Mutex
	works map[string]bool
}

func newFirsts() *firsts { return &firsts{works: map[string]bool{}} }

// met says whether a work was met.
func (f *firsts) met(work string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.works[work]
}

// meet marks a work as met.
func (f *firsts) meet(work string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.works[work] = true
}

func (f *firsts) forget(work string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.works, work)
}
