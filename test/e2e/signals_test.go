//go:build integration

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
)

// eventOf waits for an event of an object, and gives how many there are of it.
func (s *scene) eventOf(namespace, kind, name, reason string) (events int) {
	s.Helper()
	probe.Eventually(s, fmt.Sprintf("event %s of %s %s", reason, kind, name), func() error {
		events = 0
		for _, e := range s.hub.List(s, "events.events.k8s.io", namespace) {
			if e.Text("reason") == reason && e.Text("regarding.kind") == kind && e.Text("regarding.name") == name {
				events++
			}
		}
		if events == 0 {
			return fmt.Errorf("there is none in namespace %s", namespace)
		}
		return nil
	})
	return events
}

// scrape reads a process's metrics by their names, and their text.
func (s *scene) scrape(cluster string) (map[string]*dto.MetricFamily, []byte) {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.stack.MetricsURLs[cluster], nil)
	if err != nil {
		s.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		s.Fatalf("metrics of %s: %s, %v", cluster, answer.Status, err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		s.Fatalf("metrics of %s: %v", cluster, err)
	}
	return families, text
}

// total adds up a metric's values where its labels have these values; of a
// histogram it counts the observations.
func total(families map[string]*dto.MetricFamily, name string, labels ...string) (sum float64) {
	for _, m := range families[name].GetMetric() {
		has := 0
		for _, label := range m.GetLabel() {
			for i := 0; i+1 < len(labels); i += 2 {
				if label.GetName() == labels[i] && label.GetValue() == labels[i+1] {
					has++
				}
			}
		}
		if 2*has == len(labels) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

func TestMetricsAndEventsOfRealProcessesTellWhatHappens(t *testing.T) {
	s := begin(t, "signals")
	defer s.end()
	before, _ := s.scrape(fleet.HubName)
	agentBefore, _ := s.scrape(euWest)

	s.defineBadly("Signalled", strings.Replace(chain, "${", "${nowhere.", 1))
	if n := s.eventOf("default", "ResourceGraphDefinition", "signalled", "DefinitionNotAccepted"); n != 1 {
		t.Errorf("%d events say that the definition is not accepted", n)
	}
	s.define("Signalled", chain)
	s.eventOf("default", "ResourceGraphDefinition", "signalled", "DefinitionAccepted")
	s.create("Signalled", "one", everywhere, "")
	s.ready("Signalled", "one", 3)

	kind := []string{"kind", "Signalled.kro.run"}
	probe.Eventually(t, "metrics to have moved", func() error {
		after, _ := s.scrape(fleet.HubName)
		agent, _ := s.scrape(euWest)
		for what, moved := range map[string]float64{
			"evaluations":  total(after, "kronvoy_evaluations_total", append(kind, "result", "complete")...),
			"duration":     total(after, "kronvoy_evaluation_duration_seconds") - total(before, "kronvoy_evaluation_duration_seconds"),
			"cost":         total(after, "kronvoy_evaluation_cost_units_total", kind...),
			"writes":       total(after, "kronvoy_work_writes_total", "result", "success") - total(before, "kronvoy_work_writes_total", "result", "success") - 2,
			"refusals":     total(after, "kronvoy_graph_compilations_total", "result", "refused") - total(before, "kronvoy_graph_compilations_total", "result", "refused"),
			"moves":        total(after, "kronvoy_rollout_moves_total", append(kind, "change", "made")...) - 2,
			"feedback":     total(after, "kronvoy_feedback_latency_seconds") - total(before, "kronvoy_feedback_latency_seconds"),
			"instances":    total(after, "kronvoy_instances", append(kind, "ready", "True")...),
			"targets":      total(after, "kronvoy_targets", append(kind, "state", "Ready")...) - 2,
			"clusters":     total(after, "kronvoy_clusters", "available", "True") - 2,
			"applies":      total(agent, "kronvoy_agent_applies_total", "result", "success") - total(agentBefore, "kronvoy_agent_applies_total", "result", "success"),
			"objects":      total(agent, "kronvoy_agent_objects_total", "action", "Created") - total(agentBefore, "kronvoy_agent_objects_total", "action", "Created"),
			"reports":      total(agent, "kronvoy_agent_report_latency_seconds") - total(agentBefore, "kronvoy_agent_report_latency_seconds"),
			"connection":   total(agent, "kronvoy_agent_hub_connection", "state", "HubAnswers"),
			"certificate":  total(agent, "kronvoy_agent_certificate_expiration_timestamp_seconds") - float64(time.Now().Unix()),
			"its lifetime": total(agent, "kronvoy_agent_certificate_lifetime_seconds"),
		} {
			if moved <= 0 {
				return fmt.Errorf("%s: %v", what, moved)
			}
		}
		return nil
	})

	documented, err := os.ReadFile(filepath.Join(s.stack.Root(), "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range []string{fleet.HubName, euWest} {
		families, text := s.scrape(cluster)
		own := 0
		for name := range families {
			if !strings.HasPrefix(name, "kronvoy_") {
				continue
			}
			own++
			if !bytes.Contains(documented, []byte("| `"+name+"` |")) {
				t.Errorf("%s serves %s, of which docs/metrics.md says nothing", cluster, name)
			}
		}
		if own < 10 {
			t.Errorf("%s serves %d metrics of Kronvoy", cluster, own)
		}
		problems, err := promlint.New(bytes.NewReader(text)).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if strings.HasPrefix(p.Metric, "kronvoy_") {
				t.Errorf("%s of %s: %s", p.Metric, cluster, p.Text)
			}
		}
	}
}
