// Package apply makes the objects of a cluster what its works say, by
// server-side apply, and keeps them so.
//
//	ManifestWork --NewWork--> Work{Items}                                pure
//	   Items + live objects + what was applied before --> one step each  object.go
//	   inventory - Items --> prune, only when every item is applied      prune.go
//	   --> ChangeSet: per manifest what was done and the live object it was judged on
//
// Nothing is written when nothing changed: an object whose live state equals
// its baseline, and whose manifest was applied, costs no request at all.
//
// # Why nothing is orphaned
//
// Every applied object carries an owner reference to the work's
// AppliedManifestWork, and the label that the watches select by. The
// AppliedManifestWork names every kind that the work applies, from before the
// first apply of one until no object of it is left; so whenever an agent dies,
// its successor watches these kinds and finds by owner reference what the
// inventory does not list yet.
//
// # Why nothing is deleted by mistake
//
// Only objects with an owner reference to this work's AppliedManifestWork are
// deleted, with their UID as precondition, never while a manifest of the work
// is unreadable or failed, and never while another work wants them.
package apply
