package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/hub/convert"
	"github.com/kronvoy/kronvoy/hub/revision"
	"github.com/kronvoy/kronvoy/hub/work"
	"github.com/kronvoy/kronvoy/internal/steer"
	"github.com/kronvoy/kronvoy/placement/rollout"
)

// rolling is a hub with the Rollout of Distribution shop, and two instances: web
// with three revisions, of which the first two succeeded, and api with one.
func rolling(t *testing.T, phase kronvoyv1alpha1.RolloutPhase) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(kronvoyv1alpha1.AddToScheme(scheme), authenticationv1.AddToScheme(scheme), appsv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	d := &kronvoyv1alpha1.Distribution{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop", UID: "d"},
		Spec:       kronvoyv1alpha1.DistributionSpec{Instances: kronvoyv1alpha1.InstanceSelector{APIVersion: "kro.run/v1alpha1", Kind: "WebApp"}},
	}
	r := &kronvoyv1alpha1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop", OwnerReferences: []metav1.OwnerReference{
			*metav1.NewControllerRef(d, kronvoyv1alpha1.GroupVersion.WithKind("Distribution")),
		}},
		Status: kronvoyv1alpha1.RolloutStatus{
			Phase: phase, Message: "1 of 2 clusters have what is wanted", Group: "eu", ApprovalRequest: "shop-1",
			Counts:   kronvoyv1alpha1.RolloutCounts{Total: 2, Updated: 1, Ready: 1},
			Groups:   []kronvoyv1alpha1.RolloutGroup{{Name: "eu", State: "Progressing", Counts: kronvoyv1alpha1.RolloutCounts{Total: 2, Updated: 1, Ready: 1}}},
			Clusters: []kronvoyv1alpha1.RolloutCluster{{Name: "eu-2", Group: "eu", State: "Held", Reason: "Maintenance", Message: "Talos is being upgraded"}},
		},
	}
	revision := func(instance string, number int64, succeeded string) *appsv1.ControllerRevision {
		raw, err := json.Marshal(map[string]any{"definition": "webapp-1", "spec": map[string]any{"replicas": number}})
		if err != nil {
			t.Fatal(err)
		}
		controller := true
		out := &appsv1.ControllerRevision{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "shop", Name: instance + "-" + string(rune('0'+number)), Labels: map[string]string{kronvoyv1alpha1.LabelInstance: instance},
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "kro.run/v1alpha1", Kind: "WebApp", Name: instance, Controller: &controller}},
			},
			Revision: number, Data: runtime.RawExtension{Raw: raw},
		}
		if succeeded != "" {
			out.Annotations = map[string]string{kronvoyv1alpha1.AnnotationSucceededAt: succeeded}
		}
		return out
	}
	return approvalsOf(fake.NewClientBuilder().WithScheme(scheme).WithObjects(d, r,
		revision("web", 1, "2026-11-22T10:00:00.000000Z"), revision("web", 2, "2026-11-22T11:00:00.000000Z"), revision("web", 3, ""), revision("api", 1, "")).Build(), nil)
}

// runStatus runs the command with a watch in which nothing changes.
func runStatus(t *testing.T, opts rolloutStatusOptions, out, progress io.Writer, c client.Client, namespace string, names []string) error {
	t.Helper()
	watch := func(ctx context.Context, look func(context.Context, client.Reader) error) error {
		if err := look(ctx, c); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
	return opts.run(t.Context(), out, progress, c, watch, namespace, names)
}

var shopRollout = client.ObjectKey{Namespace: "shop", Name: "shop"}

func TestRolloutStatusSaysHowFarItIs(t *testing.T) {
	var out, progress bytes.Buffer
	opts := rolloutStatusOptions{rolloutFlags: rolloutFlags{output: "table"}, exitCode: true}
	err := runStatus(t, opts, &out, &progress, rolling(t, kronvoyv1alpha1.RolloutWaitingForApproval), "shop", []string{"shop"})
	if !errors.Is(err, errUnfinished) {
		t.Errorf("the error is %v", err)
	}
	for _, want := range []string{"WaitingForApproval: 1 of 2", "kronvoy rollout approve shop-1 -n shop", "eu-2", "Talos is being upgraded"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	if err := runStatus(t, opts, &out, &progress, rolling(t, kronvoyv1alpha1.RolloutSucceeded), "shop", nil); err != nil || !strings.Contains(out.String(), "Succeeded") {
		t.Errorf("%v\n%s", err, out.String())
	}
	opts.wait, opts.timeout = true, time.Millisecond
	if err := runStatus(t, opts, &out, &progress, rolling(t, kronvoyv1alpha1.RolloutProgressing), "shop", []string{"shop"}); !errors.Is(err, exit.TimedOut) || !strings.Contains(progress.String(), "Progressing: 1 of 2") {
		t.Errorf("the error is %v, progress %q", err, progress.String())
	}
	if err := runStatus(t, opts, &out, &progress, rolling(t, kronvoyv1alpha1.RolloutSucceeded), "shop", []string{"other"}); err == nil || !strings.Contains(err.Error(), "kronvoy rollout status -n shop") {
		t.Errorf("the error is %v", err)
	}
}

// applied is a hub with a Rollout that has come to an end, before an instance is
// changed; step does what the hub does after that, one thing at a time.
func applied(t *testing.T, phase kronvoyv1alpha1.RolloutPhase) (c client.Client, step []func()) {
	t.Helper()
	c = rolling(t, phase)
	instance := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "kro.run/v1alpha1", "kind": "WebApp",
		"metadata": map[string]any{"namespace": "shop", "name": "web", "uid": "w"}, "spec": map[string]any{"replicas": int64(3)},
	}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.DeleteAllOf(t.Context(), &appsv1.ControllerRevision{}, client.InNamespace("shop")))
	revise := func(number, replicas int64) string {
		state := revision.Instance{Definition: "webapp-1", Spec: map[string]any{"replicas": replicas}}
		r, err := state.Object("shop", work.IdentityOfInstance(instance), number, *metav1.NewControllerRef(instance, instance.GroupVersionKind()))
		must(err)
		must(c.Create(t.Context(), r))
		return r.Name
	}
	begin := func(revision string) {
		r, err := steer.Read(t.Context(), c, shopRollout)
		must(err)
		strategy, err := convert.Strategy(nil)
		must(err)
		r.Status.Plan = rollout.PlanOf(rollout.Input{Strategy: strategy, Instances: []rollout.Instance{{Name: "web", Wanted: revision}}})
		must(c.Update(t.Context(), r))
	}
	must(c.Create(t.Context(), instance))
	begin(revise(1, 2))
	newest := ""
	return c, []func(){
		func() { newest = revise(2, 3) },
		func() { begin(newest) },
	}
}

func TestTheEndOfARolloutBeforeIsNotWaitedFor(t *testing.T) {
	for _, phase := range []kronvoyv1alpha1.RolloutPhase{kronvoyv1alpha1.RolloutSucceeded, kronvoyv1alpha1.RolloutRolledBack} {
		t.Run(string(phase), func(t *testing.T) {
			c, steps := applied(t, phase)
			watch := func(ctx context.Context, look func(context.Context, client.Reader) error) error {
				for {
					if err := look(ctx, c); err != nil || len(steps) == 0 {
						return err
					}
					steps[0]()
					steps = steps[1:]
				}
			}
			var progress bytes.Buffer
			opts := rolloutStatusOptions{rolloutFlags: rolloutFlags{output: "json"}, wait: true, timeout: time.Hour}
			err := opts.run(t.Context(), io.Discard, &progress, c, watch, "shop", []string{"shop"})
			if succeeded := phase == kronvoyv1alpha1.RolloutSucceeded; succeeded != (err == nil) || !succeeded && !errors.Is(err, errUnfinished) || len(steps) > 0 {
				t.Errorf("the error is %v, with %d steps left", err, len(steps))
			}
			want := "instance web has no revision yet of what it and its Distribution say now\nthe rollout of what is wanted now has not begun\n"
			if diff := cmp.Diff(want, progress.String()); diff != "" {
				t.Errorf("progress (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOrdersAreGivenInOnesOwnName(t *testing.T) {
	c := rolling(t, kronvoyv1alpha1.RolloutProgressing)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	opts := rolloutOrderOptions{reason: "incident"}
	r, err := opts.order(t.Context(), c, shopRollout, now, steer.Pause)
	if err != nil || r.Spec.Paused == nil || r.Spec.Paused.By != "alice" || r.Spec.Paused.Reason != "incident" || !r.Spec.Paused.At.Time.Equal(now) {
		t.Errorf("%v: %+v", err, r)
	}
	r, err = opts.order(t.Context(), c, shopRollout, now, steer.Resume)
	if err != nil || r.Spec.Paused != nil {
		t.Errorf("%v: %+v", err, r)
	}
}

func TestAnOrderIsGivenWhileTheHubWritesTheStatus(t *testing.T) {
	conflicts := 0
	c := interceptor.NewClient(rolling(t, kronvoyv1alpha1.RolloutProgressing).(client.WithWatch), interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if conflicts++; conflicts < 3 {
				return apierrors.NewConflict(schema.GroupResource{Resource: "rollouts"}, obj.GetName(), errors.New("it was written"))
			}
			return c.Patch(ctx, obj, patch, opts...)
		},
	})
	var opts rolloutOrderOptions
	r, err := opts.order(t.Context(), c, shopRollout, time.Now(), func(spec *kronvoyv1alpha1.RolloutSpec, o kronvoyv1alpha1.RolloutOrder) { spec.Paused = &o })
	if err != nil || r.Spec.Paused == nil || conflicts != 3 {
		t.Errorf("after %d attempts: %v: %+v", conflicts, err, r)
	}
}

func TestWhatIsForbiddenSaysWhichRoleAllowsIt(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "shop", errors.New("no right"))
	c := interceptor.NewClient(rolling(t, kronvoyv1alpha1.RolloutProgressing).(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if _, rollout := obj.(*kronvoyv1alpha1.Rollout); rollout {
				return c.Get(ctx, key, obj, opts...)
			}
			return forbidden
		},
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return forbidden
		},
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return forbidden
		},
	})
	output := rolloutFlags{output: "table"}
	for name, run := range map[string]func() error{
		"status": func() error {
			opts := rolloutStatusOptions{rolloutFlags: output}
			return runStatus(t, opts, io.Discard, io.Discard, c, "shop", nil)
		},
		"undo": func() error {
			opts := rolloutUndoOptions{rolloutOrderOptions: rolloutOrderOptions{rolloutFlags: output}}
			return opts.run(t.Context(), io.Discard, c, shopRollout, time.Now())
		},
		"pause": func() error {
			var opts rolloutOrderOptions
			_, err := opts.order(t.Context(), c, shopRollout, time.Now(), func(*kronvoyv1alpha1.RolloutSpec, kronvoyv1alpha1.RolloutOrder) {})
			return err
		},
	} {
		if err := run(); !apierrors.IsForbidden(err) || strings.Count(err.Error(), "ClusterRole kronvoy-rollout-operator in namespace shop") != 1 {
			t.Errorf("%s says %v", name, err)
		}
	}
}

func TestUndoGoesBackToTheLastThatSucceeded(t *testing.T) {
	for name, tc := range map[string]struct {
		opts rolloutUndoOptions
		want []kronvoyv1alpha1.RolloutPin
		err  string
	}{
		"one instance":                  {opts: rolloutUndoOptions{instance: "web"}, want: []kronvoyv1alpha1.RolloutPin{{Name: "web", From: "web-3", To: "web-2"}}},
		"to a number":                   {opts: rolloutUndoOptions{instance: "web", to: 1}, want: []kronvoyv1alpha1.RolloutPin{{Name: "web", From: "web-3", To: "web-1"}}},
		"where there is nothing before": {err: "instance api has no earlier revision"},
		"a number of which instance":    {opts: rolloutUndoOptions{to: 1}, err: "--instance"},
		"a number that there is not":    {opts: rolloutUndoOptions{instance: "web", to: 9}, err: "no revision 9"},
		"no such instance":              {opts: rolloutUndoOptions{instance: "db"}, err: "no instance db"},
	} {
		t.Run(name, func(t *testing.T) {
			c := rolling(t, kronvoyv1alpha1.RolloutSucceeded)
			tc.opts.output = "table"
			err := tc.opts.run(t.Context(), &bytes.Buffer{}, c, shopRollout, time.Now())
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("the error is %v, want one with %q", err, tc.err)
				}
				return
			}
			r, readErr := steer.Read(t.Context(), c, shopRollout)
			if err := errors.Join(err, readErr); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, r.Spec.Undo.Instances); diff != "" {
				t.Errorf("pins (-want +got):\n%s", diff)
			}
			tc.opts = rolloutUndoOptions{cancel: true, rolloutOrderOptions: tc.opts.rolloutOrderOptions}
			if err := tc.opts.run(t.Context(), &bytes.Buffer{}, c, shopRollout, time.Now()); err != nil {
				t.Fatal(err)
			}
			if r, err := steer.Read(t.Context(), c, shopRollout); err != nil || r.Spec.Undo != nil {
				t.Errorf("%v: %+v", err, r)
			}
		})
	}
}

// Which release runs the newest revision tells, not the one of this command.
func TestUndoRefusesWhatAnotherReleaseRendered(t *testing.T) {
	c := rolling(t, kronvoyv1alpha1.RolloutSucceeded)
	for name, hash := range map[string]string{"web-1": "v8-0123456789abcdef", "web-2": "v9-0123456789abcdef", "web-3": "v9-1123456789abcdef"} {
		r := &appsv1.ControllerRevision{}
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: name}, r); err != nil {
			t.Fatal(err)
		}
		metav1.SetMetaDataAnnotation(&r.ObjectMeta, kronvoyv1alpha1.AnnotationHash, hash)
		if err := c.Update(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	opts := rolloutUndoOptions{instance: "web", to: 1}
	opts.output = "table"
	if err := opts.run(t.Context(), &bytes.Buffer{}, c, shopRollout, time.Now()); err == nil || !strings.Contains(err.Error(), "kronvoy rollout diff --instance web --from 1") {
		t.Errorf("the error is %v", err)
	}
	opts.to = 2
	if err := opts.run(t.Context(), &bytes.Buffer{}, c, shopRollout, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestHistoryAndDiff(t *testing.T) {
	all, err := readPast(t.Context(), rolling(t, kronvoyv1alpha1.RolloutSucceeded), shopRollout)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	opts := rolloutDiffOptions{rolloutFlags: rolloutFlags{output: "table"}, instance: "web"}
	if err := opts.writeVersions(&out, steer.Versions(all)); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(out.String(), "\n"); len(lines) != 6 || !strings.HasSuffix(lines[1], "newest") || !strings.HasSuffix(lines[3], "succeeded, good") {
		t.Errorf("it says\n%s", out.String())
	}
}
