package rollout

import (
	"context"
	"fmt"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/utils/lru"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
)

// inputReader finds what revisions read of clusters, each once.
type inputReader struct {
	revisions map[string]*appsv1.ControllerRevision
	clusters  map[string]*clusterv1.ManagedCluster
	// compile is what the definition and the overrides of a revision read.
	compile func(*appsv1.ControllerRevision) (graph.ClusterReads, error)
	reads   map[string]readsOf
	known   map[assigned]inputsOf
	// converted are the clusters as graphs take them.
	converted map[string]graph.Cluster
}

type assigned struct{ revision, cluster string }

type inputsOf struct {
	inputs *graph.Inputs
	err    error
}

type readsOf struct {
	reads graph.ClusterReads
	err   error
}

// inputs that a cluster would be assigned now with a revision; nil where that
// reads nothing of it. The error is about this revision there, and about no other.
func (r *inputReader) inputs(name, cluster string) (*graph.Inputs, error) {
	key := assigned{name, cluster}
	found, known := r.known[key]
	if !known {
		found.inputs, found.err = r.read(name, cluster)
		r.known[key] = found
	}
	return found.inputs, found.err
}

func (r *inputReader) read(name, cluster string) (*graph.Inputs, error) {
	reads, known := r.reads[name]
	if !known {
		stored, there := r.revisions[name]
		if !there {
			reads.err = fmt.Errorf("revision %s is gone", name)
		} else {
			reads.reads, reads.err = r.compile(stored)
		}
		r.reads[name] = reads
	}
	if reads.err != nil || len(reads.reads) == 0 {
		return nil, reads.err
	}
	c, there := r.clusters[cluster]
	if !there {
		return nil, fmt.Errorf("there is no ManagedCluster %s", cluster)
	}
	converted, known := r.converted[cluster]
	if !known {
		converted = convert.GraphCluster(c)
		r.converted[cluster] = converted
	}
	return reads.reads.Inputs(converted)
}

// gate compiles the expressions that an instance's strategy has for its newest
// revision; nil for none. What is wrong with them its Distribution says, and
// nothing moves.
func (g *Gatherer) gate(ctx context.Context, of *member) (*graph.Gate, error) {
	if of.owner == nil || of.owner.Spec.Rollout == nil || len(of.owner.Spec.Rollout.Gate.Expressions) == 0 {
		return nil, nil
	}
	state, err := revision.ParseInstance(of.newest)
	if err != nil {
		return nil, err
	}
	compiled, err := g.Store.Graph(ctx, state.Definition)
	if err != nil {
		return nil, err
	}
	return g.gates.compile(compiled, of.owner)
}

// maxGates is how many compiled gates are kept: one for each Distribution with
// expressions.
const maxGates = 200

// gates spare compiling the same expressions for each plan. The zero value is
// ready for use, by many goroutines.
type gates struct {
	once sync.Once
	lru  *lru.Cache
}

type gateKey struct {
	graph       *graph.Graph
	expressions string
}

func (g *gates) compile(of *graph.Graph, owner *kronvoyv1alpha1.Distribution) (*graph.Gate, error) {
	g.once.Do(func() { g.lru = lru.New(maxGates) })
	key := gateKey{of, strings.Join(owner.Spec.Rollout.Gate.Expressions, "\x00")}
	if known, found := g.lru.Get(key); found {
		return known.(*graph.Gate), nil
	}
	gate, err := policy.Gate(of, owner)
	if err == nil {
		g.lru.Add(key, gate)
	}
	return gate, err
}

// reads of a revision's definition and overrides.
func (g *Gatherer) reads(ctx context.Context) func(*appsv1.ControllerRevision) (graph.ClusterReads, error) {
	return func(stored *appsv1.ControllerRevision) (graph.ClusterReads, error) {
		state, err := revision.ParseInstance(stored)
		if err != nil {
			return nil, err
		}
		compiled, err := g.Store.Graph(ctx, state.Definition)
		if err != nil {
			return nil, err
		}
		overrides, err := g.overrides.Compile(compiled, state.Overrides)
		if err != nil {
			return nil, err
		}
		return compiled.ClusterReads().With(overrides.ClusterReads()...), nil
	}
}
