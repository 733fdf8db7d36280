package consent

// The functions of this file are for retention, which has to know since when a contact is held for
// nothing. They return SQL expressions over contact, an expression too, as those of [Gate] do.
// Instants are bigints, zero for never. None of them allows a use.

// Known is a boolean: the contact is registered with the ledger.
func Known(contact string) Fragment {
	return Fragment{SQL: `EXISTS (SELECT 1 FROM consent_subjects gate_subject WHERE gate_subject.contact = ` + contact + `)`}
}

// KnownTo is a boolean: something is on record that the contact agreed to, asked for or refused of the
// company by name, be it over.
func KnownTo(contact, company string) Fragment {
	return Fragment{SQL: `EXISTS (SELECT 1 FROM consent_subjects gate_subject JOIN consent_ledger gate_row ON gate_row.subject = gate_subject.subject
		JOIN companies gate_company ON gate_company.slug = gate_row.company WHERE gate_subject.contact = ` + contact + ` AND gate_company.id = ` + company + `)`}
}

// Consents is a boolean: a confirmed opt-in stands, or a one-off request that is not served, for any
// company and channel. A block, such as that of an address that bounces, does not end it.
func Consents(contact string) Fragment {
	return Fragment{SQL: `(EXISTS (SELECT 1 FROM consent_state gate_state WHERE gate_state.contact = ` + contact + ` AND gate_state.granted <> 0)` +
		` OR EXISTS (SELECT 1 FROM consent_items gate_item WHERE gate_item.contact = ` + contact + `))`}
}

// ConsentedAt is when the newest of what Consents finds was given.
func ConsentedAt(contact string) Fragment {
	return newest(`SELECT gate_state.granted_at AS at FROM consent_state gate_state WHERE gate_state.contact = `+contact+` AND gate_state.granted <> 0`,
		`SELECT gate_item.granted_at FROM consent_items gate_item WHERE gate_item.contact = `+contact)
}

// ChangedAt is when what the contact agreed to or refused last changed, the end of a one-off request
// that was served included.
func ChangedAt(contact string) Fragment {
	return newest(`SELECT gate_state.changed_at AS at FROM consent_state gate_state WHERE gate_state.contact = `+contact,
		`SELECT gate_track.changed_at FROM consent_tracking gate_track WHERE gate_track.contact = `+contact,
		`SELECT gate_row.captured_at FROM consent_subjects gate_subject JOIN consent_ledger gate_row ON gate_row.subject = gate_subject.subject
			WHERE gate_subject.contact = `+contact+` AND gate_row.item <> '' AND gate_row.outcome IN (`+quote(Applied)+`, `+quote(appliedOwn)+`, `+quote(Partly)+`)`)
}

// RefusedAt is when the newest no that stands was said: a withdrawal or an objection, to whatever.
func RefusedAt(contact string) Fragment {
	return newest(`SELECT gate_state.changed_at AS at FROM consent_state gate_state WHERE gate_state.contact = ` + contact + ` AND (` + anyRefusal + `)`)
}

// RequestedAt is when a double opt-in was last asked for.
func RequestedAt(contact string) Fragment {
	return newest(`SELECT gate_request.requested_at AS at FROM consent_requests gate_request WHERE gate_request.contact = ` + contact)
}

// Restrains is a boolean: the person had the use of their data restricted. It is stored and not used,
// and not erased either unless they ask for that.
func Restrains(contact string) Fragment {
	return Fragment{SQL: `EXISTS (SELECT 1 FROM consent_subjects gate_subject WHERE gate_subject.contact = ` + contact + ` AND gate_subject.blocks & ? <> 0)`,
		Args: []any{int64(BlockRestricted)}}
}

func newest(queries ...string) Fragment {
	all := queries[0]
	for _, q := range queries[1:] {
		all += ` UNION ALL ` + q
	}
	return Fragment{SQL: `COALESCE((SELECT MAX(gate_newest.at) FROM (` + all + `) AS gate_newest), 0)`}
}
