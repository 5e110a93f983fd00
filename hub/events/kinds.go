package events

import (
	"slices"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

// Kind is what happened, in a word that a machine can wait for. docs/events.md
// says of each what to do.
type Kind struct {
	// Object is the kind of object that it happens to.
	Object string
	Reason string
	// Warning says that somebody should look.
	Warning bool
	// action is what the hub did when it noticed.
	action string
}

// Objects that events are about.
const (
	anInstance    = "instance"
	aDefinition   = "ResourceGraphDefinition"
	aDistribution = "Distribution, instance"
	aRollout      = "Rollout"
	aCluster      = "ManagedCluster"
)

var all []Kind

// Of instances: each is about all clusters together.
var (
	InstanceFailed    = define(anInstance, "Failed", "Summarize", true)
	InstanceRecovered = define(anInstance, "Recovered", "Summarize", false)
	DriftFound        = define(anInstance, "DriftFound", "Summarize", true)
	DriftGone         = define(anInstance, "DriftGone", "Summarize", false)
	RemovalHeld       = define(anInstance, "RemovalHeld", "Remove", true)
)

// Of definitions.
var (
	DefinitionNotAccepted = define(aDefinition, "DefinitionNotAccepted", "Compile", true)
	DefinitionAccepted    = define(aDefinition, "DefinitionAccepted", "Compile", false)
)

// ApprovalAsked is of what a rollout moves.
var ApprovalAsked = define(aDistribution, "ApprovalAsked", "Roll", false)

// phases of rollouts are told of by their names.
var phases = map[kronvoyv1alpha1.RolloutPhase]Kind{
	kronvoyv1alpha1.RolloutProgressing:        phase(kronvoyv1alpha1.RolloutProgressing, false),
	kronvoyv1alpha1.RolloutWaitingForApproval: phase(kronvoyv1alpha1.RolloutWaitingForApproval, false),
	kronvoyv1alpha1.RolloutPaused:             phase(kronvoyv1alpha1.RolloutPaused, true),
	kronvoyv1alpha1.RolloutRollingBack:        phase(kronvoyv1alpha1.RolloutRollingBack, true),
	kronvoyv1alpha1.RolloutRolledBack:         phase(kronvoyv1alpha1.RolloutRolledBack, false),
	kronvoyv1alpha1.RolloutSucceeded:          phase(kronvoyv1alpha1.RolloutSucceeded, false),
	kronvoyv1alpha1.RolloutFailed:             phase(kronvoyv1alpha1.RolloutFailed, true),
}

// Phase is that a rollout came to a phase; nothing for none.
func Phase(p kronvoyv1alpha1.RolloutPhase) Kind { return phases[p] }

func phase(p kronvoyv1alpha1.RolloutPhase, warning bool) Kind {
	return define(aRollout, string(p), "Roll", warning)
}

// Of clusters that join and leave. The first ones are reasons of their
// conditions, OCM's where OCM has one.
var (
	ClusterAccepted      = define(aCluster, "HubClusterAdminAccepted", "Register", false)
	ClusterDenied        = define(aCluster, "HubClusterAdminDenied", "Register", true)
	ClusterWaiting       = define(aCluster, "WaitingForApproval", "Register", false)
	NameReserved         = define(aCluster, "NameReserved", "Register", true)
	NamespaceTaken       = define(aCluster, "NamespaceTaken", "Register", true)
	NamespaceTerminating = define(aCluster, "NamespaceTerminating", "Register", true)
	ClusterJoined        = define(aCluster, "ManagedClusterJoined", "Register", false)
	ResourceRemaining    = define(aCluster, "ResourceRemaining", "Register", false)
	LettingGo            = define(aCluster, "LettingGo", "Register", false)
	Detached             = define(aCluster, "Detached", "Register", false)
	TokenExpired         = define(aCluster, "TokenExpired", "Join", true)
	CertificateApproved  = define(aCluster, "CertificateApproved", "Decide", false)
	CertificateDenied    = define(aCluster, "CertificateDenied", "Decide", true)
)

// Of clusters, by the hub's own clock and the agent's word.
var (
	ClusterAvailable   = define(aCluster, "Available", "Judge", false)
	ClusterUnavailable = define(aCluster, "Unavailable", "Judge", true)
	ClusterUnreachable = define(aCluster, "Unreachable", "Judge", true)
)

// Registration is that a condition of a cluster that joins or leaves has a
// reason; nothing for one that is not told of.
func Registration(reason string) Kind {
	i := slices.IndexFunc(all, func(k Kind) bool { return k.action == "Register" && k.Reason == reason })
	if i < 0 {
		return Kind{}
	}
	return all[i]
}

// Kinds are all that there are.
func Kinds() []Kind { return slices.Clone(all) }

func define(object, reason, action string, warning bool) Kind {
	k := Kind{Object: object, Reason: reason, Warning: warning, action: action}
	all = append(all, k)
	return k
}
