package definition

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

func TestLiveKro(t *testing.T) {
	now := time.Date(2026, 9, 4, 12, 0, 0, 0, time.UTC)
	lease := func(renewed time.Duration, holder string) coordinationv1.Lease {
		return coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kro-system", Name: kroLease},
			Spec: coordinationv1.LeaseSpec{
				HolderIdentity: &holder, LeaseDurationSeconds: ptr.To[int32](15),
				RenewTime: &metav1.MicroTime{Time: now.Add(-renewed)},
			},
		}
	}
	wrote := func(manager, subresource string, ago time.Duration) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Subresource: subresource, Time: &metav1.Time{Time: now.Add(-ago)}}
	}
	tests := map[string]struct {
		leases  []coordinationv1.Lease
		managed []metav1.ManagedFieldsEntry
		want    string
	}{
		"nothing":                                {},
		"a Lease that is renewed":                {leases: []coordinationv1.Lease{lease(2*time.Second, "kro-7d")}, want: "Lease kro-system/controller.kro.run is held by kro-7d"},
		"a Lease renewed by a clock that is off": {leases: []coordinationv1.Lease{lease(-time.Minute, "kro-7d")}, want: "held by kro-7d"},
		"a Lease that ran out":                   {leases: []coordinationv1.Lease{lease(31*time.Second, "kro-7d")}},
		"a Lease that was given back":            {leases: []coordinationv1.Lease{lease(time.Second, "")}},
		"a Lease without times":                  {leases: []coordinationv1.Lease{{}}},
		"one Lease of two":                       {leases: []coordinationv1.Lease{lease(time.Hour, "old"), lease(time.Second, "new")}, want: "held by new"},
		"kro wrote the status":                   {managed: []metav1.ManagedFieldsEntry{wrote("controller", "status", time.Minute)}, want: "controller wrote the definition's status at 2026-09-04T11:59:00Z"},
		"kro wrote the status, by another name":  {managed: []metav1.ManagedFieldsEntry{wrote("kro", "status", time.Minute)}, want: "kro wrote"},
		"kro wrote it twice":                     {managed: []metav1.ManagedFieldsEntry{wrote("kro", "status", time.Hour), wrote("controller", "status", time.Minute)}, want: "controller wrote"},
		"kro wrote it long ago":                  {managed: []metav1.ManagedFieldsEntry{wrote("controller", "status", kroQuiet)}},
		"the hub wrote it":                       {managed: []metav1.ManagedFieldsEntry{wrote(kronvoyv1alpha1.FieldManagerHub, "status", time.Second)}},
		"somebody edited it":                     {managed: []metav1.ManagedFieldsEntry{wrote("kubectl-edit", "status", time.Second)}},
		"Argo CD wrote the spec":                 {managed: []metav1.ManagedFieldsEntry{wrote("argocd-controller", "", time.Second)}},
		"kro wrote the status and gave up its Lease": {
			leases: []coordinationv1.Lease{lease(40*time.Second, "kro-7d")}, managed: []metav1.ManagedFieldsEntry{wrote("controller", "status", time.Minute)}},
		"another kro wrote it after a Lease ended": {
			leases: []coordinationv1.Lease{lease(time.Hour, "kro-7d")}, managed: []metav1.ManagedFieldsEntry{wrote("controller", "status", time.Minute)}, want: "controller wrote"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := liveKro(now, test.leases, foreignWrite(test.managed))
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("sign %q, want %q in it", got, test.want)
			}
			if later := liveKro(now.Add(time.Second), test.leases, foreignWrite(test.managed)); later != "" && later != got {
				t.Errorf("the same sign reads %q, then %q: each would be a write", got, later)
			}
		})
	}
}
