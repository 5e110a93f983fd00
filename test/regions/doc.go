// Package regions tests what Kronvoy does over several clusters of several
// regions: where instances are placed, with which values, and how they leave. All
// tests share one fleet, a hub and two spokes in each of three regions; each has
// a namespace and kinds of its own, and undoes what it does to the clusters.
package regions
