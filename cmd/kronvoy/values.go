package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/preview"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/view"
	"github.com/kronvoy/kronvoy/internal/plain"
)

type valuesOptions struct {
	previewOptions
	clusters []string
	output   string
}

func valuesCommand() *cobra.Command {
	var opts valuesOptions
	cmd := &cobra.Command{
		Use:   "values INSTANCE",
		Short: "Show what each cluster has of its own: inputs, overrides, and the author's status",
		Long: `Show what an instance has of each cluster's own:

  Input      labels, claims and other values of the cluster that expressions read,
             as the hub assigned them
  Override   what its Distribution gives there, by which override, and before
  Status     the author's status fields, as the cluster gives them

Of one cluster all is shown, of several where they differ. Values that come from
Secrets are not among them, or shown as ***.`,
		Example: `  kronvoy values webapp/shop -n shop
  kronvoy values webapp/shop -n shop --cluster eu-west
  kronvoy values webapp/shop -n shop --cluster eu-west --cluster us-east -o wide`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args[0]) },
	}
	flags := cmd.Flags()
	opts.Bind(flags)
	opts.BindNamespace(flags, "the instance")
	output.BindFormat(cmd, &opts.output, output.FormatTable, output.FormatWide, output.FormatJSON, output.FormatYAML)
	flags.StringArrayVar(&opts.clusters, "cluster", nil, "only this cluster; may be given several times")
	flags.StringVar(&opts.hubNamespace, "hub-namespace", "kronvoy-system", "namespace that the hub runs in")
	completeFirst(cmd, instanceNames)
	return cmd
}

func (o *valuesOptions) run(cmd *cobra.Command, reference string) error {
	c, namespace, err := o.Client()
	if err != nil {
		return err
	}
	instance, err := view.Find(cmd.Context(), c, namespace, reference)
	if err != nil {
		return err
	}
	targets, err := view.Targets(cmd.Context(), c, instance)
	if err != nil {
		return err
	}
	targets = slices.DeleteFunc(targets, func(t kronvoyv1alpha1.Target) bool {
		return len(o.clusters) > 0 && !slices.Contains(o.clusters, t.Namespace)
	})
	for _, cluster := range o.clusters {
		if !slices.ContainsFunc(targets, func(t kronvoyv1alpha1.Target) bool { return t.Namespace == cluster }) {
			return fmt.Errorf("%s is not on cluster %s: \"kronvoy explain instance %s/%s -n %s --cluster %s\" says why", reference, cluster,
				strings.ToLower(instance.GetKind()), instance.GetName(), namespace, cluster)
		}
	}
	if len(targets) == 0 {
		return fmt.Errorf("%s is on no cluster: \"kronvoy status %s -n %s\" says why", reference, reference, namespace)
	}
	slices.SortFunc(targets, func(a, b kronvoyv1alpha1.Target) int { return strings.Compare(a.Namespace, b.Namespace) })
	all := make([]view.Values, 0, len(targets))
	for i := range targets {
		values, err := view.ValuesOf(&targets[i])
		if err != nil {
			return err
		}
		all = append(all, values)
	}
	if slices.ContainsFunc(targets, func(t kronvoyv1alpha1.Target) bool { return t.Spec.Distribution != "" }) {
		if err := o.addOverrides(cmd.Context(), cmd.ErrOrStderr(), instance, all); err != nil {
			return err
		}
	}
	if output.ForPeople(o.output) {
		return view.WriteValues(cmd.OutOrStdout(), all, view.Look{Style: output.StyleOf(cmd), Wide: o.output == output.FormatWide})
	}
	return output.Encode(cmd.OutOrStdout(), o.output, all)
}

// addOverrides says what the Distribution gives, by the functions that explain
// uses. That takes more rights than the rest.
func (o *valuesOptions) addOverrides(ctx context.Context, errOut io.Writer, instance *unstructured.Unstructured, all []view.Values) error {
	opts, _, _, err := o.read(strings.NewReader(""), errOut)
	if err != nil {
		return err
	}
	gvk := instance.GroupVersionKind()
	explained, err := preview.Explain(ctx, opts, nil, fmt.Sprintf("%s.%s/%s", gvk.Kind, gvk.Group, instance.GetName()))
	if apierrors.IsForbidden(err) {
		fmt.Fprintln(errOut, plain.Line(fmt.Sprintf("overrides are not shown: that takes ClusterRole kronvoy-previewer: %v", err)))
		return nil
	}
	if err != nil {
		return fmt.Errorf("finding the overrides: %w", err)
	}
	for i := range all {
		for _, c := range explained.Clusters {
			if c.Name != all[i].Cluster {
				continue
			}
			for _, field := range c.Overrides {
				value := view.Value{From: view.FromOverride, Path: field.Path, Override: field.Override}
				if field.Value != nil {
					value.Value = field.Value
				}
				if field.Before != nil {
					value.Before = field.Before
				}
				all[i].Values = append(all[i].Values, value)
			}
		}
	}
	return nil
}
