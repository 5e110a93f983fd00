package preview

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/manifest"
	"github.com/kronvoy/kronvoy/hub/clusters"
	"github.com/kronvoy/kronvoy/hub/index"
	"github.com/kronvoy/kronvoy/hub/plan"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/rollout"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/plain"
)

// Explained says of an instance where it runs, why there, and what it waits for.
type Explained struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	// Distribution owns it.
	Distribution string `json:"distribution,omitempty"`
	// PlacedBy says who decides where it runs, and Shadowed is the Placement of its
	// label where that counts for nothing.
	PlacedBy string `json:"placedBy"`
	Shadowed string `json:"shadowed,omitempty"`
	// Decided is false while nothing may be concluded; Reason and Message say what
	// is missing, or wrong.
	Decided bool   `json:"decided"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Suspended instances are left as they are.
	Suspended bool `json:"suspended,omitempty"`
	// Revision is the newest.
	Revision string `json:"revision,omitempty"`
	// Rollout in which it moves to that.
	Rollout  *ExplainedRollout  `json:"rollout,omitempty"`
	Clusters []ExplainedCluster `json:"clusters"`
}

// ExplainedCluster is one cluster's part.
type ExplainedCluster struct {
	Name string `json:"name"`
	// Why is selected, leaving, held, removing or not selected.
	Why string `json:"why"`
	// Placement that selected it, its decision group there, and the reason.
	Placement string `json:"placement,omitempty"`
	Group     string `json:"group,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
	// Unreachable clusters keep what they have.
	Unreachable bool `json:"unreachable,omitempty"`
	// Revision that the cluster has, and Wanted the one that it should have.
	Revision string `json:"revision,omitempty"`
	Wanted   string `json:"wanted,omitempty"`
	// Rollout is where it stands in that of the instance.
	Rollout *ExplainedMove `json:"rollout,omitempty"`
	// State and StateMessage are the Target's; Suspended says why nothing is written.
	State        string `json:"state,omitempty"`
	StateMessage string `json:"stateMessage,omitempty"`
	Suspended    string `json:"suspended,omitempty"`
	// Drift is what others changed there, and DriftSince when the hub first saw it;
	// left out while nothing differs.
	Drift      string                       `json:"drift,omitempty"`
	DriftSince *metav1.Time                 `json:"driftSince,omitempty"`
	Nodes      []kronvoyv1alpha1.NodeStatus `json:"nodes,omitempty"`
	Issues     []string                     `json:"issues,omitempty"`
	// Overrides are the fields of the spec that have other values there.
	Overrides []Overridden `json:"overrides,omitempty"`
}

// Overridden is a field of the spec that an override gives another value.
type Overridden struct {
	Path string `json:"path"`
	// Override says which one, as in spec.overrides[1] of the Distribution.
	Override string `json:"override"`
	// Before is the instance's own value; left out where it has none.
	Before *Value `json:"before,omitempty"`
	Value  *Value `json:"value,omitempty"`
}

// What Why says.
const (
	whySelected    = "selected"
	whyLeaving     = "leaving"
	whyHeld        = "held"
	whyRemoving    = "removing"
	whyNotSelected = "not selected"
)

// Explain says it of the instance that a reference names: KIND/NAME, or
// KIND.GROUP/NAME. Without a hub the documents stand for what is on it.
func Explain(ctx context.Context, opts Options, documents []*manifest.Document, reference string) (Explained, error) {
	s := newSimulation(ctx, opts)
	if err := s.loadFleet(); err != nil {
		return Explained{}, err
	}
	if opts.Live == nil {
		if err := s.found(documents); err != nil {
			return Explained{}, err
		}
		if err := s.suppose(documents); err != nil {
			return Explained{}, err
		}
	}
	instance, err := s.find(reference)
	if err != nil {
		return Explained{}, err
	}
	return s.explain(instance)
}

// find reads the instance that a reference names.
func (s *simulation) find(reference string) (*unstructured.Unstructured, error) {
	kind, name, both := strings.Cut(reference, "/")
	kind, group, grouped := strings.Cut(kind, ".")
	if !both || kind == "" || name == "" {
		return nil, fmt.Errorf("%q names no instance: write KIND/NAME, as in webapp/shop", reference)
	}
	var list krov1alpha1.ResourceGraphDefinitionList
	if err := s.memory.List(s.ctx, &list); err != nil {
		return nil, err
	}
	var found []runtimeschema.GroupVersionKind
	for i := range list.Items {
		gvk := kindOf(&list.Items[i])
		if strings.EqualFold(gvk.Kind, kind) && (!grouped || gvk.Group == group) {
			found = append(found, gvk)
		}
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("no definition generates %s: `kubectl get rgd` lists them", kind)
	case len(found) > 1:
		return nil, fmt.Errorf("%s is of %s and of %s: say which, as in %s.%s/%s", kind, found[0].Group, found[1].Group, kind, found[0].Group, name)
	}
	instance := &unstructured.Unstructured{}
	instance.SetGroupVersionKind(found[0])
	for _, namespace := range []string{s.Namespace, ""} {
		err := s.memory.Get(s.ctx, client.ObjectKey{Namespace: namespace, Name: name}, instance)
		if err == nil {
			return instance, nil
		}
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading %s: %w", reference, err)
		}
	}
	return nil, fmt.Errorf("there is no %s %s in namespace %s", found[0].Kind, name, s.Namespace)
}

func (s *simulation) explain(instance *unstructured.Unstructured) (Explained, error) {
	identity := work.IdentityOfInstance(instance)
	ref := identity.Reference()
	out := Explained{
		APIVersion: ref.APIVersion, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name,
		Suspended: rollout.Suspended(instance), Clusters: []ExplainedCluster{},
	}
	if err := s.loadOne(identity); err != nil {
		return out, err
	}
	targets, err := index.Targets(s.ctx, s.memory, identity)
	if err != nil {
		return out, err
	}
	owner, err := rollout.Owner(s.ctx, s.memory, instance, targets)
	if err != nil {
		return out, err
	}
	if err := s.loadParent(instance); err != nil {
		return out, err
	}
	decision, err := s.placer.Decide(s.ctx, instance, owner)
	if err != nil {
		return out, err
	}
	if owner != nil {
		out.Distribution = owner.Name
	}
	out.PlacedBy, out.Shadowed, out.Decided, out.Reason, out.Message = decision.By.String(), decision.Shadowed, decision.Decided, decision.Reason, decision.Message
	p := &placing{identity: identity, instance: instance, owner: owner, decision: decision, targets: targets}
	if out.Revision, err = s.newest(p); err != nil {
		return out, err
	}
	if err := s.explainPlacements(p); err != nil {
		return out, err
	}
	if out.Clusters, err = s.explainClusters(p); err != nil {
		return out, err
	}
	return out, s.explainRollout(p, &out)
}

// newest is the name of the instance's newest revision; empty for none.
func (s *simulation) newest(p *placing) (string, error) {
	stored, err := s.instanceRevisions(p.instance)
	if newest := revision.Newest(stored); newest != nil {
		return newest.Name, err
	}
	return "", err
}

// explainPlacements decides the Placements of an instance anew, for their reasons:
// what decides is what is stored.
func (s *simulation) explainPlacements(p *placing) error {
	objects, err := s.placementObjects()
	if err != nil {
		return err
	}
	namespace := rollout.RevisionNamespace(p.instance, s.HubNamespace)
	for _, name := range s.placementsOf(p) {
		if !slices.ContainsFunc(objects.Placements, func(o clusterv1beta1.Placement) bool { return o.Namespace == namespace && o.Name == name }) {
			continue
		}
		explained, err := objects.Of(namespace, name, s.Now)
		if err != nil {
			return err
		}
		s.explains[client.ObjectKey{Namespace: namespace, Name: name}] = explained
	}
	return nil
}

func (s *simulation) explainClusters(p *placing) ([]ExplainedCluster, error) {
	existing := map[string]*kronvoyv1alpha1.Target{}
	names := set(p.decision.Clusters)
	for i := range p.targets {
		existing[p.targets[i].Namespace] = &p.targets[i]
		names[p.targets[i].Namespace] = true
	}
	if s.Cluster != "" {
		names = map[string]bool{s.Cluster: true}
	}
	leaving := map[string]Cluster{}
	if p.decision.Decided {
		var err error
		if leaving, err = s.leaving(p); err != nil {
			return nil, err
		}
	}
	placed := set(p.decision.Clusters)
	out := make([]ExplainedCluster, 0, len(names))
	for name := range names {
		c := ExplainedCluster{Name: name, Why: whyNotSelected}
		cluster := &clusterv1.ManagedCluster{}
		if err := s.memory.Get(s.ctx, client.ObjectKey{Name: name}, cluster); err != nil {
			c.Message = "there is no ManagedCluster of this name"
		}
		c.Unreachable = clusters.Unreachable(cluster)
		switch row, leaves := leaving[name]; {
		case placed[name]:
			place := p.decision.Places[name]
			c.Why, c.Placement, c.Group = whySelected, place.Placement, place.Group
			c.Reason, c.Message = s.why(rollout.RevisionNamespace(p.instance, s.HubNamespace), place.Placement, name)
		case leaves:
			c.Why, c.Reason, c.Message = whyLeaving, row.Reason, row.Message
			if row.Held {
				c.Why = whyHeld
			}
		default:
			c.Reason, c.Message = s.whyNot(p, name)
		}
		if t := existing[name]; t != nil {
			c.target(t)
			if err := s.overrides(&c, p, t); err != nil {
				return nil, err
			}
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b ExplainedCluster) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// overrides adds the values that overrides give, those of the revision that the
// cluster should have.
func (s *simulation) overrides(c *ExplainedCluster, p *placing, t *kronvoyv1alpha1.Target) error {
	if t.DeletionTimestamp != nil || p.owner == nil {
		return nil
	}
	gathered, err := s.gatherer.Gather(s.ctx, t)
	if err != nil || gathered.Missing || gathered.Blocked != "" || len(gathered.Revision.Overrides) == 0 {
		return err
	}
	for _, field := range plan.Evaluate(gathered.Input).Overridden {
		o := Overridden{Path: field.Path, Override: fmt.Sprintf("spec.overrides[%d]", field.Override)}
		if field.Before != nil {
			o.Before = &Value{Of: field.Before}
		}
		if field.Value != nil {
			o.Value = &Value{Of: field.Value}
		}
		c.Overrides = append(c.Overrides, o)
	}
	return nil
}

// target adds what the hub knows of the instance there.
func (c *ExplainedCluster) target(t *kronvoyv1alpha1.Target) {
	if t.DeletionTimestamp != nil {
		c.Why = whyRemoving
	}
	c.Revision, c.Wanted = t.Status.Revision, t.Spec.Revision
	c.State, c.StateMessage, c.Suspended = string(t.Status.State), t.Status.Message, t.Status.Suspended
	c.Nodes, c.Issues = t.Status.Nodes, t.Status.Issues
	if since := t.Status.Clocks.DriftSince; since != nil {
		c.Drift, c.DriftSince = t.Status.Drift.Last, since
	}
}

// Write prints one line for each cluster, which override gave which value, and what
// each node waits for; wide adds nodes that are ready.
func (e *Explained) Write(w io.Writer, wide bool) error {
	title := e.Kind + " " + e.Name
	if e.Namespace != "" {
		title = e.Kind + " " + e.Namespace + "/" + e.Name
	}
	fmt.Fprintf(w, "%s is placed by %s.\n", title, e.PlacedBy)
	if e.Shadowed != "" {
		fmt.Fprintf(w, "Its label %s: %s counts for nothing: Distribution %s says where it runs.\n", kronvoyv1alpha1.LabelPlacement, e.Shadowed, e.Distribution)
	}
	if e.Distribution != "" && !strings.HasPrefix(e.PlacedBy, "Distribution ") {
		fmt.Fprintf(w, "Distribution %s owns it.\n", e.Distribution)
	}
	if e.Message != "" {
		fmt.Fprintf(w, "%s: %s\n", e.Reason, plain.Line(e.Message))
	}
	if !e.Decided {
		fmt.Fprintln(w, "Where it runs is not decided: nothing comes or leaves.")
	}
	if e.Suspended {
		fmt.Fprintln(w, "It is suspended: everything stays as it is.")
	}
	e.Rollout.write(w)
	if len(e.Clusters) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "CLUSTER\tWHY\tPLACEMENT\tGROUP\tREASON\tREVISION\tSTATE\tMESSAGE")
	for _, c := range e.Clusters {
		fmt.Fprintln(table, strings.Join([]string{
			c.Name, c.Why, orDash(c.Placement), orDash(c.Group), orDash(c.Reason), c.revision(e.Revision), orDash(c.state()), orDash(c.message()),
		}, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if err := e.writeMoves(w); err != nil {
		return err
	}
	return e.writeNodes(w, wide)
}

// revision says whether a cluster has the newest one.
func (c *ExplainedCluster) revision(newest string) string {
	switch {
	case c.Wanted == "":
		return "-"
	case c.Revision == c.Wanted && c.Wanted == newest:
		return "newest"
	case c.Revision == c.Wanted:
		return "older"
	case c.Revision == "":
		return "none yet"
	}
	return "on its way"
}

func (c *ExplainedCluster) state() string {
	if c.Unreachable && c.State != string(kronvoyv1alpha1.TargetUnreachable) {
		return strings.TrimPrefix(c.State+", unreachable", ", ")
	}
	return c.State
}

func (c *ExplainedCluster) message() string {
	drift := ""
	if c.DriftSince != nil {
		drift = fmt.Sprintf("differs since %s: %s", c.DriftSince.UTC().Format(time.RFC3339), c.Drift)
	}
	parts := slices.DeleteFunc([]string{c.Message, c.Suspended, c.StateMessage, drift}, func(s string) bool { return s == "" })
	return plain.Line(strings.Join(append(parts, c.Issues...), "; "))
}

func (e *Explained) writeNodes(w io.Writer, all bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	overrides := "\nCLUSTER\tFIELD\tVALUE\tINSTEAD OF\tBY\n"
	for _, c := range e.Clusters {
		for _, o := range c.Overrides {
			fmt.Fprint(table, overrides)
			overrides = ""
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", c.Name, o.Path, short(o.Value.Text()), short(o.Before.Text()), o.Override)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	header := "\nCLUSTER\tNODE\tSTATE\tWAITS FOR\n"
	for _, c := range e.Clusters {
		for _, n := range c.Nodes {
			if !all && (n.State == "Ready" || n.State == "Excluded") {
				continue
			}
			fmt.Fprint(table, header)
			header = ""
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", c.Name, n.ID, n.State, orDash(plain.Line(cmp.Or(n.Message, strings.Join(n.WaitsFor, ", ")))))
		}
	}
	return table.Flush()
}

func orDash(text string) string { return cmp.Or(text, "-") }
