//go:build integration

package lifecycle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kronvoy/kronvoy/test/probe"
)

// TestWhatIsMadeAnewSurvivesTheCollectionOfWhatWasBefore deletes definition and
// instance and makes them again, the same, before the garbage collector has seen
// the first ones go.
func TestWhatIsMadeAnewSurvivesTheCollectionOfWhatWasBefore(t *testing.T) {
	s := begin(t, "anew")
	defer s.end()
	s.active("Database", database)
	s.create("Database", "steady", "{}")
	instance := s.reaches("Database", "steady", "ACTIVE")
	definition := s.cluster.Get(t, "resourcegraphdefinitions.kro.run", "database")
	collector := s.stack.Fleet.Hub().Process("kube-controller-manager")
	if err := collector.Pause(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := collector.Resume(); err != nil {
			t.Error(err)
		}
	}()
	for name, owner := range map[string]*probe.Object{"of-instance": instance, "of-definition": definition} {
		s.apply(fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\n  namespace: %s\n  ownerReferences: [{apiVersion: %s, kind: %s, name: %s, uid: %s}]",
			name, s.ns, owner.GetAPIVersion(), owner.GetKind(), owner.GetName(), owner.GetUID()))
	}
	s.cluster.Delete(t, s.defined["Database"], s.ns+"/steady")
	s.awaitGone("Database", "steady")
	s.cluster.Delete(t, "resourcegraphdefinitions.kro.run", "database")
	probe.Eventually(t, "the definition to be gone", func() error {
		if left := s.cluster.Get(t, "resourcegraphdefinitions.kro.run", "database"); left != nil {
			return fmt.Errorf("its status is %v", left.At("status"))
		}
		return nil
	})
	s.active("Database", database)
	s.create("Database", "steady", "{}")
	s.reaches("Database", "steady", "ACTIVE")
	if err := collector.Resume(); err != nil {
		t.Fatal(err)
	}
	s.goes("configmaps", "of-instance")
	s.goes("configmaps", "of-definition")
	s.audit.Quiet(t, 2*time.Second)

	begin := time.Now()
	if err := s.stack.Hub.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.create("Database", "later", "{}")
	s.reaches("Database", "later", "ACTIVE")
	s.audit.Quiet(t, 2*time.Second)
	for _, w := range s.audit.Since(t, begin) {
		if strings.HasPrefix(w.Name, "steady") || strings.HasPrefix(w.Name, "database") {
			t.Errorf("it wrote %s", w)
		}
	}
	// What it runs was not lost.
	s.create("Database", "steady", "{size: large}")
	s.reaches("Database", "steady", "ACTIVE")
}
