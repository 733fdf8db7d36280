package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"beckon/schema"
	"beckon/schema/id"
)

// Checks holds each promise of the product against what was stored and caught. It reads the
// database anew each time, so a caller may break something and ask again.
func (p *Play) Checks(ctx context.Context) []Check {
	promises := []struct {
		name  string
		check func(context.Context) (string, error)
	}{
		{"no yes, no track", p.noTrack},
		{"no yes, no segment", p.noSegment},
		{"third-party data is always cited", p.alwaysCited},
		{"no stays no, at once", p.noStaysNo},
		{"what was answered is kept", p.answeredIsKept},
		{"nobody is mailed twice, and nobody is lost in silence", p.nobodyTwice},
		{"counts are honest", p.honestCounts},
	}
	var checks []Check
	for _, promise := range promises {
		saw, err := promise.check(ctx)
		c := Check{Name: promise.name, OK: err == nil, Detail: saw}
		if err != nil {
			c.Detail = err.Error()
		}
		checks = append(checks, c)
	}
	return checks
}

// message is a stored message with what the checks need to know of it.
type message struct {
	ID       id.Message
	Campaign id.Campaign
	Contact  id.Contact
	Email    string
	Via      id.Source
	Mode     string
	Status   string
	Reason   string
	SentAt   schema.Time `db:"sent_at"`
}

func (p *Play) messages(ctx context.Context) ([]message, error) {
	var ms []message
	err := p.DB.Select(ctx, &ms, `SELECT m.id, m.campaign, m.contact, c.email, m.via, m.mode, m.status, m.reason, m.sent_at
		FROM messages m JOIN contacts c ON c.id = m.contact ORDER BY m.id`)
	if err == nil && len(ms) == 0 {
		err = fmt.Errorf("no message is stored")
	}
	return ms, err
}

// noTrack: the mail of everybody without an open tracking consent has the same beacon and links,
// and nothing is stored about them.
func (p *Play) noTrack(ctx context.Context) (string, error) {
	ms, err := p.messages(ctx)
	if err != nil {
		return "", err
	}
	caught := map[string]*Caught{}
	for _, m := range p.evidence.Mail {
		caught[m.Campaign()+" "+m.To] = m
	}
	shared := map[id.Campaign]string{} // what everybody's beacon and links are
	anonymous, identified := 0, 0
	for _, m := range ms {
		mail := caught[m.Campaign.String()+" "+m.Email]
		if mail == nil {
			continue
		}
		beacons, links, hidden := fetched(mail.HTML)
		urls := strings.Join(slices.Concat(beacons, links, hidden), "\n")
		rows, err := p.Ledger(ctx, m.Contact)
		if err != nil {
			return "", err
		}
		consented := trackingAt(rows, m.SentAt)
		switch everybodys, known := shared[m.Campaign]; {
		case m.Mode == "identified" && !consented:
			return "", fmt.Errorf("message %s is identified, and its recipient had not agreed to tracking", m.ID)
		case m.Mode == "identified":
			identified++
			if known && urls == everybodys {
				return "", fmt.Errorf("message %s is identified and has everybody's links", m.ID)
			}
		case !known:
			shared[m.Campaign] = urls
			anonymous++
		case urls != everybodys:
			return "", fmt.Errorf("anonymous message %s has links of its own", m.ID)
		default:
			anonymous++
		}
	}
	var tied []struct {
		Contact id.Contact
		At      schema.Time
	}
	if err := p.DB.Select(ctx, &tied, `SELECT contact, at FROM events`); err != nil {
		return "", err
	}
	ledger := map[id.Contact][]LedgerRow{}
	for _, e := range tied {
		if _, read := ledger[e.Contact]; !read {
			if ledger[e.Contact], err = p.Ledger(ctx, e.Contact); err != nil {
				return "", err
			}
		}
		if !trackingAt(ledger[e.Contact], e.At) {
			return "", fmt.Errorf("an event of %s is tied to contact %s, who had not agreed to tracking then", e.At, e.Contact)
		}
	}
	if anonymous == 0 || identified == 0 {
		return "", fmt.Errorf("%d anonymous and %d identified messages were caught: nothing to compare", anonymous, identified)
	}
	return fmt.Sprintf("%d anonymous messages share their links, %d identified ones have their own, %d events all belong to people who agreed", anonymous, identified, len(tied)), nil
}

// noSegment: the export holds opted-in people only, as their ledgers say, and as many as counted.
func (p *Play) noSegment(ctx context.Context) (string, error) {
	if len(p.evidence.Export) != p.result.Segment.Count || len(p.evidence.Export) == 0 {
		return "", fmt.Errorf("the export has %d rows, the segment counts %d", len(p.evidence.Export), p.result.Segment.Count)
	}
	ids, err := p.contacts(ctx)
	if err != nil {
		return "", err
	}
	for _, row := range p.evidence.Export {
		i := slices.IndexFunc(row, func(cell string) bool { return strings.Contains(cell, "@") })
		if i < 0 {
			return "", fmt.Errorf("an identified export row holds no address")
		}
		who, known := ids[row[i]]
		if !known {
			return "", fmt.Errorf("the export holds somebody who is no contact")
		}
		rows, err := p.Ledger(ctx, who)
		if err != nil {
			return "", err
		}
		if len(optedIn(rows)) == 0 {
			return "", fmt.Errorf("contact %s is in the export without an opt-in", who)
		}
	}
	return fmt.Sprintf("all %d exported contacts have opted in", len(p.evidence.Export)), nil
}

// alwaysCited: each caught mail to somebody from a provider names it and links to its policy in
// both parts, unless the person gave us the address first.
func (p *Play) alwaysCited(ctx context.Context) (string, error) {
	var origins []struct {
		Email string
		Name  string
		URL   string `db:"privacy_url"`
		Slug  string
		OwnAt schema.Time `db:"own_at"`
		At    schema.Time `db:"acquired_at"`
	}
	if err := p.DB.Select(ctx, &origins, `SELECT c.email, s.name, s.privacy_url, s.slug, c.own_at, o.acquired_at
		FROM contact_sources o JOIN contacts c ON c.id = o.contact JOIN sources s ON s.id = o.source`); err != nil {
		return "", err
	}
	type source struct {
		name, url, slug string
		first           bool // we had the address from the person before
	}
	of := map[string][]source{}
	for _, o := range origins {
		of[o.Email] = append(of[o.Email], source{o.Name, o.URL, o.Slug, o.OwnAt != 0 && o.OwnAt < o.At})
	}
	cited := 0
	for _, m := range p.evidence.Mail {
		if m.Campaign() == "" {
			continue
		}
		viaSource := len(p.result.Campaigns) > 1 && m.Campaign() == p.result.Campaigns[1].ID
		for _, s := range of[m.To] {
			if viaSource && s.slug != "fairlist" || !viaSource && s.first {
				continue
			}
			for part, body := range map[string]string{"HTML": m.HTML, "text": m.Text} {
				if !strings.Contains(body, s.name) || !strings.Contains(body, s.url) {
					return "", fmt.Errorf("caught mail %d of campaign %s does not cite %s in its %s part", m.N, m.Campaign(), s.name, part)
				}
			}
			cited++
		}
	}
	if cited == 0 {
		return "", fmt.Errorf("no mail to a sourced contact was caught")
	}
	return fmt.Sprintf("%d citations, each in both parts", cited), nil
}

// noStaysNo: who left got nothing afterwards, although a campaign was under way and the address was
// imported again; and what they were sent before tells nothing any more.
func (p *Play) noStaysNo(ctx context.Context) (string, error) {
	midway := 0
	for _, no := range p.noes {
		got := 0
		for _, m := range p.evidence.Mail {
			if m.To == no.email {
				got++
			}
		}
		if got > no.mails {
			return "", fmt.Errorf("somebody who had left was sent %d more", got-no.mails)
		}
		if no.queued {
			midway++
		}
		for _, row := range p.evidence.Export {
			if slices.Contains(row, no.email) {
				return "", fmt.Errorf("somebody who had left is in the segment's export")
			}
		}
	}
	if midway == 0 || p.late == 0 {
		return "", fmt.Errorf("%d people left while the campaign was still to reach them, %d looked at old mail later: nothing was tried", midway, p.late)
	}
	ms, err := p.messages(ctx)
	if err != nil {
		return "", err
	}
	skipped := 0
	for _, m := range ms {
		if m.Status == "skipped" && slices.ContainsFunc(p.noes, func(n refusal) bool { return n.email == m.Email }) {
			skipped++
		}
	}
	if skipped < midway {
		return "", fmt.Errorf("%d people left while the campaign was still to reach them, %d are recorded as skipped", midway, skipped)
	}
	return fmt.Sprintf("%d people unsubscribed, %d of them before the campaign under way reached them; all were imported again and none got more", len(p.noes), midway), nil
}

// answeredIsKept: the totals hold as many hits as the recipients got answers.
func (p *Play) answeredIsKept(ctx context.Context) (string, error) {
	if n := p.visitors.Failed.Load(); n > 0 {
		return "", fmt.Errorf("%d requests got neither image nor redirect", n)
	}
	answered, counted := p.answered(), p.counted(ctx)
	if answered != counted || answered == 0 {
		return "", fmt.Errorf("%d recordable hits were answered, %d are counted", answered, counted)
	}
	return fmt.Sprintf("%d recordable hits were answered and %d are counted", answered, counted), nil
}

// nobodyTwice: each address got each campaign at most once, and every message is accounted for.
func (p *Play) nobodyTwice(ctx context.Context) (string, error) {
	seen := map[string]bool{}
	for _, m := range p.evidence.Mail {
		if m.Campaign() == "" {
			continue
		}
		key := m.Campaign() + " " + m.To
		if seen[key] {
			return "", fmt.Errorf("caught mail %d is the second of campaign %s to its recipient", m.N, m.Campaign())
		}
		seen[key] = true
	}
	ms, err := p.messages(ctx)
	if err != nil {
		return "", err
	}
	sent := 0
	for _, m := range ms {
		switch caught := seen[m.Campaign.String()+" "+m.Email]; {
		case m.Status == "sent" && !caught:
			return "", fmt.Errorf("message %s reads sent and was not caught", m.ID)
		case m.Status != "sent" && m.Status != "unknown" && caught:
			return "", fmt.Errorf("message %s reads %s and was caught", m.ID, m.Status)
		case m.Status == "queued" || m.Status == "sending" || m.Status == "deferred":
			return "", fmt.Errorf("message %s reads %s after its campaign finished", m.ID, m.Status)
		case m.Status == "sent":
			sent++
		}
	}
	if sent != len(seen) {
		return "", fmt.Errorf("%d messages read sent, %d were caught", sent, len(seen))
	}
	return fmt.Sprintf("%d messages, %d sent and caught once each, the others skipped with a reason", len(ms), sent), nil
}

// honestCounts: the log, the durable totals and Redis agree, the API's figures add up, and the
// scanners' hits, and no other's, are told as machines'.
func (p *Play) honestCounts(ctx context.Context) (string, error) {
	if err := p.Verify(ctx); err != nil {
		return "", err
	}
	var machine, people, unverifiable, anonymous int
	for _, c := range p.result.Campaigns {
		var live Campaign
		if err := p.api.call(ctx, "GET", "/campaigns/"+c.ID+"/stats", nil, &live); err != nil {
			return "", err
		}
		for kind, h := range map[string]Hits{"opens": live.Opens, "clicks": live.Clicks} {
			if h.Total != h.Person+h.Machine+h.Unverifiable+h.Anonymous {
				return "", fmt.Errorf("the %s of %q do not add up", kind, c.Name)
			}
			if h.Unique > h.Person+h.Unverifiable {
				return "", fmt.Errorf("%q has more unique %s than hits", c.Name, kind)
			}
			machine, people, unverifiable, anonymous = machine+h.Machine, people+h.Person, unverifiable+h.Unverifiable, anonymous+h.Anonymous
		}
	}
	if want := int(p.visitors.Machine.Load()); machine != want || want == 0 {
		return "", fmt.Errorf("scanners made %d hits, %d are told as machines'", want, machine)
	}
	if people == 0 || unverifiable == 0 || anonymous == 0 {
		return "", fmt.Errorf("%d hits of people, %d unverifiable, %d anonymous: something is missing", people, unverifiable, anonymous)
	}
	return fmt.Sprintf("%d hits of people, %d of machines, %d unverifiable and %d anonymous; log, totals and Redis agree", people, machine, unverifiable, anonymous), nil
}
