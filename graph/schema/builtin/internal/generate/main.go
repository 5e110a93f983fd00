// Command generate writes the schemas of Kubernetes' own kinds, reduced to what
// the engine needs, from the OpenAPI documents in the module k8s.io/kubernetes.
//
// It runs by `go generate` in the package builtin.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	version := flag.String("version", "", "version of k8s.io/kubernetes to read")
	out := flag.String("out", "data", "directory to write to")
	flag.Parse()
	if err := run(*version, *out); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(version, out string) error {
	dir, err := moduleDir(version)
	if err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(out, "*.json.gz"))
	if err != nil {
		return err
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "api", "openapi-spec", "v3", "*__v*_openapi.json"))
	if err != nil {
		return err
	}
	total := 0
	for _, file := range files {
		name, data, err := reduce(file)
		if err != nil {
			return fmt.Errorf("reducing %s: %w", filepath.Base(file), err)
		}
		if data == nil {
			continue
		}
		total += len(data)
		if err := os.WriteFile(filepath.Join(out, name), data, 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("wrote %d bytes for Kubernetes %s\n", total, version)
	return nil
}

// moduleDir downloads the module, outside of any go.mod, and returns its place.
func moduleDir(version string) (string, error) {
	cmd := exec.Command("go", "mod", "download", "-json", "k8s.io/kubernetes@"+version)
	cmd.Dir = os.TempDir()
	cmd.Stderr = os.Stderr
	data, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("downloading k8s.io/kubernetes@%s: %w", version, err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(data, &module); err != nil {
		return "", err
	}
	return module.Dir, nil
}

type document struct {
	Paths      map[string]map[string]json.RawMessage
	Components struct{ Schemas map[string]any }
}

// kind is what the reduced document says of one kind.
type kind struct {
	Schema     string `json:"schema"`
	Resource   string `json:"resource"`
	Namespaced bool   `json:"namespaced,omitempty"`
}

type reduced struct {
	Kinds   map[string]kind `json:"kinds"`
	Schemas map[string]any  `json:"schemas"`
}

// reduce turns one document into the compressed form; nil without any kinds.
func reduce(file string) (string, []byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return "", nil, err
	}
	group, version := groupVersion(filepath.Base(file))
	out := reduced{Kinds: map[string]kind{}, Schemas: map[string]any{}}
	for p, operations := range doc.Paths {
		if err := addKinds(&out, doc, p, operations, group, version); err != nil {
			return "", nil, err
		}
	}
	if len(out.Kinds) == 0 {
		return "", nil, nil
	}
	for _, k := range out.Kinds {
		collect(doc.Components.Schemas, out.Schemas, k.Schema)
	}
	data, err := compress(out)
	name := version + ".json.gz"
	if group != "" {
		name = group + "_" + name
	}
	return name, data, err
}

// groupVersion reads api__v1_openapi.json or apis__apps__v1_openapi.json.
func groupVersion(base string) (group, version string) {
	parts := strings.Split(strings.TrimSuffix(base, "_openapi.json"), "__")
	if len(parts) == 3 {
		return parts[1], parts[2]
	}
	return "", parts[1]
}

// addKinds finds the kind that is created, or read, at a path of a collection
// or a single object; subresources have other kinds and are left out.
func addKinds(out *reduced, doc document, p string, operations map[string]json.RawMessage, group, version string) error {
	steps := strings.Split(strings.Trim(p, "/"), "/")
	rest := steps[2:]
	if group != "" {
		rest = steps[3:]
	}
	namespaced := len(rest) > 2 && rest[0] == "namespaces" && rest[1] == "{namespace}"
	if namespaced {
		rest = rest[2:]
	}
	if len(rest) != 1 || rest[0] == "watch" {
		return nil
	}
	raw, found := operations["post"]
	if !found {
		return nil
	}
	var op struct {
		Action string `json:"x-kubernetes-action"`
		GVK    struct {
			Group, Version, Kind string
		} `json:"x-kubernetes-group-version-kind"`
	}
	if err := json.Unmarshal(raw, &op); err != nil {
		return err
	}
	if op.GVK.Group != group || op.GVK.Version != version {
		return nil
	}
	for name, s := range doc.Components.Schemas {
		if hasGVK(s, group, version, op.GVK.Kind) {
			out.Kinds[op.GVK.Kind] = kind{Schema: name, Resource: rest[0], Namespaced: namespaced}
		}
	}
	return nil
}

func hasGVK(s any, group, version, kind string) bool {
	object, _ := s.(map[string]any)
	list, _ := object["x-kubernetes-group-version-kind"].([]any)
	for _, item := range list {
		gvk, _ := item.(map[string]any)
		if gvk["group"] == group && gvk["version"] == version && gvk["kind"] == kind {
			return true
		}
	}
	return false
}

const refPrefix = "#/components/schemas/"

// collect copies a schema and all that it refers to, without what the engine
// does not read.
func collect(from, to map[string]any, name string) {
	if _, done := to[name]; done {
		return
	}
	to[name] = nil
	to[name] = strip(from[name], func(ref string) { collect(from, to, ref) }, false)
}

var dropped = map[string]bool{"description": true, "default": true, "x-kubernetes-group-version-kind": true,
	"x-kubernetes-unions": true, "x-kubernetes-patch-strategy": true, "x-kubernetes-patch-merge-key": true, "required": true}

// strip removes keywords; inProperties marks a map whose keys are names of
// fields, which may be called like a keyword.
func strip(v any, ref func(string), inProperties bool) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			if !inProperties && dropped[key] {
				continue
			}
			if key == "$ref" && !inProperties {
				name := strings.TrimPrefix(value.(string), refPrefix)
				ref(name)
			}
			out[key] = strip(value, ref, key == "properties" && !inProperties)
		}
		// {"allOf": [{"$ref": …}]} only carried the default.
		if all, ok := out["allOf"].([]any); ok && len(all) == 1 && len(out) == 1 && !inProperties {
			return all[0]
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = strip(v[i], ref, false)
		}
		return out
	}
	return v
}

// compress writes JSON with sorted keys, so that the result depends on the
// content alone.
func compress(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
