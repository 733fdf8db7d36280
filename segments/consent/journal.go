package consent

import (
	"context"
	"fmt"

	"beckon/schema"
)

// The actions that a No may have and an Entry may not.
const (
	Suppress Action = "suppress" // an address is kept out, held or not; Block says why
	Erase    Action = "erase"    // a contact was forgotten; Block says what is left of it, if anything
)

// No is a refusal as it is kept outside the database, so that it outlives the restore of an older
// one: whose it is by keyed hash of the address, and how far it reaches in slugs. It says no more
// than the ledger's own row does; an empty company, channel or list of types means all of them.
type No struct {
	Hash     []byte      `json:"-"`      // Hash of the normalised address
	Action   Action      `json:"action"` // Withdraw, Object, Restrict, Suppress or Erase; or Grant, which takes tracking back and nothing else
	Company  string      `json:"company,omitempty"`
	Channel  Channel     `json:"channel,omitempty"`
	Types    []string    `json:"types,omitempty"`
	Topics   []string    `json:"topics,omitempty"`
	Tracking bool        `json:"tracking,omitempty"` // tracking is taken back, too
	Item     string      `json:"item,omitempty"`
	Block    Block       `json:"block,omitempty"` // of Suppress and Erase
	How      How         `json:"how,omitempty"`
	At       schema.Time `json:"-"` // captured
}

// Journal keeps noes outside the database. Keep returns when they are safe; it is called inside the
// transaction that records them, which fails if it does. A transaction that is rolled back all the
// same leaves noes in the journal that the database does not have: they do no harm. Keep may be
// called twice with the same no, and must not write to the database.
type Journal interface {
	Keep(ctx context.Context, noes []No) error
}

// keep hands the noes of a batch to the journal.
func (l *Ledger) keep(ctx context.Context, noes []No) error {
	if l.journal == nil || len(noes) == 0 {
		return nil
	}
	if err := l.journal.Keep(ctx, noes); err != nil {
		return fmt.Errorf("keep in the refusals journal: %w", err)
	}
	return nil
}

// no returns what of a row is a refusal, and whether anything is. A block of this package's own
// making is told as what it does to the address.
func (r *row) no(hash []byte) (No, bool) {
	n := No{Hash: hash, Action: r.Action, Company: r.Company, Channel: r.Channel, Types: split(r.Types), Topics: split(r.Topics),
		Tracking: r.Tracking == "no", Item: r.Item, How: r.How, At: r.Captured}
	switch r.Action {
	case Grant:
		n.Types, n.Topics, n.Item = nil, nil, ""
		return n, n.Tracking && !r.How.lapse()
	case Withdraw, Object, Restrict:
		if b := n.block(); b != 0 && r.How.internal() {
			n.Action, n.Block = Suppress, b
		}
		return n, !r.How.lapse()
	}
	return n, false
}

// block returns what a no puts on the contact as a whole, or zero.
func (n *No) block() Block {
	if n.Action == Suppress {
		return n.Block
	}
	if n.Action != Restrict && n.Company != "" {
		return 0
	}
	return blockOf(&act{action: n.Action, channel: n.Channel, how: n.How, named: len(n.Types)+len(n.Topics) > 0 || n.Item != ""})
}

// check says what a no lacks that Apply is to record.
func (n *No) check() error {
	bad := func(what string) error { return fmt.Errorf("consent: %w: %s", ErrEntry, what) }
	switch {
	case len(n.Hash) == 0:
		return bad("a no without the hash of an address")
	case n.At <= 0:
		return bad("a no that says not when")
	}
	switch n.Action {
	case Withdraw, Object, Restrict:
		return nil
	case Grant:
		if n.Tracking && n.Company != "" {
			return nil
		}
		return bad("a grant is no no, unless it takes back the tracking of a company")
	case Suppress:
		if n.Block != 0 {
			return nil
		}
		return bad("a suppression without a block")
	}
	return bad(fmt.Sprintf("a no of the kind %q is not recorded", n.Action))
}

// entries returns what puts a no on record for a contact. A company that is not known is zero.
func (n *No) entries(to *subject, w *words) []Entry {
	if n.Action == Suppress {
		es := blockEntries(to.contact, n.Block, n.At)
		for i := range es {
			es[i].Actor, es[i].Journaled = journalActor, true
		}
		return es
	}
	e := Entry{Contact: to.contact, Action: n.Action, Company: w.companies[n.Company], Channel: n.Channel, Types: n.Types, Topics: n.Topics, Item: n.Item,
		How: n.How, Captured: n.At, Actor: journalActor, Journaled: true}
	if n.Tracking {
		no := false
		e.Tracking = &no
	}
	if e.Action == Grant && e.Channel == "" {
		e.Channel = Email
	}
	if !e.How.known() {
		e.How = bySuppression // a no is not lost over the way in which it came
	}
	return []Entry{e}
}

// journalActor is who records what comes from outside the database.
const journalActor = "journal"

// known tells what the words of a no mean here: a company, channel, type or topic that this database
// does not hold is an error.
func (n *No) known(w *words) error {
	if n.Company != "" && w.companies[n.Company] == 0 {
		return fmt.Errorf("consent: %w %q", ErrUnknownCompany, n.Company)
	}
	_, err := w.act(&row{Action: n.Action, Company: n.Company, Channel: n.Channel, Types: joined(n.Types), Topics: joined(n.Topics)})
	return err
}
