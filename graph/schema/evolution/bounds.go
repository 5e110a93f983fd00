package evolution

import (
	"strconv"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// bound is one limit of a field's values.
type bound struct {
	kind, what string
	old, new   *float64
	// lower bounds restrict when they rise, upper ones when they fall.
	lower bool
}

// bounds compares the limits of numbers, texts, lists and maps: what gets tighter
// breaks.
func (c *comparer) bounds(at string, old, new *apiextensionsv1.JSONSchemaProps) {
	for _, b := range []bound{
		{"Minimum", "minimum", old.Minimum, new.Minimum, true},
		{"Maximum", "maximum", old.Maximum, new.Maximum, false},
		{"MinLength", "minimum length", whole(old.MinLength), whole(new.MinLength), true},
		{"MaxLength", "maximum length", whole(old.MaxLength), whole(new.MaxLength), false},
		{"MinItems", "minimum number of elements", whole(old.MinItems), whole(new.MinItems), true},
		{"MaxItems", "maximum number of elements", whole(old.MaxItems), whole(new.MaxItems), false},
		{"MinProperties", "minimum number of keys", whole(old.MinProperties), whole(new.MinProperties), true},
		{"MaxProperties", "maximum number of keys", whole(old.MaxProperties), whole(new.MaxProperties), false},
	} {
		c.bound(at, b)
	}
	for _, e := range []struct {
		what     string
		old, new bool
	}{{"minimum", old.ExclusiveMinimum, new.ExclusiveMinimum}, {"maximum", old.ExclusiveMaximum, new.ExclusiveMaximum}} {
		if e.old != e.new {
			c.add(at, "ExclusiveChanged", e.new, "whether the %s itself is excluded changed from %v to %v", e.what, e.old, e.new)
		}
	}
	switch {
	case old.MultipleOf == nil && new.MultipleOf == nil:
	case new.MultipleOf == nil:
		c.add(at, "MultipleOfRemoved", false, "it need not be a multiple of %s any more", number(*old.MultipleOf))
	case old.MultipleOf == nil || *old.MultipleOf != *new.MultipleOf:
		c.add(at, "MultipleOfChanged", true, "it must be a multiple of %s", number(*new.MultipleOf))
	}
}

func (c *comparer) bound(at string, b bound) {
	kind := Kind(b.kind)
	switch {
	case b.old == nil && b.new == nil:
	case b.old == nil:
		c.add(at, kind+"Added", true, "the %s %s was added", b.what, number(*b.new))
	case b.new == nil:
		c.add(at, kind+"Removed", false, "the %s %s was removed", b.what, number(*b.old))
	case *b.new != *b.old:
		tighter := *b.new > *b.old == b.lower
		suffix := Kind("Relaxed")
		if tighter {
			suffix = "Tightened"
		}
		c.add(at, kind+suffix, tighter, "the %s changed from %s to %s", b.what, number(*b.old), number(*b.new))
	}
}

func whole(n *int64) *float64 {
	if n == nil {
		return nil
	}
	f := float64(*n)
	return &f
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
