package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	krov1alpha1 "github.com/kronvoy/kronvoy/apis/kro/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/graph/schema"
	hubdefinition "github.com/kronvoy/kronvoy/hub/definition"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/internal/plain"
	"github.com/kronvoy/kronvoy/internal/steer"
)

type rolloutDiffOptions struct {
	rolloutFlags
	instance, hubNamespace string
	from                   int64
}

func rolloutDiffCommand() *cobra.Command {
	var opts rolloutDiffOptions
	cmd := &cobra.Command{
		Use:   "diff NAME",
		Short: "Show what the newest revisions change",
		Long: `Show which fields the newest revisions of a rollout's instances change: of the spec,
the definition and the overrides, against the good revision or another one. What
comes of it on clusters "kronvoy preview" shows.

Values that become values of Secrets are masked. Which ones do the definition says:
where that cannot be read no value is shown. ClusterRole kronvoy-viewer, in all
namespaces, allows it.`,
		Example: `  kronvoy rollout diff shop -n shop
  kronvoy rollout diff shop -n shop --instance web --from 3`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, all, err := opts.past(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			config, _, err := opts.Config()
			if err != nil {
				return err
			}
			schemas, err := hubSchemas(config)
			if err != nil {
				return err
			}
			return opts.run(cmd.Context(), cmd.OutOrStdout(), newGraphs(c, opts.hubNamespace, schemas), all)
		},
	}
	opts.add(cmd)
	bindHubNamespace(cmd.Flags(), &opts.hubNamespace)
	cmd.Flags().StringVar(&opts.instance, "instance", "", "of this instance alone")
	cmd.Flags().Int64Var(&opts.from, "from", 0, "number of the revision to compare with; the good one if 0")
	exit.Says(cmd, exit.Done, "nothing differs")
	exit.Says(cmd, exit.No, "something differs")
	completeFirst(cmd, rolloutNames)
	completeFlag(cmd, "from", revisionNumbers)
	return cmd
}

func (o *rolloutDiffOptions) run(ctx context.Context, out io.Writer, known *graphs, all []steer.Past) error {
	changes := []steer.RevisionChange{}
	for i := range all {
		p := &all[i]
		if o.instance != "" && p.Instance != o.instance {
			continue
		}
		before, err := p.Before(o.from)
		if err != nil {
			return err
		}
		change, err := known.change(ctx, p.Instance, before, &p.Revisions[0])
		if err != nil {
			return err
		}
		if len(change.Fields) > 0 || change.Unknown != "" {
			changes = append(changes, change)
		}
	}
	var err error
	if o.output != "table" {
		err = output.Encode(out, o.output, changes)
	} else {
		err = writeRevisionChanges(out, changes)
	}
	if err == nil && len(changes) > 0 {
		return errUnfinished
	}
	return err
}

func writeRevisionChanges(out io.Writer, changes []steer.RevisionChange) error {
	var text strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&text, "%s: %s -> %s\n", c.Instance, cmp.Or(c.From, "nothing"), c.To)
		if c.Unknown != "" {
			fmt.Fprintf(&text, "  (%s)\n", plain.Line(c.Unknown))
		}
		for _, f := range c.Fields {
			fmt.Fprintf(&text, "  %s: %s -> %s\n", plain.Line(f.Path), plain.Line(f.Old.Text()), plain.Line(f.New.Text()))
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// graphs are definitions as far as whoever asks may read them.
type graphs struct {
	reader    client.Reader
	namespace string
	store     *hubdefinition.Store
}

func newGraphs(reader client.Reader, hubNamespace string, schemas schema.Resolver) *graphs {
	return &graphs{reader: reader, namespace: hubNamespace, store: hubdefinition.NewStore(reader, hubNamespace, schemas)}
}

// change is what a revision changes. from may be nil.
func (g *graphs) change(ctx context.Context, instance string, from, to *appsv1.ControllerRevision) (steer.RevisionChange, error) {
	var before *steer.Revision
	var unknown error
	if from != nil {
		var err error
		if before, unknown, err = g.known(ctx, from); err != nil {
			return steer.RevisionChange{}, err
		}
	}
	wanted, why, err := g.known(ctx, to)
	if err != nil {
		return steer.RevisionChange{}, err
	}
	change, err := steer.NewRevisionChange(instance, before, wanted)
	if err == nil && len(change.Fields) > 0 && (why != nil || unknown != nil) {
		change.Unknown = fmt.Sprintf("values are hidden, since it is not known which of them are secret: %v", cmp.Or(why, unknown))
	}
	return change, err
}

// known is a revision with its definition: as it is stored in the hub's namespace or,
// for those who may not read there, as it is if it has not changed since. unknown says
// why it has none.
func (g *graphs) known(ctx context.Context, stored *appsv1.ControllerRevision) (known *steer.Revision, unknown, err error) {
	parsed, err := revision.ParseInstance(stored)
	if err != nil {
		return nil, nil, err
	}
	known = &steer.Revision{Name: stored.Name, Instance: parsed}
	if known.Graph, unknown = g.store.Shown(ctx, parsed.Definition); unknown == nil {
		kept := &appsv1.ControllerRevision{}
		if err := g.reader.Get(ctx, client.ObjectKey{Namespace: g.namespace, Name: parsed.Definition}, kept); err != nil {
			return nil, nil, fmt.Errorf("reading definition revision %s: %w", parsed.Definition, err)
		}
		d, err := revision.ParseDefinition(kept)
		known.Spec = d.Spec
		return known, nil, err
	}
	known.Graph = nil
	var list krov1alpha1.ResourceGraphDefinitionList
	if err := g.reader.List(ctx, &list); err != nil {
		return known, fmt.Errorf("listing definitions: %w", steer.NeedsRole(err, steer.RoleViewer, "")), nil
	}
	for i := range list.Items {
		if !strings.HasPrefix(parsed.Definition, list.Items[i].Name+"-") {
			continue
		}
		found, _ := g.store.Compile(&list.Items[i])
		if found == nil || revision.DefinitionName(list.Items[i].Name, found.Hash()) != parsed.Definition {
			continue
		}
		known.Graph = found
		known.Spec, err = json.Marshal(list.Items[i].Spec)
		return known, nil, err
	}
	return known, unknown, nil
}
