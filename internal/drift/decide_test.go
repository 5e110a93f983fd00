package drift

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func open(change func(*Finding)) Finding {
	f := Finding{
		Cluster: "us-east", Instance: &Instance{Kind: "WebApp", Group: "kro.run", Namespace: "shop", Name: "shop"}, Open: true,
		Finding: kronvoyv1alpha1.Finding{
			ID: "1", ObjectReference: settings, Action: kronvoyv1alpha1.FindingReported, DetailCount: 1,
			Details: []kronvoyv1alpha1.FindingDetail{{Path: "data.color", Manager: "kubectl-edit"}},
		},
		target: client.ObjectKey{Namespace: "us-east", Name: "shop"},
	}
	if change != nil {
		change(&f)
	}
	return f
}

func TestWhatCannotBeDecidedSaysWhy(t *testing.T) {
	accept, correct := Order{Verdict: kronvoyv1alpha1.DriftAccept}, Order{Verdict: kronvoyv1alpha1.DriftPutRight}
	forced := correct
	forced.Force = true
	missing := func(f *Finding) { f.Missing, f.Details, f.DetailCount = true, nil, 0 }
	conflict := func(f *Finding) { f.Action = kronvoyv1alpha1.FindingConflict }
	tests := map[string]struct {
		order   Order
		finding Finding
		want    string
	}{
		"a field is accepted":            {accept, open(nil), ""},
		"a field is put right":           {correct, open(nil), ""},
		"an older agent":                 {accept, open(func(f *Finding) { f.ID = "" }), "the cluster's agent is of an older release, which does not name its findings"},
		"the namespace of several":       {correct, open(func(f *Finding) { f.Instance = nil }), "the object belongs to no single instance"},
		"admission":                      {accept, open(func(f *Finding) { f.Action = kronvoyv1alpha1.FindingMutatedOnAdmission }), "the cluster's own admission decides"},
		"a suspended object":             {correct, open(func(f *Finding) { f.Details[0].Path = `metadata.annotations["kronvoy.io/reconcile"]` }), "take its annotation kronvoy.io/reconcile off there"},
		"a missing object, accepted":     {accept, open(missing), "a missing object cannot be accepted"},
		"a missing object, put right":    {correct, open(missing), ""},
		"somebody else's, accepted":      {accept, open(conflict), ""},
		"somebody else's, put right":     {correct, open(conflict), "the fields belong to somebody else (kubectl-edit), who may change them back: --force"},
		"somebody else's, with force":    {forced, open(conflict), ""},
		"more than is listed, accepted":  {accept, open(func(f *Finding) { f.DetailCount = 200 }), "200 fields differ, and the report lists 1 of them"},
		"more than is listed, put right": {correct, open(func(f *Finding) { f.DetailCount = 200 }), ""},
		"a path that was cut":            {accept, open(func(f *Finding) { f.Details[0].Path = "data.col…" }), "too long for the report"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := tc.order.refuses(tc.finding)
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("it is refused with %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAnOrderBecomesChanges(t *testing.T) {
	stood := Decision{
		Cluster: "us-east", Instance: Instance{Kind: "WebApp"},
		DriftDecision: kronvoyv1alpha1.DriftDecision{ID: "7", Verdict: kronvoyv1alpha1.DriftAccept, ObjectReference: settings, Paths: []string{"data.size"}, By: "bob"},
	}
	view := View{
		Findings: []Finding{
			open(nil),
			open(func(f *Finding) { f.ID, f.Action = "2", kronvoyv1alpha1.FindingConflict }),
			open(func(f *Finding) { f.ID, f.Action, f.Open = "3", kronvoyv1alpha1.FindingCorrected, false }),
		},
		Decisions: []Decision{stood},
	}
	accept, correct := Order{Verdict: kronvoyv1alpha1.DriftAccept, By: "ann"}, Order{Verdict: kronvoyv1alpha1.DriftPutRight, By: "ann"}
	with := func(o Order, change func(*Order)) Order { change(&o); return o }
	tests := map[string]struct {
		order   Order
		want    []string
		skipped int
		err     string
	}{
		"accept all that is open":             {order: accept, want: []string{"1 Accept by ann", "2 Accept by ann"}},
		"accept what was corrected":           {order: with(accept, func(o *Order) { o.IDs = []string{"3"} }), want: []string{"3 Accept by ann"}},
		"accept what is accepted":             {order: with(accept, func(o *Order) { o.IDs = []string{"7"} }), want: []string{"7 Accept by bob stands"}},
		"correct all that is ours":            {order: correct, want: []string{"1 Correct by ann"}, skipped: 1},
		"correct with force":                  {order: with(correct, func(o *Order) { o.Force = true }), want: []string{"1 Correct by ann", "2 Correct by ann"}},
		"correct what is not ours":            {order: with(correct, func(o *Order) { o.IDs = []string{"1", "2"} }), err: "2, ConfigMap shop/settings on cluster us-east: the fields belong to somebody else"},
		"correct what is corrected":           {order: with(correct, func(o *Order) { o.IDs = []string{"3"} })},
		"take one back":                       {order: with(correct, func(o *Order) { o.IDs = []string{"7"} }), want: []string{"7 Correct by ann"}},
		"take all back":                       {order: with(correct, func(o *Order) { o.Accepted = true }), want: []string{"7 Correct by ann"}},
		"what nobody knows, beside a finding": {order: with(correct, func(o *Order) { o.IDs = []string{"1", "99"} }), err: "99 is neither reported nor accepted"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			changes, skipped, err := view.Decide(tc.order)
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Fatalf("the error is %v, want %q", err, tc.err)
			}
			if err != nil {
				return
			}
			var got []string
			for _, change := range changes {
				line := fmt.Sprintf("%s %s by %s", change.Decision.ID, change.Decision.Verdict, change.Decision.By)
				if change.Stands {
					line += " stands"
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || len(skipped) != tc.skipped {
				t.Errorf("changes (-want +got):\n%s%d skipped: %q", diff, len(skipped), skipped)
			}
		})
	}
}

func TestADecisionTakesThePlaceOfThoseAboutItsFields(t *testing.T) {
	d := func(id string, verdict kronvoyv1alpha1.DriftVerdict, paths ...string) kronvoyv1alpha1.DriftDecision {
		return kronvoyv1alpha1.DriftDecision{ID: id, Verdict: verdict, ObjectReference: settings, Paths: paths}
	}
	const accept, correct = kronvoyv1alpha1.DriftAccept, kronvoyv1alpha1.DriftPutRight
	elsewhere := d("0", accept, "a")
	elsewhere.Name = "other"
	tests := map[string]struct {
		before []kronvoyv1alpha1.DriftDecision
		next   kronvoyv1alpha1.DriftDecision
		want   []string
	}{
		"the same finding":           {[]kronvoyv1alpha1.DriftDecision{d("1", accept, "a")}, d("1", correct, "a"), []string{"1"}},
		"another object":             {[]kronvoyv1alpha1.DriftDecision{elsewhere}, d("1", correct, "a"), []string{"0", "1"}},
		"other fields":               {[]kronvoyv1alpha1.DriftDecision{d("0", accept, "b")}, d("1", accept, "a"), []string{"0", "1"}},
		"fields that it includes":    {[]kronvoyv1alpha1.DriftDecision{d("0", accept, "a")}, d("1", accept, "a", "b"), []string{"1"}},
		"more fields, as before":     {[]kronvoyv1alpha1.DriftDecision{d("0", accept, "a", "b")}, d("1", accept, "a"), []string{"0", "1"}},
		"more fields, the other way": {[]kronvoyv1alpha1.DriftDecision{d("0", accept, "a", "b")}, d("1", correct, "a"), []string{"1"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, d := range with(tc.before, tc.next) {
				got = append(got, d.ID)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("decisions (-want +got):\n%s", diff)
			}
		})
	}
}

// Somebody else decides between our look and our write.
func TestWhatOthersDecideAtTheSameTimeIsKept(t *testing.T) {
	base := hub(t)
	busy := true
	c := interceptor.NewClient(base.(client.WithWatch), interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if busy {
				busy = false
				theirs := target("us-east", "WebApp", "shop", "shop", `[{"id":"theirs","verdict":"Accept","resource":"secrets","name":"x"}]`)
				if err := c.Patch(ctx, theirs, client.RawPatch(client.Merge.Type(), []byte(fmt.Sprintf(`{"metadata":{"annotations":{"kronvoy.io/drift-decisions":%q}}}`, theirs.Annotations[kronvoyv1alpha1.AnnotationDriftDecisions])))); err != nil {
					return err
				}
			}
			return c.Patch(ctx, obj, patch, opts...)
		},
	})
	view, err := Gather(t.Context(), c, Scope{Cluster: "us-east", IDs: []string{scaled.ID, gone.ID}})
	if err != nil {
		t.Fatal(err)
	}
	changes, _, err := view.Decide(Order{Verdict: kronvoyv1alpha1.DriftPutRight, IDs: []string{scaled.ID}, By: "ann", At: now, Reason: "why"})
	if err != nil {
		t.Fatal(err)
	}
	if err := Record(t.Context(), c, changes); err != nil {
		t.Fatal(err)
	}
	written := &kronvoyv1alpha1.Target{}
	if err := base.Get(t.Context(), changes[0].target, written); err != nil {
		t.Fatal(err)
	}
	decisions, err := kronvoyv1alpha1.ParseDriftDecisions(written.Annotations)
	if err != nil {
		t.Fatal(err)
	}
	if len(decisions) != 2 || decisions[0].ID != "theirs" || decisions[1].ID != scaled.ID || decisions[1].By != "ann" || decisions[1].Reason != "why" {
		t.Errorf("the decisions are %+v", decisions)
	}
}

func TestRecordSaysWhichRoleIsMissing(t *testing.T) {
	c := interceptor.NewClient(hub(t).(client.WithWatch), interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return apierrors.NewForbidden(schema.GroupResource{Group: "kronvoy.io", Resource: "targets"}, "shop", errors.New("no"))
		},
	})
	change := Change{Cluster: "us-east", target: client.ObjectKey{Namespace: "us-east", Name: "webapp-shop"}}
	if err := Record(t.Context(), c, []Change{change}); err == nil || !strings.Contains(err.Error(), "ClusterRole kronvoy-drift-operator") {
		t.Errorf("the error is %v", err)
	}
	change.Stands = true
	if err := Record(t.Context(), c, []Change{change}); err != nil {
		t.Errorf("what stands was written: %v", err)
	}
}

func TestDecisionsOfOneTargetAreBounded(t *testing.T) {
	change := Change{Cluster: "us-east", target: client.ObjectKey{Namespace: "us-east", Name: "webapp-shop"}}
	change.Decision = kronvoyv1alpha1.DriftDecision{ID: "1", Paths: []string{strings.Repeat("x", kronvoyv1alpha1.MaxDriftDecisionsBytes)}}
	if err := Record(t.Context(), hub(t), []Change{change}); err == nil || !strings.Contains(err.Error(), "set a drift policy") {
		t.Errorf("the error is %v", err)
	}
}

func TestADecisionHasItsEffectWhenTheAgentReportsIt(t *testing.T) {
	accepted := kronvoyv1alpha1.DriftDecision{ID: "1", Verdict: kronvoyv1alpha1.DriftAccept, ObjectReference: settings, Paths: []string{"data.color"}}
	corrected := accepted
	corrected.Verdict = kronvoyv1alpha1.DriftPutRight
	finding := func(id string, action kronvoyv1alpha1.FindingAction) []kronvoyv1alpha1.Finding {
		f := open(nil).Finding
		f.ID, f.Action = id, action
		return []kronvoyv1alpha1.Finding{f}
	}
	const reported, put = kronvoyv1alpha1.FindingReported, kronvoyv1alpha1.FindingCorrected
	tests := map[string]struct {
		decision kronvoyv1alpha1.DriftDecision
		stands   bool
		findings []kronvoyv1alpha1.Finding
		done     bool
		err      string
	}{
		"accepted, still reported":            {accepted, true, finding("1", reported), false, ""},
		"accepted, corrected before":          {accepted, true, finding("1", put), false, ""},
		"accepted, gone":                      {accepted, true, nil, true, ""},
		"accepted, taken back by another":     {accepted, false, nil, false, "somebody took the decision back"},
		"to be corrected, stands":             {corrected, true, finding("1", put), false, ""},
		"to be corrected, dropped":            {corrected, false, finding("1", put), true, ""},
		"to be corrected, differs again":      {corrected, false, finding("2", reported), false, "`kronvoy drift show 2`"},
		"to be corrected, other fields again": {corrected, false, []kronvoyv1alpha1.Finding{older}, true, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var decisions []kronvoyv1alpha1.DriftDecision
			if tc.stands {
				decisions = append(decisions, tc.decision)
			}
			done, err := effect(tc.decision, decisions, tc.findings)
			if done != tc.done || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("done is %t with %v, want %t with %q", done, err, tc.done, tc.err)
			}
		})
	}
}

func TestAWaitThatEndsSaysWhatItWaitedFor(t *testing.T) {
	frozen := target("us-east", "WebApp", "frozen", "shop", "")
	frozen.Status.Suspended = "cluster us-east is frozen: incident 7"
	decision := kronvoyv1alpha1.DriftDecision{ID: "1", Verdict: kronvoyv1alpha1.DriftPutRight, ObjectReference: settings}
	text, err := json.Marshal([]kronvoyv1alpha1.DriftDecision{decision})
	if err != nil {
		t.Fatal(err)
	}
	frozen.Annotations = map[string]string{kronvoyv1alpha1.AnnotationDriftDecisions: string(text)}
	frozen.Name = "frozen"
	left := Change{Cluster: "us-east", Decision: decision, target: client.ObjectKeyFromObject(frozen)}
	gone := Change{Cluster: "us-east", target: client.ObjectKey{Namespace: "us-east", Name: "left"}}

	ctx, cancel := context.WithCancel(t.Context())
	var told []Change
	err = Wait(ctx, hub(t, frozen), []Change{left, gone}, func(change Change) error {
		told = append(told, change)
		cancel() // both were looked at once
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "1 on cluster us-east: nothing is written there: cluster us-east is frozen: incident 7") {
		t.Errorf("the error is %v", err)
	}
	if !slices.EqualFunc(told, []Change{gone}, func(a, b Change) bool { return a.target == b.target }) {
		t.Errorf("told of %v", told)
	}
}
