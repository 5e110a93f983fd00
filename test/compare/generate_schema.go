package compare

import (
	"fmt"
	"strings"
)

// moreFields adds random fields to a schema, so that generated kinds are compared
// in all of their shapes. No expression reads them.
func (g *generator) moreFields(spec map[string]any) map[string]any {
	for i := range g.r.IntN(4) {
		spec[fmt.Sprintf("extra%d", i)] = g.field(2)
	}
	types := map[string]any{}
	if g.chance(30) {
		types["inner"] = map[string]any{"text": g.scalar(), "number": "integer | default=4"}
		types["outer"] = map[string]any{"one": "inner", "many": "[]inner", "named": "map[string]inner"}
		spec["typed"] = g.pick("outer", "[]outer", "map[string]inner", "inner | description=\"one of them\"")
	}
	return types
}

// field is one field in SimpleSchema: a struct, or text.
func (g *generator) field(depth int) any {
	if depth > 0 && g.chance(25) {
		out := map[string]any{}
		for i := range 1 + g.r.IntN(3) {
			out[fmt.Sprintf("inner%d", i)] = g.field(depth - 1)
		}
		return out
	}
	switch g.r.IntN(6) {
	case 0:
		return g.list()
	case 1:
		return "map[string]" + g.pick("string", "integer", "boolean", "float", "[]string", "map[string]integer", "object") + g.markers("required=true")
	case 2:
		return "object" + g.markers()
	}
	return g.scalar()
}

func (g *generator) scalar() string {
	switch g.r.IntN(4) {
	case 0:
		return "integer" + g.markers(g.pick("default=3", `enum="3,5"`), "minimum=1", "maximum=9", "required=true", "immutable=true", `validation="self != 7"`)
	case 1:
		return "boolean" + g.markers("default=true", "immutable=true")
	case 2:
		return "float" + g.markers("default=1.5", "minimum=1", "maximum=2.5")
	}
	return "string" + g.markers(g.pick(`default="abc"`, "default=abc", `default=""`, `default="with space"`), g.pick(`enum="abc,with space"`, `pattern="^[a-z ]*$"`),
		"minLength=0", "maxLength=20", "required=true", "immutable=true", `validation="size(self) < 30"`)
}

func (g *generator) list() string {
	return "[]" + g.pick("string", "integer") + g.markers("minItems=1", "maxItems=5", g.pick("uniqueItems=true", "listType=set", "listType=atomic"), "required=true")
}

// markers chooses some of the given ones, and sometimes a description.
func (g *generator) markers(of ...string) string {
	var out []string
	for _, marker := range append(of, `description="what it is | for"`) {
		if g.chance(30) {
			out = append(out, marker)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return " | " + strings.Join(out, " ")
}
