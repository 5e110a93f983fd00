package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// alertRules is as much of a rules file as is looked at here; test/monitoring looks
// at the expressions.
type alertRules struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

func TestAlertsAreTheSameWithAndWithoutPrometheusOperator(t *testing.T) {
	var operator struct{ Spec alertRules }
	var plain alertRules
	readYAML(t, "monitoring/prometheusrule.yaml", &operator)
	readYAML(t, "monitoring/plain/rules.yaml", &plain)
	if diff := cmp.Diff(operator.Spec, plain); diff != "" {
		t.Errorf("prometheusrule.yaml and plain/rules.yaml differ:\n%s", diff)
	}
}

func TestEveryAlertSaysWhatIsTheMatterAndWhatToDo(t *testing.T) {
	var rules alertRules
	readYAML(t, "monitoring/plain/rules.yaml", &rules)
	text, err := os.ReadFile("../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(string(text), -1) {
		anchors[strings.ToLower(heading[1])] = false
	}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			for _, annotation := range []string{"summary", "description", "runbook_url"} {
				if rule.Annotations[annotation] == "" {
					t.Errorf("%s has no %s", rule.Alert, annotation)
				}
			}
			if severity := rule.Labels["severity"]; severity != "warning" && severity != "critical" {
				t.Errorf("%s has severity %q", rule.Alert, severity)
			}
			page, anchor, _ := strings.Cut(rule.Annotations["runbook_url"], "#")
			if _, there := anchors[anchor]; !there || !strings.HasSuffix(page, "/docs/runbooks.md") {
				t.Errorf("%s leads to %s, which is not there", rule.Alert, rule.Annotations["runbook_url"])
			}
			anchors[anchor] = true
		}
	}
	for anchor, used := range anchors {
		if !used {
			t.Errorf("no alert leads to #%s of docs/runbooks.md", anchor)
		}
	}
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
