package csr

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/registration/token"
)

var (
	now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	key = func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	}()
)

// asked is a request that a test puts together.
type asked struct {
	in      Input
	request x509.CertificateRequest
	// raw stands for the PEM block, where a test needs another one.
	raw []byte
}

// subject is that of an agent of the cluster.
func subject(cluster, agent string) pkix.Name {
	return pkix.Name{CommonName: kronvoyv1alpha1.AgentUser(cluster, agent), Organization: kronvoyv1alpha1.AgentGroups(cluster)}
}

func ask(username, uid string, groups ...string) *asked {
	seconds := int32(86400)
	return &asked{
		in: Input{
			Request: &certificatesv1.CertificateSigningRequest{
				ObjectMeta: metav1.ObjectMeta{Name: "c1-x7", UID: "request", Labels: map[string]string{clusterv1.ClusterNameLabelKey: "c1"}},
				Spec: certificatesv1.CertificateSigningRequestSpec{
					SignerName: certificatesv1.KubeAPIServerClientSignerName, ExpirationSeconds: &seconds,
					Usages:   []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth},
					Username: username, UID: uid, Groups: append(groups, "system:authenticated"),
				},
			},
			Cluster:     &clusterv1.ManagedCluster{ObjectMeta: metav1.ObjectMeta{Name: "c1"}},
			MaxDuration: 30 * 24 * time.Hour, Now: now,
		},
		request: x509.CertificateRequest{Subject: subject("c1", "a")},
	}
}

// renewal is a request that is approved: an agent's for its own name.
func renewal() *asked {
	a := ask(kronvoyv1alpha1.AgentUser("c1", "a"), "", kronvoyv1alpha1.AgentGroups("c1")...)
	a.in.MayRenew = true
	a.in.Cluster.Spec.HubAcceptsClient = true
	return a
}

// bootstrap is a request that is approved: with the token made for the cluster.
func bootstrap() *asked {
	a := ask(kronvoyv1alpha1.JoinUser("c1"), "account", "system:serviceaccounts", kronvoyv1alpha1.JoinGroup)
	a.in.Account = &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: kronvoyv1alpha1.JoinNamespace, Name: "c1", UID: "account"}}
	a.token(token.Token{Automatic: true, Expires: now.Add(time.Hour), Labels: map[string]string{"region": "eu"}})
	return a
}

// stranger is a request of somebody that an administrator gave a role.
func stranger() *asked {
	return ask("system:bootstrap:abcdef", "", "system:bootstrappers:managedcluster")
}

func (a *asked) token(t token.Token) {
	annotations, err := t.Annotations()
	if err != nil {
		panic(err)
	}
	a.in.Account.Annotations = annotations
}

func (a *asked) judge(t *testing.T) Verdict {
	t.Helper()
	if a.raw == nil {
		der, err := x509.CreateCertificateRequest(rand.Reader, &a.request, key)
		if err != nil {
			t.Fatal(err)
		}
		a.raw = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	a.in.Request.Spec.Request = a.raw
	return Judge(a.in)
}

func TestWhoGetsACertificate(t *testing.T) {
	for name, test := range map[string]struct {
		from   func() *asked
		change func(*asked)
		action Action
		reason string
	}{
		"an agent renews": {from: renewal, action: Approve, reason: ReasonRenewal},
		"an agent of a deleted cluster renews, to clean up": {renewal, func(a *asked) { a.in.Cluster.DeletionTimestamp = &metav1.Time{Time: now} }, Approve, ReasonRenewal},
		"a cluster comes with its token":                    {from: bootstrap, action: Approve, reason: ReasonToken},
		"it comes again after a crash":                      {bootstrap, func(a *asked) { a.use("request") }, Approve, ReasonToken},
		"its usages are fewer":                              {bootstrap, func(a *asked) { a.usages(certificatesv1.UsageClientAuth) }, Approve, ReasonToken},
		"it asks for as long as it may":                     {bootstrap, func(a *asked) { a.seconds(30 * 24 * 3600) }, Approve, ReasonToken},
		"there is no bound":                                 {bootstrap, func(a *asked) { a.in.MaxDuration = 0; a.in.Request.Spec.ExpirationSeconds = nil }, Approve, ReasonToken},
		"organizations in another order":                    {bootstrap, func(a *asked) { slices.Reverse(a.request.Subject.Organization) }, Approve, ReasonToken},
		"the token leaves it to a person":                   {bootstrap, func(a *asked) { a.token(token.Token{Expires: now.Add(time.Hour)}) }, Wait, ReasonWaitingForApproval},
		"the ManagedCluster is not there yet":               {bootstrap, func(a *asked) { a.in.Cluster = nil }, Wait, ReasonNoManagedCluster},
		"an earlier ManagedCluster is being deleted":        {bootstrap, func(a *asked) { a.in.Cluster.DeletionTimestamp = &metav1.Time{Time: now} }, Wait, ReasonClusterDeleting},
		"somebody with a role of an administrator's asks":   {from: stranger, action: Wait, reason: ReasonWaitingForApproval},
		"somebody asks for a name that is a namespace":      {stranger, func(a *asked) { a.in.NameTaken = "taken" }, Deny, ReasonNameTaken},
		"somebody asks wrongly":                             {stranger, func(a *asked) { a.request.Subject.Organization = []string{"system:masters"} }, Deny, ReasonWrongIdentity},
		"somebody asks for something else":                  {stranger, func(a *asked) { a.request.Subject = pkix.Name{CommonName: "jane"} }, Ignore, ""},
		"somebody asks for something that nobody can read":  {stranger, func(a *asked) { a.raw = []byte("x") }, Ignore, ""},
		"it was approved":                                   {bootstrap, func(a *asked) { a.condition(certificatesv1.CertificateApproved) }, Ignore, ""},
		"it was denied":                                     {bootstrap, func(a *asked) { a.condition(certificatesv1.CertificateDenied) }, Ignore, ""},
		"it failed":                                         {bootstrap, func(a *asked) { a.condition(certificatesv1.CertificateFailed) }, Ignore, ""},
		"another signer":                                    {bootstrap, func(a *asked) { a.in.Request.Spec.SignerName = certificatesv1.KubeletServingSignerName }, Ignore, ""},
		"a signer that begins alike":                        {bootstrap, func(a *asked) { a.in.Request.Spec.SignerName += "-kubelet" }, Ignore, ""},
		"no label":                                          {bootstrap, func(a *asked) { a.in.Request.Labels = nil }, Ignore, ""},
		"an add-on of OCM":                                  {renewal, func(a *asked) { a.in.Request.Labels[addonLabel] = "work" }, Ignore, ""},
		"c10 renews as c1":                                  {renewal, func(a *asked) { a.as("c10", "a") }, Deny, ReasonWrongRequester},
		"c1 renews as c10":                                  {renewal, func(a *asked) { a.label("c10"); a.request.Subject = subject("c10", "a") }, Deny, ReasonWrongRequester},
		"c10 renews with the label of c1":                   {renewal, func(a *asked) { a.as("c10", "a"); a.request.Subject = subject("c10", "a") }, Deny, ReasonWrongIdentity},
		"c1 renews with the label of c10":                   {renewal, func(a *asked) { a.label("c10") }, Deny, ReasonWrongIdentity},
		"c1:x":                                              {renewal, func(a *asked) { a.request.Subject.CommonName = "system:open-cluster-management:c1:x:a" }, Deny, ReasonWrongIdentity},
		"a label with a colon":                              {renewal, func(a *asked) { a.label("c1:x"); a.request.Subject = subject("c1:x", "a") }, Deny, ReasonWrongIdentity},
		"another agent of the same cluster":                 {renewal, func(a *asked) { a.request.Subject.CommonName = kronvoyv1alpha1.AgentUser("c1", "b") }, Deny, ReasonWrongRequester},
		"one organization too many":                         {renewal, func(a *asked) { a.organization("system:masters") }, Deny, ReasonWrongIdentity},
		"the organization of another cluster, too":          {renewal, func(a *asked) { a.organization(kronvoyv1alpha1.AgentGroup("c2")) }, Deny, ReasonWrongIdentity},
		"an organization twice":                             {renewal, func(a *asked) { a.organization(kronvoyv1alpha1.AgentGroup("c1")) }, Deny, ReasonWrongIdentity},
		"one organization too few":                          {renewal, func(a *asked) { a.request.Subject.Organization = a.request.Subject.Organization[:1] }, Deny, ReasonWrongIdentity},
		"no organization":                                   {renewal, func(a *asked) { a.request.Subject.Organization = nil }, Deny, ReasonWrongIdentity},
		"the organization of another cluster":               {renewal, func(a *asked) { a.request.Subject.Organization = kronvoyv1alpha1.AgentGroups("c2") }, Deny, ReasonWrongIdentity},
		"an organization in upper case":                     {renewal, func(a *asked) { a.request.Subject.Organization[0] = strings.ToUpper(a.request.Subject.Organization[0]) }, Deny, ReasonWrongIdentity},
		"an organizational unit":                            {renewal, func(a *asked) { a.request.Subject.OrganizationalUnit = []string{"x"} }, Deny, ReasonWrongRequest},
		"a second common name":                              {renewal, func(a *asked) { a.attribute(2, 5, 4, 3, "system:open-cluster-management:c2:a") }, Deny, ReasonWrongRequest},
		"an attribute that nobody knows":                    {renewal, func(a *asked) { a.attribute(1, 2, 3, 4, "x") }, Deny, ReasonWrongRequest},
		"an empty common name":                              {renewal, func(a *asked) { a.request.Subject.CommonName = "" }, Deny, ReasonWrongRequest},
		"an empty agent":                                    {renewal, func(a *asked) { a.request.Subject.CommonName = "system:open-cluster-management:c1:" }, Deny, ReasonWrongIdentity},
		"a common name in upper case":                       {renewal, func(a *asked) { a.request.Subject.CommonName = "system:open-cluster-management:C1:a" }, Deny, ReasonWrongIdentity},
		"a letter that looks alike":                         {renewal, func(a *asked) { a.request.Subject.CommonName = "system:open-cluster-management:с1:a" }, Deny, ReasonWrongIdentity},
		"a space behind the name":                           {renewal, func(a *asked) { a.request.Subject.CommonName += " " }, Deny, ReasonWrongIdentity},
		"another name of a server":                          {renewal, func(a *asked) { a.request.DNSNames = []string{"kubernetes.default.svc"} }, Deny, ReasonWrongRequest},
		"an address":                                        {renewal, func(a *asked) { a.request.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }, Deny, ReasonWrongRequest},
		"a mail address":                                    {renewal, func(a *asked) { a.request.EmailAddresses = []string{"a@example"} }, Deny, ReasonWrongRequest},
		"a URI":                                             {renewal, func(a *asked) { a.request.URIs = []*url.URL{{Scheme: "spiffe", Host: "x"}} }, Deny, ReasonWrongRequest},
		"an extension that makes an authority":              {renewal, func(a *asked) { a.extension(2, 5, 29, 19) }, Deny, ReasonWrongRequest},
		"for servers":                                       {renewal, func(a *asked) { a.usages(certificatesv1.UsageClientAuth, certificatesv1.UsageServerAuth) }, Deny, ReasonWrongRequest},
		"to sign others":                                    {renewal, func(a *asked) { a.usages(certificatesv1.UsageClientAuth, certificatesv1.UsageCertSign) }, Deny, ReasonWrongRequest},
		"for any purpose":                                   {renewal, func(a *asked) { a.usages(certificatesv1.UsageAny) }, Deny, ReasonWrongRequest},
		"not for clients":                                   {renewal, func(a *asked) { a.usages(certificatesv1.UsageDigitalSignature) }, Deny, ReasonWrongRequest},
		"for no purpose":                                    {renewal, func(a *asked) { a.usages() }, Deny, ReasonWrongRequest},
		"for longer than it may":                            {renewal, func(a *asked) { a.seconds(30*24*3600 + 1) }, Deny, ReasonTooLong},
		"for as long as the signer likes":                   {renewal, func(a *asked) { a.in.Request.Spec.ExpirationSeconds = nil }, Deny, ReasonTooLong},
		"no request":                                        {renewal, func(a *asked) { a.raw = []byte{} }, Deny, ReasonWrongRequest},
		"a certificate":                                     {renewal, func(a *asked) { a.raw = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}) }, Deny, ReasonWrongRequest},
		"a request that nobody can read": {renewal, func(a *asked) {
			a.raw = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("x")})
		}, Deny, ReasonWrongRequest},
		"two requests":                                  {renewal, func(a *asked) { a.twice() }, Deny, ReasonWrongRequest},
		"a wrong signature":                             {renewal, func(a *asked) { a.forge() }, Deny, ReasonWrongRequest},
		"the requester lacks a group":                   {renewal, func(a *asked) { a.groups(kronvoyv1alpha1.AgentGroup("c1")) }, Deny, ReasonWrongRequester},
		"the requester is in another cluster's group":   {renewal, func(a *asked) { a.groups(kronvoyv1alpha1.AgentGroups("c2")...) }, Deny, ReasonWrongRequester},
		"the requester is in one group more":            {renewal, func(a *asked) { a.groups(append(kronvoyv1alpha1.AgentGroups("c1"), "system:masters")...) }, Deny, ReasonWrongRequester},
		"the requester may not renew":                   {renewal, func(a *asked) { a.in.MayRenew = false }, Deny, ReasonMayNotRenew},
		"the cluster is not accepted":                   {renewal, func(a *asked) { a.in.Cluster.Spec.HubAcceptsClient = false }, Deny, ReasonNotAccepted},
		"the cluster is gone":                           {renewal, func(a *asked) { a.in.Cluster = nil }, Deny, ReasonNoManagedCluster},
		"a reserved name":                               {bootstrap, func(a *asked) { a.label("kube-system"); a.request.Subject = subject("kube-system", "a") }, Deny, ReasonWrongIdentity},
		"the hub's own cluster":                         {bootstrap, func(a *asked) { a.label("local-cluster"); a.request.Subject = subject("local-cluster", "a") }, Deny, ReasonWrongIdentity},
		"the cluster whose group is that of all agents": {stranger, func(a *asked) { a.label("managed-clusters"); a.request.Subject = subject("managed-clusters", "a") }, Deny, ReasonWrongIdentity},
		"the token of another cluster": {bootstrap, func(a *asked) {
			a.in.Request.Spec.Username = kronvoyv1alpha1.JoinUser("c10")
			a.in.Account.Name = "c10"
		}, Deny, ReasonWrongRequester},
		"a ServiceAccount of another namespace":                {bootstrap, func(a *asked) { a.in.Request.Spec.Username = "system:serviceaccount:kronvoy-joins:c1" }, Wait, ReasonWaitingForApproval},
		"the token for another name":                           {bootstrap, func(a *asked) { a.label("c2"); a.request.Subject = subject("c2", "a") }, Deny, ReasonWrongRequester},
		"somebody who only is called like a token":             {bootstrap, func(a *asked) { a.groups("system:serviceaccounts") }, Deny, ReasonWrongRequester},
		"the token is gone":                                    {bootstrap, func(a *asked) { a.in.Account = nil }, Deny, ReasonTokenGone},
		"the token is going":                                   {bootstrap, func(a *asked) { a.in.Account.DeletionTimestamp = &metav1.Time{Time: now} }, Deny, ReasonTokenGone},
		"the ServiceAccount was made anew":                     {bootstrap, func(a *asked) { a.in.Account.UID = "another" }, Deny, ReasonTokenGone},
		"the ServiceAccount was made anew, and nobody says so": {bootstrap, func(a *asked) { a.in.Request.Spec.UID = "" }, Deny, ReasonTokenGone},
		"the token was used":                                   {bootstrap, func(a *asked) { a.use("another request") }, Deny, ReasonTokenUsed},
		"the token expired":                                    {bootstrap, func(a *asked) { a.in.Now = now.Add(time.Hour) }, Deny, ReasonTokenExpired},
		"the token expired after it was used for this request": {bootstrap, func(a *asked) { a.use("request"); a.in.Now = now.Add(time.Hour) }, Deny, ReasonTokenExpired},
		"the ServiceAccount is no token":                       {bootstrap, func(a *asked) { a.in.Account.Annotations = nil }, Deny, ReasonTokenInvalid},
		"the token says nothing of approval":                   {bootstrap, func(a *asked) { delete(a.in.Account.Annotations, kronvoyv1alpha1.AnnotationJoinApproval) }, Deny, ReasonTokenInvalid},
		"the token's labels are none":                          {bootstrap, func(a *asked) { a.in.Account.Annotations[kronvoyv1alpha1.AnnotationJoinLabels] = `{"a b": "c"}` }, Deny, ReasonTokenInvalid},
		"the name is a namespace":                              {bootstrap, func(a *asked) { a.in.NameTaken = "taken" }, Deny, ReasonNameTaken},
	} {
		t.Run(name, func(t *testing.T) {
			a := test.from()
			if test.change != nil {
				test.change(a)
			}
			v := a.judge(t)
			if v.Action != test.action || v.Reason != test.reason {
				t.Errorf("it is %s for %q, want %s for %q: %s", v.Action, v.Reason, test.action, test.reason, v.Message)
			}
			if v.Action != Ignore && v.Message == "" {
				t.Error("nobody is told why")
			}
			if v.Action != Approve && (v.Accept || v.Token || v.Labels != nil) {
				t.Errorf("it is not approved and has effects: %+v", v)
			}
		})
	}
}

func TestATokensLabelsAreTheClusters(t *testing.T) {
	want := Verdict{
		Action: Approve, Reason: ReasonToken, Message: "the administrator's token for this cluster approves it",
		Accept: true, Token: true, Labels: map[string]string{"region": "eu"},
	}
	if diff := cmp.Diff(want, bootstrap().judge(t)); diff != "" {
		t.Errorf("the verdict (-want +got):\n%s", diff)
	}
	if v := renewal().judge(t); v.Accept || v.Token || v.Labels != nil {
		t.Errorf("a renewal changes the cluster: %+v", v)
	}
}

func TestWhatAPersonMayApproveIsWhatTheHubWould(t *testing.T) {
	a := stranger()
	a.judge(t)
	if err := Check(a.in.Request, a.in.MaxDuration); err != nil {
		t.Errorf("it may not be approved: %v", err)
	}
	a = stranger()
	a.organization("system:masters")
	a.judge(t)
	if err := Check(a.in.Request, a.in.MaxDuration); err == nil {
		t.Error("a request for system:masters may be approved")
	}
	a.in.Request.Labels = nil
	if err := Check(a.in.Request, a.in.MaxDuration); err == nil {
		t.Error("a request of nobody's may be approved")
	}
}

func (a *asked) use(uid types.UID) {
	a.in.Account.Annotations[kronvoyv1alpha1.AnnotationJoinUsedBy] = string(uid)
}
func (a *asked) usages(usages ...certificatesv1.KeyUsage) { a.in.Request.Spec.Usages = usages }
func (a *asked) seconds(seconds int32)                    { a.in.Request.Spec.ExpirationSeconds = &seconds }
func (a *asked) label(cluster string) {
	a.in.Request.Labels[clusterv1.ClusterNameLabelKey] = cluster
}
func (a *asked) groups(groups ...string) {
	a.in.Request.Spec.Groups = append(groups, "system:authenticated")
}

// as has the agent of another cluster ask.
func (a *asked) as(cluster, agent string) {
	a.in.Request.Spec.Username = kronvoyv1alpha1.AgentUser(cluster, agent)
	a.groups(kronvoyv1alpha1.AgentGroups(cluster)...)
}

func (a *asked) organization(name string) {
	a.request.Subject.Organization = append(a.request.Subject.Organization, name)
}

func (a *asked) attribute(o1, o2, o3, o4 int, value string) {
	a.request.Subject.ExtraNames = append(a.request.Subject.ExtraNames, pkix.AttributeTypeAndValue{
		Type: asn1.ObjectIdentifier{o1, o2, o3, o4}, Value: value,
	})
	if o1 == 2 {
		// The library leaves its own fields out where ExtraNames has the type.
		a.request.Subject.ExtraNames = append(a.request.Subject.ExtraNames, pkix.AttributeTypeAndValue{
			Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: a.request.Subject.CommonName,
		})
	}
}

func (a *asked) extension(o1, o2, o3, o4 int) {
	a.request.ExtraExtensions = append(a.request.ExtraExtensions, pkix.Extension{
		Id: asn1.ObjectIdentifier{o1, o2, o3, o4}, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff},
	})
}

func (a *asked) condition(kind certificatesv1.RequestConditionType) {
	a.in.Request.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: kind, Status: corev1.ConditionTrue}}
}

// encoded is the request as PEM, and as it is inside.
func (a *asked) encoded() (text, der []byte) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &a.request, key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), der
}

func (a *asked) twice() {
	text, _ := a.encoded()
	a.raw = append(text, text...)
}

func (a *asked) forge() {
	_, der := a.encoded()
	der[len(der)-1] ^= 1
	a.raw = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}
