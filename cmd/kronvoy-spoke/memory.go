package main

import (
	"context"
	"time"

	"github.com/kronvoy/kronvoy/internal/memory"
)

const (
	// look is how often memory that is not in use is looked for.
	look = 5 * time.Second
	// The start is over after so many looks; pages of the executable are given
	// back then, and again after so many more.
	started, regularly = 2, 60
)

// staySmall gives memory back to the node, and with it pages of the executable:
// the kernel keeps every one that was ever needed.
func staySmall(ctx context.Context) {
	memory.StaySmall(ctx, look, func(n int, gave bool) {
		if gave || n == started || n%regularly == 0 {
			unmapExecutable()
		}
	})
}
