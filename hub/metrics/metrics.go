// Package metrics is what the hub counts and measures. What it does is counted as
// it goes (Metrics); how the fleet is, when somebody asks (State).
//
// Labels have few values: kinds of instances, which are as many as definitions,
// and words of the API. Names of clusters, instances and revisions are not among
// them; see State.Instances for the exception.
package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kronvoy/kronvoy/internal/meter"
)

// Results of an evaluation.
const (
	// Complete: all nodes are known, and what they depend on is ready.
	Complete = "complete"
	// Waiting: some nodes wait for values, or for others to be ready.
	Waiting = "waiting"
	// Failed: some nodes cannot be evaluated.
	Failed = "failed"
	// Blocked: nothing could be decided.
	Blocked = "blocked"
)

// Verbs of writes.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
)

// Reasons why something is put off.
const (
	// Pace: it was told a moment ago.
	Pace = "pace"
	// Cache: it does not show yet what was written.
	Cache = "cache"
)

// Controllers that put something off.
const (
	Instance = "instance"
	Rollout  = "rollout"
	Target   = "target"
)

// Results of something that may fail.
const (
	success, failure, conflict = "success", "error", "conflict"
)

// Metrics are counted as the hub goes. Nil counts nothing.
type Metrics struct {
	evaluations  *prometheus.CounterVec
	evaluation   prometheus.Observer
	cost         prometheus.Observer
	costTotal    *prometheus.CounterVec
	works        *prometheus.CounterVec
	feedback     prometheus.Observer
	corrections  *prometheus.CounterVec
	holds        *prometheus.CounterVec
	lookups      *prometheus.CounterVec
	compilations *prometheus.CounterVec
	compilation  prometheus.Observer
	moves        *prometheus.CounterVec
	names        sync.Map // schema.GroupKind → string
}

// New makes metrics and, where registry is not nil, registers them.
func New(registry prometheus.Registerer) *Metrics { return newMetrics(meter.NewSet(registry)) }

func newMetrics(set *meter.Set) *Metrics {
	return &Metrics{
		evaluations: set.Counter("kronvoy_evaluations_total",
			"Evaluations of one instance for one cluster: complete, waiting (for values or other resources), failed, or blocked (nothing could be decided).", "kind", "result"),
		evaluation: set.Histogram("kronvoy_evaluation_duration_seconds",
			"Time that an evaluation of one instance for one cluster took, with reading its feedback and building its works.",
			prometheus.ExponentialBuckets(0.0001, 2.5, 12)).WithLabelValues(),
		cost: set.Histogram("kronvoy_evaluation_cost_units",
			"Cost of all CEL expressions of one evaluation, in CEL's cost units.", prometheus.ExponentialBuckets(100, 4, 9)).WithLabelValues(),
		costTotal: set.Counter("kronvoy_evaluation_cost_units_total",
			"Cost of all CEL expressions that were evaluated, in CEL's cost units: which kind is expensive.", "kind"),
		works: set.Counter("kronvoy_work_writes_total",
			"Writes of ManifestWorks; a conflict means that the cache was behind, and is tried again.", "verb", "result"),
		feedback: set.Histogram("kronvoy_feedback_latency_seconds",
			"Time from when the hub saw an agent's answer until the Target's status told of what changed with it, by the hub's clock.",
			prometheus.ExponentialBuckets(0.002, 2.5, 11)).WithLabelValues(),
		corrections: set.Counter("kronvoy_drift_corrections_total",
			"Objects that agents put right, as they report.", "kind"),
		holds: set.Counter("kronvoy_holds_total",
			"Times that a controller put off what it was about to write: pace (it was told a moment ago) or cache (which does not show yet what was written).", "controller", "reason"),
		lookups: set.Counter("kronvoy_schema_lookups_total",
			"Times that a kind's schema was looked for: hit (it was at hand), miss (it was read from the API server) or error.", "result"),
		compilations: set.Counter("kronvoy_graph_compilations_total",
			"Compilations of definitions: accepted, or refused for what is wrong with them.", "result"),
		compilation: set.Histogram("kronvoy_graph_compilation_duration_seconds",
			"Time that the compilation of a definition took.", prometheus.ExponentialBuckets(0.001, 3, 9)).WithLabelValues(),
		moves: set.Counter("kronvoy_rollout_moves_total",
			"Clusters that were given something: made (an instance came to a cluster) or changed (another revision, or other inputs).", "kind", "change"),
	}
}

// Evaluated counts an evaluation of an instance of a kind.
func (m *Metrics) Evaluated(kind schema.GroupKind, result string, cost uint64, took time.Duration) {
	if m == nil {
		return
	}
	name := m.name(kind)
	m.evaluations.WithLabelValues(name, result).Inc()
	if result == Blocked {
		return
	}
	m.evaluation.Observe(took.Seconds())
	m.cost.Observe(float64(cost))
	m.costTotal.WithLabelValues(name).Add(float64(cost))
}

// WorkWritten counts a write of a work.
func (m *Metrics) WorkWritten(verb string, err error) {
	if m != nil {
		m.works.WithLabelValues(verb, result(err)).Inc()
	}
}

// Told measures how long something had to wait that was seen at a time, until it
// was told.
func (m *Metrics) Told(waited time.Duration) {
	if m != nil {
		m.feedback.Observe(waited.Seconds())
	}
}

// Corrected counts what an agent says that it has put right since it said so
// last. An agent that has lost its memory begins at zero again.
func (m *Metrics) Corrected(kind schema.GroupKind, before, after int64) {
	if m == nil || after <= before {
		return
	}
	m.corrections.WithLabelValues(m.name(kind)).Add(float64(after - before))
}

// Held counts something that a controller put off.
func (m *Metrics) Held(controller, reason string) {
	if m != nil {
		m.holds.WithLabelValues(controller, reason).Inc()
	}
}

// LookedUp counts a search for a schema.
func (m *Metrics) LookedUp(known bool, err error) {
	if m == nil {
		return
	}
	switch {
	case known:
		m.lookups.WithLabelValues("hit").Inc()
	case err != nil:
		m.lookups.WithLabelValues(failure).Inc()
	default:
		m.lookups.WithLabelValues("miss").Inc()
	}
}

// Compiled counts a compilation of a definition.
func (m *Metrics) Compiled(accepted bool, took time.Duration) {
	if m == nil {
		return
	}
	result := "refused"
	if accepted {
		result = "accepted"
	}
	m.compilations.WithLabelValues(result).Inc()
	m.compilation.Observe(took.Seconds())
}

// Moved counts that a cluster was given something of a kind; made, when it had
// nothing of the instance before.
func (m *Metrics) Moved(kind schema.GroupKind, made bool) {
	if m == nil {
		return
	}
	change := "changed"
	if made {
		change = "made"
	}
	m.moves.WithLabelValues(m.name(kind), change).Inc()
}

// name spares making the same text for every evaluation.
func (m *Metrics) name(kind schema.GroupKind) string {
	if known, found := m.names.Load(kind); found {
		return known.(string)
	}
	name := kind.String()
	m.names.Store(kind, name)
	return name
}

func result(err error) string {
	switch {
	case err == nil:
		return success
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return conflict
	}
	return failure
}
