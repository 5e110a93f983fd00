package rollout

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// ocmStrategy has the fields of OCM's RolloutStrategy, which are those of one type
// in an object of that type's name.
type ocmStrategy struct {
	Type                string    `json:"type"`
	All                 ocmFields `json:"all"`
	Progressive         ocmFields `json:"progressive"`
	ProgressivePerGroup ocmFields `json:"progressivePerGroup"`
}

type ocmFields struct {
	MinSuccessTime   metav1.Duration    `json:"minSuccessTime"`
	ProgressDeadline metav1.Duration    `json:"progressDeadline"`
	MaxFailures      intstr.IntOrString `json:"maxFailures"`
	MaxConcurrency   intstr.IntOrString `json:"maxConcurrency"`
	Mandatory        []struct {
		GroupName string `json:"groupName"`
	} `json:"mandatoryDecisionGroups"`
}

func amount(v intstr.IntOrString) Amount {
	n, _ := intstr.GetScaledValueFromIntOrPercent(&v, 100, false)
	return Amount{Value: n, Percent: v.Type == intstr.String}
}

func (s ocmStrategy) strategy() Strategy {
	f := map[string]ocmFields{"All": s.All, "Progressive": s.Progressive, "ProgressivePerGroup": s.ProgressivePerGroup}[s.Type]
	strategy := Strategy{Kind: StrategyKind(s.Type), MinSuccessTime: f.MinSuccessTime.Duration, ProgressDeadline: f.ProgressDeadline.Duration,
		MaxFailures: amount(f.MaxFailures), MaxConcurrency: amount(f.MaxConcurrency)}
	for _, m := range f.Mandatory {
		strategy.Mandatory = append(strategy.Mandatory, MandatoryGroup{Name: m.GroupName})
	}
	return strategy
}

// ocmCase is one of testdata/ocm; test/ocm/agent reads them too.
type ocmCase struct {
	Name     string      `json:"name"`
	Strategy ocmStrategy `json:"strategy"`
	Groups   []struct {
		Name     string   `json:"name"`
		Clusters []string `json:"clusters"`
	} `json:"groups"`
	Clusters map[string]struct {
		State string          `json:"state"`
		For   metav1.Duration `json:"for"`
	} `json:"clusters"`
	Moves []string `json:"moves"`
}

func (c ocmCase) input(t *testing.T) Input {
	in := Input{Strategy: c.Strategy.strategy(), Instances: []Instance{{Name: "app", Wanted: "v2"}}, Now: noon}
	for index, g := range c.Groups {
		for _, name := range g.Clusters {
			in.Clusters = append(in.Clusters, Cluster{Name: name, Reachable: true, Group: GroupID{Name: g.Name, Index: index}})
			target := Target{Cluster: name, Instance: "app", Assignment: Assignment{Revision: "v1"}, Moved: noon.Add(-time.Hour), Passed: noon.Add(-time.Hour), Current: "1"}
			if was, known := c.Clusters[name]; known {
				since := noon.Add(-was.For.Duration)
				target.Revision, target.Moved, target.Passed = "v2", since, time.Time{}
				target.Gates.Ready = Gate{Of: "1", Open: was.State == "Succeeded"}
				target.Found = Finding{Open: was.State == "Succeeded", Since: since}
				switch was.State {
				case "Failed":
					target.Failed = Failure{Of: "1", Since: since}
				case "Succeeded", "Progressing", "TimeOut":
				default:
					t.Fatalf("unknown state %q", was.State)
				}
			}
			in.Targets = append(in.Targets, target)
		}
	}
	return in
}

func TestOCMsStrategies(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "ocm", "cases.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []ocmCase
	if err := yaml.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			in := c.input(t)
			step := Next(in)
			for range 2 { // what was decided is stored, and then acted upon
				in.Record = step.Record
				for _, k := range step.Passed {
					for i := range in.Targets {
						if in.Targets[i].Cluster == k.Cluster {
							in.Targets[i].Passed = noon
						}
					}
				}
				step = Next(in)
			}
			var moves []string
			for _, m := range step.Moves {
				moves = append(moves, m.Cluster)
			}
			if diff := cmp.Diff(c.Moves, moves); diff != "" {
				t.Errorf("moves (-want +got):\n%s", diff)
			}
		})
	}
}
