package compact

import (
	"bytes"
	"hash/maphash"
	"maps"
	"sync"
)

const (
	// places are how many values of a sort are remembered. One that is in many
	// objects comes back before another one takes its place.
	places = 1 << 12
	// maxShared bounds a value that is remembered, in bytes: longer ones are seldom
	// the same. All that is remembered is thereby bounded, too.
	maxShared = 4 << 10
)

// recent remembers values that were seen last, so that what is the same is there
// once. A weak map, as that of package unique, would forget every text with the
// next collection: objects hold the text, and not the handle.
type recent[T any] struct {
	hash  func(T) uint64
	equal func(a, b T) bool
	size  func(T) int
	// small is the same value without what it has too much.
	small func(T) T

	mu     sync.Mutex
	values [places]T
}

// same is the value, or an equal one that others have: read-only from now on.
func (r *recent[T]) same(value T) T {
	size := r.size(value)
	if size == 0 || size > maxShared {
		return r.small(value)
	}
	place := &r.values[r.hash(value)%places]
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.equal(*place, value) {
		*place = r.small(value)
	}
	return *place
}

var (
	seed = maphash.MakeSeed()
	// texts are decoded from JSON: each has no more than its own bytes.
	texts = recent[string]{
		hash:  func(text string) uint64 { return maphash.String(seed, text) },
		equal: func(a, b string) bool { return a == b },
		size:  func(text string) int { return len(text) },
		small: func(text string) string { return text },
	}
	raws = recent[[]byte]{
		hash:  func(raw []byte) uint64 { return maphash.Bytes(seed, raw) },
		equal: bytes.Equal,
		size:  func(raw []byte) int { return len(raw) },
		small: exact,
	}
	labels = recent[map[string]string]{
		hash:  hashOf,
		equal: maps.Equal[map[string]string, map[string]string],
		size:  sizeOf,
		small: withShared,
	}
)

func exact(raw []byte) []byte {
	if cap(raw) == len(raw) {
		return raw
	}
	out := make([]byte, len(raw))
	copy(out, raw)
	return out
}

// hashOf does not depend on the order.
func hashOf(m map[string]string) uint64 {
	var sum uint64
	for key, value := range m {
		sum += maphash.Comparable(seed, [2]string{key, value})
	}
	return sum
}

func sizeOf(m map[string]string) int {
	sum := 0
	for key, value := range m {
		sum += len(key) + len(value)
	}
	return sum
}

// withShared is a map of shared texts; nil and an empty one stay what they are.
func withShared(m map[string]string) map[string]string {
	if len(m) == 0 {
		return m
	}
	out := make(map[string]string, len(m))
	for key, value := range m {
		out[texts.same(key)] = texts.same(value)
	}
	return out
}
