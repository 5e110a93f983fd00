// Package meter makes metrics and remembers what each of them is, so that the
// documentation, the alerts and the dashboard are checked against those that there
// are.
package meter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Type of a metric, as its exposition names it.
type Type string

// The types.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Definition says what a metric is.
type Definition struct {
	Name string
	Type Type
	// Help says what it counts, in which unit, in a sentence.
	Help   string
	Labels []string
}

// Set makes metrics and registers them. Its zero value registers them nowhere.
type Set struct {
	registry    prometheus.Registerer
	definitions []Definition
}

// NewSet makes metrics in a registry; nil for none.
func NewSet(registry prometheus.Registerer) *Set { return &Set{registry: registry} }

// Definitions of all metrics that were made with some sets, by name.
func Definitions(sets ...*Set) []Definition {
	var all []Definition
	for _, s := range sets {
		all = append(all, s.definitions...)
	}
	slices.SortFunc(all, func(a, b Definition) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Counter makes one that only grows.
func (s *Set) Counter(name, help string, labels ...string) *prometheus.CounterVec {
	s.define(Counter, name, help, labels)
	return Register(s.registry, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))
}

// Gauge makes one that grows and shrinks.
func (s *Set) Gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	s.define(Gauge, name, help, labels)
	return Register(s.registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels))
}

// Histogram makes one with buckets.
func (s *Set) Histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	s.define(Histogram, name, help, labels)
	return Register(s.registry, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels))
}

// Collected describes a gauge that a collector of the caller's counts when it is
// asked.
func (s *Set) Collected(name, help string, labels ...string) *prometheus.Desc {
	s.define(Gauge, name, help, labels)
	return prometheus.NewDesc(name, help, labels, nil)
}

func (s *Set) define(kind Type, name, help string, labels []string) {
	s.definitions = append(s.definitions, Definition{Name: name, Type: kind, Help: help, Labels: labels})
}

// Register gives the collector that the registry has already, if it has: several
// agents of one process count together. Without a registry it does nothing.
func Register[T prometheus.Collector](registry prometheus.Registerer, collector T) T {
	if registry == nil {
		return collector
	}
	err := registry.Register(collector)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if known, same := already.ExistingCollector.(T); same {
			return known
		}
	}
	if err != nil {
		// Only a name that is taken by something else: a mistake in this program, as
		// with prometheus.MustRegister.
		panic(fmt.Sprintf("registering a metric: %v", err))
	}
	return collector
}
