package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/policy"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/rollout"
)

// past is what there is of one instance, newest first.
type past struct {
	instance  string
	revisions []appsv1.ControllerRevision
}

// good is the name of the revision that the newest would be taken back to: the
// last other one that succeeded; empty for none.
func (p *past) good() string { return rollout.Good(p.revisions[1:]) }

// find a revision by its number.
func (p *past) find(number int64) (*appsv1.ControllerRevision, error) {
	for i := range p.revisions {
		if p.revisions[i].Revision == number {
			return &p.revisions[i], nil
		}
	}
	return nil, fmt.Errorf("instance %s has no revision %d: \"kronvoy rollout history\" lists them", p.instance, number)
}

// pastOf are the instances of a rollout that have revisions, by name.
func pastOf(ctx context.Context, c client.Reader, r *kronvoyv1alpha1.Rollout) ([]past, error) {
	wanted, kind, err := instancesOf(ctx, c, r)
	if err != nil {
		return nil, err
	}
	var list appsv1.ControllerRevisionList
	if err := c.List(ctx, &list, client.InNamespace(r.Namespace), client.HasLabels{kronvoyv1alpha1.LabelInstance}); err != nil {
		return nil, fmt.Errorf("listing revisions in namespace %s: %w", r.Namespace, err)
	}
	found := map[string]*past{}
	for i := range list.Items {
		owner := metav1.GetControllerOf(&list.Items[i])
		if owner == nil || schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).GroupKind() != kind || !wanted(owner.Name) {
			continue
		}
		if found[owner.Name] == nil {
			found[owner.Name] = &past{instance: owner.Name}
		}
		found[owner.Name].revisions = append(found[owner.Name].revisions, list.Items[i])
	}
	out := make([]past, 0, len(found))
	for _, p := range found {
		slices.SortFunc(p.revisions, func(a, b appsv1.ControllerRevision) int { return cmp.Compare(b.Revision, a.Revision) })
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b past) int { return cmp.Compare(a.instance, b.instance) })
	if len(out) == 0 {
		return nil, fmt.Errorf("no instance of Rollout %s has a revision", r.Name)
	}
	return out, nil
}

// instancesOf says which instances a rollout is of: one, or those that its
// Distribution selects.
func instancesOf(ctx context.Context, c client.Reader, r *kronvoyv1alpha1.Rollout) (wanted func(name string) bool, kind schema.GroupKind, err error) {
	owner := metav1.GetControllerOf(r)
	if owner == nil {
		return nil, kind, fmt.Errorf("the Rollout %s belongs to nothing: the hub did not make it", r.Name)
	}
	if owner.Kind != "Distribution" {
		return func(name string) bool { return name == owner.Name }, schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).GroupKind(), nil
	}
	d := &kronvoyv1alpha1.Distribution{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: owner.Name}, d); err != nil {
		return nil, kind, fmt.Errorf("reading Distribution %s/%s: %w", r.Namespace, owner.Name, err)
	}
	kind = policy.KindOf(d)
	if d.Spec.Instances.Selector == nil {
		return func(string) bool { return true }, kind, nil
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.FromAPIVersionAndKind(d.Spec.Instances.APIVersion, d.Spec.Instances.Kind+"List"))
	if err := c.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		return nil, kind, fmt.Errorf("listing instances of %s in namespace %s: %w", kind.Kind, r.Namespace, err)
	}
	names := map[string]bool{}
	for i := range list.Items {
		selects, err := policy.Selects(&d.Spec, list.Items[i].GetLabels())
		if err != nil {
			return nil, kind, err
		}
		names[list.Items[i].GetName()] = selects
	}
	return func(name string) bool { return names[name] }, kind, nil
}

// revisionView is what the commands print of a revision.
type revisionView struct {
	Instance   string `json:"instance"`
	Number     int64  `json:"number"`
	Revision   string `json:"revision"`
	Definition string `json:"definition"`
	Newest     bool   `json:"newest,omitempty"`
	// Good is the revision that the newest would be taken back to.
	Good        bool        `json:"good,omitempty"`
	SucceededAt string      `json:"succeededAt,omitempty"`
	RejectedAt  string      `json:"rejectedAt,omitempty"`
	Created     metav1.Time `json:"created"`
}

func versions(all []past) []revisionView {
	var out []revisionView
	for _, p := range all {
		for i := range p.revisions {
			r := &p.revisions[i]
			state, _ := revision.ParseInstance(r)
			out = append(out, revisionView{
				Instance: p.instance, Number: r.Revision, Revision: r.Name, Definition: state.Definition, Newest: i == 0, Good: r.Name == p.good(),
				SucceededAt: r.Annotations[kronvoyv1alpha1.AnnotationSucceededAt], RejectedAt: r.Annotations[kronvoyv1alpha1.AnnotationRejectedAt],
				Created: r.CreationTimestamp,
			})
		}
	}
	return out
}

func (v revisionView) state() string {
	var words []string
	for _, w := range []struct {
		is   bool
		word string
	}{{v.Newest, "newest"}, {v.RejectedAt != "", "rejected"}, {v.SucceededAt != "", "succeeded"}, {v.Good, "good"}} {
		if w.is {
			words = append(words, w.word)
		}
	}
	return cmp.Or(strings.Join(words, ", "), "-")
}

func rolloutHistoryCommand() *cobra.Command {
	var opts rolloutFlags
	cmd := &cobra.Command{
		Use:   "history NAME",
		Short: "List the revisions of a rollout's instances",
		Long: `List the revisions of a rollout's instances, newest first: which of them succeeded on
all clusters, which was rejected, and which is the good one that would be taken
back to.`,
		Example: "  kronvoy rollout history shop -n shop",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, namespace, err := opts.client()
			if err != nil {
				return err
			}
			all, err := readPast(cmd.Context(), c, client.ObjectKey{Namespace: namespace, Name: args[0]})
			if err != nil {
				return err
			}
			return opts.writeVersions(cmd.OutOrStdout(), versions(all))
		},
	}
	opts.add(cmd.Flags())
	return cmd
}

func readPast(ctx context.Context, c client.Reader, key client.ObjectKey) ([]past, error) {
	r, err := readRollout(ctx, c, key)
	if err != nil {
		return nil, err
	}
	return pastOf(ctx, c, r)
}

func (o *rolloutFlags) writeVersions(out io.Writer, list []revisionView) error {
	if o.output != "table" {
		return writeEncoded(out, o.output, list)
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "INSTANCE\tREVISION\tNAME\tDEFINITION\tCREATED\tSTATE")
	for _, v := range list {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\n", v.Instance, v.Number, v.Revision, v.Definition, v.Created.UTC().Format(time.RFC3339), v.state())
	}
	return table.Flush()
}

type rolloutDiffOptions struct {
	rolloutFlags
	instance string
	from     int64
}

// difference is what the commands print of two revisions.
type difference struct {
	Instance string `json:"instance"`
	From     string `json:"from"`
	To       string `json:"to"`
	// Diff is unified, of the revisions as YAML.
	Diff string `json:"diff"`
}

func rolloutDiffCommand() *cobra.Command {
	var opts rolloutDiffOptions
	cmd := &cobra.Command{
		Use:   "diff NAME",
		Short: "Show what the newest revisions change",
		Long: `Show what the newest revisions of a rollout's instances change: spec, definition and
overrides, against the good revision or another one. What comes of it on
clusters "kronvoy preview" shows.

The exit status is 0 when nothing differs, and 2 when something does.`,
		Example: `  kronvoy rollout diff shop -n shop
  kronvoy rollout diff shop -n shop --instance web --from 3`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, namespace, err := opts.client()
			if err != nil {
				return err
			}
			all, err := readPast(cmd.Context(), c, client.ObjectKey{Namespace: namespace, Name: args[0]})
			if err != nil {
				return err
			}
			return opts.run(cmd.OutOrStdout(), all)
		},
	}
	opts.add(cmd.Flags())
	cmd.Flags().StringVar(&opts.instance, "instance", "", "of this instance alone")
	cmd.Flags().Int64Var(&opts.from, "from", 0, "number of the revision to compare with; the good one if 0")
	return cmd
}

func (o *rolloutDiffOptions) run(out io.Writer, all []past) error {
	var differences []difference
	for i := range all {
		p := &all[i]
		if o.instance != "" && p.instance != o.instance {
			continue
		}
		from, err := p.before(o.from)
		if err != nil {
			return err
		}
		d := difference{Instance: p.instance, To: p.revisions[0].Name}
		if from != nil {
			d.From = from.Name
		}
		if d.Diff, err = unified(from, &p.revisions[0]); err != nil {
			return err
		}
		if d.Diff != "" {
			differences = append(differences, d)
		}
	}
	if o.output != "table" {
		if err := writeEncoded(out, o.output, differences); err != nil {
			return err
		}
	} else {
		for _, d := range differences {
			if _, err := fmt.Fprint(out, d.Diff); err != nil {
				return err
			}
		}
	}
	if len(differences) > 0 {
		return errUnfinished
	}
	return nil
}

// before is the revision of a number, or the good one, or else that before the
// newest; nil where there is none.
func (p *past) before(number int64) (*appsv1.ControllerRevision, error) {
	if number != 0 {
		return p.find(number)
	}
	good := p.good()
	for i := range p.revisions {
		if p.revisions[i].Name == good || good == "" && i == 1 {
			return &p.revisions[i], nil
		}
	}
	return nil, nil
}

func unified(from, to *appsv1.ControllerRevision) (string, error) {
	texts, names := [2]string{}, [2]string{"(nothing)", to.Name}
	for i, r := range []*appsv1.ControllerRevision{from, to} {
		if r == nil {
			continue
		}
		text, err := yaml.JSONToYAML(r.Data.Raw)
		if err != nil {
			return "", fmt.Errorf("reading revision %s: %w", r.Name, err)
		}
		texts[i], names[i] = string(text), r.Name
	}
	const around = 3
	return difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(texts[0]), B: difflib.SplitLines(texts[1]), FromFile: names[0], ToFile: names[1], Context: around,
	})
}

type rolloutUndoOptions struct {
	rolloutOrderOptions
	instance string
	to       int64
	cancel   bool
}

func rolloutUndoCommand() *cobra.Command {
	var opts rolloutUndoOptions
	cmd := &cobra.Command{
		Use:   "undo NAME",
		Short: "Take instances back to an earlier revision",
		Long: `Take the instances of a rollout back to an earlier revision: the last that succeeded,
or one by number. No spec is changed, so that what keeps specs in a repository
does not put them back. It counts until an instance is changed again.

Needs the right to update Rollouts: ClusterRole kronvoy-rollout-operator.`,
		Example: `  kronvoy rollout undo shop -n shop --reason "errors at checkout"
  kronvoy rollout undo shop -n shop --instance web --to-revision 3
  kronvoy rollout undo shop -n shop --cancel`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, namespace, err := opts.client()
			if err != nil {
				return err
			}
			return opts.run(cmd.Context(), cmd.OutOrStdout(), c, client.ObjectKey{Namespace: namespace, Name: args[0]}, time.Now())
		},
	}
	flags := cmd.Flags()
	opts.add(flags)
	flags.StringVar(&opts.reason, "reason", "", "why, for others to read")
	flags.StringVar(&opts.instance, "instance", "", "take back this instance alone")
	flags.Int64Var(&opts.to, "to-revision", 0, "number of the revision, as history lists it; the last that succeeded if 0")
	flags.BoolVar(&opts.cancel, "cancel", false, "have the newest revisions again")
	cmd.MarkFlagsMutuallyExclusive("cancel", "to-revision")
	cmd.MarkFlagsMutuallyExclusive("cancel", "instance")
	return cmd
}

func (o *rolloutUndoOptions) run(ctx context.Context, out io.Writer, c client.Client, key client.ObjectKey, now time.Time) error {
	var pins []kronvoyv1alpha1.RolloutPin
	said := "has the newest revisions again"
	if !o.cancel {
		all, err := readPast(ctx, c, key)
		if err != nil {
			return err
		}
		if pins, err = o.pins(all); err != nil {
			return err
		}
		said = fmt.Sprintf("takes %d instances back", len(pins))
	}
	r, err := o.order(ctx, c, key, now, func(spec *kronvoyv1alpha1.RolloutSpec, order kronvoyv1alpha1.RolloutOrder) {
		if spec.Undo = nil; !o.cancel {
			spec.Undo = &kronvoyv1alpha1.RolloutUndo{RolloutOrder: order, Instances: pins}
		}
	})
	if err != nil {
		return err
	}
	return o.say(out, r, said)
}

func (o *rolloutUndoOptions) pins(all []past) ([]kronvoyv1alpha1.RolloutPin, error) {
	if o.to != 0 && o.instance == "" && len(all) > 1 {
		return nil, fmt.Errorf("numbers of revisions are an instance's own, and there are %d: say which with --instance", len(all))
	}
	var pins []kronvoyv1alpha1.RolloutPin
	for i := range all {
		p := &all[i]
		if o.instance != "" && p.instance != o.instance {
			continue
		}
		to, err := p.before(o.to)
		if err != nil {
			return nil, err
		}
		if to == nil {
			return nil, fmt.Errorf("instance %s has no earlier revision to go back to", p.instance)
		}
		pins = append(pins, kronvoyv1alpha1.RolloutPin{Name: p.instance, From: p.revisions[0].Name, To: to.Name})
	}
	if len(pins) == 0 {
		return nil, fmt.Errorf("the rollout has no instance %s", o.instance)
	}
	return pins, nil
}
