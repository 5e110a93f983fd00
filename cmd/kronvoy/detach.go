package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/output"
)

// refresh is how often it is looked whether what is waited for has come.
const refresh = 500 * time.Millisecond

type detachOptions struct {
	connect.Hub
	output     string
	yes, force bool
	timeout    time.Duration
}

// detachment is what the command reports.
type detachment struct {
	Cluster string `json:"cluster"`
	// Detached is when, as RFC 3339, and By whom.
	Detached string `json:"detached"`
	By       string `json:"by"`
	// Gone is true when the ManagedCluster was being deleted, and is gone now.
	Gone bool `json:"gone,omitempty"`
}

func detachCommand() *cobra.Command {
	var opts detachOptions
	cmd := &cobra.Command{
		Use:   "detach CLUSTER",
		Short: "Let go of a cluster that is gone for good",
		Long: `Let go of a cluster that is gone for good.

The hub does not wait for it any more: its works are dropped without its agent,
so that instances and the ManagedCluster can be deleted, and nothing is placed on
it. The annotation kronvoy.io/detached of the ManagedCluster records it.

Nothing on the cluster itself is touched. If it comes back after all, its agent
finds its works gone and removes what they brought after an hour; if it joins
again before, with "kronvoy hub token --cluster NAME --rejoin", it keeps all of
it.`,
		Example: `  kronvoy detach eu-west
  kronvoy detach eu-west --yes && kubectl delete managedcluster eu-west`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0])
		},
	}
	flags := cmd.Flags()
	opts.Bind(flags)
	flags.BoolVarP(&opts.yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&opts.force, "force", false, "even if the cluster's agent is alive: it removes what is on the cluster")
	flags.DurationVar(&opts.timeout, "timeout", 2*time.Minute, "how long to wait for the hub")
	output.BindFormat(cmd, &opts.output, "table", "json", "yaml")
	completeFirst(cmd, managedClusterNames)
	return cmd
}

func (o *detachOptions) run(ctx context.Context, in io.Reader, out, errOut io.Writer, name string) error {
	c, _, err := o.Client()
	if err != nil {
		return err
	}
	cluster := &clusterv1.ManagedCluster{}
	err = c.Get(ctx, client.ObjectKey{Name: name}, cluster)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("there is no cluster %s: kubectl get managedclusters lists them", name)
	case err != nil:
		return fmt.Errorf("reading cluster %s: %w", name, err)
	}
	// A denied cluster's agent can do nothing, whatever was known of it last.
	if !o.force && cluster.Spec.HubAcceptsClient && apimeta.IsStatusConditionTrue(cluster.Status.Conditions, clusterv1.ManagedClusterConditionAvailable) {
		return fmt.Errorf("the agent of cluster %s is alive: \"kubectl delete managedcluster %s\" lets it clean up; --force detaches it all the same", name, name)
	}
	if cluster.Annotations[kronvoyv1alpha1.AnnotationDetached] == "" {
		if err := o.confirm(in, errOut, name); err != nil {
			return err
		}
		if err := mark(ctx, c, cluster); err != nil {
			return err
		}
	}
	result := detachment{
		Cluster: name, Detached: cluster.Annotations[kronvoyv1alpha1.AnnotationDetached], By: cluster.Annotations[kronvoyv1alpha1.AnnotationDetachedBy],
	}
	if result.Gone, err = o.await(ctx, c, errOut, name); err != nil {
		return err
	}
	if o.output != "table" {
		return output.Encode(out, o.output, result)
	}
	next := "delete it with: kubectl delete managedcluster " + name
	if result.Gone {
		next = "its ManagedCluster is gone"
	}
	_, err = fmt.Fprintf(out, "%s detached; %s\n", name, next)
	return err
}

// mark records it; all else is the hub's.
func mark(ctx context.Context, c client.Client, cluster *clusterv1.ManagedCluster) error {
	who, err := whoAmI(ctx, c)
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{
		kronvoyv1alpha1.AnnotationDetached:   time.Now().UTC().Format(time.RFC3339),
		kronvoyv1alpha1.AnnotationDetachedBy: who,
	}}})
	if err != nil {
		return err
	}
	if err := c.Patch(ctx, cluster, client.RawPatch(types.MergePatchType, patch), client.FieldOwner("kronvoy")); err != nil {
		return fmt.Errorf("detaching cluster %s: %w", cluster.Name, err)
	}
	return nil
}

// await follows the hub until it has let go.
func (o *detachOptions) await(ctx context.Context, c client.Client, errOut io.Writer, name string) (gone bool, err error) {
	said := ""
	err = wait.PollUntilContextTimeout(ctx, refresh, o.timeout, true, func(ctx context.Context) (bool, error) {
		cluster := &clusterv1.ManagedCluster{}
		err := c.Get(ctx, client.ObjectKey{Name: name}, cluster)
		if apierrors.IsNotFound(err) {
			gone = true
			return true, nil
		}
		if err != nil {
			return false, err
		}
		condition := apimeta.FindStatusCondition(cluster.Status.Conditions, kronvoyv1alpha1.ConditionDetached)
		if condition != nil && condition.Message != said {
			said = condition.Message
			fmt.Fprintln(errOut, said)
		}
		return cluster.DeletionTimestamp == nil && apimeta.IsStatusConditionTrue(cluster.Status.Conditions, kronvoyv1alpha1.ConditionDetached), nil
	})
	if err != nil {
		return false, fmt.Errorf("cluster %s is marked as detached, and the hub has not let go of it: %w; is the hub running? Run again this command waits for it", name, err)
	}
	return gone, nil
}

func (o *detachOptions) confirm(in io.Reader, errOut io.Writer, name string) error {
	if o.yes {
		return nil
	}
	file, ok := in.(interface{ Fd() uintptr })
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return fmt.Errorf("the hub would let go of all that runs on cluster %s: give --yes", name)
	}
	fmt.Fprintf(errOut, "Let go of cluster %s, as gone for good? [y/N] ", name)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}
