package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// look is how often memory that is not in use is looked for.
	look = 5 * time.Second
	// minSpare, and a quarter of what is in use, is worth a collection.
	minSpare = 4 << 20
	// The start is over after so many looks; pages of the executable are given
	// back then, and again after so many more.
	started, regularly = 2, 60
)

// staySmall gives memory back to the node soon after a burst of work, until the
// context ends. Left alone, the runtime keeps it for minutes, and collects an
// idle process every other minute at best; the kernel keeps every page of the
// executable that was ever needed.
func staySmall(ctx context.Context) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		spare := hasSpare()
		if spare {
			debug.FreeOSMemory()
		}
		if spare || n == started || n%regularly == 0 {
			unmapExecutable()
		}
	}
}

// hasSpare says whether the heap holds much that is free, or would be after a
// collection.
func hasSpare() bool {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	live, objects, free := samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64()
	return objects+free > live+max(minSpare, live/4)
}
