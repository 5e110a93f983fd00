// Package admission is the hub's validating webhook: `kubectl apply`, also with
// --dry-run=server, shows at once what is wrong with a
// ResourceGraphDefinition, and where. It is a convenience, never a guard: what
// gets past it, because the hub is down or busy, is judged by hub/definition
// all the same, with the same compiler. Its failure policy is Ignore.
package admission
