// Package lifecycle tests a hub that is its own spoke, as a kro user would see
// it: one API server, kro's YAML, kubectl. Its tests are named after the rules
// of kro's behaviour that they show.
package lifecycle
