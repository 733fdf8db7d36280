package lint

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/html"
)

// liquid stands for every byte of Liquid in a masked source: no author can write it.
const liquid = '\x01'

// page is what there is to say about a mail's HTML.
type page struct {
	letters  int   // letters and digits that a reader sees
	words    int   // those, and the words for pictures
	pictures int   // larger than an icon
	noAlt    []int // lines
	links    []link
	sources  []int         // lines of pictures fetched without TLS
	gone     map[gone]spot // what mail programs drop, where it stands first
	order    []gone
	hidden   bool // there is a hidden text, as authors place as preheader
}

type spot struct{ line, n int }

// gone is an element that mail programs take out.
type gone string

type link struct {
	line       int
	href, text string
}

// maxText is how much of a link's text is looked at.
const maxText = 2000

// mask puts a control character in the place of every Liquid construct; lines stay where they are.
func mask(s string) string {
	var b []byte
	each(s, func(start, end int) {
		if b == nil {
			b = []byte(s)
		}
		for i := start; i < end; i++ {
			if b[i] != '\n' {
				b[i] = liquid
			}
		}
	})
	if b == nil {
		return s
	}
	return string(b)
}

// each finds the Liquid constructs.
func each(s string, found func(start, end int)) {
	none := [2]bool{} // of outputs, of tags: none is closed from here on
	for at := 0; ; {
		n := strings.IndexByte(s[at:], '{')
		if n < 0 || at+n+1 >= len(s) {
			return
		}
		at += n
		kind, closing := 0, "}}"
		switch s[at+1] {
		case '{':
		case '%':
			kind, closing = 1, "%}"
		default:
			at++
			continue
		}
		n = -1
		if !none[kind] {
			n = strings.Index(s[at+2:], closing)
		}
		if n < 0 {
			none[kind] = true
			at++
			continue
		}
		found(at, at+2+n+2)
		at += 2 + n + 2
	}
}

// read goes through the source once. Conditional comments are not looked into: one program sees them.
func read(source string) *page {
	p := &page{gone: map[gone]spot{}}
	z := html.NewTokenizer(strings.NewReader(mask(source)))
	line, raw := 1, ""
	var open *link
	var text strings.Builder
	end := func() {
		if open != nil {
			open.text = strings.Join(strings.Fields(text.String()), " ")
			p.links = append(p.links, *open)
			open = nil
			text.Reset()
		}
	}
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			end()
			return p
		}
		at := line
		token := z.Raw()
		line += strings.Count(string(token), "\n")
		switch kind {
		case html.TextToken:
			if raw == "style" && imports.Match(token) {
				p.lose("@import in a style element", at)
			}
			if raw != "" {
				continue
			}
			shown := html.UnescapeString(string(token))
			n := letters(shown)
			p.letters, p.words = p.letters+n, p.words+n
			if open != nil && text.Len() < maxText {
				text.WriteString(shown[:min(len(shown), maxText)])
				text.WriteByte(' ')
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			tag := string(name)
			attrs := map[string]string{}
			for more {
				var key, value []byte
				key, value, more = z.TagAttr()
				if k := string(key); looked[k] {
					if _, twice := attrs[k]; !twice {
						attrs[k] = string(value)
					}
				}
			}
			if isRaw(tag) && kind == html.StartTagToken {
				raw = tag
			}
			p.tag(tag, attrs, at)
			if kind == html.StartTagToken && p.letters == 0 && hides(tag, attrs) {
				p.hidden = true
			}
			if tag == "a" || tag == "area" {
				end()
				if href := strings.TrimSpace(attrs["href"]); href != "" {
					if open = (&link{line: at, href: href}); tag == "area" {
						end()
					}
				}
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if string(name) == raw {
				raw = ""
			}
			if string(name) == "a" {
				end()
			}
		}
	}
}

// looked are the attributes that are read; others may be as many as they like.
var looked = map[string]bool{"href": true, "src": true, "background": true, "alt": true, "width": true, "height": true, "rel": true, "type": true, "style": true, "class": true, "role": true, "aria-hidden": true}

var imports = regexp.MustCompile(`(?i)@import\b`)

func isRaw(tag string) bool {
	switch tag {
	case "style", "script", "title", "textarea", "iframe", "noembed", "noframes", "xmp":
		return true
	}
	return false
}

// droppedTags are the elements that mail programs take out, with what to do instead.
var droppedTags = map[string]string{
	"script": "leave it out", "iframe": "link to the page", "frame": "link to the page", "object": "link to it", "embed": "link to it", "applet": "leave it out",
	"form": "link to a page with the form", "video": "show a picture that links to the video", "audio": "link to the recording", "svg": "use a PNG picture", "canvas": "use a picture",
	"stylesheet that is fetched": "put the rules into a style element or style attributes; a font from the web falls back to the next one named", "@import in a style element": "put the rules themselves there",
}

func (p *page) lose(what gone, line int) {
	s, known := p.gone[what]
	if !known {
		s.line = line
		p.order = append(p.order, what)
	}
	s.n++
	p.gone[what] = s
}

func (p *page) tag(name string, attrs map[string]string, line int) {
	if _, drops := droppedTags[name]; drops && !(name == "script" && strings.Contains(strings.ToLower(attrs["type"]), "json")) { // JSON-LD is read by some
		p.lose(gone(name), line)
	}
	for _, source := range []string{"src", "background"} {
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(attrs[source])), "http://") {
			p.sources = append(p.sources, line)
		}
	}
	switch {
	case name == "link" && strings.Contains(strings.ToLower(attrs["rel"]), "stylesheet") && attrs["href"] != "":
		p.lose("stylesheet that is fetched", line)
	case name == "img" && !smaller(attrs, 5):
		if !smaller(attrs, 51) {
			p.pictures++
		}
		p.words += letters(attrs["alt"])
		if _, has := attrs["alt"]; !has && attrs["role"] != "presentation" && attrs["aria-hidden"] != "true" {
			p.noAlt = append(p.noAlt, line)
		}
	}
}

// hides says whether an element is one that authors put a preheader into.
func hides(tag string, attrs map[string]string) bool {
	switch tag {
	case "div", "span", "p":
		class := strings.ToLower(attrs["class"])
		return strings.Contains(class, "preheader") || strings.Contains(class, "preview") || hiding.MatchString(attrs["style"])
	}
	return false
}

var hiding = regexp.MustCompile(`(?i)(?:display\s*:\s*none|max-height\s*:\s*0|mso-hide\s*:\s*all)`)

// smaller says whether a picture has a side that is given, and is less than so many pixels.
func smaller(attrs map[string]string, than int) bool {
	sides := []string{strings.TrimSuffix(strings.TrimSpace(attrs["width"]), "px"), strings.TrimSuffix(strings.TrimSpace(attrs["height"]), "px")}
	for _, m := range side.FindAllStringSubmatch(attrs["style"], 10) {
		sides = append(sides, m[1])
	}
	for _, s := range sides {
		if n, err := strconv.Atoi(s); err == nil && n < than {
			return true
		}
	}
	return false
}

var side = regexp.MustCompile(`(?i)(?:^|[;\s])(?:width|height)\s*:\s*(\d{1,5})px`)

// letters counts letters and digits; a Liquid output counts as ten.
func letters(s string) int {
	n, inside := 0, false
	for _, r := range s {
		switch {
		case r == liquid:
			if !inside {
				n += 10
			}
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			n++
		}
		inside = r == liquid
	}
	return n
}
