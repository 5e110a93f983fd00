package main

import (
	"runtime"
	"time"
)

// measure is what one operation costs.
type measure struct {
	time               time.Duration
	bytes, allocations float64
}

// take runs an operation once to warm up, and then for some time, once at least.
func take(atLeast time.Duration, operation func()) measure {
	operation()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := time.Now()
	n := 0
	for ; n == 0 || time.Since(begin) < atLeast; n++ {
		operation()
	}
	took := time.Since(begin)
	runtime.ReadMemStats(&after)
	count := float64(n)
	return measure{
		time:        time.Duration(float64(took) / count),
		bytes:       float64(after.TotalAlloc-before.TotalAlloc) / count,
		allocations: float64(after.Mallocs-before.Mallocs) / count,
	}
}

// medianOf takes the median of each figure.
func medianOf(all []measure) measure {
	var times, bytes, allocations []float64
	for _, m := range all {
		times = append(times, float64(m.time))
		bytes = append(bytes, m.bytes)
		allocations = append(allocations, m.allocations)
	}
	return measure{time: time.Duration(median(times)), bytes: median(bytes), allocations: median(allocations)}
}
