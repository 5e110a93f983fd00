package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
	"github.com/kronvoy/kronvoy/internal/drift"
)

func TestDriftListExitsWith2OnlyForOpenFindings(t *testing.T) {
	open := drift.Finding{Open: true, Finding: kronvoyv1alpha1.Finding{ID: "1", Action: kronvoyv1alpha1.FindingReported}}
	over := drift.Finding{Finding: kronvoyv1alpha1.Finding{ID: "2", Action: kronvoyv1alpha1.FindingCorrected}}
	tests := map[string]struct {
		options driftListOptions
		view    drift.View
		out     string
		errOut  string
		status  exit.Code
	}{
		"open findings":                        {options: driftListOptions{exitCode: true}, view: drift.View{Findings: []drift.Finding{over, open}}, out: "Reported", status: 2},
		"open findings that nobody asks about": {view: drift.View{Findings: []drift.Finding{open}}, out: "Reported"},
		"what is over":                         {options: driftListOptions{exitCode: true}, view: drift.View{Findings: []drift.Finding{over}}, out: "Corrected"},
		"clusters that do not report": {
			options: driftListOptions{exitCode: true}, view: drift.View{Silent: []string{"ocm"}},
			out: "no drift is reported", errOut: "Not included: ocm.",
		},
		"JSON": {
			options: driftListOptions{exitCode: true, driftFlags: driftFlags{output: "json"}}, view: drift.View{Findings: []drift.Finding{open}, Silent: []string{"ocm"}},
			out: `"silent": [`, status: 2,
		},
		"decisions": {options: driftListOptions{exitCode: true, accepted: true}, view: drift.View{Findings: []drift.Finding{open}}, out: "no drift is accepted"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.options.output == "" {
				tc.options.output = "table"
			}
			var out, errOut bytes.Buffer
			err := tc.options.write(&out, &errOut, tc.view, time.Now())
			var status exit.Code
			if err != nil && !errors.As(err, &status) {
				t.Fatal(err)
			}
			if status != tc.status || !strings.Contains(out.String(), tc.out) || !strings.Contains(errOut.String(), tc.errOut) {
				t.Errorf("status %d, want %d, out %q, stderr %q", status, tc.status, out.String(), errOut.String())
			}
		})
	}
}

func TestDriftSaysWhatIsWrongWithItsArguments(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"an unknown action":   {args: []string{"list", "--action", "Reported,Broken"}, want: `--action "Broken" is none of [Reported Conflict Corrected MutatedOnAdmission]`},
		"IDs and an instance": {args: []string{"show", "0011aabbccdd", "webapp/shop", "--kubeconfig", "testdata/kubeconfig.yaml"}, want: "give IDs of findings, or one KIND/NAME"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := run(t, "", append([]string{"drift"}, tc.args...)...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is %v, want %q", err, tc.want)
			}
		})
	}
}
