package notice

// Reasons of notices; docs/events.md says of each what to do.
const (
	// How the hub answers.
	HubAnswers            = "HubAnswers"
	HubRefuses            = "HubRefuses"
	HubRefusesCertificate = "HubRefusesCertificate"
	HubUnreachable        = "HubUnreachable"

	// How far the agent is with joining.
	Starting               = "Starting"
	NoBootstrapSecret      = "NoBootstrapSecret"
	InvalidBootstrapSecret = "InvalidBootstrapSecret"
	WaitingForApproval     = "WaitingForApproval"
	NotAccepted            = "NotAccepted"
	RequestRefused         = "RequestRefused"
	BootstrapRefused       = "BootstrapRefused"
	BootstrapForbidden     = "BootstrapForbidden"
	Joined                 = "Joined"

	// How its certificate and its own cluster are.
	RenewalFailed      = "RenewalFailed"
	CertificateExpired = "CertificateExpired"
	ClusterUnreachable = "ClusterUnreachable"
)
