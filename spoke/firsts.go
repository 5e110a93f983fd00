package spoke

import "sync"

// firsts knows which works this process has met, and at which generation it
// owes the hub a report that an earlier process may not have written.
type firsts struct {
	mu   sync.Mutex
	met  map[string]bool
	owed map[string]int64
}

func newFirsts() *firsts { return &firsts{met: map[string]bool{}, owed: map[string]int64{}} }

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

func (f *firsts) owe(work string, generation int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.owed[work] = generation
}

func (f *firsts) owes(work string, generation int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.owed[work] == generation && generation > 0
}

func (f *firsts) forget(work string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.met, work)
	delete(f.owed, work)
}
