package metrics

import "github.com/kronvoy/kronvoy/internal/meter"

// Definitions are all metrics of the hub, by name.
func Definitions() []meter.Definition {
	set, state := meter.NewSet(nil), &State{}
	newMetrics(set)
	state.describe()
	return meter.Definitions(set, &state.set)
}
