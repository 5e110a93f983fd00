package feedback

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/client-go/util/jsonpath"
	workv1 "open-cluster-management.io/api/work/v1"

	kronvoyv1alpha1 "github.com/kronvoy/kronvoy/apis/v1alpha1"
)

const (
	// MaxString is the longest string a ManifestWork's status carries; longer
	// ones travel in the WorkReport.
	MaxString = 1024
	// MaxValue is the largest value in a WorkReport, as JSON.
	MaxValue = 64 << 10
)

// Values evaluates feedback rules on a live object. A field that is missing is
// simply not in the list; the error names those that a status cannot carry, and
// rules that cannot be evaluated.
func Values(object map[string]any, rules []workv1.FeedbackRule) ([]workv1.FeedbackValue, error) {
	var values []workv1.FeedbackValue
	seen := map[string]bool{}
	var bad []string
	add := func(name string, value any) {
		field, err := fieldValue(value)
		switch {
		case err != nil:
			bad = append(bad, fmt.Sprintf("%s: %v", name, err))
		case !seen[name]:
			seen[name] = true
			values = append(values, workv1.FeedbackValue{Name: name, Value: field})
		}
	}
	served := versionOf(object)
	for _, rule := range rules {
		paths := rule.JsonPaths
		if rule.Type == workv1.WellKnownStatusType {
			paths = wellKnown(object)
		}
		for _, path := range paths {
			if path.Version != "" && path.Version != served {
				bad = append(bad, fmt.Sprintf("%s: the object is in version %s, not %s", path.Name, served, path.Version))
				continue
			}
			value, found, err := field(object, path.Path)
			if err != nil {
				bad = append(bad, fmt.Sprintf("%s: %v", path.Name, err))
				continue
			}
			if found {
				add(path.Name, value)
			}
		}
	}
	if len(bad) > 0 {
		return values, fmt.Errorf("feedback rules cannot be evaluated: %s", strings.Join(bad, "; "))
	}
	return values, nil
}

// Field is one observed field of a live object.
type Field struct {
	Path string
	// JSON of the value.
	JSON []byte
}

// Equal says whether two fields are the same.
func (f Field) Equal(other Field) bool {
	return f.Path == other.Path && bytes.Equal(f.JSON, other.JSON)
}

// Observed reads the fields that a WorkReport returns, whatever their type.
// Missing fields are not in the list, nor are values over MaxValue: the error
// names those, and paths that cannot be read.
func Observed(object map[string]any, paths []string) ([]Field, error) {
	var fields []Field
	var bad []string
	for _, path := range paths {
		value, found, err := field(object, path)
		if err != nil {
			bad = append(bad, fmt.Sprintf("%s: %v", path, err))
			continue
		}
		if !found {
			continue
		}
		text, err := json.Marshal(value)
		switch {
		case err != nil:
			bad = append(bad, fmt.Sprintf("%s: %v", path, err))
		case len(text) > MaxValue:
			bad = append(bad, fmt.Sprintf("%s: %d bytes are more than the %d that a value may have", path, len(text), MaxValue))
		default:
			fields = append(fields, Field{Path: path, JSON: text})
		}
	}
	if len(bad) > 0 {
		return fields, fmt.Errorf("observed fields cannot be reported: %s", strings.Join(bad, "; "))
	}
	return fields, nil
}

// Hash gives the manifest hash that a live object carries.
func Hash(object map[string]any) string {
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	hash, _ := annotations[kronvoyv1alpha1.AnnotationHash].(string)
	return hash
}

// field evaluates a JSONPath, of which the empty one is the whole object; an
// error means the path itself is wrong.
func field(object map[string]any, path string) (any, bool, error) {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "{"), "}")
	if path == "" {
		return object, true, nil
	}
	if names, ok := plain(path); ok {
		value, found := walk(object, names)
		return value, found, nil
	}
	if !strings.HasPrefix(path, ".") && !strings.HasPrefix(path, "[") {
		path = "." + path
	}
	parser := jsonpath.New("field").AllowMissingKeys(true)
	if err := parser.Parse("{" + path + "}"); err != nil {
		return nil, false, err
	}
	results, err := parser.FindResults(object)
	if err != nil || len(results) == 0 || len(results[0]) == 0 || !results[0][0].IsValid() {
		// A well-formed path that finds nothing, such as an index beyond a
		// list's end, is an absent field.
		return nil, false, nil //nolint:nilerr // see above
	}
	value := results[0][0].Interface()
	return value, value != nil, nil
}

// plain splits a path of nothing but names, by far the most usual.
func plain(path string) ([]string, bool) {
	path = strings.TrimPrefix(path, ".")
	if path == "" || strings.ContainsAny(path, `[]{}()*'"\@?, $`) || strings.Contains(path, "..") {
		return nil, false
	}
	return strings.Split(path, "."), true
}

func walk(object map[string]any, names []string) (any, bool) {
	var current any = object
	for _, name := range names {
		fields, ok := current.(map[string]any)
		if !ok {
			return nil, false
		}
		if current, ok = fields[name]; !ok {
			return nil, false
		}
	}
	return current, current != nil
}

func versionOf(object map[string]any) string {
	apiVersion, _ := object["apiVersion"].(string)
	return apiVersion[strings.LastIndex(apiVersion, "/")+1:]
}

// fieldValue types a value for a ManifestWork's status: integers, strings and
// booleans as they are, lists and objects as JSON.
func fieldValue(value any) (workv1.FieldValue, error) {
	switch typed := value.(type) {
	case int64:
		return workv1.FieldValue{Type: workv1.Integer, Integer: &typed}, nil
	case string:
		if len(typed) > MaxString {
			return workv1.FieldValue{}, fmt.Errorf("%d bytes are more than the %d that a status carries", len(typed), MaxString)
		}
		return workv1.FieldValue{Type: workv1.String, String: &typed}, nil
	case bool:
		return workv1.FieldValue{Type: workv1.Boolean, Boolean: &typed}, nil
	case map[string]any, []any:
		text, err := json.Marshal(typed)
		if err != nil {
			return workv1.FieldValue{}, err
		}
		if len(text) > MaxString {
			return workv1.FieldValue{}, fmt.Errorf("%d bytes are more than the %d that a status carries", len(text), MaxString)
		}
		raw := string(text)
		return workv1.FieldValue{Type: workv1.JsonRaw, JsonRaw: &raw}, nil
	}
	return workv1.FieldValue{}, fmt.Errorf("a status carries no %T", value)
}
