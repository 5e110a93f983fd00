// Package report tells the hub what became of its works: in the ManifestWork's
// status, as OCM defines it, and in the WorkReport for what that cannot carry.
//
//	ChangeSet --Observer--> Observation --Writer--> WorkReport, then ManifestWork
//
// Everything in one Observation was judged on the same live objects at the same
// generation. A write happens only when its content differs from what the hub
// has, and never in the way of applying: a hub that does not answer costs the
// cluster nothing.
package report
