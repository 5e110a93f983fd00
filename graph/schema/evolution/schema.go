package evolution

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/kronvoy/kronvoy/graph/internal/path"
)

// maxDepth of a schema that is compared field by field.
const maxDepth = 100

// ownFields are the fields of the status that no author defines: the controller
// alone writes them, by the schema of the day, so that no object breaks. kro's
// generated kinds have others than Kronvoy's, and may become Kronvoy's.
func ownFields(old *apiextensionsv1.JSONSchemaProps) []string {
	own := []string{"status.state", "status.conditions", "status.kronvoyFleet"}
	if old != nil {
		if _, moved := old.Properties["status"].Properties["kronvoyFleet"]; moved {
			return own
		}
	}
	return append(own, "status.fleet")
}

// readersRelyOn are the kinds of changes that break who reads a status.
var readersRelyOn = []Kind{"PropertyRemoved", "TypeChanged", "MapRemoved"}

// breaks tells whether a change that breaks somewhere does so here. The status is
// written by the controller alone: what restricts its values breaks nobody.
func (c *comparer) breaks(at string, kind Kind) bool {
	return !inStatus(at) || slices.Contains(readersRelyOn, kind) && !c.isOwn(at)
}

func inStatus(at string) bool {
	rest, found := strings.CutPrefix(at, "status")
	return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// isOwn tells whether a path is one of the controller's own fields, or in one.
func (c *comparer) isOwn(at string) bool {
	return slices.ContainsFunc(c.own, func(field string) bool {
		rest, found := strings.CutPrefix(at, field)
		return found && (rest == "" || rest[0] == '.' || rest[0] == '[' || rest[0] == '{')
	})
}

// schema compares the schemas of one field.
func (c *comparer) schema(at string, old, new *apiextensionsv1.JSONSchemaProps, depth int) {
	switch {
	case old == nil && new == nil:
		return
	case old == nil:
		c.add(at, "SchemaAdded", true, "the field has a schema now, anything was allowed")
		return
	case new == nil:
		c.add(at, "SchemaRemoved", false, "the field has no schema any more")
		return
	case depth > maxDepth:
		if !equality.Semantic.DeepEqual(old, new) {
			c.add(at, "SchemaChanged", true, "the schema changed deeper than %d levels", maxDepth)
		}
		return
	}
	if from, to := typeOf(old), typeOf(new); from != to {
		// Nothing below a changed type can be compared.
		// Who could read anything can read this.
		widened, narrowedForReaders := to == anyType, from == anyType && inStatus(at)
		c.add(at, "TypeChanged", !widened && !narrowedForReaders, "the type changed from %s to %s", from, to)
		return
	}
	c.texture(at, old, new)
	c.defaults(at, old, new)
	c.bounds(at, old, new)
	c.enum(at, old.Enum, new.Enum)
	c.rules(at, old.XValidations, new.XValidations)
	c.combinators(at, old, new)
	c.properties(at, old, new, depth)
	c.values(at, old, new, depth)
	c.items(at, old, new, depth)
	c.lists(at, old, new)
}

const anyType = "anything"

// typeOf names the type of a field.
func typeOf(s *apiextensionsv1.JSONSchemaProps) string {
	switch {
	case s.XIntOrString:
		return "integer or string"
	case s.Type != "":
		return s.Type
	}
	return anyType
}

// texture compares what is said about a field besides its values.
func (c *comparer) texture(at string, old, new *apiextensionsv1.JSONSchemaProps) {
	if old.Description != new.Description || old.Title != new.Title {
		c.add(at, "DescriptionChanged", false, "the description changed")
	}
	c.flag(at, "Nullable", "null is allowed", old.Nullable, new.Nullable)
	c.flag(at, "UnknownFields", "unknown fields are kept", isTrue(old.XPreserveUnknownFields), isTrue(new.XPreserveUnknownFields))
	if old.XEmbeddedResource != new.XEmbeddedResource {
		c.add(at, "EmbeddedResourceChanged", new.XEmbeddedResource, "whether it must be a whole object changed from %v to %v", old.XEmbeddedResource, new.XEmbeddedResource)
	}
	switch {
	case old.Format == new.Format:
	case new.Format == "":
		c.add(at, "FormatRemoved", false, "the format %s was removed", shorten(old.Format))
	default:
		c.add(at, "FormatChanged", true, "the format changed from %s to %s", orNone(old.Format), shorten(new.Format))
	}
	switch {
	case old.Pattern == new.Pattern:
	case new.Pattern == "":
		c.add(at, "PatternRemoved", false, "the pattern %s was removed", quoted(old.Pattern))
	case old.Pattern == "":
		c.add(at, "PatternAdded", true, "the pattern %s was added", quoted(new.Pattern))
	default:
		c.add(at, "PatternChanged", true, "the pattern changed from %s to %s", quoted(old.Pattern), quoted(new.Pattern))
	}
}

// flag compares something that can be allowed.
func (c *comparer) flag(at string, kind Kind, what string, old, new bool) {
	switch {
	case old && !new:
		c.add(at, kind+"Forbidden", true, "no longer so: %s", what)
	case new && !old:
		c.add(at, kind+"Allowed", false, "now %s", what)
	}
}

func (c *comparer) defaults(at string, old, new *apiextensionsv1.JSONSchemaProps) {
	from, to := canonical(old.Default), canonical(new.Default)
	if from != to {
		c.add(at, "DefaultChanged", false, "the default changed from %s to %s", orNone(from), orNone(to))
	}
}

// enum compares the allowed values: a list where there was none restricts, the
// end of one relaxes.
func (c *comparer) enum(at string, old, new []apiextensionsv1.JSON) {
	from, to := canonicals(old), canonicals(new)
	switch {
	case len(from) == 0 && len(to) == 0:
	case len(from) == 0:
		c.add(at, "EnumAdded", true, "only %s are allowed now", shorten(list(to)))
	case len(to) == 0:
		c.add(at, "EnumRemoved", false, "any value is allowed now")
	default:
		for _, v := range without(from, to) {
			c.add(at, "EnumValueRemoved", true, "the value %s is no longer allowed", shorten(v))
		}
		for _, v := range without(to, from) {
			c.add(at, "EnumValueAdded", false, "the value %s is allowed now", shorten(v))
		}
	}
}

// rules compares validation rules: a new one may refuse what is stored, and
// `self == oldSelf` refuses what could be changed.
func (c *comparer) rules(at string, old, new apiextensionsv1.ValidationRules) {
	byRule := func(rules apiextensionsv1.ValidationRules) (map[string]apiextensionsv1.ValidationRule, []string) {
		m := map[string]apiextensionsv1.ValidationRule{}
		var order []string
		for _, r := range rules {
			m[r.Rule] = r
			order = append(order, r.Rule)
		}
		return m, order
	}
	from, fromRules := byRule(old)
	to, toRules := byRule(new)
	for _, rule := range without(toRules, fromRules) {
		c.add(at, "ValidationAdded", true, "the rule %s was added", quoted(rule))
	}
	for _, rule := range without(fromRules, toRules) {
		c.add(at, "ValidationRemoved", false, "the rule %s was removed", quoted(rule))
	}
	for rule, r := range from {
		n, kept := to[rule]
		switch {
		case !kept:
		case isTrue(r.OptionalOldSelf) != isTrue(n.OptionalOldSelf):
			c.add(at, "ValidationChanged", true, "the rule %s changed when it applies", quoted(rule))
		case !equality.Semantic.DeepEqual(r, n):
			c.add(at, "ValidationMessageChanged", false, "what the rule %s says changed", quoted(rule))
		}
	}
}

// combinators compares what generated kinds do not have; whether a change of it
// breaks cannot be told.
func (c *comparer) combinators(at string, old, new *apiextensionsv1.JSONSchemaProps) {
	for _, pair := range []struct {
		name     string
		old, new any
	}{
		{"allOf", old.AllOf, new.AllOf}, {"anyOf", old.AnyOf, new.AnyOf}, {"oneOf", old.OneOf, new.OneOf}, {"not", old.Not, new.Not},
		{"dependencies", old.Dependencies, new.Dependencies}, {"patternProperties", old.PatternProperties, new.PatternProperties},
	} {
		if !equality.Semantic.DeepEqual(pair.old, pair.new) {
			c.add(at, "CombinationChanged", true, "%s changed", pair.name)
		}
	}
}

func (c *comparer) properties(at string, old, new *apiextensionsv1.JSONSchemaProps, depth int) {
	// A field that loses its declaration stays what it is where unknown fields
	// are kept.
	open := isTrue(new.XPreserveUnknownFields) || valueSchema(new) != nil
	for name, was := range old.Properties {
		place := path.Key(at, name)
		is, kept := new.Properties[name]
		if !kept {
			c.add(place, "PropertyRemoved", !open, "the field was removed")
			if value := valueSchema(new); value != nil {
				// It is one of the map's keys now.
				c.schema(place, &was, value, depth+1)
			}
			continue
		}
		c.schema(place, &was, &is, depth+1)
		required, wasRequired := slices.Contains(new.Required, name), slices.Contains(old.Required, name)
		switch {
		case required && !wasRequired:
			c.add(place, "RequiredAdded", true, "the field is required now")
		case wasRequired && !required:
			c.add(place, "RequiredRemoved", false, "the field is no longer required")
		case required && was.Default != nil && is.Default == nil:
			c.add(place, "RequiredDefaultRemoved", true, "the field is required and has no default any more")
		}
	}
	for name, is := range new.Properties {
		if _, kept := old.Properties[name]; kept {
			continue
		}
		place := path.Key(at, name)
		switch {
		case slices.Contains(new.Required, name) && is.Default == nil:
			c.add(place, "RequiredPropertyAdded", true, "a required field without a default was added")
		case isTrue(old.XPreserveUnknownFields) || valueSchema(old) != nil:
			c.add(place, "PropertyAdded", true, "the field was declared: it could hold anything before")
		default:
			c.add(place, "PropertyAdded", false, "the field was added")
		}
	}
}

// valueSchema is the schema of a map's values; nil when it is no map.
func valueSchema(s *apiextensionsv1.JSONSchemaProps) *apiextensionsv1.JSONSchemaProps {
	if s.AdditionalProperties == nil {
		return nil
	}
	if s.AdditionalProperties.Schema == nil && s.AdditionalProperties.Allows {
		return &apiextensionsv1.JSONSchemaProps{}
	}
	return s.AdditionalProperties.Schema
}

// values compares the values of maps.
func (c *comparer) values(at string, old, new *apiextensionsv1.JSONSchemaProps, depth int) {
	from, to := valueSchema(old), valueSchema(new)
	switch {
	case from == nil && to == nil:
	case to == nil:
		c.add(at, "MapRemoved", !isTrue(new.XPreserveUnknownFields), "it is no map any more")
	case from == nil:
		c.add(at, "MapAdded", isTrue(old.XPreserveUnknownFields), "it is a map now")
	default:
		c.schema(at+"{}", from, to, depth+1)
	}
}

// items compares the elements of lists.
func (c *comparer) items(at string, old, new *apiextensionsv1.JSONSchemaProps, depth int) {
	element := func(s *apiextensionsv1.JSONSchemaProps) *apiextensionsv1.JSONSchemaProps {
		if s.Items == nil {
			return nil
		}
		return s.Items.Schema
	}
	c.schema(at+"[]", element(old), element(new), depth+1)
}

// lists compares how lists and maps are merged. Sets and maps demand uniqueness,
// which what is stored may not have.
func (c *comparer) lists(at string, old, new *apiextensionsv1.JSONSchemaProps) {
	const atomic, set, mapping = "atomic", "set", "map"
	from, to := textOr(old.XListType, atomic), textOr(new.XListType, atomic)
	switch {
	case from != to:
		c.add(at, "ListTypeChanged", to == set || to == mapping, "the list type changed from %s to %s", from, to)
	case to == mapping && !slices.Equal(old.XListMapKeys, new.XListMapKeys):
		c.add(at, "ListMapKeysChanged", true, "the keys of the list changed from %s to %s", orNone(list(old.XListMapKeys)), orNone(list(new.XListMapKeys)))
	}
	if from, to := textOr(old.XMapType, "granular"), textOr(new.XMapType, "granular"); from != to {
		c.add(at, "MapTypeChanged", false, "the map type changed from %s to %s", from, to)
	}
	if old.UniqueItems != new.UniqueItems {
		c.add(at, "UniqueItemsChanged", new.UniqueItems, "whether elements must be unique changed from %v to %v", old.UniqueItems, new.UniqueItems)
	}
}

func textOr(s *string, otherwise string) string {
	if s == nil {
		return otherwise
	}
	return *s
}

func isTrue(b *bool) bool { return b != nil && *b }

// canonical is JSON without what only its writer chose; empty for none.
func canonical(v *apiextensionsv1.JSON) string {
	if v == nil || len(v.Raw) == 0 {
		return ""
	}
	var decoded any
	if json.Unmarshal(v.Raw, &decoded) != nil {
		return string(v.Raw)
	}
	encoded, err := json.Marshal(decoded)
	if err != nil {
		return fmt.Sprint(decoded)
	}
	return string(encoded)
}

func canonicals(values []apiextensionsv1.JSON) []string {
	out := make([]string, 0, len(values))
	for i := range values {
		out = append(out, canonical(&values[i]))
	}
	return out
}

// without returns the texts that are not among others.
func without(all, others []string) []string {
	have := make(map[string]bool, len(others))
	for _, s := range others {
		have[s] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return have[s] })
}
