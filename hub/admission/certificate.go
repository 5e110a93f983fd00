package admission

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

const (
	// lifetime of a certificate and of the authority that signed it.
	lifetime = 90 * 24 * time.Hour
	// renewal is how long before its end a certificate is replaced.
	renewal = lifetime / 3
	// backdated makes up for clocks that are behind.
	backdated = time.Hour
	// maxAuthorities that are trusted at once.
	maxAuthorities = 3
)

// credentials are what the webhook serves with, in PEM.
//
// Every certificate has an authority of its own, whose key is forgotten as soon
// as it has signed: nobody can sign another one. Rotation is a new pair, with
// the authorities before it trusted for as long as they are valid, so that an
// API server and a hub of the old and the new always understand each other.
type credentials struct {
	// authorities to trust, the newest first.
	authorities []byte
	certificate []byte
	key         []byte
}

// issue makes credentials for a server with these names or addresses, and keeps
// what is still valid of the authorities before.
func issue(names []string, before []byte, now time.Time) (credentials, error) {
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return credentials{}, fmt.Errorf("making a key: %w", err)
	}
	authority := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "kronvoy-hub-webhook-ca"},
		NotBefore: now.Add(-backdated), NotAfter: now.Add(lifetime),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	signed, err := sign(authority, authority, authorityKey, authorityKey)
	if err != nil {
		return credentials{}, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return credentials{}, fmt.Errorf("making a key: %w", err)
	}
	server := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "kronvoy-hub-webhook"},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else {
			server.DNSNames = append(server.DNSNames, name)
		}
	}
	certificate, err := sign(server, authority, key, authorityKey)
	if err != nil {
		return credentials{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return credentials{}, fmt.Errorf("encoding a key: %w", err)
	}
	return credentials{
		authorities: append(signed, stillValid(before, now)...),
		certificate: certificate,
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, fmt.Errorf("signing a certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// stillValid are the newest authorities of a bundle that have not run out, with
// room for one more. What is no certificate is left out.
func stillValid(bundle []byte, now time.Time) []byte {
	var kept []byte
	n := 0
	for block, rest := pem.Decode(bundle); block != nil && n < maxAuthorities-1; block, rest = pem.Decode(rest) {
		authority, err := x509.ParseCertificate(block.Bytes)
		if err != nil || now.After(authority.NotAfter) {
			continue
		}
		kept = append(kept, pem.EncodeToMemory(block)...)
		n++
	}
	return kept
}

var errNotForLong = errors.New("the certificate runs out")

// check says why credentials cannot serve under these names, or for how long
// they are good.
func (c credentials) check(names []string, now time.Time) (tls.Certificate, time.Duration, error) {
	pair, err := tls.X509KeyPair(c.certificate, c.key)
	if err != nil {
		return tls.Certificate{}, 0, fmt.Errorf("reading the certificate: %w", err)
	}
	good := pair.Leaf.NotAfter.Add(-renewal).Sub(now)
	if good <= 0 {
		return tls.Certificate{}, 0, errNotForLong
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.authorities)
	for _, name := range names {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now}); err != nil {
			return tls.Certificate{}, 0, fmt.Errorf("the certificate does not serve %s: %w", name, err)
		}
	}
	return pair, good, nil
}

// unique sorts names, each once.
func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
