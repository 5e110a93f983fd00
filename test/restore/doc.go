// Package restore takes a hub back to a snapshot of its etcd, while the clusters
// go on: docs/restore.md says what is promised.
package restore
