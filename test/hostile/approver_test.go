//go:build integration

package hostile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	approver "github.com/kronvoy/kronvoy/hub/registration/csr"
	"github.com/kronvoy/kronvoy/hub/registration/token"
)

// lax is an approver with the rules that matter here, but for one.
type lax struct {
	// same compares the names of clusters; nil does it exactly.
	same func(got, want string) bool
	// without is the rule that is left out.
	without string
}

// approve says which rule a request breaks.
func (l lax) approve(in approver.Input) error {
	same := l.same
	if same == nil {
		same = func(got, want string) bool { return got == want }
	}
	spec := &in.Request.Spec
	block, _ := pem.Decode(spec.Request)
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	cluster := in.Request.Labels[clusterv1.ClusterNameLabelKey]
	prefix := kronvoyv1alpha1.AgentGroup("")
	of := func(user string) string {
		name := strings.TrimPrefix(user, prefix)
		return name[:max(strings.LastIndex(name, ":"), 0)]
	}
	foreign := func(groups []string) bool {
		return slices.ContainsFunc(groups, func(group string) bool {
			return group != "system:authenticated" && group != kronvoyv1alpha1.AgentsGroup && !same(strings.TrimPrefix(group, prefix), cluster)
		})
	}
	_, joins := kronvoyv1alpha1.ParseJoinUser(spec.Username)
	var expired time.Time
	used, uid := "", spec.UID
	if in.Account != nil {
		if expired, err = time.Parse(time.RFC3339, in.Account.Annotations[kronvoyv1alpha1.AnnotationJoinExpires]); err != nil {
			return err
		}
		used, uid = in.Account.Annotations[kronvoyv1alpha1.AnnotationJoinUsedBy], string(in.Account.UID)
	}
	for rule, broken := range map[string]bool{
		"signer":        spec.SignerName != certificatesv1.KubeAPIServerClientSignerName,
		"common name":   !same(of(request.Subject.CommonName), cluster),
		"organizations": foreign(request.Subject.Organization),
		"extensions":    len(request.Extensions) > 0,
		"attributes":    len(request.Subject.Names) != 1+len(request.Subject.Organization),
		"usages":        slices.ContainsFunc(spec.Usages, func(u certificatesv1.KeyUsage) bool { return u != certificatesv1.UsageClientAuth }),
		"requester":     !joins && !same(of(spec.Username), cluster) || joins && spec.Username != kronvoyv1alpha1.JoinUser(cluster),
		"account":       joins && in.Account == nil,
		"uid":           uid != spec.UID,
		"used":          used != "" && used != string(in.Request.UID),
		"expired":       joins && in.Account != nil && !in.Now.Before(expired),
		"accepted":      !joins && !in.Cluster.Spec.HubAcceptsClient,
		"renew":         !joins && !in.MayRenew,
	} {
		if broken && rule != l.without {
			return fmt.Errorf("rule %q is broken", rule)
		}
	}
	return nil
}

// asked is a request for a certificate, good as it is: for cluster c1.
type asked struct {
	approver.Input
	x509.CertificateRequest
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func ask(username, uid string, groups ...string) *asked {
	return &asked{
		Input: approver.Input{
			Request: &certificatesv1.CertificateSigningRequest{
				ObjectMeta: metav1.ObjectMeta{Name: "c1-x7", UID: "request", Labels: map[string]string{clusterv1.ClusterNameLabelKey: bad}},
				Spec: certificatesv1.CertificateSigningRequestSpec{
					SignerName: certificatesv1.KubeAPIServerClientSignerName, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
					Username: username, UID: uid, Groups: append(groups, "system:authenticated"),
				},
			},
			Cluster:  &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: bad}, Spec: clusterv1.ManagedClusterSpec{HubAcceptsClient: true}},
			MayRenew: true, Now: noon,
		},
		CertificateRequest: x509.CertificateRequest{Subject: agentSubject(bad)},
	}
}

func agentSubject(cluster string) pkix.Name {
	return pkix.Name{CommonName: kronvoyv1alpha1.AgentUser(cluster, "a"), Organization: kronvoyv1alpha1.AgentGroups(cluster)}
}

// agentAsks is the renewal by c1's agent, who is the attacker.
func agentAsks() *asked {
	return ask(kronvoyv1alpha1.AgentUser(bad, "a"), "", kronvoyv1alpha1.AgentGroups(bad)...)
}

// joinerAsks is the first request, with the token for c1.
func joinerAsks() *asked {
	a := ask(kronvoyv1alpha1.JoinUser(bad), "account", "system:serviceaccounts", kronvoyv1alpha1.JoinGroup)
	annotations, err := token.Token{Automatic: true, Expires: noon.Add(time.Hour)}.Annotations()
	if err != nil {
		panic(err)
	}
	a.Account = &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: kronvoyv1alpha1.JoinNamespace, Name: bad, UID: types.UID("account"), Annotations: annotations}}
	return a
}

// input signs the request with a new key.
func (a *asked) input(t *testing.T) approver.Input {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &a.CertificateRequest, key)
	if err != nil {
		t.Fatal(err)
	}
	a.Request.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	return a.Input
}

// judged is what the hub's approver says against a request.
func judged(in approver.Input) error {
	v := approver.Judge(in)
	if v.Action == approver.Approve {
		return nil
	}
	return fmt.Errorf("%s %s: %s", v.Action, v.Reason, v.Message)
}

// onTheApprover are requests for certificates that nobody may have. Who approves
// them otherwise is lax in one thing.
func onTheApprover() []codeAttack {
	label := func(a *asked, cluster string) { a.Request.Labels[clusterv1.ClusterNameLabelKey] = cluster }
	annotate := func(a *asked, key, value string) { a.Account.Annotations[key] = value }
	var attacks []codeAttack
	for _, c := range []struct {
		name string
		from func() *asked
		with func(a *asked)
		lax  lax
		says string
	}{
		{"get c10's certificate as c1, whose name it begins with", agentAsks, func(a *asked) { a.Subject = agentSubject("c10") },
			lax{same: strings.HasPrefix}, approver.ReasonWrongIdentity},
		{"get c10's certificate with a token for c1", joinerAsks, func(a *asked) { a.Subject = agentSubject("c10") }, lax{same: strings.HasPrefix}, approver.ReasonWrongIdentity},
		{"get the certificate of c1:x, whose part is c1", agentAsks, func(a *asked) { a.Subject = agentSubject("c1:x") },
			lax{same: func(got, want string) bool { return strings.Split(got, ":")[0] == want }}, approver.ReasonWrongIdentity},
		{"get a certificate for C1", agentAsks, func(a *asked) { a.Subject = agentSubject("C1") }, lax{same: strings.EqualFold}, approver.ReasonWrongIdentity},
		{"get a certificate for a name that looks alike", agentAsks, func(a *asked) {
			label(a, "kiel")
			a.Request.Spec.Username, a.Request.Spec.Groups = kronvoyv1alpha1.AgentUser("kiel", "a"), kronvoyv1alpha1.AgentGroups("kiel")
			a.Subject = agentSubject("\u212aiel")
		}, lax{same: strings.EqualFold}, approver.ReasonWrongIdentity},
		{"get any certificate for no cluster", agentAsks, func(a *asked) { label(a, ""); a.Subject = agentSubject("c10") }, lax{same: strings.HasPrefix}, string(approver.Ignore)},
		{"get a certificate without an agent's name", agentAsks, func(a *asked) { a.Subject.CommonName = kronvoyv1alpha1.AgentGroup(bad) + ":" }, lax{}, approver.ReasonWrongIdentity},
		{"get a certificate that is the administrators', too", agentAsks, func(a *asked) { a.Subject.Organization = append(a.Subject.Organization, "system:masters") },
			lax{without: "organizations"}, approver.ReasonWrongIdentity},
		{"get a certificate that is another cluster's, too", agentAsks, func(a *asked) {
			a.Subject.Organization = append(a.Subject.Organization, kronvoyv1alpha1.AgentGroup(good))
		}, lax{without: "organizations"}, approver.ReasonWrongIdentity},
		{"get a certificate with a second common name", agentAsks, func(a *asked) {
			a.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: []int{2, 5, 4, 3}, Value: kronvoyv1alpha1.AgentUser(bad, "a")}, {Type: []int{2, 5, 4, 3}, Value: kronvoyv1alpha1.AgentUser(bad, "b")}}
		}, lax{without: "attributes"}, approver.ReasonWrongRequest},
		{"get a certificate that another signer signs", agentAsks, func(a *asked) { a.Request.Spec.SignerName = certificatesv1.KubeletServingSignerName },
			lax{without: "signer"}, string(approver.Ignore)},
		{"get a certificate for servers", agentAsks, func(a *asked) { a.Request.Spec.Usages = append(a.Request.Spec.Usages, certificatesv1.UsageServerAuth) },
			lax{without: "usages"}, approver.ReasonWrongRequest},
		{"get a certificate that is an authority", agentAsks, func(a *asked) { a.Request.Spec.Usages = append(a.Request.Spec.Usages, certificatesv1.UsageCertSign) },
			lax{without: "usages"}, approver.ReasonWrongRequest},
		{"get a certificate for a server's names", agentAsks, func(a *asked) { a.DNSNames = []string{"kubernetes.default.svc"} }, lax{without: "extensions"}, approver.ReasonWrongRequest},
		{"renew another cluster's certificate", agentAsks, func(a *asked) {
			label(a, good)
			a.Cluster.Name, a.Subject = good, agentSubject(good)
		}, lax{without: "requester"}, approver.ReasonWrongRequester},
		{"renew without the right to", agentAsks, func(a *asked) { a.MayRenew = false }, lax{without: "renew"}, approver.ReasonMayNotRenew},
		{"renew when the hub accepts the cluster no more", agentAsks, func(a *asked) { a.Cluster.Spec.HubAcceptsClient = false }, lax{without: "accepted"}, approver.ReasonNotAccepted},
		{"join with another cluster's token", joinerAsks, func(a *asked) {
			label(a, good)
			a.Cluster.Name, a.Subject = good, agentSubject(good)
		}, lax{without: "requester"}, approver.ReasonWrongRequester},
		{"join a second time with one token", joinerAsks, func(a *asked) { annotate(a, kronvoyv1alpha1.AnnotationJoinUsedBy, "another") },
			lax{without: "used"}, approver.ReasonTokenUsed},
		{"join with a token that has expired", joinerAsks, func(a *asked) {
			annotate(a, kronvoyv1alpha1.AnnotationJoinExpires, noon.Add(-time.Second).Format(time.RFC3339))
		}, lax{without: "expired"}, approver.ReasonTokenExpired},
		{"join with the token of a ServiceAccount that was made again", joinerAsks, func(a *asked) { a.Account.UID = "made again" }, lax{without: "uid"}, approver.ReasonTokenGone},
		{"join with a token that was taken back", joinerAsks, func(a *asked) { a.Account = nil }, lax{without: "account"}, approver.ReasonTokenGone},
	} {
		attempt := func(t *testing.T) approver.Input { a := c.from(); c.with(a); return a.input(t) }
		attacks = append(attacks, codeAttack{
			name: c.name, says: c.says,
			unguarded: func(t *testing.T) error {
				// What is lax has to be good for something.
				if (lax{}).approve(c.from().input(t)) != nil {
					return errors.New("a good request is refused")
				}
				return c.lax.approve(attempt(t))
			},
			guarded: func(t *testing.T) error { return judged(attempt(t)) },
		})
	}
	return attacks
}
