package admission

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/utils/ptr"

	"github.com/google/go-cmp/cmp"
)

var issued = time.Date(2026, 9, 4, 12, 0, 0, 0, time.UTC)

func issueAt(t *testing.T, now time.Time, before []byte, names ...string) credentials {
	t.Helper()
	c, err := issue(names, before, now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCredentialsAreGoodForTheirNamesAndTime(t *testing.T) {
	c := issueAt(t, issued, nil, "kronvoy-hub.kronvoy-system.svc", "127.0.0.1")
	other := issueAt(t, issued, nil, "kronvoy-hub.kronvoy-system.svc")
	tests := map[string]struct {
		credentials credentials
		names       []string
		now         time.Time
		good        time.Duration
	}{
		"new":                            {c, []string{"kronvoy-hub.kronvoy-system.svc", "127.0.0.1"}, issued, lifetime - renewal},
		"by a clock that is behind":      {c, []string{"127.0.0.1"}, issued.Add(-time.Minute), lifetime - renewal + time.Minute},
		"about to be renewed":            {c, []string{"127.0.0.1"}, issued.Add(lifetime - renewal - time.Second), time.Second},
		"to be renewed":                  {c, []string{"127.0.0.1"}, issued.Add(lifetime - renewal), 0},
		"for another name":               {c, []string{"127.0.0.1", "elsewhere.svc"}, issued, 0},
		"nothing":                        {credentials{}, []string{"127.0.0.1"}, issued, 0},
		"an authority that did not sign": {credentials{other.authorities, c.certificate, c.key}, []string{"127.0.0.1"}, issued, 0},
		"a key of another certificate":   {credentials{c.authorities, c.certificate, other.key}, []string{"127.0.0.1"}, issued, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, good, err := test.credentials.check(test.names, test.now)
			if good != test.good || (err == nil) != (test.good > 0) {
				t.Errorf("good for %v, error %v; want %v", good, err, test.good)
			}
		})
	}
}

// TestRotationIsNeverAGap: an API server that trusts the old bundle takes the
// old certificate, and one that trusts the new bundle takes both.
func TestRotationIsNeverAGap(t *testing.T) {
	const name = "127.0.0.1"
	before := issueAt(t, issued, nil, name)
	renewed := issued.Add(lifetime - renewal)
	after := issueAt(t, renewed, before.authorities, name)
	takes := func(authorities, certificate []byte) bool {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(authorities)
		block, _ := pem.Decode(certificate)
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: renewed})
		return err == nil
	}
	for what, ok := range map[string]bool{
		"the new bundle takes the new certificate":                               takes(after.authorities, after.certificate),
		"the new bundle takes the old certificate":                               takes(after.authorities, before.certificate),
		"the old bundle takes the new certificate, which nobody can have signed": !takes(before.authorities, after.certificate),
	} {
		if !ok {
			t.Errorf("it does not hold that %s", what)
		}
	}
}

func TestTheBundleOfAuthoritiesIsBounded(t *testing.T) {
	count := func(bundle []byte) int { return bytes.Count(bundle, []byte("BEGIN CERTIFICATE")) }
	var c credentials
	for i := range 6 {
		c = issueAt(t, issued.Add(time.Duration(i)*time.Hour), c.authorities, "127.0.0.1")
	}
	if got := count(c.authorities); got != maxAuthorities {
		t.Errorf("%d authorities, want %d", got, maxAuthorities)
	}
	if got := count(issueAt(t, issued.Add(2*lifetime), c.authorities, "127.0.0.1").authorities); got != 1 {
		t.Errorf("%d authorities when all before have run out", got)
	}
	if got := count(issueAt(t, issued, []byte("rubbish\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "127.0.0.1").authorities); got != 1 {
		t.Errorf("%d authorities, with rubbish before", got)
	}
}

func TestNamesOf(t *testing.T) {
	webhook := func(c admissionregistrationv1.WebhookClientConfig) admissionregistrationv1.ValidatingWebhook {
		return admissionregistrationv1.ValidatingWebhook{Name: "one", ClientConfig: c}
	}
	service := webhook(admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{Name: "hub", Namespace: "system"}})
	address := webhook(admissionregistrationv1.WebhookClientConfig{URL: ptr.To("https://127.0.0.1:9443/validate")})
	tests := map[string]struct {
		webhooks []admissionregistrationv1.ValidatingWebhook
		want     []string
		fails    bool
	}{
		"a service":  {webhooks: []admissionregistrationv1.ValidatingWebhook{service, service}, want: []string{"hub.system.svc"}},
		"a URL":      {webhooks: []admissionregistrationv1.ValidatingWebhook{service, address}, want: []string{"127.0.0.1", "hub.system.svc"}},
		"neither":    {webhooks: []admissionregistrationv1.ValidatingWebhook{webhook(admissionregistrationv1.WebhookClientConfig{})}, fails: true},
		"no URL":     {webhooks: []admissionregistrationv1.ValidatingWebhook{webhook(admissionregistrationv1.WebhookClientConfig{URL: ptr.To(":")})}, fails: true},
		"no webhook": {},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := namesOf(&admissionregistrationv1.ValidatingWebhookConfiguration{Webhooks: test.webhooks})
			if diff := cmp.Diff(test.want, got); diff != "" || (err != nil) != test.fails {
				t.Errorf("error %v, names (-want +got):\n%s", err, diff)
			}
		})
	}
}
