package view

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
)

func decode(raw []byte, into any) error { return json.Unmarshal(raw, into) }

// Value is one value that differs from cluster to cluster, or may.
type Value struct {
	// From says where it comes from: Input, of the cluster, as it was assigned;
	// Override, which the Distribution gives; or Status, the author's field as the
	// cluster gives it.
	From  string `json:"from"`
	Path  string `json:"path"`
	Value any    `json:"value"`
	// Override that gave it, and Before, the instance's own value.
	Override string `json:"override,omitempty"`
	Before   any    `json:"before,omitempty"`
}

// Where values come from.
const (
	FromInput    = "Input"
	FromOverride = "Override"
	FromStatus   = "Status"
)

// Values are those of one cluster.
type Values struct {
	Cluster  string  `json:"cluster"`
	Revision string  `json:"revision,omitempty"`
	Values   []Value `json:"values"`
}

// ValuesOf are the inputs and the author's status of a Target.
func ValuesOf(t *kronvoyv1alpha1.Target) (Values, error) {
	v := Values{Cluster: t.Namespace, Revision: t.Status.Revision, Values: []Value{}}
	if t.Spec.Inputs != nil {
		if err := v.add(FromInput, "cluster", t.Spec.Inputs.Values.Raw); err != nil {
			return v, fmt.Errorf("inputs of cluster %s: %w", t.Namespace, err)
		}
	}
	if t.Status.Values != nil {
		if err := v.add(FromStatus, "status", t.Status.Values.Raw); err != nil {
			return v, fmt.Errorf("status of cluster %s: %w", t.Namespace, err)
		}
	}
	return v, nil
}

func (v *Values) add(from, path string, raw []byte) error {
	var content any
	if err := json.Unmarshal(raw, &content); err != nil {
		return err
	}
	leaves(path, content, func(path string, value any) {
		v.Values = append(v.Values, Value{From: from, Path: path, Value: value})
	})
	return nil
}

// leaves visits the scalars, the empty maps and the lists of a value, by path.
func leaves(path string, value any, visit func(string, any)) {
	fields, is := value.(map[string]any)
	if !is || len(fields) == 0 {
		visit(path, value)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		below := path + "." + name
		if strings.ContainsAny(name, "./ ") {
			below = fmt.Sprintf("%s[%q]", path, name)
		}
		leaves(below, fields[name], visit)
	}
}

// WriteValues shows the values of one cluster, or where those of several differ.
func WriteValues(w io.Writer, all []Values, look Look) error {
	if len(all) == 1 {
		return writeCluster(w, all[0], look)
	}
	return writeDifferences(w, all, look)
}

func writeCluster(w io.Writer, v Values, look Look) error {
	fmt.Fprintf(w, "on cluster %s, revision %s\n", v.Cluster, cmp.Or(shortRevision(v.Revision, look.Wide), "-"))
	if len(v.Values) == 0 {
		_, err := fmt.Fprintln(w, "nothing depends on the cluster, and the author's status has no values")
		return err
	}
	table := &output.Table{Header: []string{"FROM", "PATH", "VALUE", "BY", "BEFORE"}}
	for _, value := range slices.SortedStableFunc(slices.Values(v.Values), func(a, b Value) int { return cmp.Compare(a.From, b.From) }) {
		before := ""
		if value.Before != nil {
			before = written(value.Before)
		}
		table.Add(value.From, value.Path, short(written(value.Value), look), value.Override, short(before, look))
	}
	return table.Write(w, look.Style)
}

// writeDifferences shows each value with the clusters that have it. What is the
// same everywhere is left out, unless the table is wide.
func writeDifferences(w io.Writer, all []Values, look Look) error {
	type key struct{ from, path string }
	var order []key
	have := map[key]map[string][]string{}
	for _, v := range all {
		for _, value := range v.Values {
			k := key{value.From, value.Path}
			if have[k] == nil {
				have[k] = map[string][]string{}
				order = append(order, k)
			}
			text := written(value.Value)
			have[k][text] = append(have[k][text], v.Cluster)
		}
	}
	slices.SortFunc(order, func(a, b key) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.path, b.path)) })
	table := &output.Table{Header: []string{"FROM", "PATH", "VALUE", "COUNT", "CLUSTERS"}}
	same := 0
	for _, k := range order {
		values := have[k]
		if known := total(values); known < len(all) {
			var without []string
			for _, v := range all {
				if !slices.ContainsFunc(v.Values, func(x Value) bool { return x.From == k.from && x.Path == k.path }) {
					without = append(without, v.Cluster)
				}
			}
			values["(none)"] = without
		}
		if len(values) == 1 && !look.Wide {
			same++
			continue
		}
		for _, value := range slices.Sorted(maps.Keys(values)) {
			table.Add(k.from, k.path, short(value, look), len(values[value]), clip(strings.Join(values[value], ", "), look.Wide))
		}
	}
	if len(table.Rows) > 0 {
		if err := table.Write(w, look.Style); err != nil {
			return err
		}
	}
	if same > 0 || len(table.Rows) == 0 {
		_, err := fmt.Fprintf(w, "%d values are the same on all %d clusters; -o wide shows them\n", same, len(all))
		return err
	}
	return nil
}

func total(values map[string][]string) int {
	n := 0
	for _, clusters := range values {
		n += len(clusters)
	}
	return n
}

func short(text string, look Look) string {
	if look.Wide {
		return text
	}
	return output.Clip(text, 60)
}

// written is a value as JSON, and text as it is.
func written(value any) string {
	if text, is := value.(string); is {
		return text
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(raw)
}
