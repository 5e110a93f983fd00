package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/kronvoy/kronvoy/hub/dashboard/view"
)

//go:embed templates/*.html static/*
var files embed.FS

// assets are the files that pages refer to, under addresses that change with
// their content.
type assets struct {
	version string
	byName  map[string]asset
}

type asset struct {
	mime         string
	plain, gzipd []byte
}

func loadAssets() (assets, error) {
	entries, err := fs.ReadDir(files, "static")
	if err != nil {
		return assets{}, err
	}
	a, sum := assets{byName: map[string]asset{}}, sha256.New()
	for _, entry := range entries {
		text, err := files.ReadFile("static/" + entry.Name())
		if err != nil {
			return assets{}, err
		}
		sum.Write(text)
		compressed, err := compress(text)
		if err != nil {
			return assets{}, err
		}
		a.byName[entry.Name()] = asset{mime: mime.TypeByExtension(path.Ext(entry.Name())), plain: text, gzipd: compressed}
	}
	a.version = hex.EncodeToString(sum.Sum(nil))[:16]
	return a, nil
}

func (a assets) url(name string) string { return "/static/" + a.version + "/" + name }

func (a assets) serve(w http.ResponseWriter, r *http.Request) {
	found, ok := a.byName[r.PathValue("file")]
	if !ok || r.PathValue("hash") != a.version {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", found.mime)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	body := found.plain
	if gzips(r) {
		w.Header().Set("Content-Encoding", "gzip")
		body = found.gzipd
	}
	w.Header().Add("Vary", "Accept-Encoding")
	_, _ = w.Write(body)
}

func compress(text []byte) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	err := z.Close()
	return out.Bytes(), err
}

func gzips(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(name, "gzip") && !strings.Contains(part, "q=0") {
			return true
		}
	}
	return false
}

// pages are the parsed templates by name.
type pages map[string]*template.Template

func loadPages(a assets) (pages, error) {
	common, err := template.New("").Funcs(template.FuncMap{
		"asset":    a.url,
		"views":    func() []listedView { return views },
		"states":   func() []view.State { return view.States },
		"since":    since,
		"until":    until,
		"user":     user,
		"sentence": sentence,
		"count":    func(list []string) int32 { return int32(len(list)) },
		"time":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"query":    url.QueryEscape,
		"path":     url.PathEscape,
		"join":     strings.Join,
		"dict":     dict,
	}).ParseFS(files, "templates/_*.html")
	if err != nil {
		return nil, fmt.Errorf("reading the dashboard's templates: %w", err)
	}
	names, err := fs.Glob(files, "templates/[a-z]*.html")
	if err != nil {
		return nil, err
	}
	out := pages{}
	for _, name := range names {
		page, err := common.Clone()
		if err == nil {
			page, err = page.ParseFS(files, name)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the dashboard's template %s: %w", name, err)
		}
		out[strings.TrimSuffix(path.Base(name), ".html")] = page
	}
	return out, nil
}

// dict lets a template hand several values to another one.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict takes keys and values, and got %d of them", len(pairs))
	}
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		key, isText := pairs[i].(string)
		if !isText {
			return nil, fmt.Errorf("key %v of dict is no text", pairs[i])
		}
		out[key] = pairs[i+1]
	}
	return out, nil
}

// user leaves out what all service accounts have in front of their names: there is
// little room.
func user(name string) string { return strings.TrimPrefix(name, "system:serviceaccount:") }

// sentence begins with a capital letter, as messages do not, unless it begins with
// what may be a name.
func sentence(text string) string {
	word, _, more := strings.Cut(text, " ")
	if !more || word == "" || strings.ContainsFunc(word, func(r rune) bool { return r < 'a' || r > 'z' }) {
		return text
	}
	return strings.ToUpper(word[:1]) + text[1:]
}

// since is an age in one unit, as kubectl has it.
func since(now, then time.Time) string {
	d := now.Sub(then)
	switch {
	case then.IsZero():
		return ""
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// until is how long something is away, to the second: the page's script counts it
// down.
func until(now, then time.Time) string {
	left := then.Sub(now).Round(time.Second)
	if left <= 0 {
		return "now"
	}
	return left.String()
}

// layout is what the frame around every page shows.
type layout struct {
	Title, Theme, Path, Viewer, CSRF, Stream string
	Now                                      time.Time
	Data                                     any
}

func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, v *session, name, title string, data any) {
	s.write(w, r, status, v, content{template: name, title: title, data: data})
}

func (s *Server) write(w http.ResponseWriter, r *http.Request, status int, v *session, c content) {
	l := layout{Title: c.title, Theme: theme(r), Path: r.URL.Path, Stream: c.stream, Now: s.opts.Clock.Now(), Data: c.data}
	if v != nil {
		l.Viewer, l.CSRF = v.viewer.Name, v.CSRF()
	}
	var out bytes.Buffer
	if err := s.pages[c.template].ExecuteTemplate(&out, "frame", l); err != nil {
		s.log.Error(err, "A page was not rendered", "page", c.template)
		http.Error(w, "this page cannot be rendered: the hub's log says why", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Add("Vary", "Accept-Encoding")
	body := out.Bytes()
	if gzips(r) {
		if compressed, err := compress(body); err == nil {
			h.Set("Content-Encoding", "gzip")
			body = compressed
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// theme is what the viewer chose; empty for what the system says.
func theme(r *http.Request) string {
	cookie, err := r.Cookie("theme")
	if err != nil || (cookie.Value != "light" && cookie.Value != "dark") {
		return ""
	}
	return cookie.Value
}
