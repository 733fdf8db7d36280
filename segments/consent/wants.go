package consent

import "beckon/schema/id"

// IsItem reports whether s can name the one thing that somebody asks for: a slug.
func IsItem(s string) bool { return isItem(s) }

// Wants returns a boolean expression: the contact asked the company for the item and has not got it
// yet. It says nothing about whether it may be sent: see Allowed.
func (g *Gate) Wants(contact string, company id.Company, channel Channel, item string) Fragment {
	return Fragment{"EXISTS (SELECT 1 FROM consent_items gate_item WHERE gate_item.contact = " + contact + " AND gate_item.company = ? AND gate_item.channel = ? AND gate_item.item = ?)",
		[]any{int64(company), string(channel), item}}
}
