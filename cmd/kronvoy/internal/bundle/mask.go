package bundle

import (
	"maps"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// hidden stands for what is not in a bundle.
const hidden = "***"

// secretive are words in the name of a field, a variable or an annotation whose
// value nobody should see.
var secretive = regexp.MustCompile(`(?i)(passw|passphrase|secret|token|credential|api[-_.]?key|private[-_.]?key|access[-_.]?key|client[-_.]?key|authorization|cookie|kubeconfig|dsn|connection[-_.]?string)`)

// harmless are names that have such a word in them and say where a secret is, not
// what it is.
var harmless = regexp.MustCompile(`(?i)^(secretName|secretNames|secretRef|secretKeyRef|imagePullSecrets|automountServiceAccountToken|kronvoy\.io/secret-values|tokenRequest|expirationSeconds)$`)

// looks are values that are secrets whatever they are called: tokens in JWS
// compact form (RFC 7515), PEM blocks but for certificates (RFC 7468), bootstrap
// tokens (kubernetes.io/docs: Authenticating with Bootstrap Tokens), the like of
// "Bearer x", who logs in by a URL, and what follows "password=" or "--password".
var looks = []*regexp.Regexp{
	regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`),
	regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`),
	regexp.MustCompile(`LS0tLS1CRUdJTi[A-Za-z0-9+/=]{20,}`),
	regexp.MustCompile(`\b[a-z0-9]{6}\.[a-z0-9]{16}\b`),
	regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}`),
	regexp.MustCompile(`://[^/\s@]+@`),
	regexp.MustCompile(`(?i)(passw(or)?d|passphrase|token|secret|api[-_]?key|client-key-data|signature)["']?\s*[=:]\s*["']?[^\s"',;&}]+`),
	regexp.MustCompile(`(?i)--?(passw(or)?d|passphrase|token|secret|api[-_]?key)\s+[^\s"',;&}]+`),
}

// text is a text without what looks like a secret.
func text(s string) string {
	for _, look := range looks {
		s = look.ReplaceAllString(s, hidden)
	}
	return s
}

// clean is an object that may leave the hub. What authors and users say, and what
// clusters report, is reduced to its structure: any of it may come from a Secret.
// Definitions stay readable, but for what is called, or looks like, a secret.
func clean(object map[string]any) map[string]any {
	u := unstructured.Unstructured{Object: object}
	out := values(object).(map[string]any)
	cleanMetadata(out)
	switch kind := u.GetKind(); u.GroupVersionKind().Group {
	case "work.open-cluster-management.io":
		shapeAt(out, "status", "resourceStatus", "manifests", "*", "statusFeedback")
		cleanWork(out, object)
	case "kronvoy.io":
		cleanKronvoy(kind, out)
	case "apps":
		if kind == "ControllerRevision" {
			cleanRevision(out)
		}
	}
	return out
}

// values hides fields by their names, and values by their looks, at any depth, and
// all that a Secret holds.
func values(value any) any {
	switch value := value.(type) {
	case string:
		return text(value)
	case []any:
		out := make([]any, len(value))
		for i := range value {
			out[i] = values(value[i])
			if i > 0 && flag(value[i-1]) {
				// What an option of a command line is given as its own argument.
				out[i] = shape(value[i])
			}
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(value))
		name, _ := value["name"].(string)
		for key, inner := range value {
			switch {
			case value["kind"] == "Secret" && (key == "data" || key == "stringData"):
				out[key] = shape(inner)
			case secret(key):
				out[key] = shape(inner)
			case key == "value" && secret(name):
				// A variable of a container.
				out[key] = shape(inner)
			default:
				out[key] = values(inner)
			}
		}
		return out
	}
	return value
}

// flag says whether an argument is an option whose value nobody should see.
func flag(argument any) bool {
	option, _ := argument.(string)
	return strings.HasPrefix(option, "-") && !strings.ContainsAny(option, "= ") && secret(strings.TrimLeft(option, "-"))
}

func secret(name string) bool { return secretive.MatchString(name) && !harmless.MatchString(name) }

// shape keeps the fields of a value and hides what is in them.
func shape(value any) any {
	switch value := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(value))
		for key, inner := range value {
			out[key] = shape(inner)
		}
		return out
	case []any:
		out := make([]any, len(value))
		for i := range value {
			out[i] = shape(value[i])
		}
		return out
	case nil, bool:
		return value
	}
	return hidden
}

// shapeAt replaces what is at a path; "*" is each item of a list.
func shapeAt(value any, path ...string) {
	switch value := value.(type) {
	case []any:
		if path[0] == "*" {
			for _, item := range value {
				if len(path) > 1 {
					shapeAt(item, path[1:]...)
				}
			}
		}
	case map[string]any:
		inner, there := value[path[0]]
		switch {
		case !there:
		case len(path) == 1:
			value[path[0]] = shape(inner)
		default:
			shapeAt(inner, path[1:]...)
		}
	}
}

// ours are the prefixes of annotations that are kept: people write anything into
// others.
var ours = []string{"kronvoy.io/", "kro.run/", "open-cluster-management.io/", "cluster.open-cluster-management.io/", "deployment.kubernetes.io/", "deprecated.daemonset.template.generation"}

func cleanMetadata(object map[string]any) {
	metadata, _ := object["metadata"].(map[string]any)
	delete(metadata, "managedFields")
	annotations, _ := metadata["annotations"].(map[string]any)
	delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
	for key, value := range maps.Clone(annotations) {
		kept := false
		for _, prefix := range ours {
			kept = kept || strings.HasPrefix(key, prefix)
		}
		if !kept {
			annotations[key] = shape(value)
		}
	}
}

// cleanWork keeps of each manifest what it is and where.
func cleanWork(out, object map[string]any) {
	manifests, _, _ := unstructured.NestedSlice(object, "spec", "workload", "manifests") // none if it is no list
	for i := range manifests {
		m, _ := manifests[i].(map[string]any)
		u := unstructured.Unstructured{Object: m}
		manifests[i] = map[string]any{"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(), "metadata": map[string]any{"name": u.GetName(), "namespace": u.GetNamespace()}}
	}
	if spec, there := out["spec"].(map[string]any); there && manifests != nil {
		spec["workload"] = map[string]any{"manifests": manifests}
	}
}

func cleanKronvoy(kind string, out map[string]any) {
	switch kind {
	case "Target":
		shapeAt(out, "status", "values")
		shapeAt(out, "spec", "inputs", "values")
	case "WorkReport":
		shapeAt(out, "status", "values", "*", "value")
		shapeAt(out, "status", "selections")
		for _, side := range []string{"desired", "observed"} {
			shapeDetails(out, side)
		}
	case "Distribution":
		shapeAt(out, "spec", "overrides", "*", "spec")
	}
}

func shapeDetails(report map[string]any, side string) {
	status, _ := report["status"].(map[string]any)
	findings, _ := status["findings"].([]any)
	for _, f := range findings {
		shapeAt(f, "details", "*", side)
	}
}

// kept are the fields of an instance's status that the hub fills, and not the
// author.
var kept = map[string]bool{"state": true, "conditions": true}

func cleanInstance(out map[string]any) {
	shapeAt(out, "spec")
	status, _ := out["status"].(map[string]any)
	for key, value := range status {
		switch {
		case kept[key]:
		case key == "fleet" || key == "kronvoyFleet":
			shapeAt(value, "aggregates")
			shapeAt(value, "clusters", "*", "values")
		default:
			status[key] = shape(value)
		}
	}
}

// cleanRevision keeps which definition an instance's revision is of, and of a
// definition's all but secrets.
func cleanRevision(out map[string]any) {
	data, _ := out["data"].(map[string]any)
	if _, ofInstance := data["definitionHash"]; ofInstance {
		shapeAt(data, "spec")
		shapeAt(data, "overrides")
	}
}
