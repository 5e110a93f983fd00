package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/cmd/kronvoy/internal/exit"
)

const placementObjects = "testdata/placement/objects.yaml"

func TestExplainPlacement(t *testing.T) {
	const everything = `Placement shop/prod selects 2 of 6 clusters.
The decision goes by what clusters say of themselves.

CLUSTER   SELECTED     RANK   SCORE   GROUP    REASON          MESSAGE
eu-2      yes          1      200     canary   Selected        -
us-3      yes, new     2      100     -        Selected        -
eu-1      no           3      100     -        NumberReached   numberOfClusters is 2, and that many rank higher
lab       no           -      -       -        NotMatched      labels do not match env=prod
us-1      no, leaves   -      -       -        NotMatched      claims do not match upgrading.talos.dev notin (true)
us-2      no           -      -       -        Tainted         taint gpu=yes:NoSelect is not tolerated
`
	const changed = `{apiVersion: cluster.open-cluster-management.io/v1, kind: ManagedCluster, metadata: {name: us-3, labels: {env: test}}, spec: {hubAcceptsClient: true}}`
	for name, tc := range map[string]struct {
		args   []string
		stdin  string
		want   string // the whole output, or a part of it after "…"
		status exit.Code
		failed string
	}{
		"every cluster has a reason": {args: []string{"prod", "-n", "shop", "--offline", "-f", placementObjects}, want: everything},
		"one cluster with its scores": {
			args: []string{"prod", "-n", "shop", "--offline", "-f", placementObjects, "--cluster", "eu-2", "-o", "wide"},
			want: "…Selected   -         Balance 100 × 1 + Steady 100 × 1\n",
		},
		"JSON": {args: []string{"prod", "-n", "shop", "--offline", "-f", placementObjects, "-o", "json"}, want: "…\"name\": \"us-1\",\n      \"selected\": false,\n      \"was\": true,"},
		"the later file counts": {
			args: []string{"prod", "-n", "shop", "--offline", "-f", placementObjects, "-f", "-", "--cluster", "us-3", "-o", "json"}, stdin: changed,
			want: `{
  "namespace": "shop",
  "name": "prod",
  "restsOnClaims": true,
  "selected": 2,
  "clusters": [
    {
      "name": "us-3",
      "selected": false,
      "was": false,
      "score": 0,
      "reason": "NotMatched",
      "message": "labels do not match env=prod"
    }
  ]
}
`,
		},
		"a cluster that is not selected is an exit status": {
			args: []string{"prod", "-n", "shop", "--offline", "-f", placementObjects, "--cluster", "lab", "--exit-code"}, want: "…NotMatched", status: 2,
		},
		"a Placement that is wrong": {
			args:  []string{"prod", "-n", "shop", "--offline", "-f", "-"},
			stdin: `{apiVersion: cluster.open-cluster-management.io/v1beta1, kind: Placement, metadata: {name: prod}, spec: {tolerations: [{value: x}]}}`,
			want:  "Placement shop/prod is misconfigured, and its decision stays as it is:\n  spec.tolerations[0]: without a key the operator must be Exists\n",
		},
		"a Placement that is not there": {args: []string{"other", "-n", "shop", "--offline", "-f", placementObjects}, failed: "there is no Placement other in namespace shop"},
		"a cluster that is not there":   {args: []string{"prod", "-n", "shop", "--offline", "-f", placementObjects, "--cluster", "x"}, failed: "there is no ManagedCluster x"},
		"offline without files":         {args: []string{"prod", "--offline"}, failed: "--offline needs files"},
		"an object of another kind":     {args: []string{"prod", "--offline", "-f", "-"}, stdin: "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}", failed: "-:1: a ConfigMap has nothing to do with placing"},
		"an output that there is not":   {args: []string{"prod", "-o", "xml"}, failed: "it is not table, wide, json or yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := run(t, tc.stdin, append([]string{"explain", "placement"}, tc.args...)...)
			var status exit.Code
			switch {
			case tc.failed != "":
				if err == nil || !strings.Contains(err.Error(), tc.failed) {
					t.Fatalf("the error is %v, want %q", err, tc.failed)
				}
				return
			case err != nil && !errors.As(err, &status):
				t.Fatal(err)
			}
			if status != tc.status {
				t.Errorf("exit status %d, want %d", status, tc.status)
			}
			if part, found := strings.CutPrefix(tc.want, "…"); found {
				if !strings.Contains(out, part) {
					t.Errorf("the output lacks %q:\n%s", part, out)
				}
			} else if diff := cmp.Diff(tc.want, out); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
