package main

import (
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"beckon/schema"
	"beckon/segments"
	"beckon/segments/consent"
)

var addresses = []string{"ada@works.example", "ben@works.example", "cleo@works.example", "dan@works.example", "eve@works.example", "finn@works.example",
	"gwen@works.example", "hugo@works.example", "iris@works.example", "jack@works.example", "kim@works.example", "lou@works.example"}

// silent are addresses that only sources bring, and never with a consent.
var silent = []string{"mia@works.example", "ned@works.example", "olga@works.example", "pete@works.example", "quin@works.example"}

// populate makes what no action makes: companies, notice, sources and segments, and imports a few people.
func (w *world) populate() {
	w.truth = &model{people: map[string]*subject{}, note: w.Logf, sources: map[string]*provider{
		"broker": {slug: "broker", name: "Broker & Sons", policy: "https://broker.example/privacy?a=1&b=2", uses: []string{"email"}},
		"fair":   {slug: "fair", name: "Fairlist", policy: "https://fair.example/policy", uses: []string{"email", "post"}, until: w.now().AddDate(0, 0, 12)},
		"mute":   {slug: "mute", name: "Postal Only", policy: "https://mute.example/", uses: []string{"post"}},
	}}
	for i, s := range slices.Sorted(maps.Keys(w.truth.sources)) {
		w.truth.sources[s].bit = elsewhere << (1 + i)
	}
	for _, a := range slices.Concat(addresses, silent) {
		w.truth.people[a] = newSubject(a)
	}
	for _, c := range houses {
		w.must("POST", "/companies", jsonObject{"slug": c, "name": strings.ToUpper(c), "from_domain": c + ".example", "privacy_email": "privacy@" + c + ".example",
			"postal_address": "1 High St", "privacy_url": "https://" + c + ".example/privacy"}, nil)
		got, err := w.app.companies.BySlug(w.ctx, c)
		w.ok(err)
		w.companies[c] = got.ID
	}
	w.must("POST", "/notices", jsonObject{"version": "v1", "language": "en", "text": "We may write to you."}, nil)
	for _, s := range w.truth.sources {
		in := jsonObject{"slug": s.slug, "name": s.name, "privacy_url": s.policy, "lawful_basis": "legitimate-interests", "permitted_uses": s.uses}
		if !s.until.IsZero() {
			in["licensed_until"] = s.until.Format(time.RFC3339)
		}
		w.must("POST", "/sources", in, nil)
		got, err := w.app.sources.BySlug(w.ctx, s.slug)
		w.ok(err)
		w.sources[s.slug] = got.ID
	}
	for _, c := range houses {
		w.segment(segment{company: c, channel: "email", whole: true}, `{"combinator":"and","rules":[]}`)
	}
	w.segment(segment{company: "acme", channel: "phone", whole: true}, `{"combinator":"and","rules":[]}`)
	own := &upload{}
	for i, a := range addresses[:9] {
		own.rows = append(own.rows, row{email: a, country: "GB", consents: &consents{company: "acme", channel: "email", kinds: kinds[:1+i%3], tracking: pick(w, "tracking", "no", "yes"), at: w.now()}})
	}
	listed := &upload{source: "broker"}
	for _, a := range slices.Concat(addresses[6:], silent[:3]) {
		listed.rows = append(listed.rows, row{email: a, kind: "corporate", country: "GB"})
	}
	w.take(own)
	w.pass(time.Minute)
	w.take(listed)
}

// upload is what is imported; row is one line of it.
type upload struct {
	source, as string
	rows       []row
}

type row struct {
	email, kind, country string
	consents             *consents
}

func (w *world) csv(f *upload) string {
	var b strings.Builder
	b.WriteString("email,subscriber_kind,country,consent_company,consent_channel,consent_types,consent_tracking,consent_notice,consent_how,consent_at\n")
	for _, r := range f.rows {
		fmt.Fprintf(&b, "%s,%s,%s", r.email, r.kind, r.country)
		if c := r.consents; c != nil {
			fmt.Fprintf(&b, ",%s,%s,%s,%s,v1,form,%s\n", c.company, c.channel, strings.Join(c.kinds, "|"), c.tracking, c.at.Format(time.RFC3339Nano))
		} else {
			b.WriteString(",,,,,,,\n")
		}
	}
	return b.String()
}

// take imports a file, as the import worker does.
func (w *world) take(f *upload) {
	source := w.truth.sources[f.source]
	made, err := w.app.imports.Create(w.ctx, segments.NewImport{Source: w.sources[f.source], As: f.as})
	if source != nil && source.recalled {
		if err == nil {
			w.Fatalf("an import from %s is taken, which was recalled", f.source)
		}
		w.did("import refused: recalled")
		return
	}
	w.ok(err)
	a := w.app
	importer := &segments.Importer{DB: a.db, Ledger: a.ledger, Gate: a.gate, Catalogue: a.catalogue, Now: a.now}
	done, err := importer.Run(w.ctx, made.ID, strings.NewReader(w.csv(f)), segments.Options{})
	w.ok(err)
	if done.Rejected > 0 {
		w.Fatalf("%d rows of %q rejected", done.Rejected, w.csv(f))
	}
	for _, r := range f.rows {
		w.taken(f, r)
	}
}

// taken is what a row of an import means.
func (w *world) taken(f *upload, r row) {
	now, source := w.now(), w.truth.sources[f.source]
	p := w.truth.people[r.email]
	switch f.as {
	case "bounced":
		w.truth.refuse(func(m *model) { m.bounce(r.email, now) })
		return
	case "withdrawn", "objected":
		if _, is := p.shut[f.as]; !is { // said already: nothing new
			w.truth.refuse(func(m *model) { m.no(r.email, refusal{at: now, why: f.as}) })
		}
		return
	}
	_, limited := p.shut[restricted]
	if out := p.isOut(); out {
		w.did("import over a no")
	} else if !p.held || !limited {
		p.held = true
		if source == nil && p.gave.IsZero() {
			p.gave = now
		}
		p.fill(r.kind, r.country)
		if source != nil {
			p.from(source, now)
		}
	}
	if p.held && r.consents != nil {
		if p.stands(*r.consents) {
			w.did("imported yes over a no")
		}
		c := *r.consents
		if c.by = elsewhere; source != nil {
			c.by = source.bit
		}
		w.agree(r.email, c)
	}
}

// agree takes in a yes, and keeps the no to being followed that may come with it.
func (w *world) agree(email string, c consents) bool {
	if c.tracking != "no" {
		return w.truth.yes(email, c)
	}
	heard := w.truth.yes(email, c)
	w.truth.noes = append(w.truth.noes, func(m *model) { m.people[email].untrack(c.company, c.at, false) })
	return heard
}

func (p *subject) fill(kind, country string) {
	if p.kind == "" {
		p.kind = kind
	}
	if p.country == "" {
		p.country = country
	}
	p.settle()
}

func (p *subject) from(s *provider, now time.Time) {
	if _, has := p.origins[s.slug]; !has {
		p.origins[s.slug] = provenance{acquired: now, end: s.until}
	}
}

// doImport brings in a new file: a list of our own or of a source, with and without consents.
func (w *world) doImport() {
	f := &upload{source: pick(w, "source", "", "", "broker", "fair", "mute")}
	if f.source != "" {
		for _, a := range some(w, "silent rows", 0, 2, silent...) {
			f.rows = append(f.rows, row{email: a, kind: pick(w, "kind", "corporate", "corporate", "individual", ""), country: pick(w, "country", "GB", "GB", "DE", "")})
		}
	}
	for _, a := range some(w, "rows", 1, 6, addresses...) {
		r := row{email: a, kind: pick(w, "kind", "corporate", "corporate", "individual", ""), country: pick(w, "country", "GB", "GB", "DE", "")}
		if w.n("with consent", 3) > 0 {
			c := w.someConsents()
			c.tracking = pick(w, "tracking", "no", "yes")
			c.at = w.now().Add(-pick(w, "age", 0, 0, time.Hour, 48*time.Hour))
			r.consents = &c
		}
		f.rows = append(f.rows, r)
	}
	w.files = append(w.files, f)
	w.take(f)
	w.did("import")
}

// doImportAgain brings in a file that was imported before, as it was.
func (w *world) doImportAgain() {
	if len(w.files) == 0 {
		return
	}
	w.take(w.files[w.n("file", len(w.files))])
	w.did("import again")
}

func (w *world) doImportNoes() {
	f := &upload{as: pick(w, "as", "withdrawn", "objected", "bounced")}
	for _, a := range some(w, "rows", 1, 2, addresses...) {
		f.rows = append(f.rows, row{email: a})
	}
	w.take(f)
	w.did("import as " + f.as)
}

func (w *world) someConsents() consents {
	return consents{company: pick(w, "company", houses...), channel: pick(w, "channel", "email", "email", "email", "phone"),
		kinds: some(w, "types", 1, 3, kinds...)}
}

func (w *world) contact(p *subject) string { return "/contacts/" + w.ids[p.email].String() }

// doCreate makes a contact through the API.
func (w *world) doCreate() {
	p, source := w.anybody(), w.truth.sources[pick(w, "source", "", "", "broker", "fair")]
	in := jsonObject{"email": p.email, "subscriber_kind": pick(w, "kind", "", "corporate"), "country": pick(w, "country", "GB", "DE")}
	if source != nil {
		in["source"] = source.slug
	}
	status := w.call("POST", "/contacts", in, nil)
	if source != nil && source.recalled {
		if status < 300 {
			w.Fatalf("a contact from %s is taken, which was recalled", source.slug)
		}
		return
	}
	if status >= 300 {
		w.Fatalf("POST /contacts: %d", status)
	}
	p.held = true
	if source != nil {
		p.from(source, w.now())
	} else if p.gave.IsZero() {
		p.gave = w.now()
	}
	p.fill(in["subscriber_kind"].(string), in["country"].(string))
	w.did("contact created")
}

// doGrant records a consent that the caller of the API vouches for.
func (w *world) doGrant() {
	p := w.anybody()
	if !p.held {
		return
	}
	c := w.someConsents()
	c.tracking, c.at, c.by = pick(w, "tracking", "", "yes", "yes", "no"), w.now(), elsewhere
	in := jsonObject{"action": "grant", "company": c.company, "channel": c.channel, "types": c.kinds, "notice": "v1", "how": "phone"}
	if c.tracking != "" {
		in["tracking"] = c.tracking == "yes"
	}
	status, stands := w.call("POST", w.contact(p)+"/consent", in, nil), p.stands(c)
	switch {
	case stands && status == http.StatusConflict:
		w.did("grant refused: a no stands")
	case !stands && status == http.StatusCreated:
		w.agree(p.email, c)
		w.did("grant")
	default:
		w.Fatalf("a grant to %s answers %d; a no stands against it: %v", p.email, status, stands)
	}
}

// wish is a yes that waits for its confirmation.
type wish struct {
	email, link string
	life        int
	asked       time.Time
	consents    []consents
	used, lost  bool
}

// confirmable keeps the link of a confirmation mail, if there was one.
func (w *world) confirmable(email string, all ...consents) {
	select {
	case l := <-w.app.running.courier.letters:
		m, err := readArrival(l.message)
		w.ok(err)
		path := confirmPath.FindString(m.text)
		if l.to != email || path == "" || len(m.hits) > 0 || strings.Contains(m.html, "<img") {
			w.Fatalf("a confirmation mail for %s went to %s: %s", email, l.to, m.html)
		}
		w.wishes = append(w.wishes, &wish{email: email, link: path, life: w.truth.people[email].life, asked: w.now(), consents: all})
		w.did("asked for a yes")
	default:
	}
}

var confirmPath = regexp.MustCompile(`/confirm/[A-Za-z0-9_.-]+`)

// doSubscribe fills in the form, for an address that we may or may not hold.
func (w *world) doSubscribe() {
	p, c := w.anybody(), w.someConsents()
	in := url.Values{"email": {p.email}, "notice": {"v1"}, "type": c.kinds, "channel": {c.channel}}
	if c.channel == "phone" {
		in.Set("phone", "+44 113 496 0000")
	}
	if w.n("tracking", 2) > 0 {
		in.Set("tracking", "yes")
		if c.channel == "email" {
			c.tracking = "yes"
		}
	}
	before := len(w.wishes)
	if rec := w.form("/subscribe?company="+c.company, in); rec.Code != http.StatusOK {
		w.Fatalf("the form answers %d", rec.Code)
	}
	if w.confirmable(p.email, c); len(w.wishes) > before {
		p.held = true
		p.settle()
		w.did("subscribe")
	}
}

// doRequest lets the API start a double opt-in.
func (w *world) doRequest() {
	p, c := w.anybody(), w.someConsents()
	if !p.held {
		return
	}
	in := jsonObject{"action": "request", "company": c.company, "channel": c.channel, "types": c.kinds, "notice": "v1"}
	if c.tracking = pick(w, "tracking", "", "yes", "yes"); c.tracking != "" {
		in["tracking"] = true
	}
	w.must("POST", w.contact(p)+"/consent", in, nil)
	w.confirmable(p.email, c)
}

// doConfirm presses the button behind the link of a confirmation mail, a new one or an old one.
func (w *world) doConfirm() {
	if len(w.wishes) == 0 {
		return
	}
	v := w.wishes[len(w.wishes)-1-w.n("wish", min(len(w.wishes), 6))]
	if w.ask(http.MethodGet, v.link, "", ""); w.n("scanner", 4) == 0 {
		return // a GET says nothing
	}
	rec := w.form(v.link, url.Values{"do": {"confirm"}})
	p := w.truth.people[v.email]
	good := !v.used && !v.lost && p.life == v.life && p.held && w.now().Before(v.asked.Add(24*time.Hour))
	for _, c := range v.consents {
		good = good && (len(c.kinds) > 0 || !p.isOut())
	}
	if good != (rec.Code == http.StatusOK) {
		w.Fatalf("a confirmation of %s answers %d; the link is good: %v", v.email, rec.Code, good)
	}
	if !good {
		w.did("confirmation refused")
		return
	}
	v.used = true
	if p.isOut() {
		w.did("a no lifted by its person")
	}
	for _, c := range v.consents {
		c.at, c.own, c.by = w.now(), true, elsewhere
		w.agree(v.email, c)
	}
	if p.gave.IsZero() {
		p.gave = w.now()
	}
	w.did("confirm")
}

// doRefuse records a no that reached the staff, now or some time ago.
func (w *world) doRefuse() {
	p := w.anybody()
	if !p.held {
		return
	}
	r := refusal{at: w.now(), why: "withdrawn"}
	in := jsonObject{"action": pick(w, "action", "withdraw", "withdraw", "object"), "how": pick(w, "how", "phone", "email", "post")}
	if in["action"] == "object" {
		r.why = "objected"
	}
	narrow := w.n("everything", 8) > 0
	if narrow && w.n("company", 3) > 0 {
		r.company = pick(w, "company", houses...)
		in["company"] = r.company
	}
	if narrow && w.n("channel", 3) > 0 {
		r.channel = pick(w, "channel", "email", "email", "phone")
		in["channel"] = r.channel
	}
	if narrow && w.n("types", 3) > 0 {
		r.kinds = some(w, "types", 1, 2, kinds...)
		in["types"] = r.kinds
	}
	if ago := pick(w, "ago", 0, 0, 0, 30*time.Minute, 5*time.Hour, 60*time.Hour); ago > 0 {
		r.at = w.now().Add(-ago)
		in["captured_at"] = r.at.Format(time.RFC3339Nano)
		w.did("a late no")
	}
	w.must("POST", w.contact(p)+"/consent", in, nil)
	w.truth.refuse(func(m *model) { m.no(p.email, r) })
	w.did(in["action"].(string))
	if r.company == "" && r.channel == "" && r.kinds == nil {
		w.did(in["action"].(string) + " everything")
	}
}

// doTracking turns being followed on or off through the API, and nothing else.
func (w *world) doTracking() {
	p := w.anybody()
	if !p.held {
		return
	}
	c := consents{company: pick(w, "company", houses...), channel: "email", tracking: pick(w, "tracking", "yes", "no", "no"), at: w.now(), by: elsewhere}
	in := jsonObject{"action": "grant", "company": c.company, "channel": "email", "tracking": c.tracking == "yes", "notice": "v1"}
	status, stands := w.call("POST", w.contact(p)+"/consent", in, nil), p.stands(c)
	if want := map[bool]int{true: http.StatusConflict, false: http.StatusCreated}[stands]; status != want {
		w.Fatalf("tracking %s of %s answers %d, want %d", c.tracking, p.email, status, want)
	}
	if !stands {
		w.agree(p.email, c)
		w.did("tracking " + c.tracking)
	}
}

func (w *world) doRestrict() {
	p := w.anybody()
	if !p.held {
		return
	}
	now := w.now()
	w.must("POST", w.contact(p)+"/consent", jsonObject{"action": "restrict"}, nil)
	w.truth.refuse(func(m *model) { m.restrict(p.email, now) })
	w.did("restrict")
}

// doLift ends the restriction of somebody, if there is one.
func (w *world) doLift() {
	for _, a := range slices.Concat(silent, addresses) {
		p := w.truth.people[a]
		if _, is := p.shut[restricted]; is && p.held {
			w.must("POST", w.contact(p)+"/consent", jsonObject{"action": "lift"}, nil)
			w.truth.lift(a)
			w.did("lift")
			return
		}
	}
}

// doComplain is a complaint that the mailbox provider passes on.
func (w *world) doComplain() {
	p, now := w.anybody(), w.now()
	w.ok(w.app.db.Tx(w.ctx, func(tx *schema.Tx) error {
		return w.app.ledger.Suppress(w.ctx, tx, p.email, consent.BlockComplained)
	}))
	if _, is := p.shut["complained"]; !is {
		w.truth.refuse(func(m *model) { m.no(p.email, refusal{at: now, why: "complained"}) })
	}
	w.did("complain")
}

// doErase erases somebody: at their request, or because they turn out to be a child.
func (w *world) doErase() {
	p, now := w.anybody(), w.now()
	if !p.held {
		return
	}
	w.replay() // what was said before has long been heard by every node
	reason := pick(w, "reason", "request", "request", "under-13")
	w.must("POST", w.contact(p)+"/erase", jsonObject{"reason": reason}, nil)
	w.truth.refuse(func(m *model) {
		if m.erase(p.email, now); reason == "under-13" {
			m.forget(p.email)
		}
	})
	w.did("erased: " + reason)
}

func (w *world) doRecall() {
	s := w.truth.sources[pick(w, "source", "fair", "mute", "broker")]
	if s.recalled || w.n("sure", 3) > 0 {
		return
	}
	w.must("POST", "/sources/"+s.slug+"/recall", nil, nil)
	w.truth.recall(s.slug, w.now())
	w.did("recall")
}

// doChoose uses the pages behind a mail that arrived, the newest or an old one.
func (w *world) doChoose() {
	if len(w.delivered) == 0 {
		return
	}
	w.leave(w.recent())
}

// leave says no with the links of a mail. Of a person who was erased since, it says nothing.
func (w *world) leave(d *delivered) {
	p := w.truth.people[d.to]
	mine := p.held && p.life == d.life && !d.campaign.lost
	now := w.now()
	say := func(r refusal) {
		if r.at = now; mine {
			w.truth.refuse(func(m *model) { m.no(d.to, r) })
		}
	}
	company, everything := refusal{company: d.campaign.company, channel: "email"}, refusal{why: "objected"}
	this := company
	if this.kinds = []string{d.campaign.kind}; d.via != "" && !p.spoke(d.campaign.company) {
		this.kinds = nil // it was never agreed to
	}
	what := pick(w, "page", "one-click", "type", "company", "everything", "save", "save", "object", "restrict", "more")
	w.Logf("    %s by the mail of %s to %s, list %q, lost %v", what, d.campaign.id, d.to, d.via, d.lost)
	switch what {
	case "one-click":
		w.pressed(d, w.form(d.leave, url.Values{"List-Unsubscribe": {"One-Click"}}), what)
		say(this)
	case "type":
		w.pressed(d, w.form(d.leave, url.Values{"choice": {"type"}}), what)
		say(this)
	case "company":
		w.pressed(d, w.form(d.leave, url.Values{"choice": {"company"}}), what)
		say(company)
	case "everything":
		w.pressed(d, w.form(d.leave, url.Values{"choice": {"everything"}}), what)
		say(everything)
	case "object":
		w.pressed(d, w.form(d.choose, url.Values{"do": {"object"}}), what)
		say(everything)
	case "restrict":
		w.pressed(d, w.form(d.choose, url.Values{"do": {"restrict"}}), what)
		if mine {
			w.truth.refuse(func(m *model) { m.restrict(d.to, now) })
		}
	case "more":
		w.more(d, mine)
	case "save":
		w.save(d, mine)
	}
}

// pressed: the page did what was asked for. It cannot know a mail that was sent after the backup that
// was put back.
func (w *world) pressed(d *delivered, rec *httptest.ResponseRecorder, what string) {
	if want := map[bool]int{false: http.StatusOK, true: http.StatusNotFound}[d.campaign.lost]; rec.Code != want {
		w.Fatalf("%s answers %d, want %d", what, rec.Code, want)
	}
	w.did("page: " + what)
}

// spoke: the person has said something to the company's email.
func (p *subject) spoke(company string) bool {
	return slices.ContainsFunc(kinds, func(k string) bool { w := p.words[plot{company, "email", k}]; return w.yes || w.no })
}

// more asks on the preferences page for a yes.
func (w *world) more(d *delivered, mine bool) {
	c := consents{company: d.campaign.company, channel: "email", tracking: "yes"}
	in := url.Values{"do": {"more"}, "notice": {"v1"}, "tracking": {"yes"}}
	if w.n("types", 3) > 0 {
		c.kinds = some(w, "types", 1, 2, kinds...)
		in["type"], in["channel"] = c.kinds, []string{"email"}
	}
	w.form(d.choose, in)
	before := len(w.wishes)
	if w.confirmable(d.to, c); len(w.wishes) > before && !mine {
		w.Fatalf("the link of a mail to somebody erased asked %s for a yes", d.to)
	}
}

var shownBox = regexp.MustCompile(`name="shown" value="([^"]+)"`)

// save unticks some of the boxes that the preferences page shows.
func (w *world) save(d *delivered, mine bool) {
	page := w.ask(http.MethodGet, d.choose, "", "")
	in := url.Values{"do": {"save"}}
	var gone []string
	for _, m := range shownBox.FindAllStringSubmatch(page.Body.String(), -1) {
		box := html.UnescapeString(m[1])
		in.Add("shown", box)
		if w.n("untick", 2) == 0 {
			gone = append(gone, box)
		} else {
			in.Add("keep", box)
		}
	}
	w.pressed(d, w.form(d.choose, in), "save")
	if !mine && len(gone) > 0 {
		w.Fatalf("the page shows what somebody agreed to who was erased")
	}
	now := w.now()
	for _, box := range gone {
		switch parts := strings.Split(box, "/"); parts[0] {
		case "type":
			w.truth.refuse(func(m *model) { m.no(d.to, refusal{company: parts[1], channel: parts[2], kinds: parts[3:], at: now}) })
		case "tracking":
			w.truth.refuse(func(m *model) { m.people[d.to].untrack(parts[1], now, false) })
		}
		w.did("unticked " + strings.SplitN(box, "/", 2)[0])
	}
}
