package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clusterv1 "open-cluster-management.io/api/cluster/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/internal/drift"
)

// reportingHub has an instance with a finding of its own and one that is
// somebody else's.
func reportingHub(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{authenticationv1.AddToScheme, clusterv1.Install, kronvoyv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	labels := map[string]string{kronvoyv1alpha1.LabelInstance: "shop"}
	target := &kronvoyv1alpha1.Target{ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west", Name: "shop", Labels: labels}}
	target.Spec.Instance = kronvoyv1alpha1.InstanceReference{APIVersion: "kro.run/v1alpha1", Kind: "WebApp", Namespace: "shop", Name: "shop"}
	finding := func(id string, action kronvoyv1alpha1.FindingAction, path string) kronvoyv1alpha1.Finding {
		return kronvoyv1alpha1.Finding{
			ID: id, Action: action, DetailCount: 1, Details: []kronvoyv1alpha1.FindingDetail{{Path: path, Manager: "kubectl-edit"}},
			ObjectReference: kronvoyv1alpha1.ObjectReference{Kind: "ConfigMap", Resource: "configmaps", Namespace: "shop", Name: "settings"},
		}
	}
	report := &kronvoyv1alpha1.WorkReport{ObjectMeta: metav1.ObjectMeta{Namespace: "eu-west", Name: "shop-0", Labels: labels}}
	report.Status.Findings = []kronvoyv1alpha1.Finding{
		finding("0011aabbccdd", kronvoyv1alpha1.FindingReported, "data.color"), finding("2233aabbccdd", kronvoyv1alpha1.FindingConflict, "data.size"),
	}
	return interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).WithObjects(target, report).Build(), interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, obj client.Object, _ ...client.CreateOption) error {
			obj.(*authenticationv1.SelfSubjectReview).Status.UserInfo.Username = "ann"
			return nil
		},
	})
}

func TestDriftCorrectDecidesOnlyWhatWasAgreedTo(t *testing.T) {
	all := drift.Scope{Namespace: "shop"}
	tests := map[string]struct {
		options  driftDecideOptions
		scope    drift.Scope
		recorded []string
		out      string
		errOut   string
		err      string
	}{
		"many, and nobody to ask": {scope: all, err: "1 findings would be corrected: give --yes", errOut: "Left out: ConfigMap shop/settings on cluster eu-west: the fields belong to somebody else (kubectl-edit)"},
		"many, agreed to":         {scope: all, options: driftDecideOptions{yes: true}, recorded: []string{"0011aabbccdd"}, out: "0011aabbccdd: data.color of ConfigMap shop/settings on cluster eu-west will be corrected\n"},
		"many, with force":        {scope: all, options: driftDecideOptions{yes: true, order: drift.Order{Force: true}}, recorded: []string{"0011aabbccdd", "2233aabbccdd"}, out: "2233aabbccdd: data.size"},
		"one by its ID":           {scope: drift.Scope{IDs: []string{"0011aabbccdd"}}, recorded: []string{"0011aabbccdd"}, out: "will be corrected"},
		"a dry run":               {scope: all, options: driftDecideOptions{dryRun: true}, out: "0011aabbccdd: data.color of ConfigMap shop/settings on cluster eu-west would be corrected\n"},
		"nothing":                 {scope: drift.Scope{Namespace: "empty"}, out: "nothing to do\n"},
		"nothing, as JSON":        {scope: drift.Scope{Namespace: "empty"}, options: driftDecideOptions{driftFlags: driftFlags{output: "json"}}, out: "[]\n"},
		"an ID that is not there": {scope: drift.Scope{IDs: []string{"0011aabbccdd", "ff"}}, err: "nothing was decided: ff is neither reported nor accepted"},
		"waiting, too long": {
			scope: drift.Scope{IDs: []string{"0011aabbccdd"}}, options: driftDecideOptions{wait: true, timeout: 50 * time.Millisecond},
			recorded: []string{"0011aabbccdd"}, err: "0 of 1 corrected; the other decisions stand, and run again this command waits for them: 0011aabbccdd on cluster eu-west: the agent has not answered yet",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := reportingHub(t)
			var out, errOut bytes.Buffer
			o := tc.options
			o.in, o.out, o.errOut, o.verb, o.done = strings.NewReader("y\n"), &out, &errOut, "correct", "corrected"
			o.order.Verdict = kronvoyv1alpha1.DriftPutRight
			if o.output == "" {
				o.output = "table"
			}
			err := o.run(t.Context(), c, tc.scope)
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("the error is %v, want %q", err, tc.err)
			}
			if !strings.Contains(out.String(), tc.out) || !strings.Contains(errOut.String(), tc.errOut) {
				t.Errorf("out %q, stderr %q", out.String(), errOut.String())
			}
			target := &kronvoyv1alpha1.Target{}
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: "eu-west", Name: "shop"}, target); err != nil {
				t.Fatal(err)
			}
			decisions, err := kronvoyv1alpha1.ParseDriftDecisions(target.Annotations)
			if err != nil {
				t.Fatal(err)
			}
			var recorded []string
			for _, d := range decisions {
				recorded = append(recorded, d.ID)
				if d.By != "ann" || d.At.IsZero() || d.Verdict != kronvoyv1alpha1.DriftPutRight {
					t.Errorf("it is recorded as %+v", d)
				}
			}
			if strings.Join(recorded, " ") != strings.Join(tc.recorded, " ") {
				t.Errorf("recorded %q, want %q", recorded, tc.recorded)
			}
		})
	}
}

func TestDriftDecisionsNeedASelection(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"none":             {[]string{"accept"}, "give IDs of findings, one KIND/NAME, or --all"},
		"two of them":      {[]string{"correct", "--all", "0011aabbccdd"}, "give IDs of findings, one KIND/NAME, or --all"},
		"a long reason":    {[]string{"accept", "0011aabbccdd", "--reason", strings.Repeat("x", 300)}, "--reason has 300 bytes, and 256 are allowed"},
		"no force to stay": {[]string{"accept", "0011aabbccdd", "--force"}, "unknown flag: --force"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, _, err := run(t, "", append([]string{"drift"}, tc.args...)...); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is %v, want %q", err, tc.want)
			}
		})
	}
}
