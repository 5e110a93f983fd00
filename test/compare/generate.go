package compare

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"sigs.k8s.io/yaml"
)

// Features that generated graphs are counted by.
const (
	FeatureForEach     = "forEach"
	FeatureExternal    = "externalRef"
	FeatureContagion   = "includeWhen contagion"
	FeatureOptionals   = "optionals"
	FeatureCollections = "collections"
	FeatureStatus      = "status"
)

// Generated is one random graph that is valid, and what it is evaluated with.
type Generated struct {
	RGD      map[string]any
	Instance map[string]any
	Live     Objects
	// Features that the text of the graph shows; contagion shows in its outcome.
	Features map[string]bool
	// Conditional nodes have an includeWhen.
	Conditional map[string]bool
}

// Input is what both engines get.
func (g *Generated) Input() (Input, error) {
	text, err := yaml.Marshal(g.RGD)
	if err != nil {
		return Input{}, fmt.Errorf("writing the generated definition: %w", err)
	}
	return Input{RGD: text, Instance: g.Instance, Live: g.Live}, nil
}

// CollectionField begins the names of status fields that read collections: kro
// sees those as empty before anything of them exists, where we wait.
const CollectionField = "coll"

// Generate makes a random graph. Nodes refer to nodes before them, and are then
// shuffled. Neither engine may refuse it, and no expression in it fails.
func Generate(r *rand.Rand) *Generated {
	g := &generator{r: r, out: &Generated{Live: Objects{}, Features: map[string]bool{}, Conditional: map[string]bool{}}}
	for i := range 1 + r.IntN(8) {
		g.node(fmt.Sprintf("n%d", i))
	}
	spec := specSchema()
	schema := map[string]any{"apiVersion": "v1alpha1", "kind": "App", "group": "kro.run", "scope": "Namespaced", "spec": spec}
	if types := g.moreFields(spec); len(types) > 0 {
		schema["types"] = types
	}
	if status := g.status(); len(status) > 0 {
		schema["status"] = status
		g.out.Features[FeatureStatus] = true
	}
	r.Shuffle(len(g.resources), func(i, j int) { g.resources[i], g.resources[j] = g.resources[j], g.resources[i] })
	g.out.RGD = map[string]any{
		"apiVersion": "kro.run/v1alpha1", "kind": "ResourceGraphDefinition", "metadata": map[string]any{"name": "app"},
		"spec": map[string]any{"schema": schema, "resources": g.resources},
	}
	g.out.Instance = g.instance()
	return g.out
}

func specSchema() map[string]any {
	return map[string]any{
		"name": `string | default="shop"`, "count": "integer | default=2", "flag": "boolean | default=true",
		"names": "[]string", "zones": "[]string", "tags": "map[string]string", "maybe": "string",
		"deep": map[string]any{"text": `string | default="deep"`, "size": "integer | default=7"},
	}
}

func (g *generator) instance() map[string]any {
	texts := func(of ...string) []any {
		var out []any
		for _, s := range of[:g.r.IntN(len(of)+1)] {
			out = append(out, s)
		}
		if out == nil {
			out = []any{}
		}
		return out
	}
	spec := map[string]any{"names": texts("ann", "bob", "cid"), "zones": texts("east", "west"), "tags": map[string]any{}}
	if g.chance(50) {
		spec["tags"] = map[string]any{"k": "tagged", "other": "${schema.spec.name}"}
	}
	if g.chance(50) {
		spec["maybe"] = "given"
	}
	if g.chance(50) {
		spec["flag"] = g.chance(50)
	}
	if g.chance(50) {
		spec["count"] = int64(g.r.IntN(4))
	}
	if g.chance(30) {
		spec["deep"] = map[string]any{"text": "deeper"}
	}
	return map[string]any{"apiVersion": "kro.run/v1alpha1", "kind": "App",
		"metadata": map[string]any{"name": "app", "namespace": "team", "labels": map[string]any{"team": "blue"}}, "spec": spec}
}

// shape is what expressions may do with a node.
type shape int

const (
	configMap shape = iota
	deployment
	service
	secret
	collection
	externalMap
	externalList
	shapes
)

type generator struct {
	r         *rand.Rand
	out       *Generated
	resources []any
	nodes     []made
	// calm references are of fields that are there as soon as the node is ready:
	// kro waits for others even where a collection is empty.
	calm bool
}

// made is a node that later ones can refer to.
type made struct {
	id    string
	shape shape
}

func (g *generator) chance(percent int) bool { return g.r.IntN(100) < percent }

func (g *generator) pick(of ...string) string { return of[g.r.IntN(len(of))] }

// node adds one resource.
func (g *generator) node(id string) {
	s := configMap
	if g.chance(65) {
		s = shape(g.r.IntN(int(shapes)))
	}
	resource := map[string]any{"id": id}
	switch s {
	case externalMap, externalList:
		g.external(id, s, resource)
	default:
		g.template(id, s, resource)
	}
	if g.chance(25) {
		condition := g.boolean()
		if g.out.Conditional[id] = true; len(g.nodes) > 0 && g.chance(30) {
			condition = g.reference(g.nodes[g.r.IntN(len(g.nodes))]) + g.pick(` != ""`, ` == "v"`)
		}
		resource["includeWhen"] = []any{"${" + condition + "}"}
	}
	if s != externalList && g.chance(25) {
		resource["readyWhen"] = []any{"${" + g.readiness(id, s) + "}"}
	}
	g.resources = append(g.resources, resource)
	g.nodes = append(g.nodes, made{id, s})
}

func (g *generator) external(id string, s shape, resource map[string]any) {
	g.out.Features[FeatureExternal] = true
	metadata := map[string]any{}
	if g.chance(50) {
		metadata["namespace"] = "elsewhere"
	}
	if s == externalMap {
		metadata["name"] = g.pick("settings", "${schema.spec.name}", "${schema.spec.name}-"+id)
		if g.chance(75) {
			g.out.Live[id] = []map[string]any{{"data": map[string]any{"k": "v"}}}
		}
	} else {
		g.out.Features[FeatureCollections] = true
		metadata["selector"] = map[string]any{"matchLabels": map[string]any{"app": g.pick("shop", "${schema.spec.name}")}}
		for i := range g.r.IntN(3) {
			g.out.Live[id] = append(g.out.Live[id], map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
				"metadata": map[string]any{"name": fmt.Sprintf("found-%d", i), "namespace": "elsewhere"}, "data": map[string]any{"k": "v"}})
		}
	}
	resource["externalRef"] = map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
}

func (g *generator) template(id string, s shape, resource map[string]any) {
	g.calm = s == collection
	metadata := map[string]any{"name": id + g.pick("", "-${schema.spec.name}")}
	if g.chance(30) {
		metadata["labels"] = map[string]any{"label": g.text()}
	}
	if g.chance(10) {
		metadata["namespace"] = g.pick("other", "${schema.spec.name}")
	}
	template := map[string]any{"apiVersion": "v1", "metadata": metadata}
	switch s {
	case deployment:
		template["apiVersion"], template["kind"] = "apps/v1", "Deployment"
		template["spec"] = g.deploymentSpec()
		if g.chance(70) {
			g.out.Live[id] = []map[string]any{{"status": map[string]any{"availableReplicas": int64(g.r.IntN(3))}}}
		}
	case service:
		template["kind"] = "Service"
		template["spec"] = map[string]any{"ports": []any{map[string]any{"port": "${schema.spec.count + 80}", "targetPort": g.pick("http", "${schema.spec.deep.size}", "${schema.spec.name}")}},
			"selector": map[string]any{"app": g.text()}}
		if g.chance(70) {
			g.out.Live[id] = []map[string]any{{"spec": map[string]any{"clusterIP": "10.0.0.7"}}}
		}
	case secret:
		template["kind"] = "Secret"
		template["stringData"] = map[string]any{"k": g.text()}
		template["data"] = map[string]any{"d": "YWJj"}
	case collection:
		template["kind"] = "ConfigMap"
		g.forEach(id, template, resource)
		g.calm = false
	default:
		template["kind"] = "ConfigMap"
		template["data"] = g.data("")
	}
	resource["template"] = template
}

func (g *generator) deploymentSpec() map[string]any {
	labels := map[string]any{"app": g.text()}
	return map[string]any{
		"replicas": []any{"${schema.spec.count}", "${schema.spec.count + schema.spec.deep.size}", int64(2)}[g.r.IntN(3)],
		"selector": map[string]any{"matchLabels": labels},
		"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": map[string]any{"containers": []any{map[string]any{
			"name": "web", "image": "nginx", "args": []any{g.text(), g.text()}}}}},
	}
}

func (g *generator) forEach(id string, template, resource map[string]any) {
	g.out.Features[FeatureForEach], g.out.Features[FeatureCollections] = true, true
	lists := []string{"schema.spec.names", `["one", "two"]`, "schema.spec.names.filter(x, x != \"bob\")"}
	for _, n := range g.nodes {
		if n.shape == collection || n.shape == externalList {
			lists = append(lists, n.id+".map(x, x.metadata.name)")
		}
	}
	dimensions := []any{map[string]any{"it": "${" + lists[g.r.IntN(len(lists))] + "}"}}
	name, extra := id+"-${it}", "it"
	if g.chance(30) {
		dimensions = append(dimensions, map[string]any{"zone": "${schema.spec.zones}"})
		name, extra = name+"-${zone}", `it + "/" + zone`
	}
	resource["forEach"] = dimensions
	metadata, _ := template["metadata"].(map[string]any)
	metadata["name"] = name
	template["data"] = g.data(extra)
}

// data of a ConfigMap always has the key k.
func (g *generator) data(extra string) map[string]any {
	out := map[string]any{"k": g.text()}
	if extra != "" {
		out["k"] = "${" + extra + "}"
	}
	for i := range g.r.IntN(3) {
		out[fmt.Sprintf("key%d", i)] = g.text()
	}
	return out
}

// text is a template of a string: literal, around an expression or an expression.
func (g *generator) text() string {
	switch g.r.IntN(6) {
	case 0:
		return "literal"
	case 1:
		return "a-${" + g.str(2) + "}-b"
	case 2:
		return "${" + g.str(1) + "}${" + g.str(1) + "}"
	}
	return "${" + g.str(2) + "}"
}

// str is an expression that yields a string.
func (g *generator) str(depth int) string {
	if depth > 0 {
		switch g.r.IntN(8) {
		case 0:
			return g.str(depth-1) + " + " + g.str(depth-1)
		case 1:
			return "(" + g.boolean() + " ? " + g.str(depth-1) + " : " + g.str(depth-1) + ")"
		case 2:
			return "(" + g.str(depth-1) + ").upperAscii()"
		case 3:
			return fmt.Sprintf("cel.bind(v, %s, v + v)", g.str(depth-1))
		}
	}
	if len(g.nodes) > 0 && g.chance(60) {
		return g.reference(g.nodes[g.r.IntN(len(g.nodes))])
	}
	return g.input()
}

// input is a string of the instance.
func (g *generator) input() string {
	s := g.pick("schema.spec.name", "string(schema.spec.count)", "schema.spec.deep.text", "schema.metadata.name", `schema.spec.names.join(",")`,
		`schema.spec.tags[?"k"].orValue("none")`, `schema.spec.?maybe.orValue("none")`, `has(schema.spec.maybe) ? schema.spec.maybe : "none"`,
		`string(schema.spec.zones.size())`, `"lit}eral"`, `schema.metadata.labels["team"]`, `random.seededString(5, schema.spec.name)`,
		`json.marshal(schema.spec.deep)`, `schema.spec.names.sort().map(x, x + "!").join("-")`, `base64.encode(hash.md5(schema.spec.name))`)
	g.optional(s)
	if strings.HasPrefix(s, "has(") {
		return "(" + s + ")"
	}
	return s
}

func (g *generator) optional(s string) {
	if strings.Contains(s, ".?") || strings.Contains(s, "[?") {
		g.out.Features[FeatureOptionals] = true
	}
}

// reference is a string that is read from a node.
func (g *generator) reference(n made) string {
	name := n.id + ".metadata.name"
	var s string
	switch list := n.shape == collection || n.shape == externalList; {
	case g.calm && list:
		return "string(" + n.id + ".size())"
	case g.calm:
		return name
	}
	switch n.shape {
	case deployment:
		s = g.pick(name, "string(X.status.availableReplicas)", `string(X.status.?availableReplicas.orValue(0))`, `X.spec.selector.matchLabels["app"]`, "string(X.spec.replicas)",
			"X.spec.template.spec.containers[0].image", "X.spec.template.spec.containers.map(c, c.name).join(\",\")")
	case service:
		s = g.pick(name, "X.spec.clusterIP", `X.spec.?clusterIP.orValue("none")`, "string(X.spec.ports[0].port)", `X.status.loadBalancer.ingress[0].ip`)
	case secret:
		s = g.pick(name, "string(X.data.d)", "base64.encode(X.data.d)", `X.stringData.k`)
	case collection, externalList:
		s = g.pick("string(X.size())", `X.map(x, x.metadata.name).join(",")`, "X[0].metadata.name", `X.filter(x, x.data.k != "").map(x, x.data.k).join(",")`, `string(X.all(x, has(x.data)))`)
	default:
		s = g.pick(name, "X.data.k", `X.data.?k.orValue("none")`, `X.data.?absent.orValue("none")`, `(has(X.data.absent) ? X.data.absent : "none")`, `X.data["k"]`, "X.metadata.namespace", "X.data.absent")
	}
	g.optional(s)
	return strings.ReplaceAll(s, "X", n.id)
}

// boolean is a condition on the instance.
func (g *generator) boolean() string {
	s := g.pick("schema.spec.flag", "!schema.spec.flag", "schema.spec.count > 1", "has(schema.spec.maybe)", `schema.spec.?maybe.hasValue()`, `"ann" in schema.spec.names`,
		`schema.spec.name == "shop"`, "schema.spec.names.exists(x, x.startsWith(\"b\"))")
	g.optional(s)
	return s
}

// readiness of a node, by its own fields. No condition of includeWhen may be
// written in the same way: kro then takes one for the other.
func (g *generator) readiness(id string, s shape) string {
	switch s {
	case deployment:
		return id + g.pick(".status.availableReplicas > 0", ".status.availableReplicas == "+id+".spec.replicas", ".spec.replicas >= 0")
	case service:
		return g.pick(`"" != `+id+`.spec.clusterIP`, "has("+id+".spec.clusterIP)")
	case collection:
		return g.pick(`each.data.k != ""`, `each.metadata.name.size() < 9`)
	}
	return id + g.pick(`.metadata.name.size() > 0`, `.metadata.namespace == "team"`)
}

// status is a projection of some nodes and the instance.
func (g *generator) status() map[string]any {
	out := map[string]any{}
	if g.chance(30) {
		return out
	}
	for i := range 1 + g.r.IntN(4) {
		key := fmt.Sprintf("field%d", i)
		if len(g.nodes) == 0 || g.chance(15) {
			out[key] = "${" + g.pick("schema.spec.name", "schema.spec.count", "schema.spec.names", "schema.spec.deep", "schema.spec.flag") + "}"
			continue
		}
		n := g.nodes[g.r.IntN(len(g.nodes))]
		if n.shape == collection || n.shape == externalList {
			out[CollectionField+key] = "${" + g.pick(g.reference(n), n.id+".size()", n.id+".map(x, x.metadata.name)") + "}"
			continue
		}
		value := g.pick("${"+g.reference(n)+"}", "n-${"+g.reference(n)+"}", "${"+g.reference(n)+" + schema.spec.name}", "${"+n.id+".metadata.name}")
		if g.chance(25) {
			out[key] = map[string]any{"inner": value, "other": "${schema.metadata.name}"}
			continue
		}
		out[key] = value
	}
	return out
}
