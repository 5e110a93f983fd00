// Package regions tests what Kronvoy does over several clusters of several
// regions: where instances are placed, with which values, how changes roll over them,
// and how they leave. All tests share one fleet, a hub and two spokes in each of
// three regions; each has a namespace, kinds and labels of its own, and undoes what
// it does to the clusters. Those that make a cluster unreachable, or kill the hub
// again and again, run alone, the others side by side.
package regions
