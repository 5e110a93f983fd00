package graph

// Issue is one thing that is wrong with a source or an evaluation, with its
// place.
type Issue struct {
	// Path of the field, as in spec.resources[1].template.spec.replicas.
	Path string
	// Offset of the fault in the string at Path, in bytes; -1 when the fault is
	// the field as a whole.
	Offset int
	// Reason is a cause in PascalCase, stable over releases: UnknownField,
	// TypeMismatch, Cycle, …
	Reason string
	// Message says what is wrong, in one line.
	Message string
	// Snippet is the offending expression or text, shortened; empty if none.
	Snippet string
	// Suggestion says what to do, when there is something to suggest.
	Suggestion string
}

// Issues are sorted by path, offset and reason.
type Issues []Issue
