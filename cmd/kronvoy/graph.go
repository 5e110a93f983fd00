package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/graph"
)

type graphOptions struct {
	sourceOptions
	output string
}

func graphCommand() *cobra.Command {
	var opts graphOptions
	cmd := &cobra.Command{
		Use:   "graph -f FILE",
		Short: "Show the resources of a ResourceGraphDefinition and what depends on what",
		Example: `  kronvoy graph -f rgd.yaml
  kronvoy graph -f rgd.yaml -o dot | dot -Tsvg > graph.svg`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.run(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	opts.bind(cmd)
	output.BindFormat(cmd, &opts.output, "tree", "mermaid", "dot", "json", "yaml")
	return cmd
}

func (o *graphOptions) run(stdin io.Reader, out, errOut io.Writer) error {
	b, err := o.load(stdin)
	if err != nil {
		return err
	}
	if err := b.failure(); err != nil {
		for _, d := range b.definitions {
			for _, issue := range d.issues {
				fmt.Fprint(errOut, newFinding(d.document, issue).String())
			}
		}
		return err
	}
	views := make([]graphView, 0, len(b.definitions))
	for _, d := range b.definitions {
		views = append(views, newGraphView(d.graph))
	}
	text := map[string]func(graphView) string{"tree": graphView.tree, "mermaid": graphView.mermaid, "dot": graphView.dot}[o.output]
	if text == nil {
		return printValue(out, views, o.output)
	}
	for _, v := range views {
		if _, err := io.WriteString(out, text(v)); err != nil {
			return err
		}
	}
	return nil
}

// graphView is a graph as it is printed.
type graphView struct {
	Name       string     `json:"name"`
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Hash       string     `json:"hash"`
	Nodes      []nodeView `json:"nodes"`
}

type nodeView struct {
	ID         string `json:"id"`
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	External   bool   `json:"external,omitempty"`
	Wave       int    `json:"wave"`
	// Dependencies are the ids it refers to.
	Dependencies []string `json:"dependencies,omitempty"`
	// Reads are the fields of its live object that are read.
	Reads      []string `json:"reads,omitempty"`
	ReadyRules []string `json:"readyRules,omitempty"`
}

func newGraphView(g *graph.Graph) graphView {
	gvk := g.GroupVersionKind()
	v := graphView{Name: g.Name(), APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Hash: g.Hash()}
	for _, n := range g.Nodes() {
		node := nodeView{ID: n.ID, APIVersion: n.GVK.GroupVersion().String(), Kind: n.GVK.Kind, External: n.Kind == graph.External,
			Wave: n.Wave, Dependencies: n.Dependencies, ReadyRules: n.ReadyRules}
		for _, r := range n.Reads {
			node.Reads = append(node.Reads, r.Path)
		}
		v.Nodes = append(v.Nodes, node)
	}
	return v
}

// tree shows each node below the last of its dependencies, the one that decides
// when its turn comes; its other dependencies are named.
func (v graphView) tree() string {
	children := map[string][]nodeView{}
	order := map[string]int{}
	for i, n := range v.Nodes {
		order[n.ID] = i
		parent := ""
		for _, d := range n.Dependencies {
			if parent == "" || order[d] > order[parent] {
				parent = d
			}
		}
		children[parent] = append(children[parent], n)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s, kind %s)\n", v.Name, v.APIVersion, v.Kind)
	// The nodes still to print, with their indent; a stack, so that no depth of
	// graph is too deep.
	type entry struct {
		node   nodeView
		indent string
		last   bool
	}
	var stack []entry
	push := func(nodes []nodeView, indent string) {
		for i := len(nodes) - 1; i >= 0; i-- {
			stack = append(stack, entry{nodes[i], indent, i == len(nodes)-1})
		}
	}
	push(children[""], "")
	for len(stack) > 0 {
		e := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		branch, indent := "├─ ", "│  "
		if e.last {
			branch, indent = "└─ ", "   "
		}
		b.WriteString(e.indent + branch + e.node.describe() + "\n")
		push(children[e.node.ID], e.indent+indent)
	}
	return b.String()
}

func (n nodeView) describe() string {
	s := n.ID + "  " + n.Kind
	if n.External {
		s += " (external)"
	}
	if len(n.Dependencies) > 1 {
		s += "  needs " + strings.Join(n.Dependencies, ", ")
	}
	if len(n.ReadyRules) > 0 {
		s += "  ready when " + strings.Join(n.ReadyRules, " && ")
	}
	return s
}

func (v graphView) mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, n := range v.Nodes {
		shape := "%s[\"%s<br/>%s\"]"
		if n.External {
			shape = "%s([\"%s<br/>%s\"])"
		}
		// `end` is a keyword of Mermaid, and an id that a graph may have.
		fmt.Fprintf(&b, "  "+shape+"\n", "n_"+n.ID, n.ID, n.Kind)
	}
	for _, n := range v.Nodes {
		for _, d := range n.Dependencies {
			fmt.Fprintf(&b, "  n_%s --> n_%s\n", d, n.ID)
		}
	}
	return b.String()
}

func (v graphView) dot() string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %q {\n  rankdir=LR;\n  node [shape=box];\n", v.Name)
	for _, n := range v.Nodes {
		style := ""
		if n.External {
			style = ", style=dashed"
		}
		fmt.Fprintf(&b, "  %q [label=\"%s\\n%s\"%s];\n", n.ID, n.ID, n.Kind, style)
	}
	for _, n := range v.Nodes {
		for _, d := range n.Dependencies {
			fmt.Fprintf(&b, "  %q -> %q;\n", d, n.ID)
		}
	}
	b.WriteString("}\n")
	return b.String()
}
