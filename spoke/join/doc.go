// Package join gets a cluster into a fleet and keeps it there: with a bootstrap
// kubeconfig that somebody put into a Secret it asks the hub for a client
// certificate, and renews that certificate for as long as the agent runs.
//
//	Secret bootstrap-hub-kubeconfig ──┐        hub
//	                                  ├──> ManagedCluster, CertificateSigningRequest
//	Secret hub-kubeconfig-secret <────┘        │ approved there
//	  joining.key, renewal.key                 │
//	  kubeconfig, tls.key, tls.crt <───────────┘
//	      │
//	      └──> rest.Config of the hub, whose certificate changes under way
//
// Names, keys and the subject of certificates are Open Cluster Management's.
//
// A private key is stored before the hub hears of it, and a request's name
// follows from its key: whatever is interrupted goes on with the same request.
// The certificate replaces the key that it belongs to in one write.
package join
