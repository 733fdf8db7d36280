package compose

import (
	"errors"
	"fmt"
	"html"
	"strings"
)

const (
	boxStyle  = "margin:16px auto 0;max-width:600px;padding:12px;font-family:Arial,Helvetica,sans-serif;font-size:12px;line-height:18px;color:#555555;background-color:#ffffff;text-align:center"
	linkStyle = "color:#333333;text-decoration:underline"
	beaconEnd = `" width="1" height="1" alt="" border="0" style="display:block;width:1px;height:1px;border:0;overflow:hidden">`
	potEnd    = `" rel="nofollow" aria-hidden="true" tabindex="-1" style="display:none;max-height:0;max-width:0;overflow:hidden;opacity:0;font-size:0;line-height:0;mso-hide:all"></a>`
	preStyle  = "display:none;max-height:0;max-width:0;overflow:hidden;opacity:0;font-size:1px;line-height:1px;mso-hide:all"
)

// blocks writes what Beckon adds to a campaign's mails.
type blocks struct {
	company  Company
	typeName string
	words    wording
}

func textOp(s string) op { return op{kind: opText, s: s} }

func anchor(href, label string) string {
	return `<a href="` + html.EscapeString(href) + `" style="` + linkStyle + `">` + html.EscapeString(label) + `</a>`
}

// footer says who sends, why the reader gets this, and how to leave, choose and complain.
func (b *blocks) footer(asHTML bool) []op {
	c, w := b.company, b.words
	complain, complainLabel := c.ComplaintURL, w.complaint
	if complain == "" && c.PrivacyEmail != "" {
		complain, complainLabel = "mailto:"+c.PrivacyEmail, w.contact
	}
	address := strings.Split(strings.TrimSpace(c.PostalAddress), "\n")
	for i := range address {
		address[i] = strings.TrimSpace(address[i])
	}
	if !asHTML {
		var tail strings.Builder
		if c.PrivacyURL != "" {
			tail.WriteString("\n" + w.privacy + ": " + c.PrivacyURL)
		}
		if complain != "" {
			tail.WriteString("\n" + complainLabel + ": " + strings.TrimPrefix(complain, "mailto:"))
		}
		return []op{{kind: opFooter}, textOp("--\n"), {kind: opWhy},
			textOp("\n" + w.unsubscribe + ": "), {kind: opUnsubscribe},
			textOp("\n" + w.preferences + ": "), {kind: opPreferences},
			textOp(tail.String() + "\n\n" + c.Name + "\n" + strings.Join(address, "\n")),
		}
	}
	for i := range address {
		address[i] = html.EscapeString(address[i])
	}
	var tail strings.Builder
	if c.PrivacyURL != "" {
		tail.WriteString(" &middot; " + anchor(c.PrivacyURL, w.privacy))
	}
	if complain != "" {
		tail.WriteString(" &middot; " + anchor(complain, complainLabel))
	}
	return []op{{kind: opFooter}, textOp(`<div style="` + boxStyle + `"><strong>` + html.EscapeString(c.Name) + `</strong><br>` + strings.Join(address, ", ") + `<br>`),
		{kind: opWhy},
		textOp(`<br><a href="`), {kind: opUnsubscribe}, textOp(`" style="` + linkStyle + `">` + html.EscapeString(w.unsubscribe) + `</a> &middot; <a href="`),
		{kind: opPreferences}, textOp(`" style="` + linkStyle + `">` + html.EscapeString(w.preferences) + `</a>` + tail.String() + `</div>`),
	}
}

// why is the sentence for a recipient that came without one.
func (b *blocks) why(asHTML bool) string {
	s := b.words.whyText(b.company.Name, b.typeName)
	if asHTML {
		return html.EscapeString(s)
	}
	return s
}

// citation names the sources of a recipient's contact details. It fails for a source that cannot be
// cited: without a name, or without a policy to link to.
func (b *blocks) citation(cite []Citation, asHTML bool) (string, error) {
	if len(cite) == 0 {
		return "", nil
	}
	var out strings.Builder
	w := b.words
	if asHTML {
		out.WriteString(`<div style="` + boxStyle + `">`)
	}
	for _, c := range cite {
		if err := c.check(); err != nil {
			return "", err
		}
		var policies []string
		for _, p := range []struct{ url, label string }{{c.PrivacyURL, w.citePrivacy}, {c.TransparencyURL, w.citeTransp}} {
			switch {
			case p.url == "":
			case asHTML:
				policies = append(policies, anchor(p.url, p.label))
			default:
				policies = append(policies, "\n"+p.label+": "+p.url)
			}
		}
		if asHTML {
			fmt.Fprintf(&out, "%s <strong>%s</strong>: %s.<br>", html.EscapeString(w.cite), html.EscapeString(oneLine(c.Name)), strings.Join(policies, ", "))
		} else {
			fmt.Fprintf(&out, "%s %s.%s\n", w.cite, oneLine(c.Name), strings.Join(policies, ""))
		}
	}
	if asHTML {
		out.WriteString(html.EscapeString(w.citeObject) + `</div>`)
	} else {
		out.WriteString(w.citeObject)
	}
	return out.String(), nil
}

// ErrCitation is wrapped by Fill when a source that must be named cannot be.
var ErrCitation = errors.New("a source cannot be cited")

func (c Citation) check() error {
	if oneLine(c.Name) == "" {
		return fmt.Errorf("compose: %w: it has no name", ErrCitation)
	}
	if c.PrivacyURL == "" && c.TransparencyURL == "" {
		return fmt.Errorf("compose: %w: it has neither a privacy nor a transparency URL", ErrCitation)
	}
	for _, u := range []string{c.PrivacyURL, c.TransparencyURL} {
		if u != "" && !isPlainURL(u) {
			return fmt.Errorf("compose: %w: a URL of it is not on the web", ErrCitation)
		}
	}
	return nil
}

// ask invites to allow following, in the preferences.
func (b *blocks) ask(preferences string, asHTML bool) string {
	if asHTML {
		return `<div style="` + boxStyle + `">` + html.EscapeString(b.words.ask) + ` ` + anchor(preferences, b.words.askLink) + `</div>`
	}
	return b.words.ask + "\n" + b.words.askLink + ": " + preferences
}

// oneLine cleans text that is shown within a line.
func oneLine(s string) string { return strings.Join(strings.Fields(stripControls(s)), " ") }

// isPlainURL reports whether a URL of ours can be shown and linked as it is.
func isPlainURL(s string) bool {
	return isWeb(s) && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("<>\"{}", r) })
}
