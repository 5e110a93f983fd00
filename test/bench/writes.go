package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kronvoy/kronvoy/test/audit"
)

// quiet waits until nothing was written for that long, and returns all writes.
func (s *system) quiet(ctx context.Context, long time.Duration) ([]audit.Write, error) {
	var last []audit.Write
	since := time.Now()
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(context.Context) (bool, error) {
		now, err := s.audit.Writes()
		if err != nil {
			return false, err
		}
		if len(now) != len(last) {
			last, since = now, time.Now()
		}
		return time.Since(since) >= long, nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting until Kronvoy writes nothing for %s: %w; it has written %s", long, err, tally(last))
	}
	return last, nil
}

// since are the writes after a moment.
func since(writes []audit.Write, begin time.Time) []audit.Write {
	return slices.DeleteFunc(slices.Clone(writes), func(w audit.Write) bool { return w.At.Before(begin) })
}

func byAgent(w audit.Write) bool { return !strings.HasSuffix(w.User, ":kronvoy-hub") }

// describe is as in "hub on hub: update manifestworks".
func describe(w audit.Write) string {
	process := "hub"
	if byAgent(w) {
		process = "agent"
	}
	verb := w.Verb
	if w.DryRun {
		verb += " (dry run)"
	}
	return process + " on " + w.Cluster + ": " + verb + " " + w.Resource
}

// tally counts writes of a kind, sorted.
func tally(writes []audit.Write) string {
	count := map[string]int{}
	for _, w := range writes {
		count[describe(w)]++
	}
	parts := make([]string, 0, len(count))
	for text, n := range count {
		parts = append(parts, fmt.Sprintf("%s × %d", text, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
