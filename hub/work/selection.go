package work

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/graph/hash"
	"github.com/kronvoy/kronvoy/internal/plain"
)

// maxSelectionBytes is how much one instance may select on one cluster: all of
// it is in one work's annotation, which the manifests' own fields share.
const maxSelectionBytes = kronvoyv1alpha1.MaxObserveBytes / 2

// carrier is the manifest that selections travel with. They are in an
// annotation, but OCM's hub refuses a work without manifests, and a graph may do
// nothing but select. For that it also is what is left in a work that OCM's agent
// has to let go of; see division.empty. It is read only, and every API server
// makes this namespace itself, so that it is there on any cluster.
var carrier = graph.Node{
	Kind: graph.External, GVK: schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, Resource: "namespaces",
}

func newCarrier(in Input) (manifest, error) {
	return newManifest(in, &carrier, 0, map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "kube-system"},
	})
}

// carries is true of the carrier, which is of no node.
func (m manifest) carries() bool { return m.policy.Node == "" }

// newSelection states what a node looks for, and the fields that the hub needs
// back.
func newSelection(node *graph.Node, wanted graph.Selection) kronvoyv1alpha1.Selection {
	s := kronvoyv1alpha1.Selection{
		Node: node.ID, Group: node.GVK.Group, Version: node.GVK.Version, Resource: node.Resource,
		Namespace: wanted.Namespace, Selector: wanted.Selector,
	}
	for _, read := range node.Reads {
		s.Paths = append(s.Paths, observedPath(read))
	}
	s.Hash = hash.Of(s)
	return s
}

// wantedSelections are those that were rendered, and for every node that could
// not be rendered now the one that was shipped before: its list goes on being
// known. What there is no room for is refused.
func wantedSelections(in Input, shipped map[string]kronvoyv1alpha1.Selection) (chosen []kronvoyv1alpha1.Selection, refused []TooLargeError) {
	if in.Graph == nil {
		return nil, nil
	}
	size := 0
	for _, result := range in.Evaluation.Nodes {
		node := in.Graph.Node(result.ID)
		if !node.Selects || node.Definition != "" || result.State == graph.Excluded {
			continue
		}
		s, found := shipped[node.ID]
		if result.Selection != nil {
			s, found = newSelection(node, *result.Selection), true
		}
		if !found {
			continue
		}
		if size += len(encode(s)); size > maxSelectionBytes {
			refused = append(refused, TooLargeError{Node: node.ID, Object: "a selector", Bytes: size, Limit: maxSelectionBytes})
			continue
		}
		chosen = append(chosen, s)
	}
	return chosen, refused
}

// carry gives the selections to the carrier, or to the manifest of a node that
// looks at the same object.
func carry(in Input, wanted []manifest, chosen []kronvoyv1alpha1.Selection, shipped map[workv1.ResourceIdentifier]manifest) ([]manifest, error) {
	if len(chosen) == 0 {
		return wanted, nil
	}
	m, err := newCarrier(in)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(wanted, func(other manifest) bool { return other.key() == m.key() })
	if at < 0 {
		if before, found := shipped[m.key()]; found {
			m = m.shippedAs(before)
		}
		at, wanted = len(wanted), append(wanted, m)
	}
	wanted[at].selections = chosen
	return wanted, nil
}

// readSelection takes the cluster's answer to a selection as it stands in a
// work. It is none when the node has come to look for something else, or to need
// other fields: one that was not asked for is not absent.
func readSelection(feedback *Feedback, node *graph.Node, s kronvoyv1alpha1.Selection, report *kronvoyv1alpha1.WorkReport) {
	wanted := graph.Selection{Namespace: s.Namespace, Selector: s.Selector}
	if report == nil || s.Hash != newSelection(node, wanted).Hash {
		return
	}
	at := slices.IndexFunc(report.Status.Selections, func(r kronvoyv1alpha1.SelectionReport) bool {
		return r.Node == s.Node && r.Hash == s.Hash
	})
	if at < 0 {
		return
	}
	answer := report.Status.Selections[at]
	if !answer.Listed {
		feedback.Failures[node.ID] = plain.Message(answer.Message)
		return
	}
	objects, err := selectedObjects(node, answer.Items)
	if err != nil {
		feedback.Failures[node.ID] = plain.Message(err.Error())
		return
	}
	feedback.Observed[node.ID] = graph.Observed{Listed: true, SelectionHash: wanted.Hash(), Objects: objects}
}

// selectedObjects builds the listed objects of their fields. A value that is
// not taken fails the list: left out, it would count as absent.
func selectedObjects(node *graph.Node, items []kronvoyv1alpha1.SelectedObject) ([]graph.ObservedObject, error) {
	fields := fieldsByPath(node)
	objects := make([]graph.ObservedObject, 0, len(items))
	budget := maxReportBytes
	for _, item := range items {
		object := identityOf(node, workv1.ResourceIdentifier{Namespace: item.Namespace, Name: item.Name})
		for _, value := range item.Values {
			path, known := fields[value.Path]
			if !known {
				continue
			}
			budget -= len(value.Value)
			if len(value.Value) > maxValueBytes || budget < 0 {
				return nil, fmt.Errorf("the cluster lists more than is taken from it: %d bytes a value, %d in all", maxValueBytes, maxReportBytes)
			}
			decoded, err := decodeJSON([]byte(value.Value))
			if err != nil {
				return nil, fmt.Errorf("reading %s of %s %s/%s: %w", value.Path, node.GVK.Kind, item.Namespace, item.Name, err)
			}
			setField(object, path, decoded)
		}
		holdParents(object, node.Reads)
		objects = append(objects, graph.ObservedObject{Object: object, Current: true, Partial: true})
	}
	return objects, nil
}

// fieldsByPath maps the paths that travel back to the fields they stand for.
func fieldsByPath(node *graph.Node) map[string][]string {
	fields := make(map[string][]string, len(node.Reads))
	for _, read := range node.Reads {
		fields[observedPath(read)] = read.Fields
	}
	return fields
}
