package graph

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/kronvoy/kronvoy/graph/expr"
	"github.com/kronvoy/kronvoy/graph/hash"
	"github.com/kronvoy/kronvoy/graph/internal/path"
)

// clusterName is the variable that inputs are of.
const clusterName = "cluster"

// maxInputsBytes is how much of a cluster is kept for one instance: it is stored
// once for each cluster of each instance.
const maxInputsBytes = 32 << 10

// ClusterReads are the parts of the variable cluster that expressions read:
// sorted, and none lies in another. The name is no part of them: it never changes.
type ClusterReads []ClusterRead

// ClusterRead is one value of a cluster, or all values of one field.
type ClusterRead struct {
	// Field is labels, annotations, claims, version, allocatable or capacity.
	Field string
	// Key in the field; empty for all of it, as a macro or a key that is computed
	// reads it. version has no keys.
	Key string
}

// String is the path of what is read, as in cluster.labels.region.
func (r ClusterRead) String() string {
	if r.Key == "" {
		return path.Fields(clusterName, r.Field)
	}
	return path.Fields(clusterName, r.Field, r.Key)
}

// NewClusterReads sorts reads and drops those that lie in another.
func NewClusterReads(reads ...ClusterRead) ClusterReads {
	var out ClusterReads
	for _, r := range slices.SortedFunc(slices.Values(reads), func(a, b ClusterRead) int {
		return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(a.Key, b.Key))
	}) {
		if last := len(out) - 1; last >= 0 && out[last].Field == r.Field && (out[last].Key == "" || out[last].Key == r.Key) {
			continue
		}
		out = append(out, r)
	}
	return out
}

// With are these reads and others.
func (r ClusterReads) With(others ...ClusterRead) ClusterReads {
	return NewClusterReads(slices.Concat(r, others)...)
}

// ClusterReads are what the expressions of the graph read of the cluster: those of
// the resources, of the author's status and of his conditions. readyWhen reads
// its own resource alone, and aggregates have variables of their own.
func (g *Graph) ClusterReads() ClusterReads { return slices.Clone(g.clusterReads) }

// ClusterReads are what the expressions of the overrides read of the cluster,
// whether or not they are for it.
func (o *Overrides) ClusterReads() ClusterReads { return slices.Clone(o.clusterReads) }

func (g *Graph) findClusterReads() {
	if g.clusterShadowed {
		return
	}
	var found clusterReads
	for _, p := range g.plans {
		p.expressions(found.add)
	}
	g.status.expressions(found.add)
	for _, c := range g.conditions {
		found.add(c.expr)
	}
	g.clusterReads = NewClusterReads(found...)
}

func (o *Overrides) findClusterReads() {
	var found clusterReads
	for _, override := range o.list {
		for _, a := range override.assignments {
			a.value.expressions(found.add)
		}
	}
	o.clusterReads = NewClusterReads(found...)
}

// clusterReads as they are found.
type clusterReads []ClusterRead

func (r *clusterReads) add(x *expr.Expr) {
	for _, a := range x.Accesses {
		if a.Root != clusterName || a.Iterator {
			continue
		}
		switch fields := a.Fields(); {
		case len(fields) == 0:
			for _, field := range clusterDecl().FieldNames() {
				if field != "name" {
					*r = append(*r, ClusterRead{Field: field})
				}
			}
		case fields[0] == "name":
		case len(fields) == 1:
			*r = append(*r, ClusterRead{Field: fields[0]})
		default:
			*r = append(*r, ClusterRead{Field: fields[0], Key: fields[1]})
		}
	}
}

// Inputs are what expressions read of a cluster, as it was at some time: what was
// absent then is absent. All of them count, what changes often too: an expression
// that reads cluster.allocatable has new inputs with each node that comes or goes.
type Inputs struct {
	// Hash of Values: two of one version differ if, and only if, values do.
	Hash string
	// Values have the shape of the variable cluster, without its name. Empty fields
	// are left out.
	Values map[string]any
}

// Inputs are those parts of a cluster; nil where nothing is read. The error names
// what is too large to be kept.
func (r ClusterReads) Inputs(c Cluster) (*Inputs, error) {
	if len(r) == 0 {
		return nil, nil
	}
	values := map[string]any{}
	total, most, largest := 0, 0, ClusterRead{}
	for _, read := range r {
		size := 0
		if read.Field == "version" {
			if size = len(c.Version); size > 0 {
				values[read.Field] = c.Version
			}
		} else {
			size = pick(values, read, c.texts()[read.Field])
		}
		if total += size; size > most {
			most, largest = size, read
		}
	}
	if total > maxInputsBytes {
		advice := ""
		if largest.Key == "" {
			advice = fmt.Sprintf("; let expressions read single keys of it, as in %s.a", largest)
		}
		return nil, fmt.Errorf("what expressions read of cluster %s is %d bytes, and %d are the most that is kept: %s is %d of them%s",
			c.Name, total, maxInputsBytes, largest, most, advice)
	}
	return &Inputs{Hash: hash.Of(values), Values: values}, nil
}

// pick copies what is read of a field into values, and returns its size.
func pick(values map[string]any, read ClusterRead, from map[string]string) int {
	keys := []string{read.Key}
	if read.Key == "" {
		keys = slices.Collect(maps.Keys(from))
	}
	size := 0
	for _, key := range keys {
		value, found := from[key]
		if !found {
			continue
		}
		field, known := values[read.Field].(map[string]any)
		if !known {
			field = map[string]any{}
			values[read.Field] = field
		}
		field[key] = value
		size += len(key) + len(value)
	}
	return size
}

// texts are the fields that hold texts by key.
func (c *Cluster) texts() map[string]map[string]string {
	return map[string]map[string]string{"labels": c.Labels, "annotations": c.Annotations, "claims": c.Claims, "allocatable": c.Allocatable, "capacity": c.Capacity}
}

// Cluster is the cluster of that name as it was when these were its inputs, as far
// as they tell. The error is about Values that Inputs did not make.
func (i *Inputs) Cluster(name string) (Cluster, error) {
	c := Cluster{Name: name}
	fields := map[string]*map[string]string{"labels": &c.Labels, "annotations": &c.Annotations, "claims": &c.Claims, "allocatable": &c.Allocatable, "capacity": &c.Capacity}
	for _, field := range sortedKeys(i.Values) {
		switch value := i.Values[field].(type) {
		case string:
			if field == "version" {
				c.Version = value
				continue
			}
		case map[string]any:
			into, known := fields[field]
			if texts, ok := asTexts(value); ok && known {
				*into = texts
				continue
			}
		}
		return Cluster{}, fmt.Errorf("the inputs of cluster %s cannot be read: %s is no value of a cluster", name, path.Fields(clusterName, field))
	}
	return c, nil
}

func asTexts(values map[string]any) (map[string]string, bool) {
	out := make(map[string]string, len(values))
	for key, value := range values {
		text, ok := value.(string)
		if !ok {
			return nil, false
		}
		out[key] = text
	}
	return out, true
}
