package segments

import (
	"fmt"
	"strconv"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

// behaviour asks what became of the mails of the segment's own company: consent to track is given
// to a company, so another one's mails tell it nothing.
//
// received: a mail was sent to the contact. opened, clicked: the contact opened or clicked, as a
// person or unverifiably; never as a machine. Their negation holds for who was sent identified
// mail and opened or clicked none of it: an anonymous mail tells nothing, so nothing is concluded
// from it. Neither holds for who does not allow tracking any more.
func (c *ruleCompiler) behaviour(l *ruleLeaf, negate bool) {
	b := l.value.(ruleBehaviour)
	if !c.campaignExists(l, b.campaign) {
		return
	}
	since := int64(0)
	if b.within > 0 {
		since = int64(schema.At(c.now.Add(-time.Duration(b.within) * 24 * time.Hour)))
	}
	switch {
	case l.field == "received" && negate:
		c.text("NOT ")
		fallthrough
	case l.field == "received":
		c.sent("m.status = 'sent'", b.campaign, since)
		c.text(")")
		return
	}
	c.text("(")
	c.add(c.gate.Epoch("c.id", strconv.FormatInt(int64(c.company), 10)))
	c.text(" > 0 AND ")
	if negate {
		c.sent("m.status = 'sent' AND m.mode = 'identified'", b.campaign, since)
		c.text(") AND NOT ")
		c.sent("m.mode = 'identified'", b.campaign, since)
		c.text(" AND ")
		c.did(l.field, b.link, 0)
	} else {
		c.sent("m.mode = 'identified'", b.campaign, 0)
		c.text(" AND ")
		c.did(l.field, b.link, since)
	}
	c.text("))")
}

// sent opens an EXISTS over messages m; the caller closes it.
func (c *ruleCompiler) sent(what string, campaign id.Campaign, since int64) {
	c.text("EXISTS (SELECT 1 FROM messages m WHERE m.contact = c.id AND " + what)
	if campaign != 0 {
		c.text(" AND m.campaign = ?", int64(campaign))
	} else {
		c.text(" AND m.campaign IN (SELECT g.id FROM campaigns g WHERE g.company = ?)", int64(c.company))
	}
	if since > 0 {
		c.text(" AND m.sent_at >= ?", since)
	}
}

// did is the condition on message m. opened_at and first_at leave machines out and outlive the
// events; what happened again later only the events know.
func (c *ruleCompiler) did(field string, link, since int64) {
	if field == "opened" {
		if since == 0 {
			c.text("m.opened_at > 0")
			return
		}
		c.text("m.opened_at > 0 AND (m.opened_at >= ? OR EXISTS (SELECT 1 FROM events e WHERE e.contact = m.contact AND e.message = m.id AND e.kind = 'open' AND e.verdict <> 'machine' AND e.at >= ?))", since, since)
		return
	}
	c.text("EXISTS (SELECT 1 FROM message_links k WHERE k.message = m.id AND k.first_at > 0")
	if link > 0 {
		c.text(" AND k.link = ?", link)
	}
	if since > 0 {
		c.text(" AND (k.first_at >= ? OR EXISTS (SELECT 1 FROM events e WHERE e.contact = m.contact AND e.message = m.id AND e.kind = 'click' AND e.link = k.link AND e.verdict <> 'machine' AND e.at >= ?))", since, since)
	}
	c.text(")")
}

func (c *ruleCompiler) campaignExists(l *ruleLeaf, campaign id.Campaign) bool {
	if campaign == 0 {
		return true
	}
	var n int
	if err := c.q.Get(c.ctx, &n, `SELECT count(*) FROM campaigns WHERE id = ? AND company = ?`, campaign, c.company); err != nil {
		c.err = fmt.Errorf("segments: read campaigns: %w", err)
		return false
	}
	if n == 0 {
		c.e.add(l.path+".value.campaign", "is no campaign of the segment's company: use the id of one of its campaigns, or leave it out for all of them")
		return false
	}
	return true
}
