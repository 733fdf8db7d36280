package rights_test

import (
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"
)

func (h *house) addressOf(who id.Contact) string {
	h.Helper()
	c, err := h.contacts.Get(h.ctx, who)
	h.ok(err)
	return c.Email
}

// imported is the contact of an address after somebody brought it back with a consent by import.
func (h *house) imported(address string, company segments.Company, typ string) consent.Decision {
	h.Helper()
	c, _, err := h.contacts.Create(h.ctx, segments.NewContact{Email: address})
	h.ok(err)
	h.tx(func(tx *schema.Tx) error {
		_, err := h.ledger.Record(h.ctx, tx, consent.Entry{Contact: c.ID, Action: consent.Grant, Company: company.ID, Channel: consent.Email, Types: []string{typ},
			Notice: "v1", How: consent.ByImport, Actor: "import"})
		return err
	})
	d, err := h.gate.Ask(h.ctx, c.ID, consent.Use{Company: company.ID, Channel: consent.Email, Type: typ, Purpose: consent.Mail})
	h.ok(err)
	return d
}

// TestS25NoStaysNoAfterRetention: what a person refused outlives their data, no wider than it was.
func TestS25NoStaysNoAfterRetention(t *testing.T) {
	for _, action := range []rights.Action{rights.ActionErase, rights.ActionDeidentify} {
		t.Run(string(action), func(t *testing.T) {
			houses(t, func(h *house) {
				for _, p := range []rights.Purpose{rights.PurposeConsented, rights.PurposeOptedOut} {
					h.tx(func(tx *schema.Tx) error {
						_, err := rights.SetRule(h.ctx, tx, rights.NewRule{Purpose: p, Keep: rights.Period{Months: 36}, Action: action, Actor: "ann"}, schema.At(h.now))
						return err
					})
				}
				all, newsletter, tracking, nothing := h.own(), h.own(), h.own(), h.own()
				for _, who := range []id.Contact{all, newsletter, tracking, nothing} {
					h.yes(who, h.acme, "newsletter", "product-updates")
				}
				yes, no := true, false
				h.says(tracking, consent.Entry{Action: consent.Grant, Company: h.acme.ID, Channel: consent.Email, Tracking: &yes})
				h.now = h.now.Add(time.Hour)
				h.says(all, consent.Entry{Action: consent.Object})
				h.says(newsletter, consent.Entry{Action: consent.Withdraw, Company: h.acme.ID, Channel: consent.Email, Types: []string{"newsletter"}})
				h.says(tracking, consent.Entry{Action: consent.Grant, Company: h.acme.ID, Channel: consent.Email, Tracking: &no})
				address := map[id.Contact]string{}
				for _, who := range []id.Contact{all, newsletter, tracking, nothing} {
					address[who] = h.addressOf(who)
				}
				h.later(3, 1, 0, 0)
				outcomes, err := h.retention().Run(h.ctx, false)
				h.ok(err)
				if c, o := of(outcomes, rights.PurposeConsented), of(outcomes, rights.PurposeOptedOut); c.Done != 3 || o.Done != 1 {
					h.Fatalf("%+v", outcomes)
				}
				for who := range address {
					if h.held(who) {
						h.Fatalf("contact %d is still held", who)
					}
				}
				for _, c := range []struct {
					what string
					who  id.Contact
					typ  string
					want consent.Reason
				}{
					{"who objected, to anything", all, "product-updates", consent.Objected},
					{"who withdrew a type, of that type", newsletter, "newsletter", consent.Withdrawn},
					{"who withdrew a type, of another one", newsletter, "product-updates", ""},
					{"who refused nothing", nothing, "newsletter", ""},
					{"who refused tracking, of mail", tracking, "newsletter", ""},
				} {
					if d := h.imported(address[c.who], h.acme, c.typ); d.Reason != c.want || d.Allowed != (c.want == "") {
						h.Errorf("%s, brought back by an import: %+v, want %q", c.what, d, c.want)
					}
				}
				back, err := h.contacts.ByEmail(h.ctx, address[tracking])
				h.ok(err)
				h.tx(func(tx *schema.Tx) error {
					r, err := h.ledger.Record(h.ctx, tx, consent.Entry{Contact: back.ID, Action: consent.Grant, Company: h.acme.ID, Channel: consent.Email, Tracking: &yes, Notice: "v1", How: consent.ByImport, Actor: "import"})
					if err == nil && r.Applied {
						h.Errorf("an import lifted the no to tracking: %+v", r)
					}
					return err
				})
			})
		})
	}
}

// TestS25AnAddressNobodyConfirmedLeavesNothing: not even a hash.
func TestS25AnAddressNobodyConfirmedLeavesNothing(t *testing.T) {
	houses(t, func(h *house) {
		h.entered()
		h.later(0, 1, 0, time.Second)
		if o := h.run(rights.PurposeUnconfirmed); o.Done != 1 {
			h.Fatalf("%+v", o)
		}
		for _, table := range []string{"contacts", "consent_subjects", "consent_requests", "consent_evidence", "consent_state", "suppressions", "consent_noes"} {
			if n := h.count(`SELECT count(*) FROM ` + table); n != 0 {
				h.Errorf("%d rows are left in %s", n, table)
			}
		}
	})
}

// TestS25AnExtensionForWhatIsGoneKeepsNothing: with the person goes the decision to keep their request.
func TestS25AnExtensionForWhatIsGoneKeepsNothing(t *testing.T) {
	houses(t, func(h *house) {
		who := h.own()
		h.exec(`INSERT INTO rights_requests (kind, channel, contact, received_at, due_at, status, closed_at) VALUES ('access', 'post', ?, 1, 1, 'done', 1)`, who)
		h.later(3, 0, 0, time.Second)
		_, err := h.extensions.Extend(h.ctx, nil, rights.Extension{Contact: who, Purpose: rights.PurposeRequests, Until: schema.At(dawn.AddDate(9, 0, 0)), Reference: "DPO 7", Actor: "ann"})
		h.ok(err)
		for _, dry := range []bool{true, false} {
			all, err := h.retention().Run(h.ctx, dry)
			h.ok(err)
			if own, asked := of(all, rights.PurposeOwn), of(all, rights.PurposeRequests); own.Done != 1 || asked.Done != 1 || asked.Extended != 0 {
				h.Errorf("dry %v: %+v, %+v", dry, own, asked)
			}
		}
	})
}
