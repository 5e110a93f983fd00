package metrics

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func TestAgentsOfOneProcessCountTogether(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan struct{})
	made := time.Unix(1_800_000_000, 0)
	for i, hub := range []string{"HubAnswers", ""} {
		m, state := New(registry), NewState(registry)
		m.Applied(time.Millisecond, false, false)
		m.Object("Created")
		m.Written(Work, nil)
		m.Told(time.Second)
		m.Corrected(time.Second)
		source := &Source{
			Watches: func() (int, int) { return 2, 30 }, Works: func() int { return 4 }, Hub: func() string { return hub },
			Certificate: func() (time.Time, time.Time, bool) { return made, made.Add(time.Duration(2-i) * time.Hour), true },
		}
		state.mu.Lock()
		state.sources[source] = true // as Serve does, which does not return
		state.mu.Unlock()
		go func() {
			state.Serve(ctx, source)
			left <- struct{}{}
		}()
	}
	want := `
# HELP kronvoy_agent_certificate_expiration_timestamp_seconds When the certificate ends by which the hub knows the agent, in seconds since 1970; not of an agent that is given a kubeconfig.
# TYPE kronvoy_agent_certificate_expiration_timestamp_seconds gauge
kronvoy_agent_certificate_expiration_timestamp_seconds 1.8000036e+09
# HELP kronvoy_agent_certificate_lifetime_seconds How long that certificate is good in all; it is renewed when a quarter or a fifth of that is left.
# TYPE kronvoy_agent_certificate_lifetime_seconds gauge
kronvoy_agent_certificate_lifetime_seconds 3600
# HELP kronvoy_agent_hub_connection One for how the hub answered last: HubAnswers, HubRefuses, HubRefusesCertificate, HubUnreachable, or none before it was asked.
# TYPE kronvoy_agent_hub_connection gauge
kronvoy_agent_hub_connection{state="HubAnswers"} 1
kronvoy_agent_hub_connection{state="none"} 1
# HELP kronvoy_agent_objects_watched Objects that the watches show.
# TYPE kronvoy_agent_objects_watched gauge
kronvoy_agent_objects_watched 60
# HELP kronvoy_agent_objects_total Objects of works by what a run did about them: Unchanged, Created, Configured, Corrected (drift was put right), Observed or Failed.
# TYPE kronvoy_agent_objects_total counter
kronvoy_agent_objects_total{action="Created"} 2
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"kronvoy_agent_certificate_expiration_timestamp_seconds", "kronvoy_agent_certificate_lifetime_seconds",
		"kronvoy_agent_hub_connection", "kronvoy_agent_objects_watched", "kronvoy_agent_objects_total"); err != nil {
		t.Error(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	cancel()
	<-left
	<-left
	if got := testutil.ToFloat64(gaugeOf(NewState(registry))); got != 0 {
		t.Errorf("%v works after the agents have ended, want 0", got)
	}
}

// gaugeOf is a State with its number of works alone.
func gaugeOf(s *State) prometheus.Collector { return works{s} }

type works struct{ *State }

func (w works) Collect(to chan<- prometheus.Metric) {
	all := make(chan prometheus.Metric, 10)
	w.State.Collect(all)
	close(all)
	for m := range all {
		if m.Desc() == w.works {
			to <- m
		}
	}
}
