//go:build integration

package regions

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kronvoy/kronvoy/test/fleet"
	"github.com/kronvoy/kronvoy/test/probe"
)

const (
	workReports = "workreports.kronvoy.io"
	leases      = "leases.coordination.k8s.io"
	// hashKey is the annotation, and the feedback value, that tells manifests and
	// works apart.
	hashKey = "kronvoy.io/hash"
)

// version is what an answer says that it is of.
type version struct {
	generation int64
	// manifest and work are hashes.
	manifest, work string
}

// lie is how an agent answers for a revision that its cluster does not have: that
// all is applied, available, ready and healthy.
type lie struct {
	// of is what the answer says that it is of, from what was shipped before and what
	// is shipped now.
	of func(before, now version) version
	// at is when it says that everything became so.
	at string
	// told: nobody could tell it from the truth.
	told bool
}

const longAgo = "2020-01-01T00:00:00Z"

// lies by the name of the instance that is lied about.
var lies = map[string]lie{
	"as-before":         {of: func(before, _ version) version { return before }, at: longAgo},
	"in-the-future":     {of: func(before, _ version) version { return before }, at: "2099-01-01T00:00:00Z"},
	"object-as-before":  {of: func(before, now version) version { return version{now.generation, before.manifest, now.work} }, at: longAgo},
	"work-as-before":    {of: func(before, now version) version { return version{before.generation, now.manifest, now.work} }, at: longAgo},
	"generation-ahead":  {of: func(_, now version) version { return version{now.generation + 1000, now.manifest, now.work} }, at: longAgo},
	"ahead-and-before":  {of: func(before, now version) version { return version{now.generation + 1000, before.manifest, before.work} }, at: longAgo},
	"forged-hash":       {of: func(_, now version) version { return version{now.generation, "v1-0123456789abcdef", now.work} }, at: longAgo},
	"without-hash":      {of: func(_, now version) version { return version{now.generation, "", now.work} }, at: longAgo},
	"without-anything":  {of: func(_, _ version) version { return version{} }, at: longAgo},
	"nobody-could-tell": {of: func(_, now version) version { return now }, at: longAgo, told: true},
}

// soak is how long clusters are watched before others follow a liar.
const soak = 2 * time.Second

// Whoever has the credentials of a cluster's agent answers for what the cluster
// does not have, and says that it has been so for years. Other clusters follow only
// where the answer names exactly what was shipped; nobody could tell that from the
// truth, but even then they follow after the hub's own clock.
func TestAClusterThatLiesAboutARevisionThatItDoesNotHaveOpensNoGate(t *testing.T) {
	s := begin(t, "liar")
	defer s.end()
	s.define("Lied", staged)
	strategy := func(sizes string) {
		s.distribute("calm", "Lied", "placement: {clusterSelector: {matchLabels: {region: eu-west}}}\nrollout: {scope: Instance, "+sizes+"}")
		s.condition(distributions, "calm", "Accepted", "True", "")
	}
	strategy("maxConcurrency: 100%")
	for name := range lies {
		s.create("Lied", name, "", "")
	}
	old, answers := map[string]version{}, map[string]*probe.Object{}
	for name := range lies {
		s.ready("Lied", name, euWest1, euWest2)
		answers[name] = s.works(euWest1, "Lied", name)[0]
		old[name] = shipped(answers[name])
	}
	revisions := map[string]string{}
	for name := range lies {
		target := s.targets("Lied", name)[euWest2]
		revisions[name] = target.Text("spec.revision")
		probe.Eventually(t, "the first rollout of "+name+" to succeed", func() error {
			if r := s.hub.Get(t, rollouts, s.ns+"/"+target.GetName()); r.Text("status.phase") != "Succeeded" {
				return fmt.Errorf("it is %v", r.At("status"))
			}
			return nil
		})
	}
	strategy("maxConcurrency: 1, minSuccessTime: " + soak.String())

	honest := s.down([]string{euWest1}, func(cluster string) *fleet.Process { return s.stack.Agents[cluster] })
	liar := s.agent(euWest1)
	s.alive(liar, euWest1)
	for name := range lies {
		s.create("Lied", name, "", "text: two")
	}
	told := map[string]time.Time{}
	for name, lie := range lies {
		var now *probe.Object
		probe.Eventually(t, name+" to be shipped as it is now", func() error {
			s.alive(liar, euWest1)
			now = s.works(euWest1, "Lied", name)[0]
			target := s.targets("Lied", name)[euWest1]
			if shipped(now).manifest == old[name].manifest || target.Text("status.revision") != target.Text("spec.revision") {
				return fmt.Errorf("its target says %v", target.At("status"))
			}
			return nil
		})
		told[name] = time.Now()
		s.lie(liar, now, answers[name], lie.of(old[name], shipped(now)), lie.at)
	}

	probe.During(t, soak+2*time.Second, "no cluster follows a liar", func() error {
		s.alive(liar, euWest1)
		for name, lie := range lies {
			if lie.told {
				continue
			}
			found := s.targets("Lied", name)
			if liars := found[euWest1]; liars.Text("spec.passedAt") != "" {
				return fmt.Errorf("%s has passed: %v", name, liars.At("status"))
			}
			if got := found[euWest2].Text("spec.revision"); got != revisions[name] {
				return fmt.Errorf("%s has gone on to the next cluster: the rollout is %v, and the first says %v", name,
					s.hub.Get(t, rollouts, s.ns+"/"+found[euWest1].GetName()).At("status"), found[euWest1].At("status"))
			}
		}
		return nil
	})
	for name, lie := range lies {
		if !lie.told {
			continue
		}
		probe.Eventually(t, name+" to pass", func() error {
			s.alive(liar, euWest1)
			target := s.targets("Lied", name)[euWest1]
			passed, err := time.Parse(metav1.RFC3339Micro, target.Text("spec.passedAt"))
			if err != nil {
				return fmt.Errorf("it says %v", target.At("status"))
			}
			if early := told[name].Add(soak).Sub(passed); early > 0 {
				t.Errorf("%s passed %s before its time", name, early)
			}
			return nil
		})
	}

	honest()
	for name := range lies {
		s.holds(euWest1, "configmaps", name, "data.text", "two")
		s.ready("Lied", name, euWest1, euWest2)
		s.holds(euWest2, "configmaps", name, "data.text", "two")
	}
}

// agent sees the hub with the credentials of a cluster's agent.
func (s *scene) agent(cluster string) *probe.Cluster {
	s.Helper()
	path, err := s.stack.Identity(s.Context(), s.stack.Fleet.Cluster(cluster))
	if err != nil {
		s.Fatal(err)
	}
	return s.hub.As(s, path)
}

// alive renews the lease of a cluster, as its agent does.
func (s *scene) alive(agent *probe.Cluster, cluster string) {
	s.Helper()
	agent.Patch(s, leases, cluster+"/managed-cluster-lease", fmt.Sprintf("{spec: {renewTime: %q}}", time.Now().UTC().Format(metav1.RFC3339Micro)))
}

// shipped is what an answer about a work with one manifest must be of.
func shipped(w *probe.Object) version {
	manifests := w.List("spec.workload.manifests")
	return version{w.GetGeneration(), manifests[0].GetAnnotations()[hashKey], w.GetAnnotations()[hashKey]}
}

// lie answers for a work as the agent once did for an earlier version of it.
func (s *scene) lie(agent *probe.Cluster, work, answer *probe.Object, of version, at string) {
	s.Helper()
	forged := answer.DeepCopy().Object["status"].(map[string]any)
	forge(forged, of, at)
	name := work.GetNamespace() + "/" + work.GetName()
	status := func(content map[string]any) string {
		text, err := json.Marshal(map[string]any{"status": content})
		if err != nil {
			s.Fatal(err)
		}
		return string(text)
	}
	agent.Patch(s, manifestWorks+"/status", name, status(forged))
	agent.Patch(s, workReports+"/status", name, status(map[string]any{"observedGeneration": of.generation, "observedHash": of.work}))
}

// forge makes every condition of an answer true, and has all of it be of something.
func forge(value any, of version, at string) {
	switch v := value.(type) {
	case map[string]any:
		if v["type"] != nil && v["status"] != nil {
			v["status"], v["lastTransitionTime"], v["observedGeneration"] = "True", at, of.generation
		}
		if fields, is := v["fieldValue"].(map[string]any); is && v["name"] == hashKey {
			fields["string"] = of.manifest
		}
		for _, inner := range v {
			forge(inner, of, at)
		}
	case []any:
		for _, inner := range v {
			forge(inner, of, at)
		}
	}
}
