package demo

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"beckon/schema"
	"beckon/schema/id"

	"golang.org/x/sync/errgroup"
)

//go:embed mails/newsletter.html
var newsletter string

//go:embed mails/introduction.html
var introduction string

// Stage is what the demo plays on: a running service with everything behind it, and the way to look
// at what the service stored.
type Stage struct {
	BaseURL string
	Token   string // of an administrator
	Catcher *Catcher
	Clock   *Clock
	DB      *schema.DB // read only
	// Ledger returns the consent ledger of a contact, oldest first.
	Ledger func(ctx context.Context, who id.Contact) ([]LedgerRow, error)
	// Verify holds the event log, the durable totals and Redis against each other.
	Verify func(ctx context.Context) error
	// From returns an address in the country, for the n-th of its people.
	From     func(country string, n int) string
	Progress func(step string, done, total int)
	Seed     uint64
	Size     Size
}

// LedgerRow is one entry of the ledger as the checks need it.
type LedgerRow struct {
	Action   string
	Company  string // slug; empty: every company
	Channel  string // empty: every channel
	Types    []string
	Tracking string // yes, no or empty
	Applied  bool
	At       time.Time
}

// Play is a demo in progress, and afterwards what the checks judge.
type Play struct {
	Stage
	cast     *Cast
	people   map[string]Someone // by address
	api      *client
	visitors *Visitors
	random   *rand.Rand
	evidence Evidence
	noes     []refusal
	result   Result

	acts           [hours][]*Caught // who acts in which hour
	scheduled      int              // how much of the caught mail has been given an hour
	planned, acted int
	late           int64 // hits of people after their no
}

// Evidence is what a play has in hand beside what is stored. A test may change it to see a check fail.
type Evidence struct {
	Mail   []*Caught  // what was caught when the curtain fell
	Export [][]string // rows of the segment's identified export, without the header
}

// refusal is a person who said no, and how much mail of which campaign they had got by then.
type refusal struct {
	email  string
	mails  int
	queued bool // in the audience of a campaign under way that had not reached them
}

// Domain is where the demo's company sends from.
const Domain = "northwind.example"

// Length is how long what the demo plays takes on its own clock: start the clock that long ago.
const Length = (hours + 1) * time.Hour

const (
	company    = "northwind"
	noticeText = "Northwind may email me about the subjects I ticked. I can withdraw at any time, in every mail. If I tick the second box, Northwind may also note which of its mails I open and which links I follow."
	noticeWhen = "2026-01"

	hours = 26 // how long the demo's recipients have to act
)

// Run plays everything and judges it. The returned play can be judged again (Checks).
func Run(ctx context.Context, stage Stage) (*Play, error) {
	p := &Play{
		Stage: stage, cast: NewCast(stage.Seed, stage.Size), people: map[string]Someone{},
		api:      &client{NewClient(), stage.BaseURL, stage.Token},
		visitors: &Visitors{Client: NewClient(), From: stage.From},
		random:   rand.New(rand.NewPCG(stage.Seed, 0xac7)),
	}
	for _, list := range [][]Someone{p.cast.First, p.cast.Second, p.cast.Form} { // the form knows best how they act
		for _, s := range list {
			p.people[s.Email] = s
		}
	}
	for _, act := range []func(context.Context) error{p.prepare, p.importAll, p.campaigns, p.report} {
		if err := act(ctx); err != nil {
			return nil, err
		}
	}
	p.evidence.Mail = p.Catcher.All()
	p.result.Checks = p.Checks(ctx)
	return p, nil
}

// Evidence returns what the checks look at beside the database.
func (p *Play) Evidence() *Evidence { return &p.evidence }

// Leavers returns the addresses of those who unsubscribed.
func (p *Play) Leavers() []string {
	var all []string
	for _, n := range p.noes {
		all = append(all, n.email)
	}
	return all
}

// Result returns the figures and checks of the run.
func (p *Play) Result() Result { return p.result }

func (p *Play) prepare(ctx context.Context) error {
	p.Progress("company, notice, sources", 0, 4)
	steps := []struct {
		path string
		body any
	}{
		{"/companies", map[string]any{"slug": company, "name": "Northwind Publishing", "from_domain": Domain, "reply_to": "letter@northwind.example",
			"privacy_email": "privacy@northwind.example", "phone": "+44 1632 960123", "postal_address": "Northwind Publishing, 4 Kiln Lane, Leeds LS1 4AB, United Kingdom",
			"privacy_url": "https://www.northwind.example/privacy", "complaint_url": "https://www.northwind.example/complaints", "language": "en"}},
		{"/notices", map[string]any{"version": noticeWhen, "language": "en", "text": noticeText}},
		{"/sources", map[string]any{"slug": "fairlist", "name": "Fairlist Business Data", "privacy_url": "https://fairlist.example/privacy", "transparency_url": "https://fairlist.example/transparency",
			"lawful_basis": "legitimate interests", "permitted_uses": []string{"email"}, "licensed_until": p.Clock.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339)}},
		{"/sources", map[string]any{"slug": "northdata", "name": "NorthData Ltd", "privacy_url": "https://northdata.example/privacy",
			"lawful_basis": "legitimate interests", "permitted_uses": []string{"email", "post"}, "licensed_until": p.Clock.Now().AddDate(1, 0, 0).UTC().Format(time.RFC3339)}},
	}
	for i, s := range steps {
		if err := p.api.call(ctx, http.MethodPost, s.path, s.body, nil); err != nil {
			return err
		}
		p.Progress("company, notice, sources", i+1, len(steps))
	}
	return nil
}

func (p *Play) importAll(ctx context.Context) error {
	second, err := p.cast.secondProvider()
	if err != nil {
		return fmt.Errorf("demo: second provider's file: %w", err)
	}
	for _, u := range []upload{p.cast.firstProvider(), second, p.cast.form(company, noticeWhen, p.Clock.Now().AddDate(0, -1, 0))} {
		if err := p.api.upload(ctx, u, func(done int) { p.Progress("import "+u.name, done, u.rows) }); err != nil {
			return err
		}
		p.Progress("import "+u.name, u.rows, u.rows)
	}
	return nil
}

// launched is a campaign on its way.
type launched struct {
	id       string
	name     string
	audience string
	check    struct {
		Send, Cited, Identified, Anonymous int
		LeftOut                            map[string]int `json:"left_out"`
		Problems                           []struct{ Field, Message string }
	}
}

func (p *Play) campaigns(ctx context.Context) error {
	if err := p.api.call(ctx, http.MethodPost, "/segments", map[string]any{"name": "Compliance readers", "company": company,
		"rule": map[string]any{"combinator": "or", "rules": []any{
			map[string]any{"field": "topics", "operator": "in", "value": []string{"compliance", "public-sector"}},
			map[string]any{"field": "country", "operator": "in", "value": []string{"GB", "IE"}},
		}}}, &p.result.Segment); err != nil {
		return err
	}
	p.result.Segment.Name = "Compliance readers"
	first, err := p.launch(ctx, "November letter", "segment Compliance readers", newsletter, "What the new procurement rules ask of you", map[string]any{"segment": p.result.Segment.ID})
	if err != nil {
		return err
	}
	if err := p.deliver(ctx, first, 0); err != nil {
		return err
	}
	p.schedule(0)
	if err := p.waves(ctx, 0, 6); err != nil {
		return err
	}
	p.Catcher.Hold(midway)
	second, err := p.launch(ctx, "Introduction to facilities teams", "the list of Fairlist Business Data", introduction, "One binder for every building you keep warm", map[string]any{"source": "fairlist"})
	if err != nil {
		return err
	}
	if err := p.leaveHalfway(ctx, second); err != nil {
		return err
	}
	if err := p.deliver(ctx, second, 0); err != nil {
		return err
	}
	p.schedule(6)
	if err := p.waves(ctx, 6, hours); err != nil {
		return err
	}
	for _, l := range []*launched{first, second} {
		p.result.Campaigns = append(p.result.Campaigns, Campaign{ID: l.id, Name: l.name, Audience: l.audience, LeftOut: l.check.LeftOut})
	}
	return nil
}

func (p *Play) launch(ctx context.Context, name, audience, html, subject string, to map[string]any) (*launched, error) {
	l := &launched{name: name, audience: audience}
	var made struct{ ID string }
	if err := p.api.call(ctx, http.MethodPost, "/campaigns", map[string]any{"name": name, "company": company, "type": "newsletter", "subject": subject,
		"from": "Northwind Letter <letter@northwind.example>", "preheader": "Two pages instead of 214.", "html": html, "audience": to, "tracking": "consented"}, &made); err != nil {
		return nil, err
	}
	l.id = made.ID
	if err := p.api.call(ctx, http.MethodGet, "/campaigns/"+l.id+"/check", nil, &l.check); err != nil {
		return nil, err
	}
	if len(l.check.Problems) > 0 {
		return nil, fmt.Errorf("demo: campaign %q cannot be launched: %v", name, l.check.Problems)
	}
	return l, p.api.call(ctx, http.MethodPost, "/campaigns/"+l.id+"/launch", nil, nil)
}

// deliver waits until the campaign is finished, or until it has sent the given number, if not zero.
func (p *Play) deliver(ctx context.Context, l *launched, until int) error {
	step := "send " + l.name
	return poll(ctx, func() (bool, error) {
		var state struct {
			Status     string
			StatusNote string `json:"status_note"`
			Messages   map[string]int
		}
		if err := p.api.call(ctx, http.MethodGet, "/campaigns/"+l.id, nil, &state); err != nil {
			return false, err
		}
		p.Progress(step, state.Messages["sent"], l.check.Send)
		if state.Status == "paused" && until == 0 {
			return false, fmt.Errorf("demo: campaign %q was paused: %s", l.name, state.StatusNote)
		}
		return state.Status == "finished" || (until > 0 && state.Messages["sent"] >= until), nil
	})
}

// midway is how many mails of the second campaign are out when people leave.
const midway = 10

// leaveHalfway pauses the campaign when some of it is out, lets some people unsubscribe through the
// mail of the first campaign, imports them once more as if they had never left, and goes on.
func (p *Play) leaveHalfway(ctx context.Context, l *launched) error {
	if err := p.deliver(ctx, l, midway); err != nil {
		return err
	}
	if err := p.api.call(ctx, http.MethodPost, "/campaigns/"+l.id+"/pause", nil, nil); err != nil {
		return err
	}
	// A hit whose person has withdrawn by the time it reaches the totals counts nothing: wait for those before.
	if err := p.settle(ctx); err != nil {
		return err
	}
	var again []Someone
	for _, m := range p.Catcher.All() {
		who := p.people[m.To]
		if who.Acts != Leaver || m.Campaign() != p.Catcher.All()[0].Campaign() {
			continue
		}
		no, err := p.refusalOf(ctx, m.To, l)
		if err != nil {
			return err
		}
		p.noes = append(p.noes, no)
		if err := p.visitors.Unsubscribe(ctx, m); err != nil {
			return err
		}
		// What was sent to them before still shows its picture, and tells nothing any more.
		before := p.visitors.Opens.Load()
		if err := p.visitors.Visit(ctx, Someone{Acts: Opener, Country: who.Country}, m, p.random); err != nil {
			return err
		}
		late := p.visitors.Opens.Load() - before
		p.visitors.Opens.Add(-late)
		p.late += late
		again = append(again, who)
	}
	re := (&Cast{Form: again}).form(company, noticeWhen, p.Clock.Now().AddDate(0, 0, -1))
	re.name = "sign-up-form-again.csv"
	if err := p.api.upload(ctx, re, func(int) {}); err != nil {
		return err
	}
	p.Catcher.Release()
	return p.api.call(ctx, http.MethodPost, "/campaigns/"+l.id+"/resume", nil, nil)
}

// settle waits until every answered hit is in the totals, and Redis agrees with them. It gives up
// after a while and leaves the verdict to the checks: a demo that waits for ever would hide a loss.
func (p *Play) settle(ctx context.Context) error {
	soon, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := poll(soon, func() (bool, error) { return p.counted(ctx) >= p.answered() && p.Verify(ctx) == nil, nil }); err != nil && ctx.Err() != nil {
		return err
	}
	return nil
}

// refusalOf says what somebody who leaves has been sent, and whether the campaign has reached them. A
// message that is on its way to the relay at that moment arrives.
func (p *Play) refusalOf(ctx context.Context, email string, l *launched) (refusal, error) {
	no := refusal{email: email}
	for _, m := range p.Catcher.All() {
		if m.To == email {
			no.mails++
		}
	}
	which, err := id.Parse[id.Campaign](l.id)
	if err != nil {
		return no, fmt.Errorf("demo: campaign %q: %w", l.name, err)
	}
	var status []string
	if err := p.DB.Select(ctx, &status, `SELECT m.status FROM messages m JOIN contacts c ON c.id = m.contact WHERE c.email = ? AND m.campaign = ?`, email, which); err != nil {
		return no, fmt.Errorf("demo: message to a leaver: %w", err)
	}
	for _, s := range status {
		no.queued = s == "queued"
		if s == "sending" {
			no.mails++
		}
	}
	return no, nil
}

// schedule gives everybody who was sent mail since the last call an hour to act in, most of them
// early and machines at once.
func (p *Play) schedule(hour int) {
	all := p.Catcher.All()
	for _, m := range all[p.scheduled:] {
		who, known := p.people[m.To]
		left := slices.ContainsFunc(p.noes, func(n refusal) bool { return n.email == m.To })
		if !known || left || who.Acts == Silent {
			continue
		}
		at := hour
		if who.Acts != Leaver && !who.Acts.machine() { // leavers look before they leave
			at += int(p.random.ExpFloat64() * 5)
		}
		if at < hours {
			p.acts[at] = append(p.acts[at], m)
			p.planned++
		}
	}
	p.scheduled = len(all)
}

// waves plays the hours from up to, but not including, to.
func (p *Play) waves(ctx context.Context, from, to int) error {
	for hour := from; hour < to; hour++ {
		if err := p.act(ctx, hour, true); err != nil {
			return err
		}
		p.Clock.Forward(10 * time.Minute)
		if err := p.act(ctx, hour, false); err != nil {
			return err
		}
		p.Clock.Forward(50 * time.Minute)
	}
	return nil
}

// act lets the machines, or the people, of an hour do their part.
func (p *Play) act(ctx context.Context, hour int, machines bool) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for _, m := range p.acts[hour] {
		who, r := p.people[m.To], rand.New(rand.NewPCG(p.Seed, uint64(m.N)))
		if who.Acts.machine() == machines {
			p.acted++
			g.Go(func() error { return p.visitors.Visit(ctx, who, m, r) })
		}
	}
	err := g.Wait()
	p.Progress("recipients open and click", p.acted, max(1, p.planned))
	return err
}

func (p *Play) report(ctx context.Context) error {
	p.Progress("figures, report and export", 0, 1)
	if err := p.settle(ctx); err != nil {
		return err
	}
	for i := range p.result.Campaigns {
		c := &p.result.Campaigns[i]
		var state struct{ Messages map[string]int }
		if err := p.api.call(ctx, http.MethodGet, "/campaigns/"+c.ID, nil, &state); err != nil {
			return err
		}
		c.Messages = state.Messages
		if err := p.api.call(ctx, http.MethodGet, "/campaigns/"+c.ID+"/stats", nil, c); err != nil {
			return err
		}
		for _, m := range p.Catcher.All() {
			if m.Campaign() == c.ID && len(cites(m)) > 0 {
				c.Cited++
			}
		}
	}
	var count struct{ Count int }
	if err := p.api.call(ctx, http.MethodGet, "/segments/"+p.result.Segment.ID+"/count", nil, &count); err != nil {
		return err
	}
	p.result.Segment.Count = count.Count
	var body []byte
	if err := p.api.call(ctx, http.MethodGet, "/segments/"+p.result.Segment.ID+"/export.csv?identified=true&ground=consent", nil, &body); err != nil {
		return err
	}
	rows, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	if err != nil || len(rows) == 0 {
		return fmt.Errorf("demo: the segment's export is not a table: %w", err)
	}
	p.evidence.Export = rows[1:]
	p.result.Segment.ExportRows = len(p.evidence.Export)
	p.Progress("figures, report and export", 1, 1)
	return p.countContacts(ctx)
}
