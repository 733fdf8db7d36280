package consent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"beckon/schema"
)

func TestWhatAnEntryNeeds(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		c := w.contact("", "")
		yes := true
		good := Entry{Contact: c, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Notice: "v1", How: ByForm}
		for _, k := range []struct {
			name   string
			change func(*Entry)
			want   error
		}{
			{"a contact", func(e *Entry) { e.Contact = 0 }, ErrEntry},
			{"a registered contact", func(e *Entry) { e.Contact = 99 }, ErrNoEntry},
			{"an action", func(e *Entry) { e.Action = "" }, ErrEntry},
			{"a way in which it came", func(e *Entry) { e.How = "rumour" }, ErrEntry},
			{"a company", func(e *Entry) { e.Company = 0 }, ErrEntry},
			{"a known company", func(e *Entry) { e.Company = 99 }, ErrUnknownCompany},
			{"a channel", func(e *Entry) { e.Channel = "" }, ErrEntry},
			{"something that is agreed to", func(e *Entry) { e.Types = nil }, ErrEntry},
			{"a notice", func(e *Entry) { e.Notice = "" }, ErrUnknownNotice},
			{"a known notice", func(e *Entry) { e.Notice = "v9" }, ErrUnknownNotice},
			{"a time that is not in the future", func(e *Entry) { e.Captured = schema.At(w.clock.Add(6 * time.Minute)) }, ErrFuture},
			{"a confirmation that is not in the future", func(e *Entry) { e.Confirmed = schema.At(w.clock.Add(time.Hour)) }, ErrFuture},
			{"a time after 1970", func(e *Entry) { e.Captured = -1 }, ErrEntry},
			{"an actor that is text", func(e *Entry) { e.Actor = "a\x00b" }, ErrEntry},
			{"a notice that is text", func(e *Entry) { e.Notice = "v1\x00" }, ErrUnknownNotice},
			{"a short actor", func(e *Entry) { e.Actor = strings.Repeat("x", 201) }, ErrEntry},
			{"no tracking with a withdrawal", func(e *Entry) { e.Action, e.Tracking = Withdraw, &yes }, ErrEntry},
		} {
			e := good
			k.change(&e)
			err := w.db.Tx(w.ctx, func(tx *schema.Tx) error {
				_, err := w.l.Record(w.ctx, tx, e)
				return err
			})
			if !errors.Is(err, k.want) {
				t.Errorf("%s: got %v, want %v", k.name, err, k.want)
			}
		}
		for _, k := range []struct {
			change func(*Entry)
			want   ErrUnknownSlug
		}{
			{func(e *Entry) { e.Types = []string{letter, "spam"} }, ErrUnknownSlug{KindType, "spam"}},
			{func(e *Entry) { e.Topics = []string{"love"} }, ErrUnknownSlug{KindTopic, "love"}},
			{func(e *Entry) { e.Channel = "fax" }, ErrUnknownSlug{KindChannel, "fax"}},
		} {
			e := good
			k.change(&e)
			_, err := w.try(e)
			var slug *ErrUnknownSlug
			if !errors.As(err, &slug) || *slug != k.want {
				t.Errorf("got %v, want %v", err, k.want)
			}
		}
		rows, err := w.l.History(w.ctx, w.db, c)
		w.ok(err)
		if len(rows) != 0 {
			t.Errorf("something was recorded: %+v", rows)
		}
		ahead := good
		ahead.Captured = schema.At(w.clock.Add(time.Minute))
		w.record(ahead)
		w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme, Notice: "v9"})
		rows, err = w.l.History(w.ctx, w.db, c)
		w.ok(err)
		if rows[0].Captured > rows[0].Recorded {
			t.Error("a clock that is a little ahead put an entry into the future")
		}
		if len(rows) != 2 || rows[1].Notice != "" {
			t.Errorf("a no was lost over its notice, or names one that is not stored: %+v", rows)
		}
	})
}
