// Package joining makes a hub and takes a cluster into its fleet and out of it,
// with the command line and by hand, as people do.
package joining
