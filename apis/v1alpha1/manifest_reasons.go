package v1alpha1

// Reasons of a manifest's Applied condition, beyond OCM's
// AppliedManifestComplete and AppliedManifestFailed.
const (
	// ReasonApplyConflict: other field managers own fields of the manifest, and
	// the takeover policy does not allow to take them. The message names both.
	ReasonApplyConflict = "ApplyConflict"
	// ReasonTakeoverRefused: the object exists, is not ours, and the takeover
	// policy does not allow to adopt it as it is.
	ReasonTakeoverRefused = "TakeoverRefused"
	// ReasonTerminating: the object is on its way out; it is applied again when
	// it is gone.
	ReasonTerminating = "ObjectTerminating"
	// ReasonSuspended: the manifest is not applied as it stands, and will not be
	// while the work is suspended.
	ReasonSuspended = "ReconciliationSuspended"
	// ReasonImmutableField: the manifest changes a field that cannot change.
	ReasonImmutableField = "ImmutableField"
	// ReasonNoSuchKind: the cluster does not serve the manifest's kind.
	ReasonNoSuchKind = "NoSuchKind"
	// ReasonForbidden: the agent lacks a right.
	ReasonForbidden = "Forbidden"
	// ReasonReservedNamespace: the object is in the agent's own namespace.
	ReasonReservedNamespace = "ReservedNamespace"
	// ReasonInvalidManifest: the manifest cannot be read or placed.
	ReasonInvalidManifest = "InvalidManifest"
	// ReasonInvalidPolicy: the work's policies or observe annotation cannot be
	// read; nothing of the work is applied.
	ReasonInvalidPolicy = "InvalidPolicy"
)

// Reasons of a condition that a condition rule sets, beyond OCM's
// ConditionRuleEvaluated and ConditionRuleInvalid. All begin with
// ConditionRule, which is how OCM recognises them.
const (
	// ReasonRuleWaiting: the rule reads a field that is not there yet.
	ReasonRuleWaiting = "ConditionRuleWaiting"
	// ReasonRuleStale: the live object does not carry this manifest's hash.
	ReasonRuleStale = "ConditionRuleStale"
)

// Reasons of ConditionManifestHealthy. Where an object's own conditions say why
// it is not healthy, their reason stands in their place.
const (
	// ReasonHealthy: nothing in the object's status says otherwise.
	ReasonHealthy = "Healthy"
	// ReasonInProgress: the object is not yet what its specification asks for.
	ReasonInProgress = "InProgress"
	// ReasonFailed: the object will not become so by itself.
	ReasonFailed = "Failed"
)
