package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"

	"github.com/spf13/cobra"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/manifest"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/graph"
	"github.com/kronvoy/kronvoy/hub/convert"
)

type renderOptions struct {
	sourceOptions
	clusters []string
	observed string
	output   string
	// showSecrets shows values of Secrets, which are hidden otherwise.
	showSecrets bool
}

func renderCommand() *cobra.Command {
	var opts renderOptions
	cmd := &cobra.Command{
		Use:   "render -f FILE",
		Short: "Show what each cluster would get, without a cluster",
		Long: `Evaluate the instances in some files for the clusters in them, as the hub does
it, and print what each cluster would get.

The files hold ResourceGraphDefinitions, instances of their kinds,
ManagedClusters, and Distributions, whose overrides are applied and whose
policies are shown; where they place is left out of account. Without any
ManagedCluster the instances are rendered for the clusters named by --cluster, or
for local-cluster.

Whatever can be applied is taken for applied and ready. A resource that needs a
value which only the cluster knows is Pending, with the path of the value it
waits for; --observed gives such values:

  eu-west:               # a cluster, or '*' for all
    service:             # the id of a resource: its live object, or a list
      spec: {clusterIP: 10.96.0.17}

Values of Secrets are shown as ***, wherever a definition takes them, and are
left out of the instance's status, as the hub does it; --show-secrets shows them
all the same, apart from conditions.`,
		Example: `  kronvoy render -f rgd.yaml -f instance.yaml -f clusters/
  kronvoy render -f examples/webapp -f examples/webapp/clusters --cluster eu-west -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.run(cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	opts.bind(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&opts.clusters, "cluster", nil, "only this cluster; may be given several times")
	flags.StringVar(&opts.observed, "observed", "", "file with live objects, by cluster and resource id")
	output.BindFormat(cmd, &opts.output, "yaml", "json")
	flags.BoolVar(&opts.showSecrets, "show-secrets", false, "show values of Secrets")
	exit.Says(cmd, exit.Failed, "an error, or something cannot be evaluated on a cluster")
	return cmd
}

// rendering is what one cluster would get of one instance.
type rendering struct {
	Cluster  string `json:"cluster"`
	Instance string `json:"instance"`
	// Distribution that would own the instance, and the service account that it
	// names.
	Distribution   string `json:"distribution,omitempty"`
	ServiceAccount string `json:"serviceAccount,omitempty"`
	// Overridden are the fields of the spec that it changes on this cluster.
	Overridden []overriddenField `json:"overridden,omitempty"`
	Nodes      []renderedNode    `json:"nodes"`
	// Status of the instance as this cluster would report it.
	Status map[string]any `json:"status,omitempty"`
	// StatusWaitsFor says which fields are left out, and why.
	StatusWaitsFor []string `json:"statusWaitsFor,omitempty"`
	// Conditions are the author's own.
	Conditions []renderedCondition `json:"conditions,omitempty"`
	Errors     []string            `json:"errors,omitempty"`
}

type renderedCondition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

type renderedNode struct {
	ID       string           `json:"id"`
	State    string           `json:"state"`
	WaitsFor []string         `json:"waitsFor,omitempty"`
	Objects  []map[string]any `json:"objects,omitempty"`
	// Selection is what an external reference by selector looks for.
	Selection *graph.Selection `json:"selection,omitempty"`
	// Policies are what the Distribution says of it.
	Policies *renderedPolicies `json:"policies,omitempty"`
}

func (o *renderOptions) run(stdin io.Reader, out, errOut io.Writer) error {
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
	clusters, err := o.selectClusters(b.others)
	if err != nil {
		return err
	}
	observed, err := o.readObserved(stdin)
	if err != nil {
		return err
	}
	renderings, err := b.render(clusters, observed, o.showSecrets)
	if err != nil {
		return err
	}
	if err := printRenderings(out, renderings, o.output); err != nil {
		return err
	}
	for _, r := range renderings {
		if len(r.Errors) > 0 {
			return errors.New("not everything could be rendered")
		}
	}
	return nil
}

func printRenderings(out io.Writer, renderings []rendering, format string) error {
	if format == "json" {
		return printValue(out, renderings, format)
	}
	for i, r := range renderings {
		if i > 0 {
			if _, err := io.WriteString(out, "---\n"); err != nil {
				return err
			}
		}
		if err := printValue(out, r, format); err != nil {
			return err
		}
	}
	return nil
}

// selectClusters reads the ManagedClusters, sorted by name, and keeps those that
// were asked for.
func (o *renderOptions) selectClusters(documents []*manifest.Document) ([]graph.Cluster, error) {
	var known []graph.Cluster
	for _, d := range documents {
		if d.Kind() != "ManagedCluster" {
			continue
		}
		var c clusterv1.ManagedCluster
		if err := json.Unmarshal(d.JSON, &c); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", d.File, d.Line, err)
		}
		known = append(known, convert.GraphCluster(&c))
	}
	sort.SliceStable(known, func(i, j int) bool { return known[i].Name < known[j].Name })
	switch {
	case len(known) == 0 && len(o.clusters) == 0:
		return []graph.Cluster{{Name: "local-cluster"}}, nil
	case len(o.clusters) == 0:
		return known, nil
	}
	out := make([]graph.Cluster, 0, len(o.clusters))
	for _, name := range o.clusters {
		i := slices.IndexFunc(known, func(c graph.Cluster) bool { return c.Name == name })
		switch {
		case i >= 0:
			out = append(out, known[i])
		case len(known) == 0:
			out = append(out, graph.Cluster{Name: name})
		default:
			return nil, fmt.Errorf("no ManagedCluster %s in the files", name)
		}
	}
	return out, nil
}

// observedObjects are live objects by cluster (or `*`) and resource id.
type observedObjects map[string]map[string][]map[string]any

func (o *renderOptions) readObserved(stdin io.Reader) (observedObjects, error) {
	if o.observed == "" {
		return nil, nil
	}
	documents, err := manifest.Read(stdin, []string{o.observed})
	if err != nil {
		return nil, err
	}
	out := observedObjects{}
	for _, d := range documents {
		for cluster, value := range d.Object {
			nodes, ok := value.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("%s: %s is no map of resource ids", d.File, cluster)
			}
			if out[cluster] == nil {
				out[cluster] = map[string][]map[string]any{}
			}
			for id, value := range nodes {
				objects, err := objectList(value)
				if err != nil {
					return nil, fmt.Errorf("%s: %s.%s: %w", d.File, cluster, id, err)
				}
				out[cluster][id] = objects
			}
		}
	}
	return out, nil
}

func objectList(v any) ([]map[string]any, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := make([]map[string]any, 0, len(list))
	for _, item := range list {
		object, ok := item.(map[string]any)
		if !ok {
			return nil, errors.New("this is no object")
		}
		out = append(out, object)
	}
	return out, nil
}

// of returns what is known of a cluster.
func (o observedObjects) of(cluster string) map[string][]map[string]any {
	out := map[string][]map[string]any{}
	for _, name := range []string{"*", cluster} {
		for id, objects := range o[name] {
			out[id] = objects
		}
	}
	return out
}

// render evaluates every instance for every cluster.
func (b *bundle) render(clusters []graph.Cluster, observed observedObjects, showSecrets bool) ([]rendering, error) {
	distributions, err := b.distributions()
	if err != nil {
		return nil, err
	}
	var out []rendering
	for _, cluster := range clusters {
		for _, d := range b.others {
			definition := b.definitionOf(d)
			if definition == nil {
				continue
			}
			instance := definition.graph.Default(d.Object)
			if issues := definition.graph.ValidateInstance(instance); len(issues) > 0 {
				f := newFinding(d, issues[0])
				return nil, fmt.Errorf("%s:%d:%d: %w", f.File, f.Line, f.Column, issues.Err())
			}
			r, err := renderFor(definition.graph, instance, ownerOf(instance, definition.graph, distributions), cluster, observed.of(cluster.Name))
			if err != nil {
				return nil, err
			}
			if !showSecrets {
				r.hideSecrets(definition.graph)
			}
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("the files hold no instance of the definitions")
	}
	return out, nil
}

// renderFor renders an instance as its Distribution would have it on a cluster,
// nil for none. The error is about the Distribution; what is wrong on this
// cluster alone is in the rendering.
func renderFor(g *graph.Graph, instance map[string]any, owner *kronvoyv1alpha1.Distribution, cluster graph.Cluster, observed map[string][]map[string]any) (rendering, error) {
	instance, overridden, fault, err := overrideFor(g, instance, owner, cluster)
	if err != nil {
		return rendering{}, err
	}
	r := rendering{Cluster: cluster.Name, Instance: instanceName(instance), Nodes: []renderedNode{}}
	if fault != nil {
		r.Errors = []string{fault.Error()}
	} else {
		r = renderOne(g, instance, cluster, observed)
	}
	r.Overridden = overridden
	return r, r.govern(owner, g, cluster)
}

func (b *bundle) definitionOf(d *manifest.Document) *definition {
	for _, definition := range b.definitions {
		gvk := definition.graph.GroupVersionKind()
		if d.APIVersion() == gvk.GroupVersion().String() && d.Kind() == gvk.Kind {
			return definition
		}
	}
	return nil
}

// renderOne evaluates until nothing more can be rendered, each time taking for
// applied and ready what the last evaluation rendered.
func renderOne(g *graph.Graph, instance map[string]any, cluster graph.Cluster, observed map[string][]map[string]any) rendering {
	b := graph.Bindings{Instance: instance, Cluster: cluster, Observed: map[string]graph.Observed{}}
	var e graph.Evaluation
	var issues graph.Issues
	for range len(g.Nodes()) + 1 {
		e, issues = g.Evaluate(b)
		if !assume(&b, e, observed) {
			break
		}
	}
	out := rendering{Cluster: cluster.Name, Instance: instanceName(instance), Status: e.Status}
	for _, n := range e.Nodes {
		node := renderedNode{ID: n.ID, State: string(n.State), Objects: n.Objects, Selection: n.Selection}
		if len(n.Objects) > 0 && n.State != graph.Failed {
			node.State = "Rendered"
		}
		for _, w := range n.WaitsFor {
			node.WaitsFor = append(node.WaitsFor, w.Path)
		}
		out.Nodes = append(out.Nodes, node)
	}
	for _, w := range e.StatusWaits {
		out.StatusWaitsFor = append(out.StatusWaitsFor, w.Field+": "+w.Path)
	}
	for _, w := range e.ConditionWaits {
		out.StatusWaitsFor = append(out.StatusWaitsFor, w.Field+": "+w.Path)
	}
	for _, c := range e.Conditions {
		out.Conditions = append(out.Conditions, renderedCondition(c))
	}
	for _, i := range issues {
		out.Errors = append(out.Errors, i.Error())
	}
	return out
}

// hideSecrets takes out what a terminal, a log or a pull request should not hold.
func (r *rendering) hideSecrets(g *graph.Graph) {
	for _, n := range r.Nodes {
		for i, object := range n.Objects {
			n.Objects[i] = g.HideSecrets(n.ID, object)
		}
	}
	r.Status = g.WithoutSecrets(r.Status)
}

// assume adds what an evaluation rendered to what is observed, and tells whether
// that was anything new.
func assume(b *graph.Bindings, e graph.Evaluation, live map[string][]map[string]any) bool {
	added := false
	for _, n := range e.Nodes {
		if _, known := b.Observed[n.ID]; known || n.Objects == nil && n.Selection == nil {
			continue
		}
		o := graph.Observed{Listed: n.Selection != nil}
		if o.Listed {
			// What a selector finds can only be given: nothing is rendered for it.
			for _, object := range live[n.ID] {
				o.Objects = append(o.Objects, graph.ObservedObject{Object: object, Current: true})
			}
		}
		for i, object := range n.Objects {
			seen := graph.ObservedObject{Object: object, Current: true, Partial: true, Verdict: &graph.Verdict{Ready: true}}
			if i < len(live[n.ID]) {
				seen = graph.ObservedObject{Object: overlay(object, live[n.ID][i]), Current: true}
			}
			o.Objects = append(o.Objects, seen)
		}
		b.Observed[n.ID] = o
		added = true
	}
	return added
}

// overlay puts what is known of a live object over its manifest.
func overlay(base, over map[string]any) map[string]any {
	out := make(map[string]any, len(base)+len(over))
	for key, value := range base {
		out[key] = value
	}
	for key, value := range over {
		below, isObject := out[key].(map[string]any)
		above, alsoObject := value.(map[string]any)
		if isObject && alsoObject {
			out[key] = overlay(below, above)
			continue
		}
		out[key] = value
	}
	return out
}

func instanceName(instance map[string]any) string {
	metadata, _ := instance["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	if namespace, _ := metadata["namespace"].(string); namespace != "" {
		return namespace + "/" + name
	}
	return name
}
