// Package memory gives memory back to the node soon after a burst of work. Left
// alone, the runtime keeps it for minutes, and collects an idle process every
// other minute at best.
package memory

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// minSpare, and a quarter of what is in use, is worth a collection.
const minSpare = 4 << 20

// StaySmall looks at each interval for memory that is not in use, and gives it
// back, until the context ends. looked is told after each look which one it was,
// from 1, and whether something was given back; it may be nil.
func StaySmall(ctx context.Context, interval time.Duration, looked func(n int, gave bool)) {
	ticker := time.NewTicker(interval)
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
		if looked != nil {
			looked(n, spare)
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
