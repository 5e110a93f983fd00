// Package e2e tests Kronvoy as people run it: the hub process and an agent for
// every spoke, on real API servers, looked at and changed with YAML. All tests
// share one fleet; each has a namespace and kinds of its own.
package e2e
