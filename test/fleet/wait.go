package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// fatal marks an error after which waiting is of no use.
type fatal struct{ error }

// poll calls check until it returns nil, with growing pauses, and fails with
// its last error when the context is done.
func poll(ctx context.Context, what string, check func(context.Context) error) error {
	for pause := 20 * time.Millisecond; ; pause = min(pause*3/2, 500*time.Millisecond) {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if stop := (fatal{}); errors.As(err, &stop) {
			return fmt.Errorf("waiting for %s: %w", what, stop.error)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("waiting for %s: %w (last seen: %w)", what, context.Cause(ctx), err)
		case <-timer.C:
		}
	}
}
