//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kronvoy/kronvoy/test/probe"
)

const written = `
schema:
  spec:
    text: string | default="one"
    count: integer | default=1
resources:
- id: page
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}"}
    data: {text: "${schema.spec.text}"}`

// faults are mistakes in the second resource of a definition: what stands
// there, and what the hub must say about it.
var faults = map[string]struct{ resource, place, says string }{
	"an unknown field of the instance": {
		resource: `{id: more, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: more}, data: {text: "${schema.spec.txet}"}}}`,
		place:    "spec.resources[1].template.data.text", says: "txet",
	},
	"an unknown resource": {
		resource: `{id: more, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: more}, data: {text: "${paeg.data.text}"}}}`,
		place:    "spec.resources[1].template.data.text", says: "paeg",
	},
	"a wrong type": {
		resource: `{id: more, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: more}, data: {text: "${schema.spec.count}"}}}`,
		place:    "spec.resources[1].template.data.text", says: "int",
	},
	"an unknown kind": {
		resource: `{id: more, template: {apiVersion: example.com/v1, kind: Unheard, metadata: {name: more}}}`,
		place:    "spec.resources[1].template", says: "example.com/v1",
	},
	"an unknown field of a kind": {
		resource: `{id: more, template: {apiVersion: v1, kind: Service, metadata: {name: more}, spec: {prots: [{port: 80}]}}}`,
		place:    "spec.resources[1].template.spec.prots", says: "ports",
	},
	"a cycle": {
		resource: `{id: more, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: more}, data: {text: "${third.data.text}"}}}
- {id: third, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: third}, data: {text: "${more.data.text}"}}}`,
		place: "spec.resources[1]", says: "more",
	},
	"an object without a name": {
		resource: `{id: more, template: {apiVersion: v1, kind: ConfigMap, metadata: {labels: {a: b}}, data: {text: here}}}`,
		place:    "spec.resources[1].template.metadata", says: "name",
	},
	"broken CEL": {
		resource: `{id: more, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: more}, data: {text: "${schema.spec.text +}"}}}`,
		place:    "spec.resources[1].template.data.text", says: "ends too early",
	},
	"an id that is taken": {
		resource: `{id: page, template: {apiVersion: v1, kind: ConfigMap, metadata: {name: more}}}`,
		place:    "spec.resources[1].id", says: "page",
	},
}

func TestAnInvalidUpdateSaysWhereAndLeavesTheLastGoodOneServing(t *testing.T) {
	s := begin(t, "invalid")
	defer s.end()
	s.define("Written", written)
	s.create("Written", "one", euWest, "")
	s.ready("Written", "one", 1)
	i := 0
	for what, fault := range faults {
		i++
		text := fmt.Sprintf("text %d", i)
		t.Run(what, func(t *testing.T) {
			before := s.on(euWest, "configmaps", "one").GetResourceVersion()
			rgd := s.defineBadly("Written", written+"\n- "+fault.resource)
			message := rgd.Condition("GraphAccepted").Message
			if !strings.Contains(message, fault.place) || !strings.Contains(message, fault.says) {
				t.Errorf("the message is %q, it should name %s and %q", message, fault.place, fault.says)
			}
			if ready := s.instance("Written", "one").Condition("Ready"); ready.Status != "True" {
				t.Errorf("the instance's Ready is %v", ready)
			}
			if got := s.on(euWest, "configmaps", "one").GetResourceVersion(); got != before {
				t.Error("the object was written")
			}
			// What runs goes on being served.
			s.create("Written", "one", euWest, `text: "`+text+`"`)
			s.holds(euWest, "configmaps", "one", "data.text", text)
			s.ready("Written", "one", 1)
		})
	}

	t.Run("also after the hub was restarted", func(t *testing.T) {
		s.defineBadly("Written", written+"\n- "+faults["a wrong type"].resource)
		s.restartHub()
		s.create("Written", "one", euWest, "text: afterwards")
		s.holds(euWest, "configmaps", "one", "data.text", "afterwards")
		s.ready("Written", "one", 1)
		if got := s.definition("Written").Condition("GraphAccepted"); got.Status != "False" || !strings.Contains(got.Message, "spec.resources[1].template.data.text") {
			t.Errorf("GraphAccepted is %v", got)
		}
	})
	t.Run("until it is put right", func(t *testing.T) {
		s.define("Written", strings.Replace(written, `"${schema.spec.text}"`, `"${schema.spec.text + '!'}"`, 1))
		s.holds(euWest, "configmaps", "one", "data.text", "afterwards!")
		s.ready("Written", "one", 1)
	})
}

func TestADefinitionThatWasNeverValidServesNothing(t *testing.T) {
	s := begin(t, "never")
	defer s.end()
	rgd := s.defineBadly("Never", written+"\n- "+faults["a cycle"].resource)
	if ready := rgd.Condition("Ready"); ready.Reason != "InvalidResourceGraph" {
		t.Errorf("Ready is %v", ready)
	}
	if crd := s.hub.Get(t, "customresourcedefinitions.apiextensions.k8s.io", "nevers.kro.run"); crd != nil {
		t.Errorf("a CRD was made: %v", crd.GetName())
	}
	s.define("Never", written)
	s.create("Never", "one", euWest, "")
	s.ready("Never", "one", 1)
}

func TestWhatIsNoYAMLIsRefusedByKubectl(t *testing.T) {
	s := begin(t, "broken")
	defer s.end()
	inputs := map[string]struct{ input, says string }{
		"broken YAML": {"apiVersion: kro.run/v1alpha1\nkind: [ResourceGraphDefinition\n", "yaml"},
		"a list where a map belongs": {
			`{apiVersion: kro.run/v1alpha1, kind: ResourceGraphDefinition, metadata: {name: broken}, spec: [1]}`, "spec"},
		"an unknown field of a definition": {
			`{apiVersion: kro.run/v1alpha1, kind: ResourceGraphDefinition, metadata: {name: broken}, spec: {schemas: {}}}`, "spec.schemas"},
	}
	for what, tc := range inputs {
		t.Run(what, func(t *testing.T) {
			out, err := s.hub.KubectlWith(t, tc.input, "apply", "-f", "-")
			if err == nil || !strings.Contains(strings.ToLower(out), tc.says) {
				t.Errorf("kubectl apply: %v\n%s", err, out)
			}
		})
	}
	t.Run("an instance that its kind does not allow", func(t *testing.T) {
		s.define("Broken", written)
		out, err := s.hub.KubectlWith(t, `{apiVersion: kro.run/v1alpha1, kind: Broken, metadata: {name: one, namespace: broken}, spec: {count: many}}`, "apply", "-f", "-")
		if err == nil || !strings.Contains(out, "spec.count") {
			t.Errorf("kubectl apply: %v\n%s", err, out)
		}
	})
}

// instanceFaults are instances of a valid definition that cannot be rendered.
func TestAnInstanceThatCannotBeRenderedSaysWhyAndHarmsNoOther(t *testing.T) {
	s := begin(t, "unrendered")
	defer s.end()
	s.define("Unrendered", `
schema:
  spec:
    name: string | default="fine"
    text: string | default="one"
resources:
- id: page
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.spec.name}"}
    data: {one: "${schema.spec.text}", two: "${schema.spec.text}"}
- id: tier
  template:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: "${schema.metadata.name}-tier"}
    data: {tier: '${schema.spec.text == "label" ? cluster.labels.unheard : "none"}'}`)
	s.create("Unrendered", "fine", euWest, "")
	s.ready("Unrendered", "fine", 1)
	version := s.on(euWest, "configmaps", "fine").GetResourceVersion()

	cases := map[string]struct {
		spec string
		says []string
	}{
		"nameless": {`name: ""`, []string{"page", "name"}},
		"misnamed": {`name: "Not A Name"`, []string{"page", "Not A Name"}},
		"toolarge": {`{name: toolarge, text: "` + strings.Repeat("x", 600<<10) + `"}`, []string{"page", "unrendered/toolarge", "1229"}},
		"unheard":  {`{name: unheard, text: label}`, []string{"tier", "unheard"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s.create("Unrendered", name, euWest, tc.spec)
			target := s.state(euWest, "Unrendered", name, "Failed")
			probe.Eventually(t, "the instance to say so", func() error {
				ready := s.instance("Unrendered", name).Condition("Ready")
				for _, text := range tc.says {
					if ready.Status != "False" || !strings.Contains(ready.Message, text) {
						return fmt.Errorf("Ready is %v, it should name %q; the Target says %q", ready, text, target.Text("status.message"))
					}
				}
				return nil
			})
			// One node's fault is no other's: tier does not need page.
			if name != "unheard" {
				s.appears(euWest, "configmaps", name+"-tier")
			}
		})
	}
	if got := s.on(euWest, "configmaps", "fine").GetResourceVersion(); got != version {
		t.Error("the good instance's object was written")
	}
	s.create("Unrendered", "fine", euWest, `text: two`)
	s.holds(euWest, "configmaps", "fine", "data.one", "two")
	s.ready("Unrendered", "fine", 1)
}
