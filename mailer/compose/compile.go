package compose

import (
	"errors"
	"fmt"
	"html"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"beckon/tracker/token"
)

// Limits of what an author may write, in bytes.
const (
	maxSource  = 1 << 20
	maxSubject = 900
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
	return slices.Index([]string{"from", "reply_to", "subject", "preheader", "html", "text"}, field)
}

const notText = "it holds a control character, or bytes that are not UTF-8"

var (
	baseURL  = regexp.MustCompile(`^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?$`)
	hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?$`)
	slugName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
)

// checkSpec looks at everything that is not a template.
func checkSpec(spec *Spec, report func(Problem)) (from, replyTo *mail.Address) {
	fail := func(field, format string, args ...any) {
		report(Problem{Field: field, Message: fmt.Sprintf(format, args...)})
	}
	var err error
	if from, err = parseMailbox(spec.From); err != nil {
		fail("from", "%v", err)
	}
	if spec.ReplyTo != "" {
		if replyTo, err = parseMailbox(spec.ReplyTo); err != nil {
			fail("reply_to", "%v", err)
		}
	}
	if u, err := url.Parse(spec.BaseURL); err != nil || !baseURL.MatchString(spec.BaseURL) || u.Host == "" {
		fail("base_url", "the public address must be an http or https URL without a query")
	}
	switch spec.Tracking {
	case TrackConsented, TrackStrict, TrackOff:
	default:
		fail("tracking", "it must be consented, strict or off")
	}
	c := &spec.Company
	c.Name, c.PostalAddress = oneLine(c.Name), strings.TrimSpace(stripControls(c.PostalAddress))
	spec.TypeName = oneLine(spec.TypeName)
	if c.Name == "" {
		fail("company", "the company's name is needed")
	}
	if c.PostalAddress == "" {
		fail("company", "the company's postal address is needed: every mail shows it")
	}
	if !hostName.MatchString(c.Domain) {
		fail("company", "the company's mail domain is needed")
	}
	if c.Slug != "" && !slugName.MatchString(c.Slug) {
		fail("company", "the company's slug may hold a-z, 0-9 and -")
	}
	if c.PrivacyEmail != "" && (checkAddress(c.PrivacyEmail) != nil || strings.ContainsAny(c.PrivacyEmail, `"`)) {
		fail("company", "the company's privacy mail is not an email address")
	}
	for _, u := range []struct{ name, url string }{{"privacy URL", c.PrivacyURL}, {"complaint URL", c.ComplaintURL}} {
		if u.url != "" && !isPlainURL(u.url) {
			fail("company", "the company's %s is not an http or https URL", u.name)
		}
	}
	if spec.TypeName == "" || !slugName.MatchString(spec.TypeSlug) {
		fail("type", "a communication type with a name and a slug is needed")
	}
	for _, f := range []struct {
		name string
		text *string
		max  int
	}{{"subject", &spec.Subject, maxSubject}, {"preheader", &spec.Preheader, maxSubject}, {"html", &spec.HTML, maxSource}, {"text", &spec.Text, maxSource}} {
		checkText(f.name, f.text, f.max, report)
	}
	if strings.TrimSpace(spec.Subject) == "" {
		fail("subject", "a subject is needed")
	}
	if strings.TrimSpace(spec.HTML) == "" {
		fail("html", "the mail is empty")
	}
	return from, replyTo
}

// checkText brings line ends to LF and refuses what cannot be in a mail.
func checkText(field string, text *string, most int, report func(Problem)) {
	if len(*text) > most {
		report(Problem{Field: field, Message: fmt.Sprintf("it is longer than %d bytes", most)})
		*text = ""
		return
	}
	oneline := field == "subject" || field == "preheader"
	if !oneline {
		*text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(*text)
	}
	line := 1
	for i, r := range *text {
		switch {
		case r == utf8.RuneError && !utf8.ValidString((*text)[i:min(i+3, len(*text))]), r < ' ' && (oneline || r != '\n' && r != '\t' && r != '\f'), r == 0x7f:
			if oneline {
				line = 0
			}
			report(Problem{Field: field, Line: line, Message: notText})
			return
		case r == '\n':
			line++
		}
	}
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
	doc := readHTML(src, track, b.consts, b.htmlEngine, b.report)
	b.links = doc.links
	if doc.broken {
		return
	}
	b.html = inHTMLPart.htmlOps(doc, pre)
	b.wholeHTML = src.whole() || preheader.whole()

	if strings.TrimSpace(spec.Text) == "" {
		b.text, b.reduced = inTextPart.reduce(doc, track), true
		b.wholeText = src.whole()
		return
	}
	b.text, b.links = inTextPart.textOps(written, b.links, track)
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
