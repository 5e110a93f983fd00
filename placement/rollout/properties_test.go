package rollout

import (
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strconv"
	"testing"
	"time"
)

// history is a world in which anything happens.
type history struct {
	*world
	*oracle
	random   *rand.Rand
	revision int
}

func (h *history) pick(values ...string) string { return values[h.random.Intn(len(values))] }

func (h *history) do(words ...string) {
	fmt.Fprintf(&h.log, "%s > %v\n", h.clock(), words)
	h.command(h.oracle, words)
}

// cluster is one of those that are placed; empty if there is none.
func (h *history) cluster() string {
	var names []string
	for _, c := range sortedValues(h.clusters) {
		if !c.gone {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return h.pick(names...)
}

func newHistory(t *testing.T, seed int64) *history {
	h := &history{world: newWorld(t), random: rand.New(rand.NewSource(seed)), revision: 1}
	h.oracle = newOracle(h.world)
	h.world.check = h.oracle.check
	h.shuffle = h.random.Shuffle
	h.strategy.Gates = RequiredGates{Health: h.random.Intn(2) == 0, Expressions: h.random.Intn(3) == 0, Drift: h.random.Intn(3) == 0}
	h.do("strategy", "deadline=20m", "onFailure="+h.pick("Pause", "Rollback"), "unreachable="+h.pick("Skip", "Skip", "Wait", "Fail"),
		"lateJoiners="+h.pick("WithGroup", "Immediately"), "inputs="+h.pick("Rollout", "Rollout", "Immediate"),
		"soak="+h.pick("0s", "5m"), "grace="+h.pick("0s", "1m"))
	if h.random.Intn(5) > 0 {
		h.do("strategy", "groupBy=region", "order="+h.pick("eu", "us,ap", "ap,eu,us"))
		if h.random.Intn(3) == 0 {
			h.do("strategy", "approval="+h.pick("us", "ap,us"))
		}
	} else {
		h.do("strategy", "kind="+h.pick("All", "Progressive", "ProgressivePerGroup"), "mandatory="+h.pick("us", "1"))
	}
	if h.random.Intn(4) > 0 {
		h.do("strategy", "maxConcurrency="+h.pick("1", "2", "50%"), "maxFailures="+h.pick("0", "1", "40%"))
	}
	if h.random.Intn(3) == 0 {
		h.do("instances", "db", "web")
	} else {
		h.do("instances", "app")
	}
	for i := range h.random.Intn(9) {
		h.do("join", h.pick("eu", "us", "ap", "")+"-"+strconv.Itoa(i))
	}
	if h.random.Intn(4) > 0 {
		h.do("settled", "v1")
	}
	return h
}

// happen is one thing out of many.
func (h *history) happen() {
	c := h.cluster()
	switch h.random.Intn(22) {
	case 0, 1, 2:
		h.revision++
		revision := "v" + strconv.Itoa(h.revision)
		if h.random.Intn(4) == 0 {
			revision = "v" + strconv.Itoa(1+h.random.Intn(h.revision))
		}
		h.do("wanted", revision, h.pick(slices.Sorted(maps.Keys(h.instances))...))
		if h.random.Intn(2) == 0 && c != "" {
			h.do(h.pick("never", "failing", "unhealthy", "wrong", "drifting", "stale"), revision, h.pick(c, "1s"))
		}
	case 3:
		h.do("join", h.pick("eu", "us", "ap")+"-"+strconv.Itoa(10+h.random.Intn(20)))
	case 4, 5, 6, 7, 8, 9, 10, 11, 12:
		if c != "" {
			h.befall(c)
		}
	case 13:
		h.do("pause", "ada")
	case 14:
		h.do("go", "on")
	case 15:
		h.do("retry")
	case 16:
		h.do("pin", "v"+strconv.Itoa(1+h.random.Intn(h.revision)), h.pick(slices.Sorted(maps.Keys(h.instances))...))
	case 17:
		h.do("unpin")
	case 18, 19:
		h.do("dies", strconv.Itoa(h.random.Intn(5)))
	default:
		if h.question != nil {
			h.do(h.pick("approve", "approve", "reject"))
		}
	}
}

// befall is what happens to one cluster.
func (h *history) befall(c string) {
	switch h.random.Intn(12) {
	case 0:
		h.do("lost", c)
	case 1:
		h.do("found", c)
	case 2:
		h.do("freeze", c, "ada")
	case 3:
		h.do("thaw", c)
	case 4:
		h.do("upgrade", c, "Talos")
	case 5:
		h.do("calm", c)
	case 6:
		h.do("relabel", c, h.pick("eu", "us", "ap"))
	case 7:
		h.do("inputs", c, "i"+strconv.Itoa(1+h.random.Intn(3)))
	case 8, 9:
		// For a while, and in a soak where there is one.
		for _, step := range h.last.Clusters {
			if step.State == ClusterSoaking {
				c = step.Cluster
			}
		}
		h.do(h.pick("fall", "miss", "drift"), c)
		h.settle()
		h.now = h.now.Add(time.Duration(1+h.random.Intn(240)) * time.Second)
		h.do("heal", c)
	default:
		h.do(h.pick("fall", "miss", "drift", "heal", "leave"), c)
	}
}

// play until nothing happens by itself any more.
func (h *history) rest() {
	for range 400 {
		next := h.settle()
		if next.IsZero() {
			return
		}
		h.now = next
	}
	h.t.Fatalf("it goes on for ever:\n%s", h.log.String())
}

// TestHistories plays histories in which anything happens at any time: revisions,
// clusters and people come, go and fail, and the caller dies between any two of
// its writes. The oracle looks at every step. When nothing happens any more, and
// all clusters can be moved, every rollout comes to one of its ends.
func TestHistories(t *testing.T) {
	for seed := range int64(250) {
		t.Run(strconv.FormatInt(seed, 10), func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, seed)
			for range 40 {
				next := h.settle()
				h.happen()
				h.now = h.now.Add(time.Duration(h.random.Intn(600)) * time.Second)
				if !next.IsZero() && next.Before(h.now) && h.random.Intn(3) > 0 {
					h.now = next
				}
			}
			h.lose = -1
			for _, c := range sortedValues(h.clusters) {
				c.Reachable, c.Suspended, c.Maintenance, c.Since = true, "", "", h.now
			}
			h.rest()
			h.converged()
		})
	}
}

// converged checks how a rollout ended.
func (h *history) converged() {
	approval := len(h.strategy.ApprovalBefore) > 0
	step := h.last
	switch {
	case h.paused != "" && step.Phase == Paused:
		return
	case step.Phase == Progressing, step.Phase == RollingBack, step.Phase == WaitingForApproval && !approval:
		h.t.Fatalf("it ends as %s, %s:\n%s", step.Phase, step.Message, h.log.String())
	}
	for _, c := range step.Clusters {
		if step.Phase == Succeeded && (c.State != ClusterReady && c.State != ClusterFailed) {
			h.t.Fatalf("%s, and %+v:\n%s", step.Phase, c, h.log.String())
		}
	}
	// One revision on all clusters, unless some wait.
	if step.Phase == Succeeded || step.Phase == RolledBack {
		for k, target := range h.targets {
			i := h.instances[k.Instance]
			want := i.Wanted
			if i.Rejected == i.Wanted && i.Good != "" && !i.RejectedAt.Before(h.retry) {
				want = i.Good
			}
			if i.Pinned != "" && i.Pinned != i.Wanted {
				want = i.Pinned
			}
			if target.Revision != want {
				h.t.Fatalf("%s, and %v has %s instead of %s:\n%s", step.Phase, k, target.Revision, want, h.log.String())
			}
		}
	}
}
