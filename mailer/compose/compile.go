package compose

import (
	"errors"
	"html"
	"net/mail"
	"slices"
	"strings"
	"time"

	"beckon/tracker/token"
)

// maxProblems is how many problems are reported at once.
const maxProblems = 50

// Compile reads, checks and prepares a campaign's mail, once per campaign. The error is a *Problems
// if the author can do something about it.
func Compile(spec Spec) (*Template, error) {
	if spec.Keys == nil || spec.Campaign <= 0 {
		return nil, errors.New("compose: keys and a campaign are needed")
	}
	if spec.Now == nil {
		spec.Now = time.Now
	}
	spec.BaseURL = strings.TrimRight(spec.BaseURL, "/")
	var found Problems
	report := func(p Problem) {
		if len(found.List) < maxProblems && !slices.Contains(found.List, p) {
			found.List = append(found.List, p)
		}
	}
	from, replyTo := checkSpec(&spec, report)
	b := &build{spec: &spec, report: report, fields: map[string]bool{}}
	b.consts = &env{consts: b.constants(spec.Now())}
	b.blocks = &blocks{company: spec.Company, typeName: spec.TypeName, words: wordsFor(spec.Company.Language)}
	if !slices.ContainsFunc(found.List, func(p Problem) bool { return p.Message == notText }) {
		b.read()
	}
	if len(found.List) == 0 {
		t, err := b.template(from, replyTo)
		if err != nil || len(found.List) == 0 {
			return t, err
		}
	}
	slices.SortStableFunc(found.List, func(a, b Problem) int {
		if a.Field != b.Field {
			return fieldRank(a.Field) - fieldRank(b.Field)
		}
		return a.Line - b.Line
	})
	return nil, &found
}

func fieldRank(field string) int {
	return slices.Index([]string{"from", "reply_to", "subject", "preheader", "utm", "html", "text"}, field)
}

// build is the work of compiling one campaign.
type build struct {
	spec   *Spec
	report func(Problem)
	consts *env
	blocks *blocks
	fields map[string]bool

	htmlEngine, textEngine *engine
	subject, html, text    []op
	wholeSubject           bool
	wholeHTML, wholeText   bool
	reduced                bool // the text is made from the HTML
	links                  []webLink
}

// constants are what a template may use that is the same for every recipient.
func (b *build) constants(now time.Time) map[string]any {
	c := b.spec.Company
	return map[string]any{
		"sender": map[string]any{
			"name": c.Name, "postal_address": c.PostalAddress, "privacy_url": c.PrivacyURL,
			"privacy_email": c.PrivacyEmail, "complaint_url": c.ComplaintURL, "domain": c.Domain,
		},
		"campaign": map[string]any{
			"type": b.spec.TypeName, "date": now, "year": now.Year(),
		},
	}
}

// read turns the sources into ops.
func (b *build) read() {
	spec, track := b.spec, b.spec.Tracking != TrackOff
	b.htmlEngine, b.textEngine = newEngine(true, spec.Now), newEngine(false, spec.Now)
	inHTMLPart := &compiler{engine: b.htmlEngine, consts: b.consts, blocks: b.blocks, report: b.report}
	inTextPart := &compiler{engine: b.textEngine, consts: b.consts, blocks: b.blocks, report: b.report}

	subject := b.line("subject", spec.Subject, b.textEngine)
	preheader := b.line("preheader", spec.Preheader, b.htmlEngine)
	src := scanLiquid("html", spec.HTML, b.htmlEngine, b.report)
	written := scanLiquid("text", spec.Text, b.textEngine, b.report)
	if src.broken || subject.broken || preheader.broken || written.broken {
		return
	}
	for _, s := range []*source{subject, preheader, src, written} {
		b.note(s)
	}
	b.subject = inTextPart.assemble(subject, false, nil, func(int) place { return inHeader })
	b.wholeSubject = subject.whole()
	pre := inHTMLPart.assemble(preheader, true, nil, func(int) place { return inHTML })
	for i := range pre {
		if pre[i].kind == opText {
			pre[i].s = html.EscapeString(html.UnescapeString(pre[i].s))
		}
	}
	doc := readHTML(src, track, spec.UTM, b.consts, b.htmlEngine, b.report)
	b.links = doc.links
	if doc.broken {
		return
	}
	b.html = inHTMLPart.htmlOps(doc, pre, spec.Honeypot != "")
	b.wholeHTML = src.whole() || preheader.whole()

	if strings.TrimSpace(spec.Text) == "" {
		b.text, b.reduced = inTextPart.reduce(doc, track), true
		b.wholeText = src.whole()
		return
	}
	b.text, b.links = inTextPart.textOps(written, b.links, track, spec.UTM)
	b.wholeText = written.whole()
}

// line reads a template of one line, in which Beckon's blocks have no place.
func (b *build) line(field, text string, e *engine) *source {
	s := scanLiquid(field, text, e, b.report)
	for i := range s.masks {
		if name := s.masks[i].blockName(); name != "" {
			b.report(s.problem(s.masks[i].start, "{{ %s }} has no place here", name))
		}
		s.checkAddress(i, 0, len(s.text), b.report)
	}
	return s
}

// note collects the variables that a source reads.
func (b *build) note(s *source) {
	own := map[string]bool{"forloop": true, "tablerowloop": true, "empty": true, "blank": true, "reversed": true}
	for _, m := range s.masks {
		switch m.name {
		case "assign", "capture", "for", "tablerow":
			if m.args != "" && isNameStart(m.args[0]) {
				own[m.args[:nameLen(m.args)]] = true
			}
		}
	}
	for _, m := range s.masks {
		for _, name := range readExpr(m.args).roots {
			if !own[name] && !slices.Contains(reserved, name) {
				b.fields[name] = true
			}
		}
	}
}

// template puts everything together.
func (b *build) template(from, replyTo *mail.Address) (*Template, error) {
	spec := b.spec
	t := &Template{
		keys: spec.Keys, base: spec.BaseURL, campaign: spec.Campaign, tracking: spec.Tracking, test: spec.Test,
		domain: strings.ToLower(spec.Company.Domain), blocks: *b.blocks, consts: b.consts.consts,
	}
	for name := range b.fields {
		t.fields = append(t.fields, name)
	}
	slices.Sort(t.fields)
	for _, l := range b.links {
		if l.position == 0 {
			continue
		}
		t.links = append(t.links, Link{Position: l.position, Label: l.label, URL: l.target})
		url, err := t.appendAddress(nil, token.Token{Kind: token.Click, Link: l.position}, l.target)
		if err != nil {
			return nil, err
		}
		t.shared = append(t.shared, string(url))
	}
	beacon, err := t.appendAddress(nil, token.Token{Kind: token.Beacon}, "")
	if err != nil {
		return nil, err
	}
	t.beacon = string(beacon)
	if spec.Honeypot != "" {
		url, err := t.appendAddress(nil, token.Token{Kind: token.Click}, spec.Honeypot)
		if err != nil {
			return nil, err
		}
		t.honeypot, t.sharedPot = spec.Honeypot, string(url)
	}
	if err := t.finish(spec, from, replyTo); err != nil {
		return nil, err
	}
	for _, p := range []struct {
		field string
		into  **part
		html  bool
		tidy  bool
		whole bool
		ops   []op
		e     *engine
	}{
		{"subject", &t.subject, false, false, b.wholeSubject, b.subject, b.textEngine},
		{"html", &t.html, true, false, b.wholeHTML, b.html, b.htmlEngine},
		{"text", &t.text, false, b.reduced, b.wholeText, b.text, b.textEngine},
	} {
		if *p.into, err = newPart(p.html, p.tidy, p.whole, p.ops, p.e, t.static); err != nil {
			b.report(Problem{Field: p.field, Message: "the Liquid cannot be read"})
			return nil, nil
		}
	}
	return t, b.try(t)
}

// static is what is known of an op before there is a recipient.
func (t *Template) static(o op, mode linkMode) (string, bool) {
	switch o.kind {
	case opText:
		return o.s, true
	case opLink:
		switch mode {
		case linksShared:
			return t.shared[o.n-1], true
		case linksPlain:
			return o.s, true
		}
	case opBeacon:
		switch mode {
		case linksShared:
			return beaconHTML(t.beacon), true
		case linksPlain:
			return "", true
		}
	case opHoneypot:
		switch mode {
		case linksShared:
			return honeypotHTML(t.sharedPot), true
		case linksPlain:
			return "", true
		}
	}
	return "", false
}

// try fills every part once without values, to refuse a template that explodes or goes round for ever
// before it meets the first recipient. That it needs values is no problem of the template.
func (b *build) try(t *Template) error {
	f, err := t.filling(&Recipient{Email: "reader@example.com", Message: 1, Mode: Anonymous, Date: b.spec.Now()})
	if err != nil {
		return err
	}
	defer f.release()
	for _, p := range []struct {
		field string
		part  *part
	}{{"subject", t.subject}, {"html", t.html}, {"text", t.text}} {
		if _, err := f.part(nil, p.part, false); errors.Is(err, errTooMuch) {
			b.report(Problem{Field: p.field, Message: errTooMuch.Error() + ": loops must be short"})
		}
	}
	return nil
}
