package mailer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"beckon/mailer/compose"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
)

// maxTest is to how many addresses one test goes.
const maxTest = 20

// Test sends the campaign's mail to the addresses, as reader would get it, with links that record
// nothing; see Preview for who a reader may be. The consent of those at the addresses is not asked:
// they are the operator's own. The error is a *Refused if the mail cannot be composed, a
// *segments.Invalid for an address that is none or a reader who may not be mailed, or says what the
// relay answered.
func (m *Mailer) Test(ctx context.Context, c id.Campaign, reader id.Contact, addresses []string) error {
	var f faults
	to := make([]string, len(addresses))
	if len(addresses) == 0 || len(addresses) > maxTest {
		f.add("to", "must be a list of 1 to %d addresses", maxTest)
	}
	for i, a := range addresses {
		var err error
		if to[i], err = consent.NormaliseEmail(a); err != nil {
			f.add(fmt.Sprintf("to[%d]", i), "is not an email address")
		}
	}
	if len(f.Fields) > 0 {
		return &f.Invalid
	}
	if len(m.o.Relays) == 0 {
		return &Refused{[]segments.FieldError{{Field: "relay", Message: "no relay is configured: start Beckon with BECKON_SMTP"}}}
	}
	l, err := m.sample(ctx, c)
	if err != nil {
		return err
	}
	r, err := l.reader(ctx, reader)
	if err != nil {
		return boundary("compose a test", err)
	}
	for _, r.Email = range to {
		msg, err := l.compose(r)
		if err != nil {
			return boundary("compose a test", err)
		}
		if err := queue.Deliver(ctx, m.o.Relays, m.o.Sender, l.from, r.Email, msg); err != nil {
			return boundary("send a test", err)
		}
	}
	return nil
}

// Preview is a mail as one reader would get it.
type Preview struct {
	Subject string `json:"subject"` // with [Test] before it
	HTML    string `json:"html"`
	Text    string `json:"text"` // lines end in LF
	Size    int    `json:"size"` // bytes of the whole message, encoded and signed
}

// Preview returns the mail as reader would get it: zero for a sample recipient, else a contact whom
// the campaign, were it sent now, would reach. The gate is asked as it is for a launch; whom it refuses,
// or who is not in the audience, is a *segments.Invalid that says why. The error is a *Refused if
// the mail cannot be composed.
func (m *Mailer) Preview(ctx context.Context, c id.Campaign, reader id.Contact) (p Preview, err error) {
	l, err := m.sample(ctx, c)
	if err != nil {
		return p, err
	}
	r, err := l.reader(ctx, reader)
	if err != nil {
		return p, boundary("preview campaign", err)
	}
	if p.Subject, err = l.template.Subject(r); err != nil {
		return p, boundary("preview campaign", err)
	}
	if p.HTML, p.Text, err = l.template.Parts(r); err != nil {
		return p, boundary("preview campaign", err)
	}
	msg, err := l.compose(r)
	p.Size = len(msg)
	return p, boundary("preview campaign", err)
}

func (l *letters) compose(r compose.Recipient) ([]byte, error) {
	msg, err := l.template.Fill(nil, r)
	if err == nil && l.sign != nil {
		msg, err = l.sign(msg)
	}
	return msg, err
}

// sample prepares the mail as a test.
func (m *Mailer) sample(ctx context.Context, c id.Campaign) (*letters, error) {
	r, err := read(ctx, m.o.DB, c)
	if err != nil {
		return nil, err
	}
	company, err := m.o.Companies.ByID(ctx, r.CompanyID)
	if err != nil {
		return nil, boundary("read company", err)
	}
	r.Subject = "[Test] " + r.Subject
	l := &letters{m: m, row: r, company: company}
	var problems *compose.Problems
	switch err := l.prepare(true); {
	case errors.As(err, &problems):
		return nil, &Refused{told(problems)}
	case err != nil:
		return nil, boundary("compose a test", err)
	}
	return l, nil
}

// reader is for whom a test is composed.
func (l *letters) reader(ctx context.Context, who id.Contact) (compose.Recipient, error) {
	if who == 0 {
		return l.example(ctx), nil
	}
	var r compose.Recipient
	err := l.m.o.DB.View(ctx, func(tx *schema.Tx) error {
		c := queue.Claimed{Contact: who, Mode: consent.Anonymous}
		var err error
		if c.Via, err = l.ground(ctx, tx, who); err != nil {
			return err
		}
		cited := l.m.o.Gate.Cited("c.id", strconv.FormatInt(int64(c.Via), 10))
		epoch := l.m.epoch(l.row, "c.id")
		var facts struct {
			Cited string `db:"cited"`
			Epoch int64  `db:"epoch"`
		}
		err = tx.Get(ctx, &facts, `SELECT `+cited.SQL+` AS cited, `+epoch.SQL+` AS epoch FROM contacts c WHERE c.id = ?`,
			append(append(cited.Args, epoch.Args...), who)...)
		if err != nil {
			return fmt.Errorf("mailer: load a reader: %w", err)
		}
		if facts.Epoch != 0 {
			c.Mode = consent.Identified
		}
		c.Cited = queue.CitedSources(facts.Cited)
		load := []queue.Claimed{c}
		if err := l.Load(ctx, tx, load); err != nil {
			return err
		}
		if problem := load[0].Problem; problem != "" {
			return notReader("may not be mailed: " + problem)
		}
		r = load[0].Data.(compose.Recipient)
		return nil
	})
	return r, err
}

// ground is on which part of the audience the campaign would reach the contact: a source's list, or
// zero for a segment.
func (l *letters) ground(ctx context.Context, tx *schema.Tx, who id.Contact) (id.Source, error) {
	spec, err := l.m.spec(ctx, l.row)
	if errors.Is(err, segments.ErrNotFound) {
		return 0, &Refused{[]segments.FieldError{{Field: "audience", Message: "names a segment or source that no longer exists"}}}
	} else if err != nil {
		return 0, err
	}
	const outside, none = "", -1
	var via, why strings.Builder
	var viaArgs, whyArgs []any
	for _, f := range spec.Except {
		fmt.Fprintf(&via, " WHEN %s THEN %d", f.SQL, none)
		fmt.Fprintf(&why, " WHEN %s THEN '%s'", f.SQL, outside)
		viaArgs, whyArgs = append(viaArgs, f.Args...), append(whyArgs, f.Args...)
	}
	for _, p := range spec.Parts {
		fmt.Fprintf(&via, " WHEN %s AND %s THEN %d", p.Member.SQL, p.Allowed.SQL, int64(p.Via))
		viaArgs = append(append(viaArgs, p.Member.Args...), p.Allowed.Args...)
		audience := consent.SegmentAudience()
		if p.Via != 0 {
			audience = consent.SourceAudience(p.Via)
		}
		refusal, err := l.m.o.Gate.Refusal(l.row.use(audience), "c.id", "")
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(&why, " WHEN %s THEN %s", p.Member.SQL, refusal.SQL)
		whyArgs = append(append(whyArgs, p.Member.Args...), refusal.Args...)
	}
	var got []struct {
		Via id.Source `db:"via"`
		Why string    `db:"why"`
	}
	err = tx.Select(ctx, &got, fmt.Sprintf(`SELECT CASE%s ELSE %d END AS via, CASE%s ELSE '%s' END AS why FROM contacts c WHERE c.id = ?`,
		via.String(), none, why.String(), outside), append(append(viaArgs, whyArgs...), who)...)
	switch {
	case err != nil:
		return 0, fmt.Errorf("mailer: ask the gate for a reader: %w", err)
	case len(got) == 0:
		return 0, notReader("names no contact")
	case got[0].Via != none:
		return got[0].Via, nil
	case got[0].Why == outside:
		return 0, notReader("is not in the audience of the campaign: name one who is, or leave it out for a sample recipient")
	}
	return 0, notReader("may not be mailed: " + got[0].Why)
}

func notReader(why string) error {
	return &segments.Invalid{Fields: []segments.FieldError{{Field: "contact", Message: why}}}
}

// example is an invented recipient; it shows the citation if the campaign goes to a source's list.
func (l *letters) example(ctx context.Context) compose.Recipient {
	p := &person{Email: "sample@example.com", Name: "Alex Sample", Company: "Sample Ltd", Country: "GB", JobTitle: "Head of Samples", OptedIn: true}
	var from []source
	if parts, _, err := l.m.parts(ctx, l.row); err == nil {
		for _, part := range parts {
			if part.source.ID != 0 {
				s := part.source
				from, p.OptedIn = append(from, source{s.ID, s.Name, s.PrivacyURL, s.TransparencyURL}), false
			}
		}
	}
	return l.recipient(p, from, &queue.Claimed{Mode: consent.Anonymous})
}
