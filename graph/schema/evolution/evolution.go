// Package evolution tells what changes between two versions of a generated kind,
// and which of the changes break what exists: instances that are stored, and
// clients that read or write them.
//
//	old, new CRD ──Compare──► every change, sorted by path, breaking or not
//
// A change breaks when an object that was valid may no longer be, or when what a
// client could rely on reading may no longer be there. Everything is compared;
// what cannot be judged counts as breaking. Of the status, which the controller
// alone writes, only what readers miss breaks.
package evolution

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/kronvoy/kronvoy/graph/internal/path"
)

// Kind sorts changes.
type Kind string

// Change is one difference between two CustomResourceDefinitions.
type Change struct {
	// Path of the field of the instances, as in spec.ports[].name or
	// spec.labels{}; or of the definition's own, as in names.shortNames.
	Path string
	Kind Kind
	// Breaking is true when existing instances or clients may fail.
	Breaking bool
	// Message says what changed, in one line without the path.
	Message string
}

// String is the path and what changed there.
func (c Change) String() string { return c.Path + ": " + c.Message }

// Compare returns every change from old to new, sorted by path.
func Compare(old, new *apiextensionsv1.CustomResourceDefinition) []Change {
	c := &comparer{}
	c.definition(old, new)
	slices.SortFunc(c.changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(c.changes)
}

// Breaking returns the changes that break.
func Breaking(changes []Change) []Change {
	var out []Change
	for _, c := range changes {
		if c.Breaking {
			out = append(out, c)
		}
	}
	return out
}

// comparer collects changes.
type comparer struct {
	changes []Change
	// own are the paths of what no author defines.
	own []string
}

func (c *comparer) add(at string, kind Kind, breaking bool, format string, args ...any) {
	if at == "" {
		at = "schema"
	}
	c.changes = append(c.changes, Change{Path: at, Kind: kind, Breaking: breaking && c.breaks(at, kind), Message: fmt.Sprintf(format, args...)})
}

func (c *comparer) definition(old, new *apiextensionsv1.CustomResourceDefinition) {
	c.texts("labels", old.Labels, new.Labels)
	c.texts("annotations", old.Annotations, new.Annotations)
	c.value("group", "GroupChanged", true, old.Spec.Group, new.Spec.Group)
	c.value("scope", "ScopeChanged", true, string(old.Spec.Scope), string(new.Spec.Scope))
	from, to := old.Spec.Names, new.Spec.Names
	c.value("names.kind", "NameChanged", true, from.Kind, to.Kind)
	c.value("names.plural", "NameChanged", true, from.Plural, to.Plural)
	c.value("names.singular", "NameChanged", false, from.Singular, to.Singular)
	c.value("names.listKind", "NameChanged", false, from.ListKind, to.ListKind)
	c.value("names.shortNames", "NameChanged", false, list(from.ShortNames), list(to.ShortNames))
	c.value("names.categories", "NameChanged", false, list(from.Categories), list(to.Categories))
	for i := range old.Spec.Versions {
		v := &old.Spec.Versions[i]
		if n := versionOf(new, v.Name); n != nil {
			c.version(v, n)
			continue
		}
		c.add("versions."+v.Name, "VersionRemoved", v.Served, "the version %s was removed", v.Name)
	}
	for i := range new.Spec.Versions {
		if v := &new.Spec.Versions[i]; versionOf(old, v.Name) == nil {
			c.add("versions."+v.Name, "VersionAdded", false, "the version %s was added", v.Name)
		}
	}
}

func versionOf(crd *apiextensionsv1.CustomResourceDefinition, name string) *apiextensionsv1.CustomResourceDefinitionVersion {
	for i := range crd.Spec.Versions {
		if crd.Spec.Versions[i].Name == name {
			return &crd.Spec.Versions[i]
		}
	}
	return nil
}

func (c *comparer) version(old, new *apiextensionsv1.CustomResourceDefinitionVersion) {
	at := "versions." + old.Name
	c.value(at+".served", "ServedChanged", old.Served, fmt.Sprint(old.Served), fmt.Sprint(new.Served))
	c.value(at+".storage", "StorageChanged", false, fmt.Sprint(old.Storage), fmt.Sprint(new.Storage))
	c.value(at+".deprecated", "DeprecationChanged", false, fmt.Sprint(old.Deprecated), fmt.Sprint(new.Deprecated))
	c.subresource(at+".subresources.status", hasStatus(old), hasStatus(new))
	c.subresource(at+".subresources.scale", hasScale(old), hasScale(new))
	if !equality.Semantic.DeepEqual(old.AdditionalPrinterColumns, new.AdditionalPrinterColumns) {
		c.add(at+".additionalPrinterColumns", "PrinterColumnsChanged", false, "the printer columns changed")
	}
	if !equality.Semantic.DeepEqual(old.SelectableFields, new.SelectableFields) {
		c.add(at+".selectableFields", "SelectableFieldsChanged", len(old.SelectableFields) > 0, "the selectable fields changed")
	}
	c.own = ownFields(rootOf(old))
	c.schema("", rootOf(old), rootOf(new), 0)
}

func rootOf(v *apiextensionsv1.CustomResourceDefinitionVersion) *apiextensionsv1.JSONSchemaProps {
	if v.Schema == nil {
		return nil
	}
	return v.Schema.OpenAPIV3Schema
}

func hasStatus(v *apiextensionsv1.CustomResourceDefinitionVersion) bool {
	return v.Subresources != nil && v.Subresources.Status != nil
}

func hasScale(v *apiextensionsv1.CustomResourceDefinitionVersion) bool {
	return v.Subresources != nil && v.Subresources.Scale != nil
}

func (c *comparer) subresource(at string, old, new bool) {
	switch {
	case old && !new:
		c.add(at, "SubresourceRemoved", true, "the subresource was removed")
	case new && !old:
		c.add(at, "SubresourceAdded", false, "the subresource was added")
	}
}

// value compares two values that are written as text.
func (c *comparer) value(at string, kind Kind, breaking bool, old, new string) {
	if old != new {
		c.add(at, kind, breaking, "changed from %s to %s", orNone(old), orNone(new))
	}
}

// texts compares labels or annotations: nobody's objects break over them.
func (c *comparer) texts(at string, old, new map[string]string) {
	all := maps.Clone(old)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, new)
	for key := range all {
		from, had := old[key]
		to, has := new[key]
		place := path.Key(at, key)
		switch {
		case !had:
			c.add(place, "MetadataAdded", false, "added with the value %s", quoted(to))
		case !has:
			c.add(place, "MetadataRemoved", false, "removed, the value was %s", quoted(from))
		case from != to:
			c.add(place, "MetadataChanged", false, "changed from %s to %s", quoted(from), quoted(to))
		}
	}
}

func list(items []string) string { return strings.Join(items, ", ") }

// maxText bounds a value in a message.
const maxText = 80

func quoted(s string) string { return fmt.Sprintf("%q", shorten(s)) }

func shorten(s string) string {
	if runes := []rune(s); len(runes) > maxText {
		return string(runes[:maxText]) + "…"
	}
	return s
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return shorten(s)
}
