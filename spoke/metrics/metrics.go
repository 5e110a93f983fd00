// Package metrics is what an agent counts and measures. No name of an object or a
// work is a label: one agent serves one cluster, and whoever collects its metrics
// says which.
package metrics

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kronvoy/kronvoy/internal/meter"
)

// What reports are written to.
const (
	Work   = "work"
	Report = "report"
)

// Results.
const (
	success, failure, conflict, held = "success", "error", "conflict", "held"
)

// Metrics are counted as the agent goes. Nil counts nothing.
type Metrics struct {
	applies     *prometheus.CounterVec
	apply       prometheus.Observer
	objects     *prometheus.CounterVec
	reports     *prometheus.CounterVec
	reportTime  prometheus.Observer
	correctTime prometheus.Observer
}

// New makes metrics and, where registry is not nil, registers them; several agents
// of one process count together.
func New(registry prometheus.Registerer) *Metrics { return newMetrics(meter.NewSet(registry)) }

func newMetrics(set *meter.Set) *Metrics {
	return &Metrics{
		applies: set.Counter("kronvoy_agent_applies_total",
			"Runs over a work: success (every manifest is as it should be), held (something failed that passes in moments, as a rule) or error.", "result"),
		apply: set.Histogram("kronvoy_agent_apply_duration_seconds",
			"Time that a run over one work took, with what it wrote to the cluster.", prometheus.ExponentialBuckets(0.0002, 3, 11)).WithLabelValues(),
		objects: set.Counter("kronvoy_agent_objects_total",
			"Objects of works by what a run did about them: Unchanged, Created, Configured, Corrected (drift was put right), Observed or Failed.", "action"),
		reports: set.Counter("kronvoy_agent_report_writes_total",
			"Writes to the hub about what was found: to the status of a work, or to its report.", "object", "result"),
		reportTime: set.Histogram("kronvoy_agent_report_latency_seconds",
			"Time from when the agent saw a change on the cluster until the hub was told, by the agent's clock.",
			prometheus.ExponentialBuckets(0.002, 2.5, 11)).WithLabelValues(),
		correctTime: set.Histogram("kronvoy_agent_drift_correction_latency_seconds",
			"Time from when the agent saw that an object was changed by others until it was put right, by the agent's clock.",
			prometheus.ExponentialBuckets(0.002, 2.5, 11)).WithLabelValues(),
	}
}

// Applied counts a run over a work. failed says that a manifest is not as it
// should be, passing that this is likely to be over in moments.
func (m *Metrics) Applied(took time.Duration, failed, passing bool) {
	if m == nil {
		return
	}
	result := success
	switch {
	case passing:
		result = held
	case failed:
		result = failure
	}
	m.applies.WithLabelValues(result).Inc()
	m.apply.Observe(took.Seconds())
}

// Object counts what was done about an object.
func (m *Metrics) Object(action string) {
	if m != nil {
		m.objects.WithLabelValues(action).Inc()
	}
}

// Corrected measures how long drift stood, from when it was noticed.
func (m *Metrics) Corrected(stood time.Duration) {
	if m != nil {
		m.correctTime.Observe(stood.Seconds())
	}
}

// Written counts a write to the hub.
func (m *Metrics) Written(object string, err error) {
	if m == nil {
		return
	}
	result := success
	switch {
	case apierrors.IsConflict(err):
		result = conflict
	case err != nil:
		result = failure
	}
	m.reports.WithLabelValues(object, result).Inc()
}

// Told measures how long the hub had to wait for news.
func (m *Metrics) Told(waited time.Duration) {
	if m != nil {
		m.reportTime.Observe(waited.Seconds())
	}
}

// Source is what of an agent is counted when somebody asks.
type Source struct {
	// Watches gives how many watches there are, and how many objects they show.
	Watches func() (watches, objects int)
	// Works gives how many works there are.
	Works func() int
	// Hub is the reason in which the agent says how the hub answered last; empty
	// before it was asked.
	Hub func() string
	// Certificate gives from when until when the agent's certificate is good, if it
	// has one of its own; nil for an agent that looks after none.
	Certificate func() (from, until time.Time, known bool)
}

// State counts how the agents of a process are.
type State struct {
	set                         meter.Set
	watches, objects, works, to *prometheus.Desc
	ends, lifetime              *prometheus.Desc

	mu      sync.Mutex
	sources map[*Source]bool
}

// NewState makes a State and, where registry is not nil, registers it. All agents
// of a process have one.
func NewState(registry prometheus.Registerer) *State {
	s := &State{sources: map[*Source]bool{}}
	s.watches = s.set.Collected("kronvoy_agent_watches", "Watches on the cluster.")
	s.objects = s.set.Collected("kronvoy_agent_objects_watched", "Objects that the watches show.")
	s.works = s.set.Collected("kronvoy_agent_works", "Works that the agent looks after.")
	s.to = s.set.Collected("kronvoy_agent_hub_connection",
		"One for how the hub answered last: HubAnswers, HubRefuses, HubRefusesCertificate, HubUnreachable, or none before it was asked.", "state")
	s.ends = s.set.Collected("kronvoy_agent_certificate_expiration_timestamp_seconds",
		"When the certificate ends by which the hub knows the agent, in seconds since 1970; not of an agent that is given a kubeconfig.")
	s.lifetime = s.set.Collected("kronvoy_agent_certificate_lifetime_seconds", "How long that certificate is good in all; it is renewed when a quarter or a fifth of that is left.")
	return meter.Register(registry, s)
}

// Serve makes a source count until the context ends.
func (s *State) Serve(ctx context.Context, source *Source) {
	s.mu.Lock()
	s.sources[source] = true
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	delete(s.sources, source)
	s.mu.Unlock()
}

// Describe implements prometheus.Collector.
func (s *State) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{s.watches, s.objects, s.works, s.to, s.ends, s.lifetime} {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (s *State) Collect(to chan<- prometheus.Metric) {
	s.mu.Lock()
	sources := slices.Collect(maps.Keys(s.sources))
	s.mu.Unlock()
	var watches, objects, works int
	hubs := map[string]int{}
	var from, until time.Time // of the certificate that ends first
	for _, source := range sources {
		w, o := source.Watches()
		watches, objects, works = watches+w, objects+o, works+source.Works()
		state := source.Hub()
		if state == "" {
			state = "none"
		}
		hubs[state]++
		if source.Certificate == nil {
			continue
		}
		if f, u, known := source.Certificate(); known && (until.IsZero() || u.Before(until)) {
			from, until = f, u
		}
	}
	gauge := func(desc *prometheus.Desc, n int, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), labels...)
	}
	gauge(s.watches, watches)
	gauge(s.objects, objects)
	gauge(s.works, works)
	for state, n := range hubs {
		gauge(s.to, n, state)
	}
	if !until.IsZero() {
		gauge(s.ends, int(until.Unix()))
		gauge(s.lifetime, int(until.Sub(from).Seconds()))
	}
}

// Definitions are all metrics of the agent, by name.
func Definitions() []meter.Definition {
	set := meter.NewSet(nil)
	newMetrics(set)
	return meter.Definitions(set, &NewState(nil).set)
}
