package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/view"
)

const (
	// completePatience is how long a shell waits for names.
	completePatience = 2 * time.Second
	// maxCompletions bounds what a shell is offered.
	maxCompletions = 500
)

// names lists what there is on a hub, for the shell to complete.
type names func(ctx context.Context, c client.Client, namespace string, args []string) ([]string, error)

// completion completes words by what there is on the hub. One that cannot be
// reached in time completes nothing: there is nobody to tell.
func completion(list names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completePatience)
		defer cancel()
		c, namespace, err := connect.Of(cmd.Flags()).Client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found, err := list(ctx, c, namespace, args)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.DeleteFunc(found, func(name string) bool { return !strings.HasPrefix(name, typed) }), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeNames completes the values of the flags that many commands have, for a
// command and all below it.
func completeNames(cmd *cobra.Command) {
	if flags := cmd.Flags(); flags.Lookup("kubeconfig") != nil {
		for flag, list := range map[string]names{"namespace": namespaceNames, "cluster": managedClusterNames} {
			if flags.Lookup(flag) != nil {
				completeFlag(cmd, flag, list)
			}
		}
	}
	for _, sub := range cmd.Commands() {
		completeNames(sub)
	}
}

// completeFirst completes the first argument, completeAll all of them.
func completeFirst(cmd *cobra.Command, list names) {
	all := completion(list)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return all(cmd, args, typed)
	}
}

func completeAll(cmd *cobra.Command, list names) {
	cmd.ValidArgsFunction = completion(list)
}

// completeFlag completes the value of a flag.
func completeFlag(cmd *cobra.Command, flag string, list names) {
	if err := cmd.RegisterFlagCompletionFunc(flag, completion(list)); err != nil {
		panic(err) // there is no such flag
	}
}

// objects are the names of all objects of a kind.
func objects(gvk schema.GroupVersionKind) names {
	return func(ctx context.Context, c client.Client, namespace string, _ []string) ([]string, error) {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		if err := c.List(ctx, list, client.InNamespace(namespace), client.Limit(maxCompletions)); err != nil {
			return nil, err
		}
		var found []string
		for i := range list.Items {
			found = append(found, list.Items[i].Name)
		}
		slices.Sort(found)
		return slices.Compact(found), nil
	}
}

// anywhere lists what has no namespace.
func anywhere(list names) names {
	return func(ctx context.Context, c client.Client, _ string, args []string) ([]string, error) {
		return list(ctx, c, "", args)
	}
}

var (
	managedClusterNames = anywhere(objects(schema.GroupVersionKind{Group: clusterv1.GroupName, Version: "v1", Kind: "ManagedCluster"}))
	namespaceNames      = anywhere(objects(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}))
	definitionNames     = anywhere(objects(view.Definitions))
	distributionNames   = objects(kronvoyv1alpha1.GroupVersion.WithKind("Distribution"))
	placementNames      = objects(schema.GroupVersionKind{Group: clusterv1beta1.GroupName, Version: "v1beta1", Kind: "Placement"})
	rolloutNames        = objects(kronvoyv1alpha1.GroupVersion.WithKind("Rollout"))
	approvalNames       = objects(kronvoyv1alpha1.GroupVersion.WithKind("ApprovalRequest"))
)

// instanceNames are kind/name of all instances.
func instanceNames(ctx context.Context, c client.Client, namespace string, args []string) ([]string, error) {
	kinds, err := view.Kinds(ctx, c)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, kind := range kinds {
		named, err := objects(kind)(ctx, c, namespace, args)
		if err != nil {
			// The kind may not be served yet; the others are.
			continue
		}
		for _, name := range named {
			found = append(found, strings.ToLower(kind.Kind)+"/"+name)
		}
	}
	return found, nil
}

// waitNames are kind/name of all that can be waited for: of instances, and of other
// kinds by the first of their words.
func waitNames(ctx context.Context, c client.Client, namespace string, args []string) ([]string, error) {
	found, err := instanceNames(ctx, c, namespace, args)
	for _, other := range []struct {
		word string
		list names
	}{
		{"cluster", managedClusterNames}, {"definition", definitionNames}, {"distribution", distributionNames}, {"placement", placementNames}, {"rollout", rolloutNames},
	} {
		named, failed := other.list(ctx, c, namespace, args)
		if failed != nil {
			// Who may not read these may wait for others.
			continue
		}
		for _, name := range named {
			found = append(found, other.word+"/"+name)
		}
	}
	if len(found) > 0 {
		err = nil
	}
	return found, err
}

// revisionNumbers are the revisions of the rollout that is the first argument.
func revisionNumbers(ctx context.Context, c client.Client, namespace string, args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	all, err := readPast(ctx, c, client.ObjectKey{Namespace: namespace, Name: args[0]})
	if err != nil {
		return nil, err
	}
	var found []string
	for i := range all {
		for _, revision := range all[i].Revisions {
			found = append(found, strconv.FormatInt(revision.Revision, 10)+"\t"+all[i].Instance)
		}
	}
	return found, nil
}

// everywhere lists what is in the namespaces of clusters, or of all instances.
func everywhere(gvk schema.GroupVersionKind) names { return anywhere(objects(gvk)) }
