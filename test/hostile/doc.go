// Package hostile attacks a running fleet, as a managed cluster, as the holder of
// a token for joining, as somebody who writes definitions and as a tenant of the
// hub. Every attack runs twice: without the guard that it is about, where it must
// succeed, and with it. What it needs is built with the tag integration.
package hostile
