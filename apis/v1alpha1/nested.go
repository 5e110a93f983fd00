package v1alpha1

import "encoding/json"

// NestedMark is what AnnotationNested says: for whom the hub made an instance.
type NestedMark struct {
	// Parent is the instance whose resource this is.
	Parent InstanceReference `json:"parent"`
	// Cluster is the only one it runs on.
	Cluster string `json:"cluster"`
	// Name is what the resource is called in its template, and what expressions
	// see as its name.
	Name string `json:"name"`
	// Depth is 1 for the resource of an instance that somebody wrote, 2 for a
	// resource of that, and so on.
	Depth int `json:"depth"`
	// Self is the marked instance: a copy of it by another name has no mark.
	Self InstanceReference `json:"self"`
}

// String is m as AnnotationNested holds it.
func (m NestedMark) String() string {
	text, err := json.Marshal(m)
	if err != nil {
		// A struct of strings and numbers always encodes.
		panic(err)
	}
	return string(text)
}

// ParseNestedMark reads the mark of an instance. It is false where there is
// none, and where it was made for another instance. Anybody who may write the
// instance may write a mark: only the Target it speaks of can confirm it.
func ParseNestedMark(self InstanceReference, annotations map[string]string) (NestedMark, bool) {
	var m NestedMark
	text, marked := annotations[AnnotationNested]
	if !marked || json.Unmarshal([]byte(text), &m) != nil || m.Self != self {
		return NestedMark{}, false
	}
	return m, true
}
