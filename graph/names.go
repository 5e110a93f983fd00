package graph

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/kronvoy/kronvoy/graph/internal/path"
)

var idPattern = regexp.MustCompile(`^[a-z][a-zA-Z0-9]*$`)

// maxIDLength bounds ids: they travel in labels.
const maxIDLength = 63

// reserved are the words of CEL, and those that mean something else in an
// expression or may do so one day.
var reserved = wordSet(`true false null in as break const continue else for function if import let loop package
	namespace return var void while
	apiVersion context dependency dependencies each externalRef externalReference externalRefs externalReferences graph
	instance item items kind kro metadata object resource resourcegraphdefinition resourceGraphDefinition resources root
	runtime schema self serviceAccountName spec status this variables vars version`)

func wordSet(words string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(words) {
		out[w] = true
	}
	return out
}

// checkName judges an id or an iterator; what says which, for the message.
func checkName(what, name string) (reason, message, suggestion string) {
	switch {
	case name == "":
		return "InvalidName", what + " is missing", ""
	case len(name) > maxIDLength:
		return "InvalidName", fmt.Sprintf("%s is longer than %d characters", what, maxIDLength), ""
	case !idPattern.MatchString(name):
		return "InvalidName", fmt.Sprintf("naming convention violation: %s %s must be lower camelCase", what, shorten(name)), suggestName(name)
	case name == "true" || name == "false":
		return "ReservedName", fmt.Sprintf("naming convention violation: %s %s is a reserved word", what, name),
			"in YAML y, yes and on mean true, n, no and off mean false: choose another name, or quote it"
	case reserved[name]:
		return "ReservedName", fmt.Sprintf("naming convention violation: %s %s is a reserved word", what, name), ""
	}
	return "", "", ""
}

// suggestName turns my-app, my_app and MyApp into myApp.
func suggestName(name string) string {
	var b strings.Builder
	upper := false
	for _, r := range name {
		switch {
		case r >= '0' && r <= '9' && b.Len() > 0, r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
			s := string(r)
			if b.Len() == 0 {
				s = strings.ToLower(s)
			} else if upper {
				s = strings.ToUpper(s)
			}
			b.WriteString(s)
			upper = false
		default:
			upper = true
		}
	}
	if s := b.String(); idPattern.MatchString(s) && !reserved[s] {
		return fmt.Sprintf("did you mean %s?", s)
	}
	return ""
}

// checkID judges a node's id and tells whether expressions can refer to it.
func (c *compiler) checkID(d *draft) bool {
	at := path.Key(d.path, "id")
	if reason, message, suggestion := checkName("id", d.src.ID); reason != "" {
		c.issue(Issue{Path: at, Offset: -1, Reason: reason, Message: message, Snippet: shorten(d.src.ID), Suggestion: suggestion})
		return false
	}
	if first, found := c.byID[d.src.ID]; found {
		c.issue(Issue{Path: at, Offset: -1, Reason: "DuplicateID", Snippet: d.src.ID,
			Message: fmt.Sprintf("id %s is already used by %s", d.src.ID, first.path)})
		return false
	}
	return true
}
