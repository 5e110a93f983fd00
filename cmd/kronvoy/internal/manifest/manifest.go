// Package manifest reads Kubernetes objects from files, and remembers where in
// the files each field stands.
package manifest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// The bounds of the input: files are read before anything is known of them.
const (
	// maxFile is the size of one file.
	maxFile = 16 << 20
	// maxTotal is the size of all files together.
	maxTotal = 64 << 20
	// maxDocuments in all files together.
	maxDocuments = 20_000
)

// Document is one object of a file.
type Document struct {
	File string
	// Line of the file at which the document begins, from 1.
	Line int
	// Object as decoded JSON, whole numbers as int64.
	Object map[string]any
	// JSON of the object.
	JSON []byte

	lines []string
	root  *yamlv3.Node
}

// APIVersion of the object; empty if it has none.
func (d *Document) APIVersion() string { return text(d.Object, "apiVersion") }

// Kind of the object; empty if it has none.
func (d *Document) Kind() string { return text(d.Object, "kind") }

// Name of the object; empty if it has none.
func (d *Document) Name() string {
	metadata, _ := d.Object["metadata"].(map[string]any)
	return text(metadata, "name")
}

// Namespace of the object; empty if it has none.
func (d *Document) Namespace() string {
	metadata, _ := d.Object["metadata"].(map[string]any)
	return text(metadata, "namespace")
}

func text(object map[string]any, key string) string {
	s, _ := object[key].(string)
	return s
}

// Error is a fault in a file, with its place.
type Error struct {
	File    string
	Line    int
	Message string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message) }

// Read reads the objects of files and directories (their .yaml, .yml and .json
// files, in order of their names); `-` is stdin. Objects of kind List are taken
// apart.
func Read(stdin io.Reader, names []string) ([]*Document, error) {
	files, err := expand(names)
	if err != nil {
		return nil, err
	}
	var out []*Document
	total := 0
	for _, file := range files {
		data, err := readFile(stdin, file)
		if err != nil {
			return nil, err
		}
		if total += len(data); total > maxTotal {
			return nil, fmt.Errorf("the files are larger than %d MiB together", maxTotal>>20)
		}
		documents, err := Parse(file, data)
		if err != nil {
			return nil, err
		}
		if out = append(out, documents...); len(out) > maxDocuments {
			return nil, fmt.Errorf("the files hold more than %d objects", maxDocuments)
		}
	}
	return out, nil
}

// expand replaces directories by the files in them.
func expand(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		if name == "-" {
			out = append(out, name)
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		if !info.IsDir() {
			out = append(out, name)
			continue
		}
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		for _, e := range entries {
			if !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
				out = append(out, filepath.Join(name, e.Name()))
			}
		}
	}
	return out, nil
}

func readFile(stdin io.Reader, name string) ([]byte, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		defer f.Close() //nolint:errcheck // nothing was written
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("reading %s: larger than %d MiB", name, maxFile>>20)
	}
	return data, nil
}

// Parse reads the objects of one file's content.
func Parse(file string, data []byte) ([]*Document, error) {
	var out []*Document
	for _, chunk := range split(string(data)) {
		documents, err := parseChunk(file, chunk)
		if err != nil {
			return nil, err
		}
		out = append(out, documents...)
	}
	return out, nil
}

// chunk is the text of one YAML document.
type chunk struct {
	line int
	text string
}

// split cuts a file at its `---` lines.
func split(data string) []chunk {
	var out []chunk
	start, at := 1, 0
	var b strings.Builder
	for line := range strings.Lines(data) {
		at++
		if trimmed := strings.TrimRight(line, " \t\r\n"); trimmed == "---" || strings.HasPrefix(line, "--- ") {
			out = append(out, chunk{start, b.String()})
			b.Reset()
			// What follows on the line belongs to the document; keep the columns.
			b.WriteString(strings.Repeat(" ", 3) + strings.TrimPrefix(line, "---"))
			start = at
			continue
		}
		b.WriteString(line)
	}
	return append(out, chunk{start, b.String()})
}

func parseChunk(file string, c chunk) ([]*Document, error) {
	var root yamlv3.Node
	if err := yamlv3.Unmarshal([]byte(c.text), &root); err != nil {
		return nil, &Error{File: file, Line: c.line - 1 + lineOf(err), Message: messageOf(err)}
	}
	if root.Kind == 0 || len(root.Content) == 0 || root.Content[0].Tag == "!!null" {
		return nil, nil
	}
	// The same decoder as kubectl's, so that `y` and `010` mean the same.
	raw, err := yaml.YAMLToJSONStrict([]byte(c.text))
	if err != nil {
		return nil, &Error{File: file, Line: c.line - 1 + lineOf(err), Message: messageOf(err)}
	}
	var object map[string]any
	if err := utiljson.Unmarshal(raw, &object); err != nil {
		return nil, &Error{File: file, Line: c.line, Message: "this is no object"}
	}
	d := &Document{File: file, Line: c.line, Object: object, JSON: raw, lines: strings.Split(c.text, "\n"), root: root.Content[0]}
	if d.Kind() == "List" {
		return d.items()
	}
	return []*Document{d}, nil
}

// items takes a List apart.
func (d *Document) items() ([]*Document, error) {
	list, _ := d.Object["items"].([]any)
	node := child(d.root, step{key: "items"})
	out := make([]*Document, 0, len(list))
	for i, item := range list {
		object, ok := item.(map[string]any)
		if !ok {
			return nil, &Error{File: d.File, Line: d.Line, Message: fmt.Sprintf("item %d of the list is no object", i)}
		}
		raw, err := utiljson.Marshal(object)
		if err != nil {
			return nil, &Error{File: d.File, Line: d.Line, Message: err.Error()}
		}
		out = append(out, &Document{File: d.File, Line: d.Line, Object: object, JSON: raw, lines: d.lines, root: child(node, step{index: i, isIndex: true})})
	}
	return out, nil
}

// lineOf finds the line in a YAML error, which has it in its text alone.
func lineOf(err error) int {
	_, rest, found := strings.Cut(err.Error(), "line ")
	line := 1
	if found {
		if _, scanErr := fmt.Sscanf(rest, "%d", &line); scanErr != nil {
			return 1
		}
		// The parser, unlike the scanner, counts from 0.
		if strings.Contains(rest, "did not find expected") {
			line++
		}
	}
	return max(line, 1)
}

func messageOf(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	message := strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	message = strings.TrimPrefix(message, "yaml: ")
	if rest, found := strings.CutPrefix(message, "line "); found {
		if _, after, ok := strings.Cut(rest, ": "); ok {
			message = after
		}
	}
	return "invalid YAML: " + strings.ReplaceAll(message, "\n", " ")
}
