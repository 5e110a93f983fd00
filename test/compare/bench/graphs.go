package main

import "fmt"

// definition is a graph with one instance kind.
func definition(spec map[string]any, resources ...any) map[string]any {
	return map[string]any{
		"apiVersion": "kro.run/v1alpha1", "kind": "ResourceGraphDefinition", "metadata": map[string]any{"name": "app"},
		"spec": map[string]any{
			"schema":    map[string]any{"apiVersion": "v1alpha1", "kind": "App", "group": "kro.run", "spec": spec},
			"resources": resources,
		},
	}
}

func resource(id string, template map[string]any) map[string]any {
	return map[string]any{"id": id, "template": template}
}

func object(apiVersion, kind, name string, spec map[string]any) map[string]any {
	return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec}
}

func configMap(name string, data map[string]any) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name}, "data": data}
}

func deployment(name string) map[string]any {
	labels := map[string]any{"app": "${schema.spec.name}"}
	return object("apps/v1", "Deployment", name, map[string]any{
		"replicas": "${schema.spec.replicas}",
		"selector": map[string]any{"matchLabels": labels},
		"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": map[string]any{"containers": []any{
			map[string]any{"name": "web", "image": "${schema.spec.image}", "ports": []any{map[string]any{"containerPort": "${schema.spec.port}"}}}}}},
	})
}

var appSpec = map[string]any{"name": "string", "image": `string | default="nginx"`, "replicas": "integer | default=2", "port": "integer | default=80"}

// webapp is a Deployment, its Service and an Ingress in front of it.
func webapp() map[string]any {
	d := resource("deployment", deployment("${schema.spec.name}"))
	d["readyWhen"] = []any{"${deployment.status.availableReplicas == deployment.spec.replicas}"}
	out := definition(appSpec, d,
		resource("service", object("v1", "Service", "${schema.spec.name}", map[string]any{
			"selector": "${deployment.spec.selector.matchLabels}", "ports": []any{map[string]any{"port": "${schema.spec.port}"}}})),
		resource("ingress", object("networking.k8s.io/v1", "Ingress", "${schema.spec.name}", map[string]any{"rules": []any{map[string]any{
			"host": "${schema.spec.name}.example.com", "http": map[string]any{"paths": []any{map[string]any{"path": "/", "pathType": "Prefix",
				"backend": map[string]any{"service": map[string]any{"name": "${service.metadata.name}", "port": map[string]any{"number": "${schema.spec.port}"}}}}}}}}})))
	spec, _ := out["spec"].(map[string]any)
	schema, _ := spec["schema"].(map[string]any)
	schema["status"] = map[string]any{"available": "${deployment.status.availableReplicas}", "address": "${service.spec.clusterIP}"}
	return out
}

func deployments(n int) map[string]any {
	var all []any
	for i := range n {
		all = append(all, resource(fmt.Sprintf("d%d", i), deployment(fmt.Sprintf("${schema.spec.name}-%d", i))))
	}
	return definition(appSpec, all...)
}

// chain is of ConfigMaps, each of which reads the one before.
func chain(n int) map[string]any {
	all := []any{resource("c0", configMap("${schema.spec.name}-0", map[string]any{"value": "${schema.spec.name}"}))}
	for i := 1; i < n; i++ {
		all = append(all, resource(fmt.Sprintf("c%d", i), configMap(fmt.Sprintf("${schema.spec.name}-%d", i), map[string]any{"value": fmt.Sprintf("${c%d.data.value}", i-1)})))
	}
	return definition(appSpec, all...)
}

// layered is of ConfigMaps, each of which reads all of the layer before.
func layered(width, depth int) map[string]any {
	var all []any
	for layer := range depth {
		for i := range width {
			data := map[string]any{"value": "${schema.spec.name}"}
			for k := 0; k < width && layer > 0; k++ {
				data[fmt.Sprintf("from%d", k)] = fmt.Sprintf("${l%dn%d.data.value}", layer-1, k)
			}
			all = append(all, resource(fmt.Sprintf("l%dn%d", layer, i), configMap(fmt.Sprintf("${schema.spec.name}-%d-%d", layer, i), data)))
		}
	}
	return definition(appSpec, all...)
}

// forEach is a collection of ConfigMaps, one for each name.
func forEach() map[string]any {
	r := resource("c", configMap("${schema.spec.name}-${entry}", map[string]any{"value": "${entry}", "owner": "${schema.spec.name}"}))
	r["forEach"] = []any{map[string]any{"entry": "${schema.spec.names}"}}
	return definition(map[string]any{"name": "string", "names": "[]string"}, r)
}

// instance of any of these graphs; names are the items of forEach.
func instance(names int) map[string]any {
	list := make([]any, names)
	for i := range list {
		list[i] = fmt.Sprintf("item-%04d", i)
	}
	spec := map[string]any{"name": "shop", "image": "nginx", "replicas": int64(2), "port": int64(80)}
	if names > 0 {
		spec = map[string]any{"name": "shop", "names": list}
	}
	return map[string]any{"apiVersion": "kro.run/v1alpha1", "kind": "App", "metadata": map[string]any{"name": "shop", "namespace": "team"}, "spec": spec}
}
