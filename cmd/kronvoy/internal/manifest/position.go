package manifest

import (
	"strconv"
	"strings"
	"unicode/utf8"

	yamlv3 "go.yaml.in/yaml/v3"
)

// Position is a place in a file; lines and columns count from 1, columns in
// characters.
type Position struct {
	Line, Column int
	// Text of the line.
	Text string
}

// Position finds the place of a field. offset is in bytes in the field's text;
// -1 means the field as a whole, which is where its key stands. Of a field that
// is not there the closest one around it is found.
func (d *Document) Position(path string, offset int) Position {
	node, key := d.root, (*yamlv3.Node)(nil)
	for _, s := range parsePath(path) {
		k, v := descend(node, s)
		if v == nil {
			offset = -1
			break
		}
		node, key = v, k
	}
	if node == nil {
		return Position{Line: d.Line, Column: 1}
	}
	if offset < 0 || node.Kind != yamlv3.ScalarNode {
		if key != nil {
			node = key
		}
		return d.at(node.Line, node.Column)
	}
	line, column := d.inScalar(node, offset)
	return d.at(line, column)
}

// at turns a place in the document into one in the file.
func (d *Document) at(line, column int) Position {
	p := Position{Line: d.Line - 1 + line, Column: column}
	if line >= 1 && line <= len(d.lines) {
		p.Text = strings.TrimRight(d.lines[line-1], "\r")
	}
	return p
}

type step struct {
	key     string
	index   int
	isIndex bool
}

// parsePath reads spec.resources[1].template.metadata.labels['a/b'].
func parsePath(path string) []step {
	var out []step
	for i := 0; i < len(path); {
		switch {
		case path[i] == '.':
			i++
		case strings.HasPrefix(path[i:], "['"):
			key, next := quotedKey(path, i+2)
			out = append(out, step{key: key})
			i = next
		case path[i] == '[':
			end := strings.IndexByte(path[i:], ']')
			if end < 0 {
				return out
			}
			n, err := strconv.Atoi(path[i+1 : i+end])
			if err != nil {
				return out
			}
			out = append(out, step{index: n, isIndex: true})
			i += end + 1
		default:
			end := strings.IndexAny(path[i:], ".[")
			if end < 0 {
				end = len(path) - i
			}
			out = append(out, step{key: path[i : i+end]})
			i += end
		}
	}
	return out
}

func quotedKey(path string, i int) (string, int) {
	var b strings.Builder
	for ; i < len(path); i++ {
		if path[i] == '\\' && i+1 < len(path) {
			i++
		} else if path[i] == '\'' {
			return b.String(), min(i+2, len(path))
		}
		b.WriteByte(path[i])
	}
	return b.String(), i
}

func child(node *yamlv3.Node, s step) *yamlv3.Node {
	_, v := descend(node, s)
	return v
}

// descend finds a key, or an element, and the node of the key.
func descend(node *yamlv3.Node, s step) (key, value *yamlv3.Node) {
	for range 10 {
		if node == nil || node.Kind != yamlv3.AliasNode {
			break
		}
		node = node.Alias
	}
	switch {
	case node == nil:
	case node.Kind == yamlv3.SequenceNode && s.isIndex && s.index < len(node.Content):
		return node.Content[s.index], node.Content[s.index]
	case node.Kind == yamlv3.MappingNode && !s.isIndex:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == s.key {
				return node.Content[i], node.Content[i+1]
			}
		}
	}
	return nil, nil
}

// inScalar finds the place of a byte of a scalar's value, by walking its source.
func (d *Document) inScalar(node *yamlv3.Node, offset int) (line, column int) {
	switch node.Style &^ yamlv3.TaggedStyle {
	case yamlv3.LiteralStyle, yamlv3.FoldedStyle:
		return d.inBlock(node, offset)
	case yamlv3.DoubleQuotedStyle:
		return d.inFlow(node, offset, 1, '"')
	case yamlv3.SingleQuotedStyle:
		return d.inFlow(node, offset, 1, '\'')
	}
	return d.inFlow(node, offset, 0, 0)
}

// inBlock walks the lines below a | or >. Each line of the source stands for its
// text and one character, be it a line feed or the space of a fold.
func (d *Document) inBlock(node *yamlv3.Node, offset int) (line, column int) {
	indent := -1
	for i := node.Line; i < len(d.lines); i++ {
		text := d.lines[i]
		trimmed := strings.TrimLeft(text, " ")
		if indent < 0 {
			if trimmed == "" {
				offset--
				continue
			}
			indent = len(text) - len(trimmed)
		}
		content := ""
		if len(text) > indent {
			content = text[indent:]
		}
		if offset <= len(content) {
			return i + 1, indent + utf8.RuneCountInString(content[:max(offset, 0)]) + 1
		}
		offset -= len(content) + 1
	}
	return node.Line, node.Column
}

// inFlow walks a plain or quoted scalar, which may go on over several lines that
// are folded into one.
func (d *Document) inFlow(node *yamlv3.Node, offset, open int, quote byte) (line, column int) {
	if node.Line > len(d.lines) {
		return node.Line, node.Column
	}
	line = node.Line
	text := d.lines[line-1]
	at := byteColumn(text, node.Column) + open
	for offset > 0 {
		if at >= len(text) {
			if line >= len(d.lines) {
				break
			}
			text = d.lines[line]
			line++
			at = len(text) - len(strings.TrimLeft(text, " \t"))
			offset--
			continue
		}
		switch {
		case quote == '"' && text[at] == '\\', quote == '\'' && strings.HasPrefix(text[at:], "''"):
			at++
		}
		at++
		offset--
	}
	at = min(at, len(text))
	return line, utf8.RuneCountInString(text[:at]) + 1
}

// byteColumn turns a column in characters into an offset in bytes.
func byteColumn(text string, column int) int {
	seen := 1
	for i := range text {
		if seen == column {
			return i
		}
		seen++
	}
	return len(text)
}
