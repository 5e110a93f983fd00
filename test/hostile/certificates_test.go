//go:build integration

package hostile

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/test/probe"
)

// TestCertificates has c1's agent ask for certificates that read another
// cluster's works. The policies do not see what is inside of a request: the hub
// does. Whoever approves without looking has them signed.
func TestCertificates(t *testing.T) {
	w := shared.Get(t)
	for i, c := range []struct {
		name, user string
		groups     []string
	}{
		{"have the hub sign another cluster's name", kronvoyv1alpha1.AgentUser(good, "agent"), kronvoyv1alpha1.AgentGroups(good)},
		{"have the hub sign the own name in another cluster's group", kronvoyv1alpha1.AgentUser(bad, "agent"), append(kronvoyv1alpha1.AgentGroups(bad), kronvoyv1alpha1.AgentGroup(good))},
	} {
		t.Run(c.name, func(t *testing.T) {
			tally.note(tally.run, c.name)
			path := w.kubeconfig(fmt.Sprint("signed", i))
			if err := w.stack.Fleet.Hub().ClientKubeconfig(t.Context(), c.user, c.groups, path); err != nil {
				t.Fatal(err)
			}
			thief, err := newActor(c.name, path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := thief.send(t.Context(), http.MethodGet, works+"c10/manifestworks/victim", ""); err != nil {
				t.Errorf("signed, it reads nothing all the same: %v", err)
			} else {
				tally.note(tally.unguarded, c.name)
			}

			request := fmt.Sprint("c1-hostile", i)
			probe.Eventually(t, "the agent's rights", func() error {
				_, err := w.actors[spoke].send(t.Context(), http.MethodPost, requests, fmt.Sprintf(`
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: %s, labels: {open-cluster-management.io/cluster-name: c1}}
spec: {request: %s, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}`, request, csr(c.user, c.groups...)))
				return err
			})
			probe.Eventually(t, "the attack to be refused", func() error {
				obj, err := w.object(t.Context(), requests+"/"+request)
				if err != nil {
					return err
				}
				status := fmt.Sprint(obj.Object["status"])
				if strings.Contains(status, "certificate:") {
					t.Fatalf("it is signed: %s", status)
				}
				if !strings.Contains(status, "type:Denied") || !strings.Contains(status, "WrongIdentity") {
					return fmt.Errorf("its status is %s", status)
				}
				return nil
			})
			tally.note(tally.denied, c.name)
		})
	}
}
