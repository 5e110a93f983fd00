// Package compare runs kro's engine and ours side by side, as libraries, on the
// same definitions, instances and observed objects, and compares all that comes
// out: whether a definition is accepted, the generated kind, order and
// dependencies, rendered objects, readiness, exclusion and status.
//
//	rgd.yaml ──┬─ kro  ─ Build ─ Pass ─┐
//	           └─ ours ─ Compile ─ Pass ┴─► Outcome ×2 ──► differences, path by path
//
// It is a module of its own, so that nothing of kro's reaches the product.
package compare
