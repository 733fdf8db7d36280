package main

import (
	"context"
	"errors"
	"slices"

	"beckon/cmd/internal/pages"
	"beckon/mailer/queue"
	"beckon/segments/consent"
	"beckon/segments/rights"
)

// refusals keeps what is said with the link of a mail outside the database too, so that it is heard
// while the database is down and survives the restore of an older one.
type refusals struct {
	journal *rights.Journal
	guard   *rights.Guard
}

// openRefusals opens the journal. Nobody is sent mail until it has been replayed.
func (a *app) openRefusals(dir, node string) (*refusals, error) {
	j, err := rights.OpenJournal(dir, node, rights.JournalOptions{Report: func(err error) { a.log.Error("refusals journal", "err", err.Error()) }})
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, func() { j.Close() })
	replay := func(ctx context.Context) error {
		n, err := j.Replay(ctx, a.db, a.applyRefusal)
		if n > 0 {
			a.log.Info("refusals journal replayed", "refusals", n)
		}
		return err
	}
	return &refusals{j, rights.NewGuard(replay, func(err error) {
		a.log.Error("no mail is sent before the refusals journal is replayed", "err", err.Error())
	})}, nil
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
