// Package definition turns ResourceGraphDefinitions into served kinds: it
// compiles, keeps revisions, creates the CRD, and starts the watches.
package definition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/schema"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/metrics"
	"github.com/kronvoy/kronvoy/hub/revision"
)

// Serving is the graph that new instance revisions of a kind are made for.
type Serving struct {
	// Definition is the name of the ResourceGraphDefinition.
	Definition string
	// Revision is the name of its ControllerRevision.
	Revision string
	Graph    *graph.Graph
}

// Store holds compiled graphs by the name of their definition revision. Graphs
// are immutable and shared. It is safe for concurrent use.
type Store struct {
	reader    client.Reader
	namespace string
	resolver  schema.Resolver
	// clock and metrics measure compilations.
	clock   Clock
	metrics *metrics.Metrics

	// compiles keeps many Targets from compiling one revision at once.
	compiles singleflight.Group

	mu      sync.RWMutex
	graphs  map[string]*graph.Graph
	serving map[runtimeschema.GroupKind]Serving
	judged  map[string]bool
	// yielded are the kinds of definitions that another controller looks after.
	yielded map[string]runtimeschema.GroupKind
}

// NewStore makes an empty store; definition revisions are read from the hub's
// namespace.
func NewStore(reader client.Reader, namespace string, resolver schema.Resolver) *Store {
	return &Store{
		reader: reader, namespace: namespace, resolver: resolver,
		graphs: map[string]*graph.Graph{}, serving: map[runtimeschema.GroupKind]Serving{}, judged: map[string]bool{},
		yielded: map[string]runtimeschema.GroupKind{},
	}
}

// Measured makes s count its compilations, and returns s.
func (s *Store) Measured(m *metrics.Metrics, c Clock) *Store {
	s.metrics, s.clock = m, c
	return s
}

// Compile compiles a definition as the hub serves it. Nothing is kept.
func (s *Store) Compile(rgd *krov1alpha1.ResourceGraphDefinition) (*graph.Graph, graph.Issues) {
	source, err := convert.Source(rgd)
	if err != nil {
		return nil, graph.Issues{{Path: "spec", Offset: -1, Reason: "Unreadable", Message: err.Error()}}
	}
	if s.metrics == nil {
		return graph.Compile(source, s.resolver)
	}
	began := s.clock.Now()
	g, issues := graph.Compile(source, s.resolver)
	s.metrics.Compiled(g != nil, s.clock.Now().Sub(began))
	return g, issues
}

// Graphs is how many compiled graphs are held.
func (s *Store) Graphs() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.graphs)
}

// UnusableError says that a definition revision gives no graph, and that asking
// again soon would not change that: it is gone, cannot be read, or no longer
// compiles.
type UnusableError struct {
	// Revision is the name of the ControllerRevision.
	Revision string
	Cause    error
}

// Error says which revision, and why.
func (e *UnusableError) Error() string {
	return fmt.Sprintf("definition revision %s cannot be used: %v", e.Revision, e.Cause)
}

// Unwrap gives the cause.
func (e *UnusableError) Unwrap() error { return e.Cause }

// ErrOtherRelease is why a definition revision of another hash version gives no
// graph: what was rendered with it would not be rendered so again.
var ErrOtherRelease = errors.New("another release of Kronvoy made it, which renders differently")

// Graph returns the compiled graph of a definition revision; one that is not
// at hand, after a restart, is compiled anew from the stored revision. What is
// the revision's own fault is an UnusableError; with any other error the hub's
// API server did not answer, and may the next time.
func (s *Store) Graph(ctx context.Context, revisionName string) (*graph.Graph, error) {
	s.mu.RLock()
	g := s.graphs[revisionName]
	s.mu.RUnlock()
	if g != nil {
		return g, nil
	}
	compiled, err, _ := s.compiles.Do(revisionName, func() (any, error) { return s.compileStored(ctx, revisionName) })
	if err != nil {
		return nil, err
	}
	return compiled.(*graph.Graph), nil
}

func (s *Store) compileStored(ctx context.Context, revisionName string) (*graph.Graph, error) {
	var stored appsv1.ControllerRevision
	err := s.reader.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: revisionName}, &stored)
	if apierrors.IsNotFound(err) {
		return nil, &UnusableError{revisionName, err}
	}
	if err != nil {
		return nil, fmt.Errorf("reading definition revision %s: %w", revisionName, err)
	}
	if !revision.OfThisRelease(&stored) {
		return nil, &UnusableError{revisionName, ErrOtherRelease}
	}
	g, err := s.compileRevision(&stored)
	if err != nil {
		return nil, err
	}
	s.put(revisionName, g)
	return g, nil
}

// Shown is Graph for those who only show what there is, and must know which of it
// is secret: it compiles what another release made, too. Nothing may be rendered
// with it.
func (s *Store) Shown(ctx context.Context, revisionName string) (*graph.Graph, error) {
	g, err := s.Graph(ctx, revisionName)
	if !errors.Is(err, ErrOtherRelease) {
		return g, err
	}
	var stored appsv1.ControllerRevision
	if err := s.reader.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: revisionName}, &stored); err != nil {
		return nil, fmt.Errorf("reading definition revision %s: %w", revisionName, err)
	}
	return s.compileRevision(&stored)
}

// definitionOf is a definition as a revision has it.
func definitionOf(stored *appsv1.ControllerRevision) (*krov1alpha1.ResourceGraphDefinition, error) {
	d, err := revision.ParseDefinition(stored)
	if err != nil {
		return nil, &UnusableError{stored.Name, err}
	}
	rgd := &krov1alpha1.ResourceGraphDefinition{}
	rgd.Name = d.Name
	if err := unmarshal(d.Spec, &rgd.Spec); err != nil {
		return nil, &UnusableError{stored.Name, err}
	}
	return rgd, nil
}

func (s *Store) compileRevision(stored *appsv1.ControllerRevision) (*graph.Graph, error) {
	rgd, err := definitionOf(stored)
	if err != nil {
		return nil, err
	}
	g, issues := s.Compile(rgd)
	switch {
	case g != nil:
		return g, nil
	case slices.ContainsFunc(issues, unavailable):
		// What else is wrong may follow from that.
		return nil, fmt.Errorf("compiling definition revision %s: %w", stored.Name, issues.Err())
	}
	return nil, &UnusableError{stored.Name, fmt.Errorf("it no longer compiles: %w", issues.Err())}
}

// Serving returns what new revisions of a kind are made for.
func (s *Store) Serving(kind runtimeschema.GroupKind) (Serving, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	serving, ok := s.serving[kind]
	return serving, ok
}

func (s *Store) put(revisionName string, g *graph.Graph) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.graphs[revisionName] = g
}

func (s *Store) drop(revisionName string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.graphs, revisionName)
}

func (s *Store) serve(serving Serving) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.graphs[serving.Revision] = serving.Graph
	s.serving[serving.Graph.GroupVersionKind().GroupKind()] = serving
}

// judge notes that this process has seen whether a definition can be served.
func (s *Store) judge(definition string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.judged[definition] = true
}

// Judged says whether this process has seen whether a definition can be served:
// until then nothing follows from its kind not being served.
func (s *Store) Judged(definition string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.judged[definition]
}

// UnjudgedRecheck is how soon a hub that has just started asks Unjudged again.
const UnjudgedRecheck = 200 * time.Millisecond

// Unjudged is true while this process has not seen whether a definition of a
// kind can be served: to say that nothing serves the kind would be a guess.
func (s *Store) Unjudged(ctx context.Context, c client.Reader, kind runtimeschema.GroupKind) (bool, error) {
	var definitions krov1alpha1.ResourceGraphDefinitionList
	if err := c.List(ctx, &definitions, client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("listing definitions: %w", err)
	}
	for i := range definitions.Items {
		if rgd := &definitions.Items[i]; specKind(rgd).GroupKind() == kind && !s.Judged(rgd.Name) {
			return true, nil
		}
	}
	return false, nil
}

// withdraw ends serving of a definition and forgets its graphs.
func (s *Store) withdraw(definition string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.judged, definition)
	for kind, serving := range s.serving {
		if serving.Definition == definition {
			delete(s.serving, kind)
			delete(s.graphs, serving.Revision)
		}
	}
}

// servingOf is what a definition serves now.
func (s *Store) servingOf(definition string) (Serving, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, serving := range s.serving {
		if serving.Definition == definition {
			return serving, true
		}
	}
	return Serving{}, false
}

// yield notes that another controller looks after a definition.
func (s *Store) yield(rgd *krov1alpha1.ResourceGraphDefinition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.yielded[rgd.Name] = specKind(rgd).GroupKind()
}

// resume ends yield; it is true when there was something to end.
func (s *Store) resume(definition string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, yielded := s.yielded[definition]
	delete(s.yielded, definition)
	return yielded
}

// YieldedRecheck is when to ask Yielded again.
const YieldedRecheck = kroRecheck

// Yielded says whether another controller looks after a kind: then nothing is
// written for its instances, and what runs stays as it is.
func (s *Store) Yielded(kind runtimeschema.GroupKind) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, yielded := range s.yielded {
		if yielded == kind {
			return true
		}
	}
	return false
}
