package probe

import (
	"fmt"
	"strings"
	"testing"
)

// What a hub keeps, as kubectl takes it.
const (
	definitions   = "resourcegraphdefinitions.kro.run"
	targets       = "targets.kronvoy.io"
	manifestWorks = "manifestworks.work.open-cluster-management.io"
)

// Definition is the YAML of one that generates a kind. The text is its spec,
// without the schema's apiVersion and kind.
func Definition(name, kind, spec string) string {
	return fmt.Sprintf(`
apiVersion: kro.run/v1alpha1
kind: ResourceGraphDefinition
metadata: {name: %s}
spec:
%s`, name, Indent(strings.Replace(spec, "schema:", "schema:\n  apiVersion: v1alpha1\n  kind: "+kind, 1), 2))
}

// Define makes or changes the definition that has its kind's name in small
// letters. The text is as for Definition.
func (c *Cluster) Define(t testing.TB, kind, spec string) {
	t.Helper()
	c.Apply(t, Definition(strings.ToLower(kind), kind, spec))
}

// Resource is the name of a generated kind, as kubectl takes it.
func Resource(kind string) string {
	name := strings.ToLower(kind)
	switch {
	case strings.HasSuffix(name, "y"):
		name = strings.TrimSuffix(name, "y") + "ie"
	case strings.HasSuffix(name, "s"):
		name += "e"
	}
	return name + "s.kro.run"
}

// Works are the ManifestWorks of an instance on a cluster.
func (c *Cluster) Works(t testing.TB, cluster, kind, namespace, name string) []*Object {
	t.Helper()
	var found []*Object
	for _, w := range c.List(t, manifestWorks, cluster) {
		if w.GetAnnotations()["kronvoy.io/instance"] == kind+".kro.run/"+namespace+"/"+name {
			found = append(found, w)
		}
	}
	return found
}

// Instances of a kind in a namespace; none when the hub does not serve it.
func (c *Cluster) Instances(t testing.TB, kind, namespace string) []*Object {
	instances, err := c.TryList(t.Context(), Resource(kind), namespace)
	if err != nil {
		return nil
	}
	return instances
}

// Undefine deletes the instances of a kind in a namespace and its definition, and
// waits for neither.
func (c *Cluster) Undefine(t testing.TB, kind, namespace string) {
	t.Helper()
	for _, instance := range c.Instances(t, kind, namespace) {
		c.Delete(t, Resource(kind), namespace+"/"+instance.GetName())
	}
	c.Delete(t, definitions, strings.ToLower(kind))
}

// Leftovers names what a hub still has of definitions, and of the instances of a
// namespace.
func (c *Cluster) Leftovers(t testing.TB, namespace string, kinds ...string) error {
	t.Helper()
	var left []string
	for _, kind := range kinds {
		if rgd := c.Get(t, definitions, strings.ToLower(kind)); rgd != nil {
			left = append(left, fmt.Sprintf("definition %s: %v", kind, rgd.Condition("Ready")))
		}
	}
	for _, target := range c.List(t, targets, "") {
		if target.Text("spec.instance.namespace") == namespace {
			left = append(left, fmt.Sprintf("target %s/%s: %v", target.GetNamespace(), target.GetName(), target.At("status")))
		}
	}
	for _, w := range c.List(t, manifestWorks, "") {
		if w.GetName() == "namespace-"+namespace || strings.Contains(w.GetAnnotations()["kronvoy.io/instance"], "/"+namespace+"/") {
			left = append(left, fmt.Sprintf("work %s/%s", w.GetNamespace(), w.GetName()))
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("there are %s", strings.Join(left, ", "))
	}
	return nil
}

// Indent moves all lines of a text to the right.
func Indent(text string, by int) string {
	margin := strings.Repeat(" ", by)
	return margin + strings.ReplaceAll(strings.Trim(text, "\n"), "\n", "\n"+margin)
}
