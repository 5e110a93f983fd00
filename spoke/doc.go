// Package spoke is the agent of one cluster: it applies the works that a hub
// holds for the cluster, keeps them applied, and tells the hub what became of
// them.
//
//	hub                                    spoke (the manager's own cluster)
//	ManifestWork ──┐                  ┌──> objects, by server-side apply   spoke/apply
//	WorkReport  ───┤                  │        │ watched where in use      spoke/live
//	               └─> reconcile(work)┘ <──────┘
//	status <──────── spoke/report <── ChangeSet
//	                                       values and verdicts   spoke/feedback
//	                                       findings              spoke/drift
//
// There is one queue, keyed by the work's name; whatever changes on either side
// comes in as that name. The hub is engaged when it can be reached: until then,
// and whenever it cannot, the cluster is kept as last told.
package spoke
