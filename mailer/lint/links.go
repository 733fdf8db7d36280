package lint

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// shorteners hide where a link leads; spam filters know them too.
var shorteners = func() map[string]bool {
	all := map[string]bool{}
	for _, host := range strings.Fields("adf.ly bit.ly bl.ink buff.ly cutt.ly dlvr.it goo.gl is.gd j.mp lnkd.in ow.ly rb.gy rebrand.ly s.id shorturl.at t.co t.ly tiny.cc tinyurl.com tr.im trib.al v.gd x.co") {
		all[host] = true
	}
	return all
}()

var (
	webWord  = regexp.MustCompile(`(?i)\b(?:https?://|www\.)[^\s<>"'()\x01]+`)
	bareName = regexp.MustCompile(`^(?i)(?:[\p{L}0-9](?:[\p{L}0-9-]*[\p{L}0-9])?\.)+\p{L}{2,}(?:/\S*)?$`)
)

// textLinks are the web addresses of a text part.
func textLinks(text string) (all []link) {
	line, from := 1, 0
	masked := mask(text)
	for _, at := range webWord.FindAllStringIndex(masked, -1) {
		line += strings.Count(masked[from:at[0]], "\n")
		from = at[0]
		if href := masked[at[0]:at[1]]; !strings.HasPrefix(strings.ToLower(href), "www.") {
			all = append(all, link{line: line, href: strings.TrimRight(href, ".,;:!?")})
		}
	}
	return all
}

func (r *report) links(field string, all []link) {
	var plain, ips []int
	short := map[string][]int{}
	var order []string
	others := 0
	for _, l := range all {
		host := hostOf(l.href)
		if host == "" {
			continue
		}
		if strings.HasPrefix(strings.ToLower(l.href), "http://") {
			plain = append(plain, l.line)
		}
		if _, err := netip.ParseAddr(host); err == nil {
			ips = append(ips, l.line)
		}
		if name := strings.TrimPrefix(host, "www."); shorteners[name] {
			if len(short[name]) == 0 {
				order = append(order, name)
			}
			short[name] = append(short[name], l.line)
		}
		if shows := shown(l.text); shows != "" && registrable(shows) != registrable(host) && others < maxSame {
			others++
			r.add(OtherDomain, field, l.line, "a link shows %s and leads to %s, as phishing does: show the domain it leads to, or words", shows, host)
		}
	}
	r.many(PlainHTTP, field, "link", plain, "to http: write https, so that nobody on the way can read or change the page")
	r.many(BareIP, field, "link", ips, "to a bare IP address, as spam does: use a host name")
	for _, name := range order {
		r.many(Shortener, field, "link", short[name], "to the shortener %s, which hides the target and is often blocked: link to the page itself", name)
	}
}

func (r *report) plain(lines []int) {
	r.many(PlainHTTP, "html", "picture", lines, "fetched by http: write https; many programs block or warn of the others")
}

// hostOf is the host of a web address, lower-cased and as A-labels; empty for anything else, and where
// Liquid has a say in it.
func hostOf(href string) string {
	scheme, rest, ok := strings.Cut(href, "://")
	if scheme = strings.ToLower(scheme); !ok || scheme != "http" && scheme != "https" {
		return ""
	}
	if i := strings.IndexAny(rest, "/?#\\"); i >= 0 {
		rest = rest[:i]
	}
	if len(rest) > 300 || strings.ContainsAny(rest, "\x01 \t\n") {
		return ""
	}
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil {
		return ""
	}
	return ascii(u.Hostname())
}

func ascii(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if a, err := idna.Lookup.ToASCII(host); err == nil {
		return a
	}
	return host
}

// registrable is the domain that a host's owner registered; the host itself where there is none.
func registrable(host string) string {
	if d, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return d
	}
	return host
}

// files are top-level domains that more often end a file's name.
var files = map[string]bool{"zip": true, "mov": true, "md": true, "sh": true, "py": true, "rs": true, "ps": true, "pl": true, "ai": true, "app": true}

// shown is the host that a link's text makes a reader believe in; empty if it names none.
func shown(text string) string {
	if text == "" || len(text) > maxText {
		return ""
	}
	if w := webWord.FindString(text); w != "" {
		if !strings.Contains(w, "://") {
			w = "https://" + w
		}
		return hostOf(strings.TrimRight(w, ".,;:!?"))
	}
	if !bareName.MatchString(text) {
		return ""
	}
	host := hostOf("https://" + text)
	suffix, known := publicsuffix.PublicSuffix(host)
	if host == "" || !known || files[suffix] || host == suffix {
		return ""
	}
	return host
}
