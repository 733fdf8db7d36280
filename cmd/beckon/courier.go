package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"time"

	"beckon/cmd/internal/pages"
	"beckon/mailer/queue"
)

// courier takes confirmation mails to a relay: single letters that somebody has just asked for, so
// they do not queue behind a campaign. A letter waits in memory; after a crash the person asks again.
type courier struct {
	relays  []*queue.Relay
	log     *slog.Logger
	now     func() time.Time
	letters chan letter
}

type letter struct {
	from, to string
	message  []byte
}

// courierTries is how often a letter is offered before it is given up, with a growing pause.
const courierTries = 6

var errCourierFull = errors.New("too many confirmation mails are waiting for the relay; try again in a minute")

func newCourier(relays []*queue.Relay, log *slog.Logger, now func() time.Time) *courier {
	return &courier{relays, log, now, make(chan letter, 4096)}
}

// Confirm writes the letter and puts it in line; it does not wait for the relay.
func (c *courier) Confirm(_ context.Context, l pages.Confirmation) error {
	if len(c.relays) == 0 {
		return errors.New("no relay to send the confirmation with: set BECKON_SMTP")
	}
	if l.Company.FromDomain == "" {
		return fmt.Errorf("company %s has no from_domain to send the confirmation from", l.Company.Slug)
	}
	from := "confirm@" + l.Company.FromDomain // another address than campaigns come from
	m, err := l.Message((&mail.Address{Name: l.Company.Name, Address: from}).String(), c.now())
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		return fmt.Errorf("confirmation mail: %w", err)
	}
	select {
	case c.letters <- letter{from, l.To, b.Bytes()}:
		return nil
	default:
		return errCourierFull
	}
}

// Run takes the letters out, one after the other, until ctx ends.
func (c *courier) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case l := <-c.letters:
			c.deliver(ctx, l)
		}
	}
}

func (c *courier) deliver(ctx context.Context, l letter) {
	for try := range courierTries {
		err := queue.Deliver(ctx, c.relays, queue.Options{Log: c.log}, l.from, l.to, l.message)
		if err == nil || ctx.Err() != nil {
			return
		}
		c.log.Warn("confirmation mail waits", "try", try+1, "err", err.Error())
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second << try):
		}
	}
	c.log.Error("confirmation mail given up", "tries", courierTries)
}
