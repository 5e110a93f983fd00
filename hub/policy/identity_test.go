package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kronvoy/kronvoy/hub/policy"
)

func TestInWhoseNameAnInstanceIsApplied(t *testing.T) {
	account := func(name string) map[string]string { return map[string]string{"kronvoy.io/service-account": name} }
	trusted := map[string]string{"kronvoy.io/agent-identity": "allowed"}
	cases := map[string]struct {
		identity policy.Identity
		// want is namespace/name of a service account, agent, or a part of the error.
		want string
	}{
		"the Distribution comes first": {
			identity: policy.Identity{Distribution: "d", ServiceAccountName: "deployer", Annotations: account("other"), Default: policy.ServiceAccount{Name: "d"}, AllowAgent: true},
			want:     "shop/deployer",
		},
		"then the namespace":               {identity: policy.Identity{Annotations: account("tenant"), Default: policy.ServiceAccount{Name: "d"}, AllowAgent: true}, want: "shop/tenant"},
		"which may name another namespace": {identity: policy.Identity{Annotations: account("tenants/shop")}, want: "tenants/shop"},
		"and is heard when it trusts the agent besides": {
			identity: policy.Identity{Annotations: map[string]string{"kronvoy.io/service-account": "tenant", "kronvoy.io/agent-identity": "allowed"}}, want: "shop/tenant",
		},
		"a trusted namespace beats the flag": {identity: policy.Identity{Annotations: trusted, Default: policy.ServiceAccount{Name: "d"}}, want: "agent"},
		"only one word trusts":               {identity: policy.Identity{Annotations: map[string]string{"kronvoy.io/agent-identity": "yes"}}, want: "nothing says"},
		"then the flag":                      {identity: policy.Identity{Default: policy.ServiceAccount{Name: "d"}, AllowAgent: true}, want: "shop/d"},
		"which may name a namespace, too":    {identity: policy.Identity{Default: policy.ServiceAccount{Namespace: "n", Name: "d"}}, want: "n/d"},
		"the agent where it is allowed":      {identity: policy.Identity{AllowAgent: true}, want: "agent"},
		"nobody's instances are in a cluster's namespace": {
			identity: policy.Identity{Cluster: "eu-west", ServiceAccountName: "deployer", Annotations: trusted, AllowAgent: true}, want: "is that of cluster eu-west",
		},
		"nobody":                            {want: "kubectl annotate namespace shop kronvoy.io/service-account=<name>"},
		"an annotation that cannot be read": {identity: policy.Identity{Annotations: account("a/b/c"), AllowAgent: true}, want: "annotation kronvoy.io/service-account of namespace shop: service account"},
		"a cluster-scoped instance by the hub's own namespace": {
			identity: policy.Identity{Marked: "kronvoy-system", Annotations: account("platform/deployer")}, want: "platform/deployer",
		},
		"which trusts the agent with it": {identity: policy.Identity{Marked: "kronvoy-system", Annotations: trusted}, want: "agent"},
		"a cluster-scoped instance and an account of no namespace": {
			identity: policy.Identity{Marked: "kronvoy-system", Annotations: account("deployer")}, want: "write it as namespace/name",
		},
		"a cluster-scoped instance and nobody": {
			identity: policy.Identity{Marked: "kronvoy-system"}, want: "kubectl annotate namespace kronvoy-system kronvoy.io/service-account=<namespace>/<name>",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.identity.Marked == "" {
				tc.identity.Namespace, tc.identity.Marked = "shop", "shop"
			}
			executor, err := tc.identity.Decide()
			switch {
			case err != nil:
				if !strings.Contains(err.Error(), tc.want) {
					t.Errorf("the error is %q, want %q in it", err, tc.want)
				}
				return
			case executor == nil:
				if tc.want != "agent" {
					t.Errorf("the agent itself, want %s", tc.want)
				}
				return
			}
			got := executor.Subject.ServiceAccount.Namespace + "/" + executor.Subject.ServiceAccount.Name
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("service account (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadingAServiceAccount(t *testing.T) {
	cases := map[string]struct {
		want policy.ServiceAccount
		bad  bool
	}{
		"": {}, "deployer": {want: policy.ServiceAccount{Name: "deployer"}}, "a/b.c": {want: policy.ServiceAccount{Namespace: "a", Name: "b.c"}},
		"/b": {bad: true}, "a/": {bad: true}, "a/b/c": {bad: true}, "system:admin": {bad: true}, "A": {bad: true}, "a.b/c": {bad: true},
	}
	for text, tc := range cases {
		got, err := policy.ParseServiceAccount(text)
		if (err != nil) != tc.bad {
			t.Errorf("%q: error %v", text, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}
