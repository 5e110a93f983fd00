package template

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	lit := func(offset int, s string) Segment { return Segment{Text: s, Offset: offset} }
	ex := func(offset int, s string) Segment { return Segment{Text: s, Offset: offset, Expr: true} }
	tests := map[string]struct {
		in   string
		want []Segment
	}{
		"empty":                         {"", nil},
		"literal":                       {"a $ {b}", []Segment{lit(0, "a $ {b}")}},
		"standalone":                    {"${a}", []Segment{ex(2, "a")}},
		"text around":                   {"a-${b}-${c}", []Segment{lit(0, "a-"), ex(4, "b"), lit(6, "-"), ex(9, "c")}},
		"a line feed makes it text":     {"${a}\n", []Segment{ex(2, "a"), lit(4, "\n")}},
		"nested braces":                 {"${{'a': {'b': 1}}}", []Segment{ex(2, "{'a': {'b': 1}}")}},
		"a brace in single quotes":      {"${'}'}", []Segment{ex(2, "'}'")}},
		"a brace in double quotes":      {`${"}"}`, []Segment{ex(2, `"}"`)}},
		"the other quote":               {`${'"' + "'"}`, []Segment{ex(2, `'"' + "'"`)}},
		"an escaped quote":              {`${"\"}"}`, []Segment{ex(2, `"\"}"`)}},
		"an escaped backslash":          {`${"\\"}`, []Segment{ex(2, `"\\"`)}},
		"a raw string":                  {`${r"\"}`, []Segment{ex(2, `r"\"`)}},
		"raw bytes":                     {`${bR'\'}`, []Segment{ex(2, `bR'\'`)}},
		"a name that ends in r":         {`${bar"\"}"}`, []Segment{ex(2, `bar"\"}"`)}},
		"triple quotes":                 {`${"""a "} b"""}`, []Segment{ex(2, `"""a "} b"""`)}},
		"single triple quotes":          {`${'''it's }'''}`, []Segment{ex(2, `'''it's }'''`)}},
		"an empty string":               {`${'' + ""}`, []Segment{ex(2, `'' + ""`)}},
		"a comment":                     {"${a // }\n}", []Segment{ex(2, "a // }\n")}},
		"slashes in a string":           {`${"http://x"}`, []Segment{ex(2, `"http://x"`)}},
		"an expression's text in quote": {`${"${VAR}"}`, []Segment{ex(2, `"${VAR}"`)}},
		"a dollar in an expression":     {`${"$"}$`, []Segment{ex(2, `"$"`), lit(6, "$")}},
		"UTF-8":                         {"ä${ö}ü", []Segment{lit(0, "ä"), ex(4, "ö"), lit(7, "ü")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(test.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Segments); diff != "" {
				t.Errorf("Parse(%q) (-want +got):\n%s", test.in, diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := map[string]struct {
		in, reason string
		offset     int
	}{
		"open":                     {"a ${b", "UnterminatedExpression", 2},
		"open after a good one":    {"${a} ${b", "UnterminatedExpression", 5},
		"an open brace":            {"${{a}", "UnterminatedExpression", 0},
		"an open string":           {`${"a}`, "UnterminatedString", 2},
		"an open triple string":    {`${"""a"}`, "UnterminatedString", 2},
		"a string ends in escape":  {`${"a\`, "UnterminatedString", 2},
		"a comment to the end":     {"${a // b}", "UnterminatedExpression", 0},
		"nested":                   {"${a(${b})}", "NestedExpression", 4},
		"nothing inside":           {"x${}", "EmptyExpression", 1},
		"nothing but space inside": {"${ \n }", "EmptyExpression", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(test.in)
			if err == nil {
				t.Fatalf("Parse(%q) succeeded", test.in)
			}
			if err.Reason != test.reason || err.Offset != test.offset {
				t.Errorf("Parse(%q): %s at %d, want %s at %d", test.in, err.Reason, err.Offset, test.reason, test.offset)
			}
		})
	}
}

// FuzzParse holds that segments put together are the input again, that offsets
// are right, and that nothing panics.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "${a}", "a-${b}-${c}", `${"}"}`, `${r'\'}`, `${"""}"""}`, "${a // }\n}", "${", "${{}", "${'", `${"\`, "$${a}}", "${a${b}}", "ä${ö}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := Parse(s)
		if err != nil {
			if err.Offset < 0 || err.Offset > len(s) || err.Message == "" {
				t.Fatalf("Parse(%q): offset %d, message %q", s, err.Offset, err.Message)
			}
			return
		}
		var b strings.Builder
		for _, segment := range parsed.Segments {
			if s[segment.Offset:segment.Offset+len(segment.Text)] != segment.Text {
				t.Fatalf("Parse(%q): %q is not at %d", s, segment.Text, segment.Offset)
			}
			if segment.Expr {
				b.WriteString("${" + segment.Text + "}")
			} else {
				b.WriteString(segment.Text)
			}
		}
		if b.String() != s {
			t.Fatalf("Parse(%q) puts together to %q", s, b.String())
		}
		if parsed.Static() != !strings.Contains(s, "${") {
			t.Fatalf("Parse(%q).Static() = %v", s, parsed.Static())
		}
	})
}
