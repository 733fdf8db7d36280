package pages

import (
	"context"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/rights"
)

// Desk hands out and erases what is held of a person, for whoever holds a link that was mailed to
// the address. *rights.Desk is one.
type Desk interface {
	Link(ctx context.Context, tx *schema.Tx, who id.Contact, purpose rights.LinkPurpose, ttl time.Duration) (id.Request, time.Time, error)
	Peek(ctx context.Context, q schema.Querier, r id.Request) (rights.Link, error)
	Use(ctx context.Context, tx *schema.Tx, r id.Request, purpose rights.LinkPurpose) (id.Contact, error)
	Copy(ctx context.Context, q schema.Querier, who id.Contact) (rights.Copy, error)
	Erase(ctx context.Context, tx *schema.Tx, who id.Contact, why rights.Reason, actor string) (rights.Receipt, error)
}

// Inbox takes complaints. *rights.Requests is one.
type Inbox interface {
	Open(ctx context.Context, tx *schema.Tx, n rights.NewRequest) (rights.Request, error)
	Acknowledge(ctx context.Context, tx *schema.Tx, which id.Request, actor string) (rights.Request, error)
}

// Audit is told of every copy that is handed out. *rights.Audit is one.
type Audit interface {
	Write(ctx context.Context, q schema.Querier, e rights.Entry) error
}

var (
	_ Desk  = (*rights.Desk)(nil)
	_ Inbox = (*rights.Requests)(nil)
	_ Audit = (*rights.Audit)(nil)
)
