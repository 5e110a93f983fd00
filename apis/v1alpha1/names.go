package v1alpha1

import "strings"

// Labels and annotations.
const (
	// LabelPlacement on an instance names the OCM Placement, in the instance's
	// namespace, that says which clusters it runs on.
	LabelPlacement = "kronvoy.io/placement"

	// LabelInstance on Targets, ManifestWorks, WorkReports and revisions holds
	// the short hash of the instance's identity (group, kind, namespace, name).
	LabelInstance = "kronvoy.io/instance"
	// LabelNamespaceWork marks the work that carries an instance namespace.
	LabelNamespaceWork = "kronvoy.io/namespace-work"
	// LabelDefinition on definition revisions names the definition.
	LabelDefinition = "kronvoy.io/definition"
	// LabelDefinitionRevision on instance revisions names the definition's
	// revision they were made for.
	LabelDefinitionRevision = "kronvoy.io/definition-revision"
	// LabelManaged is on every object that an agent applied: its watches
	// select by it.
	LabelManaged = "kronvoy.io/managed"

	// LabelCluster on an instance that the hub made for one cluster names that
	// cluster, for people to select by; AnnotationNested is what counts.
	LabelCluster = "kronvoy.io/cluster"

	// AnnotationNested on an instance that the hub made for another instance's
	// resource says for which, as compact JSON: see NestedMark.
	AnnotationNested = "kronvoy.io/nested"
	// AnnotationInstance names the instance in full: Kind.group/namespace/name.
	AnnotationInstance = "kronvoy.io/instance"
	// AnnotationRevision names the instance revision a work was rendered from.
	AnnotationRevision = "kronvoy.io/revision"
	// AnnotationHash on a work is the hash of its spec and annotations, on a
	// manifest the hash of that manifest, with the hash version in front.
	AnnotationHash = "kronvoy.io/hash"
	// AnnotationTraceparent on an instance's revision, and on a work that is shipped
	// because of it, is what spans about it go under: a traceparent of W3C's Trace
	// Context. Nothing is decided by it, and it is no part of a hash.
	AnnotationTraceparent = "kronvoy.io/traceparent"
	// AnnotationManifestPolicies on a work holds one ManifestPolicy per
	// manifest, in order, as compact JSON.
	AnnotationManifestPolicies = "kronvoy.io/manifest-policies"
	// AnnotationObserve on a work holds what OCM's feedback cannot carry, lists
	// and objects above all, as compact JSON: see Observe.
	AnnotationObserve = "kronvoy.io/observe"
	// AnnotationShrunk is on a work that manifests have left, as ShrunkByUpdate
	// or ShrunkByTeardown: the agent must bring the report's observedHash up to
	// the work's hash, with all that is not gone in its deleting list, for the
	// next wave waits for it.
	AnnotationShrunk = "kronvoy.io/shrunk"
	// AnnotationReconcile on a work tells the agent to write none of its
	// objects, see Suspended: it goes on looking, and shows what differs as
	// Reported. On a ManagedCluster it freezes that cluster, and on the hub's own
	// namespace the fleet: nothing is written there, nor deleted. On an object of
	// a cluster it holds that object: whoever works on it by hand sets it there, and
	// as long as it is set the agent writes nothing of the object. A manifest
	// never brings it along.
	AnnotationReconcile = "kronvoy.io/reconcile"
	// AnnotationReconcileReason says beside it why.
	AnnotationReconcileReason = "kronvoy.io/reconcile-reason"
	// AnnotationMaintenance on a ManagedCluster says that somebody works on that
	// cluster, and its value why: no rollout begins there, and none counts it as
	// failed, until the annotation is gone or false. What the cluster has is kept up
	// meanwhile; AnnotationReconcile is what stops that, too.
	AnnotationMaintenance = "kronvoy.io/maintenance"
	// AnnotationDriftDecisions on a Target holds what people decided about drift
	// findings, as compact JSON: see DriftDecision.
	AnnotationDriftDecisions = "kronvoy.io/drift-decisions"
	// AnnotationServiceAccount on a namespace of the hub says in whose name agents
	// act for the instances in it, as [namespace/]name of a ServiceAccount on the
	// cluster; without a namespace it is in the instance's. On the hub's own
	// namespace it counts for cluster-scoped instances.
	AnnotationServiceAccount = "kronvoy.io/service-account"
	// AnnotationAgentIdentity on a namespace of the hub lets agents act with their
	// own rights for the instances in it, when it is AgentIdentityAllowed: whoever
	// may write instances there may do on every cluster what the agent may. On the
	// hub's own namespace it counts for cluster-scoped instances.
	AnnotationAgentIdentity = "kronvoy.io/agent-identity"
	// AnnotationSecretValues on a definition, when it is SecretValuesTravel, lets
	// values of Secrets that its expressions read come from a cluster to the hub,
	// and back into works for the same cluster.
	AnnotationSecretValues = "kronvoy.io/secret-values"
	// AnnotationAggregate on a definition holds the author's default for the
	// aggregates of its instances, as a JSON object: see DistributionSpec.Aggregate.
	AnnotationAggregate = "kronvoy.io/aggregate"
	// AnnotationSucceededAt on an instance's revision is when a rollout of it last
	// succeeded on all clusters: what comes after it is taken back to the latest.
	AnnotationSucceededAt = "kronvoy.io/succeeded-at"
	// AnnotationRejectedAt on an instance's revision is when a rollout of it failed
	// and was taken back: it is not tried again until it is made the newest anew, or
	// somebody orders a retry.
	AnnotationRejectedAt = "kronvoy.io/rejected-at"
	// AnnotationRestates on an instance's revision names one of another release of
	// Kronvoy that holds the same: what was decided about that counts for this one.
	AnnotationRestates = "kronvoy.io/restates"
	// AnnotationInstanceReconcile on an instance suspends it on all clusters,
	// see Suspended; the name is kro's.
	AnnotationInstanceReconcile = "kro.run/reconcile"
)

// AgentIdentityAllowed is the value of AnnotationAgentIdentity that counts.
const AgentIdentityAllowed = "allowed"

// SecretValuesTravel is the value of AnnotationSecretValues that counts.
const SecretValuesTravel = "travel"

// ReconcileSuspended is the value of AnnotationReconcile that the hub writes.
const ReconcileSuspended = "suspended"

// Suspended reads the value of an annotation that can suspend, as kro does:
// "suspended", or "disabled" as in older releases, in any case.
func Suspended(value string) bool {
	return strings.EqualFold(value, ReconcileSuspended) || strings.EqualFold(value, "disabled")
}

// Values of AnnotationShrunk.
const (
	// ShrunkByUpdate: what left goes once everything that stays is applied.
	ShrunkByUpdate = "update"
	// ShrunkByTeardown: everything leaves, wave by wave; a manifest that cannot
	// be applied holds nothing up.
	ShrunkByTeardown = "teardown"
)

// LocalCluster is the name of the ManagedCluster that is the hub's own cluster;
// the name is OCM's, and so is the label of the same name.
const LocalCluster = "local-cluster"

// ClaimFeatures is the cluster claim in which an agent says what it can do
// beyond OCM's: a comma-separated list of features. An agent without it is OCM's.
const ClaimFeatures = "agent.kronvoy.io/features"

// ClusterClaimFeatures is the same as a ClusterClaim on the cluster, whose name
// takes no slash: for clusters on which OCM's registration agent runs beside
// Kronvoy's agent, for that replaces all claims by the cluster's ClusterClaims.
const ClusterClaimFeatures = "features.agent.kronvoy.io"

// ConditionClaimsTruncated is True on a ManagedCluster whose agent was given
// more ClusterClaims than it tells the hub; its message names them.
const ConditionClaimsTruncated = "kronvoy.io/ClaimsTruncated"

// ReasonTooManyClaims is the reason of ConditionClaimsTruncated.
const ReasonTooManyClaims = "TooManyClaims"

// ConditionRestsOnClaims is True on a Placement whose predicates select by
// claims: what its decision rests on is what clusters say of themselves, and a
// cluster that lies is believed.
const ConditionRestsOnClaims = "kronvoy.io/RestsOnClaims"

// ReasonClaimsAreUntrusted is the reason of ConditionRestsOnClaims.
const ReasonClaimsAreUntrusted = "ClaimsAreUntrusted"

// Features of an agent, as listed in ClaimFeatures.
const (
	// FeatureWorkReport: the agent answers in WorkReports, and does all else that
	// Kronvoy's agent did when the claim was new: it knows AnnotationObserve,
	// AnnotationReconcile and AnnotationManifestPolicies. What comes later, and a
	// hub must know of, gets a name of its own.
	FeatureWorkReport = "WorkReport"
	// FeatureHealth: the agent judges the health of what it applies, in
	// ConditionManifestHealthy.
	FeatureHealth = "Health"
)

// ReasonAgentLacks begins the reason why an instance is not shipped to a cluster;
// the name of the feature that the cluster's agent lacks follows.
const ReasonAgentLacks = "AgentLacks"

// Other reasons why an instance is not shipped to a cluster.
const (
	// ReasonInvalidDistribution: the Distribution that owns the instance cannot be
	// used; its condition Accepted says why.
	ReasonInvalidDistribution = "InvalidDistribution"
	// ReasonSecretValues: the definition reads values of Secrets, and does not say
	// that they may leave their cluster.
	ReasonSecretValues = "SecretValues"
	// ReasonNoServiceAccount: nothing says in whose name the agent is to act.
	ReasonNoServiceAccount = "NoServiceAccount"
)

// Finalizers.
const (
	// FinalizerInstance keeps an instance until its last Target is gone; the
	// name is kro's.
	FinalizerInstance = "kro.run/finalizer"
	// FinalizerTarget keeps a Target until its works are gone.
	FinalizerTarget = "kronvoy.io/teardown"
	// FinalizerWork keeps a ManifestWork until the agent has removed what it
	// applied; the name is OCM's.
	FinalizerWork = "cluster.open-cluster-management.io/manifest-work-cleanup"
	// FinalizerCluster keeps a ManagedCluster until its works are gone and its
	// agents have no rights; the name is OCM's.
	FinalizerCluster = "cluster.open-cluster-management.io/api-resource-cleanup"
)

// FieldManagerHub is the hub's own field manager.
const FieldManagerHub = "kronvoy-hub"

// FieldManagerPrefix is what every field manager of applied manifests begins
// with; the ManifestWork CRD demands its first part.
const FieldManagerPrefix = "work-agent-kronvoy-"

// Condition types of a manifest in a ManifestWork's status.
const (
	// ConditionManifestReady is the verdict on a node's readyWhen.
	ConditionManifestReady = "Ready"
	// ConditionManifestHealthy is the agent's judgement of the object by its own
	// status, whatever readyWhen says: True where it is healthy, False where it
	// has failed, and Unknown where it is under way to either. It certifies the
	// object with the FeedbackHash beside it, and is on manifests with
	// AnnotationHash alone that are not only read.
	ConditionManifestHealthy = "Healthy"
	// ConditionManifestObserved, with an agent that has no WorkReports, certifies
	// the feedback values beside it: they are of an object that carries this
	// manifest, and were read for the work's generation that it names.
	ConditionManifestObserved = "Observed"
)

// ConditionWorksVanished on a ManagedCluster is written by the cluster's agent. It
// is True while works are gone from the hub that nobody has deleted, and whose
// objects are still there; there is none where that never was so, or where all
// of them came back.
const ConditionWorksVanished = "WorksVanished"

// Reasons of ConditionWorksVanished.
const (
	// ReasonVanished: the objects stay for the agent's eviction grace period.
	ReasonVanished = "Vanished"
	// ReasonEvicted: that is over, and objects were deleted.
	ReasonEvicted = "Evicted"
)

// FeedbackHash is the name of the feedback value that returns a live object's
// AnnotationHash: only while it equals the shipped manifest's hash does a
// missing value mean an absent field.
const FeedbackHash = "kronvoy.io/hash"

// FeedbackHashPath is the JSONPath of FeedbackHash.
const FeedbackHashPath = `.metadata.annotations['kronvoy\.io/hash']`
