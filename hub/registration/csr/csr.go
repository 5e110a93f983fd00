// Package csr decides about the certificates that agents ask for. It is pure:
// everything that the decision depends on is in Input, and the hub and the
// command line share it.
//
// The names in a request are compared as a whole, never by prefix or part: of
// the cluster in its label, in its common name, in its organizations and in the
// name of who asks (CVE-2026-4740 was a prefix).
package csr

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	clusterv1 "open-cluster-management.io/api/cluster/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
	"github.com/kronvoy/kronvoy/hub/registration/token"
)

// addonLabel is on requests of OCM's add-ons, which others decide about.
const addonLabel = "open-cluster-management.io/addon-name"

// Action is what becomes of a request.
type Action string

const (
	// Ignore leaves a request to whom it concerns.
	Ignore Action = "Ignore"
	// Wait leaves a request until something else happens.
	Wait Action = "Wait"
	// Approve has the request signed.
	Approve Action = "Approve"
	// Deny refuses it for good.
	Deny Action = "Deny"
)

// Reasons of verdicts; a denied request's condition carries them.
const (
	ReasonRenewal            = "Renewal"
	ReasonToken              = "Token"
	ReasonWrongRequest       = "WrongRequest"
	ReasonWrongIdentity      = "WrongIdentity"
	ReasonWrongRequester     = "WrongRequester"
	ReasonTooLong            = "TooLong"
	ReasonTokenGone          = "TokenGone"
	ReasonTokenInvalid       = "TokenInvalid"
	ReasonTokenUsed          = "TokenUsed"
	ReasonTokenExpired       = "TokenExpired"
	ReasonNameTaken          = "NameTaken"
	ReasonNotAccepted        = "NotAccepted"
	ReasonMayNotRenew        = "MayNotRenew"
	ReasonNoManagedCluster   = "NoManagedCluster"
	ReasonClusterDeleting    = "ClusterDeleting"
	ReasonWaitingForApproval = "WaitingForApproval"
)

// Input is everything that a decision depends on.
type Input struct {
	Request *certificatesv1.CertificateSigningRequest
	// Cluster is the ManagedCluster that the request's label names, or nil.
	Cluster *clusterv1.ManagedCluster
	// Account is the ServiceAccount that the requester's name is of, or nil where
	// there is none, or the requester is something else.
	Account *corev1.ServiceAccount
	// NameTaken says why the hub has no namespace for the cluster, if so.
	NameTaken string
	// MayRenew is whether the requester has the verb renew on the cluster's
	// clientcertificates (OCM).
	MayRenew bool
	// MaxDuration is the longest that a certificate may last; 0 for no bound.
	MaxDuration time.Duration
	Now         time.Time
}

// Verdict is what is to be done.
type Verdict struct {
	Action          Action
	Reason, Message string
	// Accept has the cluster accepted, too, with Labels.
	Accept bool
	Labels map[string]string
	// Token is whether the requester's ServiceAccount is used up by it.
	Token bool
}

func wait(reason, format string, args ...any) Verdict {
	return Verdict{Action: Wait, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func deny(reason, format string, args ...any) Verdict {
	return Verdict{Action: Deny, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Cluster is the cluster that a request says it is for; empty where it is none
// of an agent's.
func Cluster(request *certificatesv1.CertificateSigningRequest) string {
	if request.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName || request.Labels[addonLabel] != "" {
		return ""
	}
	return request.Labels[clusterv1.ClusterNameLabelKey]
}

// Pending says whether nobody has decided about the request yet.
func Pending(request *certificatesv1.CertificateSigningRequest) bool {
	return len(request.Status.Certificate) == 0 && !slices.ContainsFunc(request.Status.Conditions,
		func(c certificatesv1.CertificateSigningRequestCondition) bool {
			return c.Type == certificatesv1.CertificateApproved || c.Type == certificatesv1.CertificateDenied || c.Type == certificatesv1.CertificateFailed
		})
}

// Judge decides about a request.
func Judge(in Input) Verdict {
	cluster := Cluster(in.Request)
	if cluster == "" || !Pending(in.Request) {
		return Verdict{Action: Ignore}
	}
	spec := &in.Request.Spec
	subject, err := Parse(in.Request)
	_, isAgent := agentOf(spec.Username)
	account, joins := kronvoyv1alpha1.ParseJoinUser(spec.Username)
	switch {
	case !isAgent && !joins && (err != nil || !claimsAgent(subject.CommonName)):
		// The label alone makes it nobody's business here.
		return Verdict{Action: Ignore}
	case err != nil:
		return deny(ReasonWrongRequest, "%v", err)
	}
	if v := checkRequest(in, cluster, subject); v.Action != "" {
		return v
	}
	switch {
	case isAgent:
		return judgeRenewal(in, cluster, subject)
	case joins:
		return judgeToken(in, cluster, account)
	}
	// Somebody else, such as OCM's own bootstrap identities: a person decides.
	return judgeStranger(in, cluster)
}

// Check says why nobody may approve a request, whoever asks.
func Check(request *certificatesv1.CertificateSigningRequest, maxDuration time.Duration) error {
	cluster := Cluster(request)
	if cluster == "" {
		return fmt.Errorf("it is no agent's: signer %s, label %s=%s", request.Spec.SignerName,
			clusterv1.ClusterNameLabelKey, request.Labels[clusterv1.ClusterNameLabelKey])
	}
	subject, err := Parse(request)
	if err != nil {
		return err
	}
	if v := checkRequest(Input{Request: request, MaxDuration: maxDuration}, cluster, subject); v.Action != "" {
		return errors.New(v.Message)
	}
	return nil
}

// Subject is what a request asks for.
type Subject struct {
	CommonName    string
	Organizations []string
}

// Parse reads a request's PEM block, and refuses everything in it beyond a
// common name and organizations: the signer would honour alternative names.
func Parse(request *certificatesv1.CertificateSigningRequest) (Subject, error) {
	block, rest := pem.Decode(request.Spec.Request)
	switch {
	case block == nil || block.Type != "CERTIFICATE REQUEST":
		return Subject{}, errors.New("spec.request is no PEM block of type CERTIFICATE REQUEST")
	case len(bytes.TrimSpace(rest)) > 0:
		return Subject{}, errors.New("spec.request holds more than one PEM block")
	}
	parsed, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return Subject{}, fmt.Errorf("reading spec.request: %w", err)
	}
	if err := parsed.CheckSignature(); err != nil {
		return Subject{}, fmt.Errorf("the signature of spec.request is wrong: %w", err)
	}
	if len(parsed.Extensions) > 0 {
		return Subject{}, fmt.Errorf("spec.request asks for the extension %s, and an agent's certificate has none, such as other names", parsed.Extensions[0].Id)
	}
	// Names holds every attribute in its order; the fields beside it would hide a
	// second common name.
	commonNames := 0
	for _, attribute := range parsed.Subject.Names {
		switch {
		case attribute.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}):
			commonNames++
		case attribute.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 10}):
		default:
			return Subject{}, fmt.Errorf("the subject of spec.request has the attribute %s, and an agent's has a common name and organizations alone", attribute.Type)
		}
	}
	if commonNames != 1 {
		return Subject{}, fmt.Errorf("the subject of spec.request has %d common names, and an agent's has one", commonNames)
	}
	return Subject{CommonName: parsed.Subject.CommonName, Organizations: parsed.Subject.Organization}, nil
}

// usages are all that an agent's certificate may be good for.
var usages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth}

// checkRequest looks at the request alone; its verdict is empty where nothing is
// wrong.
func checkRequest(in Input, cluster string, subject Subject) Verdict {
	spec := &in.Request.Spec
	if err := kronvoyv1alpha1.ValidateJoinName(cluster); err != nil {
		return deny(ReasonWrongIdentity, "%v", err)
	}
	if named, ok := agentOf(subject.CommonName); !ok || named != cluster {
		return deny(ReasonWrongIdentity, "the common name %q is not that of an agent of cluster %q, which the label names: it has to be %s",
			subject.CommonName, cluster, kronvoyv1alpha1.AgentUser(cluster, "<agent>"))
	}
	organizations := slices.Sorted(slices.Values(subject.Organizations))
	if want := kronvoyv1alpha1.AgentGroups(cluster); !slices.Equal(organizations, want) {
		return deny(ReasonWrongIdentity, "the organizations %q are not %q", organizations, want)
	}
	for _, usage := range spec.Usages {
		if !slices.Contains(usages, usage) {
			return deny(ReasonWrongRequest, "the usage %q is not one of %q", usage, usages)
		}
	}
	if !slices.Contains(spec.Usages, certificatesv1.UsageClientAuth) {
		return deny(ReasonWrongRequest, "the usage %q is missing", certificatesv1.UsageClientAuth)
	}
	switch {
	case in.MaxDuration == 0:
	case spec.ExpirationSeconds == nil:
		return deny(ReasonTooLong, "spec.expirationSeconds is missing, and a certificate may last %s here: ask for that (OCM: clientCertExpirationSeconds), or give the hub another --max-certificate-duration",
			in.MaxDuration)
	case time.Duration(*spec.ExpirationSeconds)*time.Second > in.MaxDuration:
		return deny(ReasonTooLong, "spec.expirationSeconds is %d, and a certificate may last %s here: ask for less, or give the hub another --max-certificate-duration",
			*spec.ExpirationSeconds, in.MaxDuration)
	}
	return Verdict{}
}

// judgeRenewal is for an agent that asks with the certificate it has. A cluster
// that is being deleted may renew: its agent has to clean up.
func judgeRenewal(in Input, cluster string, subject Subject) Verdict {
	spec := &in.Request.Spec
	groups := slices.DeleteFunc(slices.Sorted(slices.Values(spec.Groups)), func(g string) bool { return g == "system:authenticated" })
	switch {
	case subject.CommonName != spec.Username:
		return deny(ReasonWrongRequester, "%q asks for the name %q: an agent renews its own certificate alone", spec.Username, subject.CommonName)
	case !slices.Equal(groups, kronvoyv1alpha1.AgentGroups(cluster)):
		return deny(ReasonWrongRequester, "%q is in the groups %q, not in %q", spec.Username, groups, kronvoyv1alpha1.AgentGroups(cluster))
	case in.Cluster == nil:
		return deny(ReasonNoManagedCluster, "there is no ManagedCluster %s: let it join again with \"kronvoy hub token --cluster %s\"", cluster, cluster)
	case !in.Cluster.Spec.HubAcceptsClient:
		return deny(ReasonNotAccepted, "the hub does not accept cluster %s: see \"kronvoy accept %s\"", cluster, cluster)
	case !in.MayRenew:
		return deny(ReasonMayNotRenew, "%q does not have the right to renew: verb renew on managedclusters/clientcertificates of register.open-cluster-management.io", spec.Username)
	}
	return Verdict{Action: Approve, Reason: ReasonRenewal, Message: "an agent renews its own certificate"}
}

// judgeToken is for a cluster that asks with the ServiceAccount that was made for
// it.
func judgeToken(in Input, cluster, account string) Verdict {
	spec := &in.Request.Spec
	again := fmt.Sprintf("make another one with \"kronvoy hub token --cluster %s --rejoin\"", cluster)
	groups := slices.Sorted(slices.Values(spec.Groups))
	switch {
	case account != cluster:
		return deny(ReasonWrongRequester, "the token is for cluster %q, and the request for %q", account, cluster)
	case !slices.Equal(groups, []string{"system:authenticated", "system:serviceaccounts", kronvoyv1alpha1.JoinGroup}):
		return deny(ReasonWrongRequester, "%q is in the groups %q, which a token does not give", spec.Username, groups)
	case in.Account == nil || in.Account.DeletionTimestamp != nil:
		return deny(ReasonTokenGone, "the token is used up or has expired: %s", again)
	case string(in.Account.UID) != spec.UID:
		return deny(ReasonTokenGone, "the token is of an earlier ServiceAccount of the same name: %s", again)
	}
	t, err := token.Parse(in.Account)
	switch {
	case err != nil:
		return deny(ReasonTokenInvalid, "ServiceAccount %s/%s: %v: %s", in.Account.Namespace, in.Account.Name, err, again)
	case t.UsedBy != "" && t.UsedBy != string(in.Request.UID):
		return deny(ReasonTokenUsed, "the token was good for one request, and another one was approved: %s", again)
	case t.Over(in.Now):
		return deny(ReasonTokenExpired, "the token expired at %s: %s", t.Expires.Format(time.RFC3339), again)
	case in.NameTaken != "":
		return deny(ReasonNameTaken, "%s", in.NameTaken)
	case in.Cluster == nil:
		return wait(ReasonNoManagedCluster, "the agent has not created ManagedCluster %s yet", cluster)
	case in.Cluster.DeletionTimestamp != nil:
		return wait(ReasonClusterDeleting, "an earlier ManagedCluster %s is being deleted", cluster)
	case !t.Automatic:
		return waitForPerson(cluster)
	}
	return Verdict{
		Action: Approve, Reason: ReasonToken, Message: "the administrator's token for this cluster approves it",
		Accept: true, Labels: t.Labels, Token: true,
	}
}

func judgeStranger(in Input, cluster string) Verdict {
	if in.NameTaken != "" {
		return deny(ReasonNameTaken, "%s", in.NameTaken)
	}
	return waitForPerson(cluster)
}

func waitForPerson(cluster string) Verdict {
	return wait(ReasonWaitingForApproval, "a person has to approve it: \"kronvoy accept %s\" shows what it asks for, and does so", cluster)
}

// agentOf is the cluster whose agent has the user name.
func agentOf(user string) (string, bool) {
	cluster, _, ok := kronvoyv1alpha1.ParseAgentUser(user)
	return cluster, ok
}

// claimsAgent says whether a common name looks like an agent's, rightly or not.
func claimsAgent(commonName string) bool {
	return strings.HasPrefix(commonName, kronvoyv1alpha1.AgentGroup(""))
}
