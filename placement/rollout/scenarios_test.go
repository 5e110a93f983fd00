package rollout

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/internal/golden"
)

const logMark = "-- log --\n"

// TestScenarios plays the scripts in testdata and compares what happens. A file
// is a script, and its log. A line of the script is a command, or "at <time>" and
// a command; see command.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Errorf("there are %d scenarios, want at least 50", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, _, _ := strings.Cut(string(content), logMark)
			golden.Compare(t, file, script+logMark+play(t, script))
		})
	}
}

type event struct {
	at      time.Duration
	command []string
}

func play(t *testing.T, script string) string {
	w := newWorld(t)
	oracle := newOracle(w)
	w.check = oracle.check
	w.strategy.Gates = RequiredGates{Health: true}
	w.instances["app"] = &Instance{Name: "app", Wanted: "v1"}
	end := 6 * time.Hour
	var events []event
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case words[0] == "end":
			end = duration(t, words[1])
		case words[0] == "at":
			events = append(events, event{at: duration(t, words[1]), command: words[2:]})
		default:
			w.command(oracle, words)
		}
	}
	for {
		for len(events) > 0 && !w.now.Before(noon.Add(events[0].at)) {
			fmt.Fprintf(&w.log, "%s > %s\n", w.clock(), strings.Join(events[0].command, " "))
			w.command(oracle, events[0].command)
			events = events[1:]
		}
		next := w.settle()
		if len(events) > 0 && (next.IsZero() || next.After(noon.Add(events[0].at))) {
			next = noon.Add(events[0].at)
		}
		if next.IsZero() || next.After(noon.Add(end)) {
			return w.log.String()
		}
		w.now = next
	}
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// command changes the world:
//
//	strategy KEY=VALUE ...      as in the fields of Strategy
//	clusters EU-1..EU-9 US-1    join at the start; the region is what is before the dash
//	instances A B               instead of app
//	settled V1                  everything has been at V1 for long
//	wanted V2 [INSTANCE]        the spec changed
//	release MARK                one of Kronvoy restates what is wanted, with a mark
//	never|failing|unhealthy|wrong|drifting|stale|ready REVISION [CLUSTER] [AFTER]
//	join|leave|lost|found|thaw|calm CLUSTER
//	fall|miss|drift CLUSTER     it is not ready any more, an expression does not hold, others
//	                            changed too much
//	heal CLUSTER                none of these any more
//	blink CLUSTER               it was not ready, and is again before anybody looks
//	freeze|upgrade CLUSTER WHY...
//	relabel CLUSTER REGION      inputs CLUSTER VALUE
//	decided CLUSTER GROUP INDEX its decision group
//	undecided WHY..., placed    it is not known where it is to be, and is again
//	place CLUSTER INSTANCES...  only these are placed there
//	teardown|gone CLUSTER       what was there is taken down, and is
//	approve, reject, pause WHY, go on, retry, pin REVISION [INSTANCE], unpin
//	dies N                      the caller dies after N more writes
func (w *world) command(o *oracle, words []string) {
	t := w.t
	args := append(words[1:], "", "", "")
	rest := strings.Join(words[min(2, len(words)):], " ")
	at := func() *place {
		c := w.clusters[args[0]]
		if c == nil {
			t.Fatalf("%v: there is no such cluster", words)
		}
		return c
	}
	each := func(name string, do func(*Instance)) {
		for _, i := range w.instances {
			if name == "" || i.Name == name {
				do(i)
			}
		}
	}
	switch words[0] {
	case "strategy":
		for _, setting := range words[1:] {
			w.set(setting)
		}
	case "clusters", "join":
		for _, name := range expand(words[1:]) {
			w.join(name, strings.Split(name, "-")[0])
		}
	case "instances":
		clear(w.instances)
		for _, name := range words[1:] {
			w.instances[name] = &Instance{Name: name, Wanted: "v1"}
		}
	case "settled":
		long := w.now.Add(-24 * time.Hour)
		each("", func(i *Instance) {
			i.Wanted, i.Good = args[0], args[0]
			for _, c := range w.clusters {
				w.targets[Key{c.Name, i.Name}] = &running{applied: long, Target: Target{Cluster: c.Name, Instance: i.Name,
					Assignment: Assignment{Revision: args[0], Inputs: c.Inputs}, Moved: long, Passed: long}}
			}
		})
	case "wanted":
		each(args[1], func(i *Instance) { i.Wanted = args[0] })
	case "release":
		each("", func(i *Instance) {
			if i.Rejected == i.Wanted {
				i.Rejected += args[0]
			}
			if i.Wanted += args[0]; i.Good != "" {
				i.Good, i.Lost = "", "what was good another release rendered"
			}
		})
	case "never", "failing", "unhealthy", "wrong", "drifting", "stale", "ready":
		b := behaviour{what: words[0]}
		if words[0] == "ready" {
			b.after = time.Minute
		}
		key := args[0]
		for _, more := range words[2:] {
			if d, err := time.ParseDuration(more); err == nil {
				b.after = d
			} else {
				key += " " + more
			}
		}
		w.behaves[key] = b
	case "leave":
		at().gone = true
		for k := range w.targets {
			if k.Cluster == args[0] {
				delete(w.targets, k)
			}
		}
	case "lost":
		at().Reachable = false
	case "found":
		at().Reachable, at().Since = true, w.now
	case "freeze":
		at().Suspended = rest
	case "thaw":
		at().Suspended, at().Since = "", w.now
	case "upgrade":
		at().Maintenance = rest
	case "calm":
		at().Maintenance, at().Since = "", w.now
	case "fall", "blink", "miss", "drift", "heal":
		for k, t := range w.targets {
			switch {
			case k.Cluster != args[0]:
			case words[0] == "fall":
				t.broken = w.now
			case words[0] == "blink":
				t.Gates.Ready.Since = w.now
			case words[0] == "miss":
				t.wrong = true
			case words[0] == "drift":
				t.drifted = true
			default:
				t.broken, t.wrong, t.drifted = time.Time{}, false, false
			}
		}
	case "teardown", "gone":
		for k, t := range w.targets {
			if k.Cluster == args[0] {
				t.Deleting = true
				if words[0] == "gone" {
					delete(w.targets, k)
				}
			}
		}
	case "place":
		at().Instances = words[2:]
	case "relabel":
		at().Labels = map[string]string{"region": args[1]}
	case "decided":
		index, err := strconv.Atoi(args[2])
		if err != nil {
			t.Fatal(err)
		}
		at().Group = GroupID{Name: strings.Trim(args[1], "-"), Index: index}
	case "undecided":
		w.undecided = strings.Join(words[1:], " ")
	case "placed":
		w.undecided = ""
	case "inputs":
		at().Inputs = args[1]
	case "approve":
		o.approved[asked{w.record.Plan, w.question.Group}] = true
		w.answer(Approved)
	case "reject":
		w.answer(Rejected)
	case "pause":
		w.paused = strings.Join(words[1:], " ")
	case "go":
		w.paused = ""
	case "retry":
		w.retry = w.now
	case "pin":
		each(args[1], func(i *Instance) { i.Pinned = args[0] })
	case "unpin":
		each(args[0], func(i *Instance) { i.Pinned = "" })
	case "dies":
		w.lose, _ = strconv.Atoi(args[0])
	default:
		t.Fatalf("unknown command %v", words)
	}
}

// expand reads a-1..a-9.
func expand(names []string) []string {
	var all []string
	for _, name := range names {
		first, last, many := strings.Cut(name, "..")
		if !many {
			all = append(all, name)
			continue
		}
		prefix, from, _ := strings.Cut(first, "-")
		_, to, _ := strings.Cut(last, "-")
		a, _ := strconv.Atoi(from)
		b, _ := strconv.Atoi(to)
		for i := a; i <= b; i++ {
			all = append(all, fmt.Sprintf("%s-%0*d", prefix, len(to), i))
		}
	}
	return all
}

// set one field of the strategy.
func (w *world) set(setting string) {
	t, s := w.t, &w.strategy
	key, value, _ := strings.Cut(setting, "=")
	amount := func() Amount {
		n, err := strconv.Atoi(strings.TrimSuffix(value, "%"))
		if err != nil {
			t.Fatal(err)
		}
		return Amount{Value: n, Percent: strings.HasSuffix(value, "%")}
	}
	switch key {
	case "kind":
		s.Kind = StrategyKind(value)
	case "groupBy":
		s.GroupBy.Label = value
	case "order":
		s.GroupBy.Order = strings.Split(value, ",")
	case "decisions":
		s.GroupBy.Decisions = true
	case "mandatory":
		for _, name := range strings.Split(value, ",") {
			if index, err := strconv.Atoi(name); err == nil {
				s.Mandatory = append(s.Mandatory, MandatoryGroup{Index: index})
			} else {
				s.Mandatory = append(s.Mandatory, MandatoryGroup{Name: name})
			}
		}
	case "maxConcurrency":
		s.MaxConcurrency = amount()
	case "maxFailures":
		s.MaxFailures = amount()
	case "soak":
		s.MinSuccessTime = duration(t, value)
	case "deadline":
		s.ProgressDeadline = duration(t, value)
	case "grace":
		s.FailureGrace = duration(t, value)
	case "approval":
		s.ApprovalBefore = strings.Split(value, ",")
	case "onFailure":
		s.OnFailure = OnFailure(value)
	case "lateJoiners":
		s.LateJoiners = LateJoiners(value)
	case "unreachable":
		s.Unreachable = UnreachablePolicy(value)
	case "inputs":
		s.InputChanges = InputChanges(value)
	case "gates":
		s.Gates = RequiredGates{Health: strings.Contains(value, "health"), Expressions: strings.Contains(value, "expressions"), Drift: strings.Contains(value, "drift")}
	default:
		t.Fatalf("unknown setting %q", setting)
	}
}
