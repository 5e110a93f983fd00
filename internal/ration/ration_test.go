package ration

import (
	"testing"
	"time"
)

func TestABurstAndThenOneFromTimeToTime(t *testing.T) {
	r := New[string](3, time.Minute)
	now := time.Unix(0, 0)
	granted := 0
	for range 10 {
		if _, ok := r.Take("a", now); ok {
			granted++
		}
	}
	if granted != 3 {
		t.Errorf("%d of 10 at once, want 3", granted)
	}
	if left, ok := r.Take("b", now); !ok || left != 0 {
		t.Errorf("another key pays for the first: left out %d, granted %t", left, ok)
	}
	if left, ok := r.Take("a", now.Add(time.Minute)); !ok || left != 7 {
		t.Errorf("a minute later: left out %d, granted %t, want 7 and true", left, ok)
	}
	if _, ok := r.Take("a", now.Add(time.Minute)); ok {
		t.Error("two in a minute")
	}
	if left, ok := r.Take("a", now.Add(2*time.Minute)); !ok || left != 1 {
		t.Errorf("two minutes later: left out %d, granted %t, want 1 and true", left, ok)
	}
}
