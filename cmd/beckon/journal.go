package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"beckon/cmd/internal/pages"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
	"beckon/segments/rights"
	"beckon/tracker/event"
)

// openJournal opens the refusals journal, in the name of this node.
func (a *app) openJournal() error {
	dir, err := a.dir("spool")
	if err != nil {
		return err
	}
	node, err := event.NodeName(dir)
	if err != nil {
		return fmt.Errorf("BECKON_DATA: %w", err)
	}
	a.journal, err = rights.OpenJournal(a.conf.Journal, node, rights.JournalOptions{Report: func(err error) { a.log.Error("refusals journal", "err", err.Error()) }})
	if err != nil {
		return fmt.Errorf("BECKON_JOURNAL: %w", err)
	}
	a.closers = append(a.closers, func() { a.journal.Close() })
	return nil
}

// untrack is what the journal calls a no to tracking alone; tracked is the scope of a no that takes
// tracking back, too.
const (
	untrack = rights.Kind("untrack")
	tracked = "tracking"
)

// noes keeps every no of the ledger in the journal.
type noes struct{ journal *rights.Journal }

func (k noes) Keep(ctx context.Context, list []consent.No) error {
	said := make([]rights.Refusal, len(list))
	for i, n := range list {
		said[i] = rights.Refusal{At: n.At, Kind: rights.Kind(n.Action), Hash: n.Hash, Company: n.Company, Channel: string(n.Channel), Types: n.Types, Topics: n.Topics,
			Item: n.Item, How: string(n.How)}
		if n.Action == consent.Grant {
			said[i].Kind = untrack
		} else if n.Tracking {
			said[i].Scope = tracked
		}
		if n.Block != 0 {
			said[i].Block = strconv.FormatInt(int64(n.Block), 10)
		}
	}
	return k.journal.AppendMany(ctx, said)
}

// noOf reads back what Keep wrote.
func noOf(r rights.Refusal) (consent.No, error) {
	n := consent.No{At: r.At, Action: consent.Action(r.Kind), Hash: r.Hash, Company: r.Company, Channel: consent.Channel(r.Channel), Types: r.Types, Topics: r.Topics,
		Item: r.Item, How: consent.How(r.How), Tracking: r.Scope == tracked}
	if r.Kind == untrack {
		n.Action, n.Tracking = consent.Grant, true
	}
	if r.Block != "" {
		b, err := strconv.ParseInt(r.Block, 10, 64)
		if err != nil {
			return n, fmt.Errorf("the block of a refusal is not readable: %w", err)
		}
		n.Block = consent.Block(b)
	}
	return n, nil
}

// refusals keeps what is said with the link of a mail outside the database too, so that it is heard
// while the database is down and survives the restore of an older one.
type refusals struct {
	journal *rights.Journal
	guard   *rights.Guard
}

// newRefusals guards the senders. Nobody is sent mail until it has been replayed.
func (a *app) newRefusals() *refusals {
	replay := func(ctx context.Context) error {
		n, err := a.journal.Replay(ctx, a.db, a.applyRefusal)
		if n > 0 {
			a.log.Info("refusals journal replayed", "refusals", n)
		}
		return errors.Join(err, a.restoreFinished(ctx))
	}
	return &refusals{a.journal, rights.NewGuard(replay, func(err error) {
		a.log.Error("no mail is sent before the refusals journal is replayed", "err", err.Error())
	})}
}

// Refuse returns when the refusal is safe on disk.
func (r *refusals) Refuse(ctx context.Context, said pages.Refusal) error {
	return r.journal.Append(ctx, rights.Refusal{At: said.At, Kind: rights.Withdraw, Message: said.Message, Scope: string(said.Scope)})
}

// Waits stops the senders until the refusal has been replayed.
func (r *refusals) Waits(cause error) { r.guard.Outage(cause) }

// applyRefusal records a refusal of the journal, unless the ledger has it: most reached the database
// when they were said.
func (a *app) applyRefusal(ctx context.Context, r rights.Refusal) error {
	if r.Message == 0 {
		n, err := noOf(r)
		if err != nil {
			return err
		}
		if n.Action == consent.Erase {
			return a.eraseAgain(ctx, n)
		}
		if done, err := a.ledger.Applied(ctx, a.db, n); done || err != nil {
			return err
		}
		return a.db.Tx(ctx, func(tx *schema.Tx) error { return a.ledger.Apply(ctx, tx, n) })
	}
	l, err := queue.Lookup(ctx, a.db, r.Message)
	if err != nil && !errors.Is(err, queue.ErrNoMessage) {
		return err
	}
	if l.Contact != 0 {
		rows, err := a.ledger.History(ctx, a.db, l.Contact)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(rows, func(row consent.Row) bool {
			return row.Recorded >= r.At && row.Evidence["message"] == r.Message.String() && row.Evidence["scope"] == r.Scope
		}) {
			return nil
		}
	}
	return a.recipients.Apply(ctx, pages.Refusal{Message: r.Message, Scope: pages.Scope(r.Scope), At: r.At})
}

// eraseAgain erases who was erased since the backup of a database was made. Somebody who came back
// later is somebody else.
func (a *app) eraseAgain(ctx context.Context, n consent.No) error {
	who, created, err := a.ledger.Find(ctx, a.db, n.Hash)
	if errors.Is(err, consent.ErrNoEntry) {
		if done, err := a.ledger.ErasedSince(ctx, a.db, n.Hash, n.At); done || err != nil {
			return err
		}
		return a.db.Tx(ctx, func(tx *schema.Tx) error { return a.ledger.ForgetHash(ctx, tx, n.Hash, n.Block, n.At) })
	}
	if err != nil || created > n.At {
		return err
	}
	why := rights.OnRetention
	for reason, leave := range leaves {
		if leave == n.Block {
			why = reason
		}
	}
	err = a.db.Tx(ctx, func(tx *schema.Tx) error {
		erase := func(ctx context.Context, tx *schema.Tx, who id.Contact) error {
			_, err := a.desk.Erase(ctx, tx, who, why, journalActor)
			return err
		}
		if why == rights.OnRetention {
			return a.ledger.Outlive(ctx, tx, who, erase)
		}
		return erase(ctx, tx, who)
	})
	if errors.Is(err, rights.ErrNoContact) || errors.Is(err, rights.ErrHeld) { // gone meanwhile; or its time was over, and now there is a hold
		return nil
	}
	return err
}

// journalActor is who does in the audit log what the journal asks for.
const journalActor = "refusals journal"
