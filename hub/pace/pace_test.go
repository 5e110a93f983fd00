package pace

import (
	"testing"
	"time"
)

var start = time.Unix(1000, 0)

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

func TestNewsAreToldAtOnceUntilTheyComeAllTheTime(t *testing.T) {
	var p Pace[string]
	for i := range burst {
		if wait := p.News("a", at(i)); wait != 0 {
			t.Fatalf("news %d wait %s", i, wait)
		}
	}
	if wait := p.News("a", at(burst)); wait <= 900*time.Millisecond || wait > every {
		t.Errorf("one more waits %s, want about %s", wait, every)
	}
	if wait := p.News("b", at(burst)); wait != 0 {
		t.Errorf("another key waits %s for it", wait)
	}
}

func TestProgressIsToldOnlyWhenItTakesAWhile(t *testing.T) {
	var p Pace[string]
	if wait := p.Progress("a", at(0)); wait != patience {
		t.Errorf("the first look waits %s, want %s", wait, patience)
	}
	if wait := p.Progress("a", at(250)); wait != 0 {
		t.Errorf("after a while it waits %s more", wait)
	}
	if wait := p.Progress("a", at(251)); wait <= 900*time.Millisecond || wait > every {
		t.Errorf("the next one waits %s, want about %s", wait, every)
	}
}

func TestAnOutcomeEndsTheWaiting(t *testing.T) {
	var p Pace[string]
	p.Progress("a", at(0))
	if wait := p.News("a", at(100)); wait != 0 {
		t.Errorf("the outcome waits %s", wait)
	}
	if wait := p.Progress("a", at(300)); wait != patience {
		t.Errorf("what begins anew waits %s, want %s", wait, patience)
	}
}

func TestABurstOfWorkTellsLittleOfItsProgress(t *testing.T) {
	var p Pace[int]
	const keys = 200
	told, looks := 0, 0
	next := map[int]time.Time{}
	for ms := 0; ms <= 4000; ms++ {
		for key := range keys {
			if now := at(ms); !now.Before(next[key]) {
				looks++
				wait := p.Progress(key, now)
				if wait == 0 {
					told++
				}
				next[key] = now.Add(max(wait, time.Millisecond))
			}
		}
	}
	if most := progressBurst + 4*progressRate; told > most || told < most-2*progressRate {
		t.Errorf("told %d times in four seconds, want about %d", told, most)
	}
	if looks > 6*keys {
		t.Errorf("%d keys were looked at %d times", keys, looks)
	}
}

func TestForgottenKeysBeginAnew(t *testing.T) {
	var p Pace[string]
	for range burst {
		p.News("a", start)
	}
	p.Forget("a")
	if wait := p.News("a", start); wait != 0 {
		t.Errorf("it waits %s", wait)
	}
}
