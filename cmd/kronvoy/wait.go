package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	clusterv1beta1 "open-cluster-management.io/api/cluster/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/connect"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/view"
	"github.com/kronvoy/kronvoy/internal/plain"
	"github.com/kronvoy/kronvoy/internal/steer"
)

var managedCluster = schema.GroupVersionKind{Group: clusterv1.GroupName, Version: "v1", Kind: "ManagedCluster"}

// waitable are kinds that can be waited for besides instances, by their words.
var waitable = map[string]schema.GroupVersionKind{
	"cluster": managedCluster, "managedcluster": managedCluster,
	"definition": view.Definitions, "rgd": view.Definitions, "resourcegraphdefinition": view.Definitions,
	"distribution": kronvoyv1alpha1.GroupVersion.WithKind("Distribution"),
	"rollout":      kronvoyv1alpha1.GroupVersion.WithKind("Rollout"),
	"placement":    {Group: clusterv1beta1.GroupName, Version: "v1beta1", Kind: "Placement"},
}

type waitOptions struct {
	connect.Hub
	goal    string
	timeout time.Duration
}

func waitCommand() *cobra.Command {
	var opts waitOptions
	cmd := &cobra.Command{
		Use:   "wait KIND/NAME",
		Short: "Wait until something is ready, rolled out, deleted, or has a condition",
		Long: `Wait for an instance, a cluster, definition, distribution, placement or rollout:

  ready           an instance: on all clusters, with its newest revision; a cluster: its
                  agent reports; a definition: its kind is served; a distribution: it
                  is accepted; a rollout: it has succeeded
  rolledout       an instance has its newest revision everywhere; a rollout has succeeded
  deleted         it is gone
  condition=TYPE  its condition is True, or with =STATUS something else

What was said of an older generation, or of a rollout before, does not count. How far it is goes to standard
error.`,
		Example: `  kronvoy wait webapp/shop -n shop --for=ready --timeout 10m
  kronvoy wait cluster/eu-west --for=ready
  kronvoy wait webapp/shop -n shop --for=condition=Placed=False`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return opts.run(cmd, args[0]) },
	}
	flags := cmd.Flags()
	opts.Bind(flags)
	opts.BindNamespace(flags, "the object")
	flags.StringVar(&opts.goal, "for", "ready", "ready, rolledout, deleted or condition=TYPE[=STATUS]")
	flags.DurationVar(&opts.timeout, "timeout", 5*time.Minute, "how long to wait")
	completeFirst(cmd, waitNames)
	exit.Says(cmd, exit.Done, "it is so")
	exit.Says(cmd, exit.Failed, "an error, or there is no such object")
	exit.Says(cmd, exit.No, "it will not become so before somebody does something: a rollout is paused, asks, or was rolled back; a definition cannot be used")
	exit.Says(cmd, exit.TimedOut, "it is not so after --timeout")
	return cmd
}

// errSettled ends the wait.
var errSettled = errors.New("settled")

func (o *waitOptions) run(cmd *cobra.Command, reference string) error {
	goal, err := view.ParseGoal(o.goal)
	if err != nil {
		return err
	}
	c, namespace, err := o.Client()
	if err != nil {
		return err
	}
	obj, err := named(cmd.Context(), c, namespace, reference)
	if goal.Deleted() && (apierrors.IsNotFound(err) || errors.Is(err, view.ErrNotFound)) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
	defer cancel()
	cmd.SetContext(ctx)
	var last view.Verdict
	options := cache.Options{}
	if obj.GetNamespace() != "" {
		options = rolloutOnly(obj.GetNamespace())
	}
	err = follow(cmd, &o.Hub, c, options, nil, func(ctx context.Context, r client.Reader) error {
		now := &unstructured.Unstructured{}
		now.SetGroupVersionKind(obj.GroupVersionKind())
		err := r.Get(ctx, client.ObjectKeyFromObject(obj), now)
		switch {
		case apierrors.IsNotFound(err) && goal.Deleted():
			last = view.Verdict{Reached: true}
			return errSettled
		case apierrors.IsNotFound(err):
			return fmt.Errorf("%s is gone", reference)
		case err != nil:
			return err
		}
		verdict := goal.Judge(now)
		if (verdict.Reached || verdict.Never) && goal.Outcome() && obj.GroupVersionKind() == waitable["rollout"] {
			if verdict, err = ofNow(ctx, r, client.ObjectKeyFromObject(obj), verdict); err != nil {
				return err
			}
		}
		if verdict.Message != last.Message && !verdict.Reached {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", reference, plain.Line(verdict.Message))
		}
		if last = verdict; verdict.Reached || verdict.Never {
			return errSettled
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, errSettled):
		return err
	case last.Reached:
		return nil
	case last.Never:
		return exit.No
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		fmt.Fprintf(cmd.ErrOrStderr(), "%s is not %s after %s: %s\n", reference, strings.ReplaceAll(o.goal, "=", " "), o.timeout, plain.Line(last.Message))
		return exit.TimedOut
	}
	return ctx.Err()
}

// ofNow is a verdict on a rollout that is of what is wanted now, and else that it is
// not over.
func ofNow(ctx context.Context, c client.Reader, key client.ObjectKey, verdict view.Verdict) (view.Verdict, error) {
	r, err := steer.Read(ctx, c, key)
	if err != nil {
		return verdict, err
	}
	behind, err := steer.Behind(ctx, c, r)
	if err != nil || behind == "" {
		return verdict, err
	}
	return view.Verdict{Message: behind}, nil
}

// named reads the object that a reference names.
func named(ctx context.Context, c client.Client, namespace, reference string) (*unstructured.Unstructured, error) {
	kind, name, _ := strings.Cut(reference, "/")
	gvk, known := waitable[strings.ToLower(kind)]
	if !known || name == "" {
		return view.Find(ctx, c, namespace, reference)
	}
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(gvk)
	mapping, err := c.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	key := client.ObjectKey{Name: name}
	if mapping.Scope.Name() == "namespace" {
		key.Namespace = namespace
	}
	if err := c.Get(ctx, key, obj); err != nil {
		return nil, fmt.Errorf("reading %s: %w", reference, err)
	}
	return obj, nil
}
