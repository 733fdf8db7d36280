package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strings"
	texttemplate "text/template"

	"beckon/segments"
)

//go:embed templates
var templateFiles embed.FS

// view is what the templates see. Body differs from page to page; everything around it does not.
type view struct {
	Lang      *language
	Title     string
	Company   segments.Company // zero: the page belongs to none
	Languages []languageLink
	Action    string // where the forms of the page post to
	Embedded  bool   // the page is shown in a frame of somebody else's, without what frames have around them
	Body      any
	again     string // where a form can be filled in again
}

type languageLink struct {
	Tag, Name, Link string
	Current         bool
}

// T is the text of a key in the language of the page.
func (v *view) T(key string, args ...any) string { return v.Lang.T(key, args...) }

// N is the text of a key for a number.
func (v *view) N(key string, n int, args ...any) string { return v.Lang.N(key, n, args...) }

// looks holds the parsed templates and the headers that go with them.
type looks struct {
	pages   map[string]*template.Template
	html    *template.Template     // of the mails
	text    *texttemplate.Template // of the same
	policy  string
	framing map[string]string // by route: the policy where it differs
}

func loadLooks(embed []string) (*looks, error) {
	css, err := templateFiles.ReadFile("templates/style.css")
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	style := template.HTML("<style>" + string(css) + "</style>")
	base, err := template.New("").Funcs(template.FuncMap{
		"style": func() template.HTML { return style },
		"web":   web,
	}).ParseFS(templateFiles, "templates/base.html", "templates/asked.html")
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	l := &looks{pages: map[string]*template.Template{}, framing: map[string]string{}}
	files, err := templateFiles.ReadDir("templates")
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".html")
		if !ok || name == "base" || name == "asked" || name == "mail" {
			continue
		}
		t := template.Must(base.Clone())
		if l.pages[name], err = t.ParseFS(templateFiles, path.Join("templates", f.Name())); err != nil {
			return nil, fmt.Errorf("pages: %w", err)
		}
	}
	if l.html, err = template.New("mail.html").Funcs(template.FuncMap{"web": web}).ParseFS(templateFiles, "templates/mail.html"); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	if l.text, err = loadMailText(); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	sum := sha256.Sum256(css)
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors "
	l.policy = policy + "'none'"
	if len(embed) > 0 {
		for _, origin := range embed {
			if u, err := url.Parse(origin); err != nil || u.Scheme != "http" && u.Scheme != "https" || origin != u.Scheme+"://"+u.Host || strings.ContainsAny(origin, " ;,'\"") {
				return nil, fmt.Errorf("pages: %q cannot frame the form: want an origin such as https://www.example.org", origin)
			}
		}
		l.framing["/subscribe"] = policy + strings.Join(embed, " ")
	}
	return l, nil
}

// guard sets the headers of every page of the route, whatever becomes of the request.
func (l *looks) guard(h http.Header, route string) {
	policy, framed := l.framing[route]
	if !framed {
		policy = l.policy
		h.Set("X-Frame-Options", "DENY")
	}
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("X-Content-Type-Options", "nosniff")
}

func (l *looks) render(name string, v *view) ([]byte, error) {
	var b bytes.Buffer
	if err := l.pages[name].ExecuteTemplate(&b, "base", v); err != nil {
		return nil, fmt.Errorf("pages: render %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// mail renders the HTML part of a mail.
func (l *looks) mail(v *view) (string, error) {
	var b bytes.Buffer
	if err := l.html.Execute(&b, v); err != nil {
		return "", fmt.Errorf("pages: render a mail: %w", err)
	}
	return b.String(), nil
}

// web lets web addresses through and nothing else; what a company or source wrote becomes a link.
func web(s string) string {
	if u, err := url.Parse(s); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
		return s
	}
	return ""
}
