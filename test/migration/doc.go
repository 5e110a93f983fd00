// Package migration moves a cluster from kro's own controller to Kronvoy and
// back, with applications running all the time.
package migration
