package consent

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"beckon/schema"
)

// subjectMatter is what a record is about.
type subjectMatter struct {
	company string
	channel Channel
	kind    matter
	slug    string
}

type matter int

const (
	aType matter = iota
	anItem
	aTopic // of a special category
	toTrack
)

func (m matter) String() string {
	return [...]string{"communication", "one-off", "special-topic", "tracking"}[m]
}

type receiptWriter struct {
	who       string
	words     *words
	parties   map[string]party
	languages map[string]string // of notices
	records   map[subjectMatter]*ConsentRecord
}

// mattersOf returns what a row names.
func (w *receiptWriter) mattersOf(r *row) []subjectMatter {
	var ms []subjectMatter
	for _, t := range split(r.Types) {
		ms = append(ms, subjectMatter{r.Company, r.Channel, aType, t})
	}
	if r.Item != "" {
		ms = append(ms, subjectMatter{r.Company, r.Channel, anItem, r.Item})
	}
	for _, t := range split(r.Topics) {
		if e, ok := w.words.catalogue.entry(KindTopic, t); ok && e.Special {
			ms = append(ms, subjectMatter{r.Company, r.Channel, aTopic, t})
		}
	}
	if r.Tracking != "" {
		ms = append(ms, subjectMatter{r.Company, Email, toTrack, ""})
	}
	return ms
}

// collect makes the records that a row gives rise to.
func (w *receiptWriter) collect(r *row) {
	if r.Action != Grant && r.Action != Request {
		return
	}
	for _, m := range w.mattersOf(r) {
		if w.records[m] == nil && (m.kind != toTrack || r.Tracking == "yes") {
			w.records[m] = &ConsentRecord{Schema: ReceiptSchema, Principal: w.who, Processing: PIIProcessing{Purposes: []PIIPurpose{w.purpose(m)}}}
		}
	}
}

func (w *receiptWriter) purpose(m subjectMatter) PIIPurpose {
	p := PIIPurpose{Type: m.kind.String(), Basis: "consent", Controllers: []string{m.company}, Collection: []string{}, Company: m.company, Channel: m.channel, Slug: m.slug,
		Purpose: m.slug, Information: []PIIInformation{{Type: string(m.channel)}}}
	switch m.kind {
	case aType:
		p.Purpose = w.words.catalogue.Name(KindType, m.slug)
	case aTopic:
		p.Purpose, p.Information = w.words.catalogue.Name(KindTopic, m.slug), []PIIInformation{{m.slug, true}}
	case toTrack:
		p.Purpose, p.Information = "Tie opens and clicks of mails to the person", []PIIInformation{{Type: "opens and clicks"}}
	}
	return p
}

// tell goes through the ledger and adds to each record the rows that concern it, with what became of
// it by each.
func (w *receiptWriter) tell(rows []row) error {
	given := map[subjectMatter]bool{}
	next := 0
	_, err := follow(rows, w.words, func(r *row, _ *act, m *model) {
		for ; rows[next].Seq < r.Seq; next++ { // not applied: it changed nothing
			w.add(&rows[next], given, given)
		}
		now := map[subjectMatter]bool{}
		for k := range w.records {
			now[k] = w.stands(m, k)
		}
		w.add(r, given, now)
		given, next = now, next+1
	})
	if err != nil {
		return err
	}
	for ; next < len(rows); next++ {
		w.add(&rows[next], given, given)
	}
	return nil
}

// stands reports whether a consent is given in the model, blocked or not.
func (w *receiptWriter) stands(m *model, k subjectMatter) bool {
	p := place{w.words.companies[k.company], k.channel}
	switch s := m.state[p]; k.kind {
	case aType:
		return s != nil && s.granted&w.words.mask(KindType, k.slug) != 0
	case aTopic:
		return s != nil && s.explicit&w.words.mask(KindTopic, k.slug) != 0
	case anItem:
		o := m.items[wanted{p, k.slug}]
		return o != nil && o.open
	}
	t := m.tracks[p.company]
	return t != nil && t.consents()
}

// add tells the records what a row did to them: what was given before it, and what after.
func (w *receiptWriter) add(r *row, given, now map[subjectMatter]bool) {
	named := w.mattersOf(r)
	for k, rec := range w.records {
		was, is := given[k], now[k]
		yes := slices.Contains(named, k) && (k.kind != toTrack || r.Tracking == "yes")
		switch {
		case r.Action == Request && yes:
			w.event(rec, k, r, EventRequested)
		case r.Action == Grant && yes && is && r.applied():
			w.event(rec, k, r, EventGiven)
		case r.Action == Grant && yes:
			w.event(rec, k, r, EventInvalidated)
		case was && !is && r.How.lapse():
			w.event(rec, k, r, EventEnded)
		case was && !is:
			w.event(rec, k, r, EventWithdrawn)
		case !was && w.refuses(r, k):
			w.event(rec, k, r, EventRefused)
		}
	}
}

// refuses reports whether a row says no to something, whatever comes of it.
func (w *receiptWriter) refuses(r *row, k subjectMatter) bool {
	switch {
	case r.How.lapse(), r.Company != "" && r.Company != k.company, r.Channel != "" && r.Channel != k.channel:
		return false
	case r.Action == Grant:
		return k.kind == toTrack && r.Tracking == "no"
	case r.Action != Withdraw && r.Action != Object:
		return false
	}
	return r.Types+r.Topics+r.Item == "" || slices.Contains(w.mattersOf(r), subjectMatter{r.Company, r.Channel, k.kind, k.slug})
}

func (w *receiptWriter) event(rec *ConsentRecord, k subjectMatter, r *row, state string) {
	e := ConsentEvent{Time: r.Captured, Type: "expressed", State: state, Validity: "none", Entity: k.company, Seq: r.Seq, Action: r.Action, How: r.How,
		Outcome: strings.TrimSuffix(r.Outcome, "-own"), Requested: r.Requested, Confirmed: r.Confirmed, Recorded: r.Recorded}
	no := state == EventWithdrawn || state == EventRefused
	if r.Outcome == appliedOwn || no && slices.Contains([]How{ByForm, ByPage, ByPhone, ByEmail, ByPost}, r.How) {
		e.Entity = w.who
	}
	if k.kind == aTopic {
		e.Type = "explicit"
	}
	if r.Notice != "" {
		e.Notice = &PrivacyNotice{r.Notice, w.languages[r.Notice], r.NoticeHash, w.parties[k.company].noticeURL(r.Notice)}
	}
	if state == EventGiven {
		e.Validity = "until-withdrawn"
		if k.kind == anItem {
			e.Validity = "until-served"
		}
		p := &rec.Processing.Purposes[0]
		if !slices.Contains(p.Collection, string(r.How)) {
			p.Collection = append(p.Collection, string(r.How))
		}
	}
	given := func(o ConsentEvent) bool { return o.State == EventGiven }
	if e.Notice != nil && (state == EventGiven || !no && !slices.ContainsFunc(rec.Events, given)) {
		rec.Processing.Notice, rec.Processing.Language = e.Notice, e.Notice.Language
	}
	rec.Events = append(rec.Events, e)
	// What is only asked for, or does not count, leaves things as they are.
	if idle := []string{"", EventRequested, EventInvalidated}; !slices.Contains(idle, state) || slices.Contains(idle, rec.State) {
		rec.State = state
	}
}

type party struct {
	Party
	public string
}

func (p party) noticeURL(version string) string {
	if p.public == "" {
		return ""
	}
	return strings.TrimSuffix(p.public, "/") + "/notice/" + url.PathEscape(version)
}

func parties(ctx context.Context, q schema.Querier) (map[string]party, error) {
	var rows []struct {
		Slug      string `db:"slug"`
		Name      string `db:"name"`
		Email     string `db:"privacy_email"`
		Phone     string `db:"phone"`
		Address   string `db:"postal_address"`
		Privacy   string `db:"privacy_url"`
		Complaint string `db:"complaint_url"`
		Public    string `db:"public_url"`
	}
	if err := q.Select(ctx, &rows, `SELECT slug, name, privacy_email, phone, postal_address, privacy_url, complaint_url, public_url FROM companies`); err != nil {
		return nil, fmt.Errorf("read companies: %w", err)
	}
	all := map[string]party{}
	for _, r := range rows {
		p := Party{ID: r.Slug, Name: r.Name, Role: "PII controller", Address: r.Address, Email: r.Email, Phone: r.Phone, URL: r.Privacy, Contact: []PartyContact{}}
		if r.Complaint != "" {
			p.Contact = append(p.Contact, PartyContact{"complaint", r.Complaint})
		}
		all[r.Slug] = party{p, r.Public}
	}
	return all, nil
}

func languages(ctx context.Context, q schema.Querier) (map[string]string, error) {
	var rows []Notice
	if err := q.Select(ctx, &rows, `SELECT version, language FROM notices`); err != nil {
		return nil, fmt.Errorf("read notices: %w", err)
	}
	all := map[string]string{}
	for _, n := range rows {
		all[n.Version] = n.Language
	}
	return all, nil
}
