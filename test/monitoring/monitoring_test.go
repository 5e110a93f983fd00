// Package monitoring checks the alerts and the dashboard of config/monitoring
// against the metrics that there are, and what the alerts say of a fleet.
package monitoring

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	"sigs.k8s.io/yaml"

	hub "github.com/kronvoy/kronvoy/hub/metrics"
	agent "github.com/kronvoy/kronvoy/spoke/metrics"
)

const config = "../../config/monitoring/"

var promQL = parser.NewParser(parser.Options{})

type rule struct{ Alert, Expr, For string }

func rules(t *testing.T) map[string]rule {
	t.Helper()
	text, err := os.ReadFile(config + "plain/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	all := map[string]rule{}
	for _, group := range file.Groups {
		for _, r := range group.Rules {
			all[r.Alert] = r
		}
	}
	return all
}

// known are the labels of every metric; those of others that are named here are
// controller-runtime's.
func known() map[string][]string {
	all := map[string][]string{"workqueue_depth": {"name", "controller", "priority"}}
	for _, d := range slices.Concat(hub.Definitions(), agent.Definitions()) {
		all[d.Name] = append(d.Labels, "instance", "job")
		if d.Type == "histogram" {
			all[d.Name+"_bucket"] = append(slices.Clone(all[d.Name]), "le")
			all[d.Name+"_sum"], all[d.Name+"_count"] = all[d.Name], all[d.Name]
			delete(all, d.Name)
		}
	}
	return all
}

// check says what an expression uses that is not there.
func check(t *testing.T, where, text string) {
	t.Helper()
	expr, err := promQL.ParseExpr(text)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	metrics := known()
	var usable []string
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		labelsOf, there := metrics[selector.Name]
		if !there {
			t.Errorf("%s: there is no metric %s", where, selector.Name)
		}
		usable = append(usable, labelsOf...)
		for _, m := range selector.LabelMatchers {
			if m.Name != model.MetricNameLabel && !slices.Contains(labelsOf, m.Name) {
				t.Errorf("%s: %s has no label %s", where, selector.Name, m.Name)
			}
		}
		return nil
	})
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if aggregate, ok := node.(*parser.AggregateExpr); ok {
			for _, label := range aggregate.Grouping {
				if !slices.Contains(usable, label) {
					t.Errorf("%s: it groups by %s, which no metric in it has", where, label)
				}
			}
		}
		return nil
	})
}

func TestAlertsAskForMetricsThatThereAre(t *testing.T) {
	for name, r := range rules(t) {
		check(t, name, r.Expr)
	}
}

func TestTheDashboardAsksForMetricsThatThereAre(t *testing.T) {
	text, err := os.ReadFile(config + "base/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		if len(panel.Targets) == 0 {
			t.Errorf("panel %q shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			check(t, panel.Title, strings.ReplaceAll(target.Expr, "$kind", ".*"))
		}
	}
}

// series is a metric whose value depends on the minute.
type series struct {
	metric string
	value  func(minute int) float64
}

func always(v float64) func(int) float64 { return func(int) float64 { return v } }

// growing is a counter that grows so much a minute.
func growing(perMinute float64) func(int) float64 {
	return func(minute int) float64 { return perMinute * float64(minute) }
}

// latency is a histogram all of whose observations are in one bucket.
func latency(metric, le string) []series {
	return []series{
		{metric + `_bucket{le="0.1"}`, always(0)},
		{metric + `_bucket{le="` + le + `"}`, growing(60)},
		{metric + `_bucket{le="+Inf"}`, growing(60)},
	}
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	one := func(metric string, value func(int) float64) []series { return []series{{metric, value}} }
	tests := map[string]struct{ fires, silent []series }{
		"KronvoyHubDown":         {nil, one(`kronvoy_build_info{version="v1"}`, always(1))},
		"KronvoyWorkWritesFail":  {one(`kronvoy_work_writes_total{verb="update",result="error"}`, growing(60)), one(`kronvoy_work_writes_total{verb="update",result="conflict"}`, growing(600))},
		"KronvoyEvaluationsSlow": {latency("kronvoy_evaluation_duration_seconds", "5"), latency("kronvoy_evaluation_duration_seconds", "0.5")},
		"KronvoyFeedbackSlow":    {latency("kronvoy_feedback_latency_seconds", "60"), latency("kronvoy_feedback_latency_seconds", "5")},
		"KronvoyQueueGrows":      {one(`workqueue_depth{name="target"}`, always(5000)), one(`workqueue_depth{name="target"}`, always(20))},
		"KronvoyClustersUnavailable": {one(`kronvoy_clusters{available="Unknown",agent="kronvoy",quiet="false"}`, always(1)),
			[]series{{`kronvoy_clusters{available="True",agent="kronvoy",quiet="false"}`, always(9)}, {`kronvoy_clusters{available="Unknown",agent="kronvoy",quiet="true"}`, always(1)}}},
		"KronvoyManyClustersUnavailable": {
			[]series{{`kronvoy_clusters{available="Unknown",agent="ocm",quiet="false"}`, always(3)}, {`kronvoy_clusters{available="True",agent="kronvoy",quiet="false"}`, always(7)}},
			[]series{{`kronvoy_clusters{available="Unknown",agent="ocm",quiet="false"}`, always(1)}, {`kronvoy_clusters{available="Unknown",agent="ocm",quiet="true"}`, always(3)},
				{`kronvoy_clusters{available="True",agent="kronvoy",quiet="false"}`, always(6)}},
		},
		"KronvoyDefinitionNotAccepted": {one(`kronvoy_definitions{state="Inactive"}`, always(1)), one(`kronvoy_definitions{state="Active"}`, always(4))},
		"KronvoyTargetsFailed": {one(`kronvoy_targets{kind="A.kro.run",state="Failed",health="Healthy",quiet="false"}`, always(2)),
			[]series{{`kronvoy_targets{kind="A.kro.run",state="Failed",health="Healthy",quiet="true"}`, always(2)},
				// It fails for a few minutes only.
				{`kronvoy_targets{kind="A.kro.run",state="Failed",health="Healthy",quiet="false"}`, func(minute int) float64 {
					if minute%10 < 5 {
						return 1
					}
					return 0
				}}}},
		"KronvoyTargetsUnhealthy": {one(`kronvoy_targets{kind="A.kro.run",state="Ready",health="Failed",quiet="false"}`, always(1)),
			[]series{{`kronvoy_targets{kind="A.kro.run",state="Ready",health="Progressing",quiet="false"}`, always(1)}, {`kronvoy_targets{kind="A.kro.run",state="Ready",health="Failed",quiet="true"}`, always(1)}}},
		"KronvoyRolloutStalled": {one(`kronvoy_rollout_overdue_seconds{phase="Progressing"}`, always(1900)),
			// A soak of three hours: no cluster moves, and none should.
			[]series{{`kronvoy_rollout_step_age_seconds{phase="Progressing"}`, always(10800)}, {`kronvoy_rollout_overdue_seconds{phase="Progressing"}`, always(0)}}},
		"KronvoyRolloutStopped": {one(`kronvoy_rollouts_stopped{phase="Paused"}`, always(1)),
			// Somebody has paused it.
			[]series{{`kronvoy_rollouts{phase="Paused"}`, always(1)}, {`kronvoy_rollouts_stopped{phase="Paused"}`, always(0)}}},
		"KronvoyApprovalWaiting": {one(`kronvoy_approval_oldest_age_seconds{action="Remove"}`, always(20000)), one(`kronvoy_approval_oldest_age_seconds{action="Remove"}`, always(60))},
		"KronvoyRemovalHeld":     {one(`kronvoy_targets_removal_held{kind="A.kro.run"}`, always(1)), one(`kronvoy_targets_removal_held{kind="A.kro.run"}`, always(0))},
		"KronvoyDrift":           {one(`kronvoy_drifted_objects{kind="A.kro.run",quiet="false"}`, always(1)), one(`kronvoy_drifted_objects{kind="A.kro.run",quiet="true"}`, always(1))},
		"KronvoyDriftFight":      {one(`kronvoy_drift_corrections_total{kind="A.kro.run"}`, growing(30)), one(`kronvoy_drift_corrections_total{kind="A.kro.run"}`, growing(1))},
		"KronvoyAgentWithoutHub": {one(`kronvoy_agent_hub_connection{state="HubUnreachable"}`, always(1)), one(`kronvoy_agent_hub_connection{state="HubAnswers"}`, always(1))},
		"KronvoyAgentCertificateEnds": {
			[]series{{"kronvoy_agent_certificate_expiration_timestamp_seconds", always(3600)}, {"kronvoy_agent_certificate_lifetime_seconds", always(12000)}},
			[]series{{"kronvoy_agent_certificate_expiration_timestamp_seconds", always(7200)}, {"kronvoy_agent_certificate_lifetime_seconds", always(12000)}},
		},
		"KronvoyAgentApplyErrors": {one(`kronvoy_agent_applies_total{result="error"}`, growing(6)), one(`kronvoy_agent_applies_total{result="success"}`, growing(600))},
	}
	for name, r := range rules(t) {
		t.Run(name, func(t *testing.T) {
			test, there := tests[name]
			if !there {
				t.Fatal("there is no test of this alert")
			}
			if !fires(t, r, test.fires) {
				t.Error("it does not fire when it should")
			}
			if fires(t, r, test.silent) {
				t.Error("it fires when it should not")
			}
		})
	}
	if len(tests) != len(rules(t)) {
		t.Errorf("%d tests, %d alerts", len(tests), len(rules(t)))
	}
}

// horizon is how long a fleet is looked at, a minute at a time.
const horizon = 60

// fires evaluates a rule as Prometheus does: its expression has to hold at every
// evaluation for as long as it says.
func fires(t *testing.T, r rule, fleet []series) bool {
	t.Helper()
	wait, err := model.ParseDuration(r.For)
	if err != nil {
		t.Fatal(err)
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 100_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: promQL})
	defer func() { _ = engine.Close() }()
	held := 0
	for minute := 20; minute < horizon; minute++ { // rates have something to look back at by then
		query, err := engine.NewInstantQuery(t.Context(), fixed(t, fleet), nil, r.Expr, at(minute))
		if err != nil {
			t.Fatal(err)
		}
		result := query.Exec(t.Context())
		vector, err := result.Vector()
		if err != nil {
			t.Fatal(err)
		}
		if len(vector) > 0 {
			held++
		} else {
			held = 0
		}
		query.Close()
		if time.Duration(held-1)*time.Minute >= time.Duration(wait) {
			return true
		}
	}
	return false
}

func at(minute int) time.Time { return time.Unix(int64(minute)*60, 0) }

// fixed is storage that holds some series.
func fixed(t *testing.T, fleet []series) storage.Queryable {
	t.Helper()
	var all []storage.Series
	for _, s := range fleet {
		metric, err := promQL.ParseMetric(s.metric)
		if err != nil {
			t.Fatal(err)
		}
		var samples []chunks.Sample
		for minute := range horizon {
			samples = append(samples, sample{at(minute).UnixMilli(), s.value(minute)})
		}
		all = append(all, storage.NewListSeries(metric, samples))
	}
	return storage.QueryableFunc(func(int64, int64) (storage.Querier, error) { return querier(all), nil })
}

type querier []storage.Series

func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &seriesSet{at: -1}
	for _, s := range q {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.Labels().Get(m.Name)) }) {
			set.all = append(set.all, s)
		}
	}
	return set
}

func (querier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, fmt.Errorf("nobody asks for values of labels")
}

func (querier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, fmt.Errorf("nobody asks for names of labels")
}

func (querier) Close() error { return nil }

type seriesSet struct {
	all []storage.Series
	at  int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.all) }
func (s *seriesSet) At() storage.Series                { return s.all[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// sample is a value at a time in milliseconds.
type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }
