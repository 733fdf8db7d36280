package rights_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments/rights"
)

// office is a desk and an inbox on one database, with a clock of its own.
type office struct {
	*testing.T
	db    *schema.DB
	now   time.Time
	audit *rights.Audit
	desk  *rights.Desk
	inbox *rights.Requests
}

func newOffice(t *testing.T, db *schema.DB, subjects ...rights.Subject) *office {
	o := &office{T: t, db: db, now: time.Date(2026, 5, 4, 12, 0, 0, 123_456_000, time.UTC)}
	clock := func() time.Time { return o.now }
	o.audit = rights.NewAudit(db, clock)
	o.desk = rights.NewDesk(db, subjects, o.audit, clock)
	o.inbox = rights.NewRequests(db, o.audit, clock)
	return o
}

func (o *office) tx(fn func(ctx context.Context, tx *schema.Tx) error) error {
	return o.db.Tx(o.Context(), func(tx *schema.Tx) error { return fn(o.Context(), tx) })
}

func (o *office) ok(err error) {
	o.Helper()
	if err != nil {
		o.Fatal(err)
	}
}

func (o *office) link(who id.Contact, p rights.LinkPurpose, ttl time.Duration) (r id.Request, expires time.Time, err error) {
	err = o.tx(func(ctx context.Context, tx *schema.Tx) (err error) {
		r, expires, err = o.desk.Link(ctx, tx, who, p, ttl)
		return err
	})
	return r, expires, err
}

func (o *office) use(r id.Request, p rights.LinkPurpose) (who id.Contact, err error) {
	err = o.tx(func(ctx context.Context, tx *schema.Tx) (err error) {
		who, err = o.desk.Use(ctx, tx, r, p)
		return err
	})
	return who, err
}

func TestL16AMailedLinkWorksOnceForItsOwnPurposeAndInTime(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		o := newOffice(t, db)
		r, expires, err := o.link(7, rights.ForDownload, 24*time.Hour)
		o.ok(err)
		if want := time.Date(2026, 5, 5, 12, 0, 0, 0, time.UTC); expires != want {
			t.Errorf("the link ends %s, want %s: whole seconds, as its token says", expires, want)
		}
		if _, err := o.use(r, rights.ForErasure); !errors.Is(err, rights.ErrNoLink) {
			t.Errorf("a link to download was taken for one to erase: %v", err)
		}
		if _, err := o.use(r+1, rights.ForDownload); !errors.Is(err, rights.ErrNoLink) {
			t.Errorf("a link that nobody made: %v", err)
		}
		for range 2 { // looking uses nothing up
			l, err := o.desk.Peek(t.Context(), db, r)
			if err != nil || l.Contact != 7 || l.Purpose != rights.ForDownload || l.UsedAt != 0 {
				t.Fatalf("looking at it gave %+v, %v", l, err)
			}
		}
		if who, err := o.use(r, rights.ForDownload); err != nil || who != 7 {
			t.Fatalf("using it gave %s, %v", who, err)
		}
		if _, err := o.use(r, rights.ForDownload); !errors.Is(err, rights.ErrUsed) {
			t.Errorf("using it again: %v", err)
		}
		if _, err := o.desk.Peek(t.Context(), db, r); !errors.Is(err, rights.ErrUsed) {
			t.Errorf("looking at a used one: %v", err)
		}

		r, expires, err = o.link(7, rights.ForErasure, time.Hour)
		o.ok(err)
		o.now = expires
		if _, err := o.use(r, rights.ForErasure); !errors.Is(err, rights.ErrExpired) {
			t.Errorf("at the very end: %v", err)
		}
		if _, err := o.desk.Peek(t.Context(), db, r); !errors.Is(err, rights.ErrExpired) {
			t.Errorf("looking at it at the very end: %v", err)
		}
		o.now = expires.Add(-time.Microsecond)
		if who, err := o.use(r, rights.ForErasure); err != nil || who != 7 {
			t.Errorf("just before the end: %s, %v", who, err)
		}
	})
}

func TestL16OfManyWhoUseALinkAtATimeOneGetsThrough(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		o := newOffice(t, db)
		r, _, err := o.link(7, rights.ForErasure, time.Hour)
		o.ok(err)
		results := make([]error, 8)
		var all sync.WaitGroup
		for i := range results {
			all.Go(func() { _, results[i] = o.use(r, rights.ForErasure) })
		}
		all.Wait()
		through := 0
		for _, err := range results {
			if err == nil {
				through++
			} else if !errors.Is(err, rights.ErrUsed) {
				t.Error(err)
			}
		}
		if through != 1 {
			t.Errorf("%d got through", through)
		}
	})
}

func TestL16AUseThatIsRolledBackLeavesTheLinkAsItWas(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		o := newOffice(t, db)
		r, _, err := o.link(7, rights.ForErasure, time.Hour)
		o.ok(err)
		boom := errors.New("the erasure failed")
		if err := o.tx(func(ctx context.Context, tx *schema.Tx) error {
			_, err := o.desk.Use(ctx, tx, r, rights.ForErasure)
			return errors.Join(err, boom)
		}); !errors.Is(err, boom) {
			t.Fatal(err)
		}
		if who, err := o.use(r, rights.ForErasure); err != nil || who != 7 {
			t.Errorf("%s, %v", who, err)
		}
	})
}

func TestL16NobodyIsMailedMoreThanThreeLinksADay(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		o := newOffice(t, db)
		var made []id.Request
		for range 3 {
			r, _, err := o.link(7, rights.ForDownload, time.Hour)
			o.ok(err)
			made = append(made, r)
		}
		many := func(what string, want error) {
			t.Helper()
			if _, _, err := o.link(7, rights.ForDownload, time.Hour); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		}
		many("the fourth", rights.ErrTooMany)
		o.now = o.now.Add(2 * time.Hour)
		many("when they have expired unused: the mails were sent all the same", rights.ErrTooMany)
		_, _, err := o.link(7, rights.ForErasure, time.Hour)
		o.ok(err) // another purpose
		_, _, err = o.link(8, rights.ForDownload, time.Hour)
		o.ok(err) // another contact
		o.now = o.now.Add(22*time.Hour - time.Second)
		many("a second before the day is over", rights.ErrTooMany)
		o.now = o.now.Add(time.Second)
		many("when the day is over", nil)

		r, _, err := o.link(9, rights.ForDownload, time.Hour)
		o.ok(err)
		for range 3 {
			_, err = o.use(r, rights.ForDownload)
			o.ok(err)
			r, _, err = o.link(9, rights.ForDownload, time.Hour)
			o.ok(err) // who uses theirs gets another
		}
		if slices.Contains(made, r) {
			t.Error("a number was given twice")
		}
	})
}

func TestL16LinksMadeAtATimeAreCountedToo(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		o := newOffice(t, db)
		results := make([]error, 10)
		var all sync.WaitGroup
		for i := range results {
			all.Go(func() { _, _, results[i] = o.link(7, rights.ForDownload, time.Hour) })
		}
		all.Wait()
		made := 0
		for _, err := range results {
			if err == nil {
				made++
			} else if !errors.Is(err, rights.ErrTooMany) {
				t.Error(err)
			}
		}
		if made != 3 {
			t.Errorf("%d links were made", made)
		}
	})
}

func TestALinkThatMakesNoSenseIsNotMade(t *testing.T) {
	o := newOffice(t, servertest.SQLite(t))
	for name, make := range map[string]func() error{
		"of nobody":          func() error { _, _, err := o.link(0, rights.ForDownload, time.Hour); return err },
		"without a purpose":  func() error { _, _, err := o.link(7, "", time.Hour); return err },
		"for another one":    func() error { _, _, err := o.link(7, "grant", time.Hour); return err },
		"that is over":       func() error { _, _, err := o.link(7, rights.ForDownload, 0); return err },
		"for less than that": func() error { _, _, err := o.link(7, rights.ForDownload, -time.Hour); return err },
		"for too long":       func() error { _, _, err := o.link(7, rights.ForDownload, 24*time.Hour+1); return err },
	} {
		if err := make(); err == nil {
			t.Errorf("a link %s was made", name)
		}
	}
	var n int
	if o.ok(o.db.Get(t.Context(), &n, `SELECT count(*) FROM rights_links`)); n != 0 {
		t.Errorf("%d links are stored", n)
	}
}
