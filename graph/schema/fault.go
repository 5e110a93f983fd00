package schema

// Fault is one thing that is wrong with a SimpleSchema, with its place.
type Fault struct {
	// Path of the field, below the path that the caller gave.
	Path string
	// Offset in the string at Path in bytes; -1 for the field as a whole.
	Offset     int
	Reason     string
	Message    string
	Snippet    string
	Suggestion string
}
