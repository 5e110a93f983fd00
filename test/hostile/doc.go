// Package hostile attacks a running fleet, as a managed cluster, as the holder of
// a token for joining, as somebody who writes definitions and as a tenant of the
// hub. Every attack runs twice: without the guard that it is about, where it must
// succeed, and with it. Where an API server would add nothing, the code that
// guards is attacked, and the guard is left out of a copy or of what it is given.
// What it needs is built with the tag integration.
package hostile
