package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// lookForSpare is how often memory that is not in use is looked for.
	lookForSpare = 5 * time.Second
	// minSpare, and a quarter of what is in use, is worth a collection.
	minSpare = 4 << 20
)

// staySmall keeps the resident memory near what is in use, until the context
// ends.
func staySmall(ctx context.Context) {
	go trimFootprint(ctx)
	returnMemory(ctx)
}

// returnMemory gives memory back to the node soon after a burst of work: left
// alone, the runtime keeps it for minutes, and collects an idle process every
// other minute at best. It runs until the context ends.
func returnMemory(ctx context.Context) {
	ticker := time.NewTicker(lookForSpare)
	defer ticker.Stop()
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		metrics.Read(samples)
		live, objects, free := samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64()
		if objects+free > live+max(minSpare, live/4) {
			debug.FreeOSMemory()
		}
	}
}
