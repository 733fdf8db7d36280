package consent

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

// diary is a journal in memory.
type diary struct {
	batches [][]No
	fail    error
}

func (d *diary) Keep(_ context.Context, noes []No) error {
	if d.fail != nil {
		return d.fail
	}
	d.batches = append(d.batches, noes)
	return nil
}

func (d *diary) noes() []No { return slices.Concat(d.batches...) }

// take returns what was kept since it was last called.
func (d *diary) take() []No {
	noes := d.noes()
	d.batches = nil
	return noes
}

// journaled gives the world's ledger a journal.
func (w *world) journaled() *diary {
	d := &diary{}
	w.l = NewLedger(w.db, LedgerOptions{HashKey: testKey, Now: w.l.now, Journal: d})
	return d
}

// eachPair gives a test a database and, of the same kind, an older one that is put in its place.
func eachPair(t *testing.T, test func(t *testing.T, now, restored *world)) {
	t.Run("sqlite", func(t *testing.T) { test(t, newWorld(t, servertest.SQLite(t)), newWorld(t, servertest.SQLite(t))) })
	t.Run("postgres", func(t *testing.T) {
		test(t, newWorld(t, servertest.Postgres(t)), newWorld(t, servertest.Postgres(t)))
	})
}

func (w *world) apply(noes ...No) {
	w.t.Helper()
	for _, n := range noes {
		w.tx(func(tx *schema.Tx) error { return w.l.Apply(w.ctx, tx, n) })
	}
}

// standing is what the ledger amounts to for a contact, in words.
func (w *world) standing(c id.Contact) string {
	w.t.Helper()
	all, err := w.l.State(w.ctx, w.db, c)
	w.ok(err)
	b, err := w.l.Blocks(w.ctx, w.db, c)
	w.ok(err)
	s := fmt.Sprintln("blocks", b.Reasons())
	for _, st := range all {
		s += fmt.Sprintf("%s/%s granted %v refused %v explicit %v since %s changed %s notice %s tracking %+v items %v\n",
			st.Slug, st.Channel, st.Granted, st.Refused, st.Explicit, st.GrantedAt, st.ChangedAt, st.Notice, st.Tracking, st.Items)
	}
	return s
}

// agreeable makes a contact who said yes to much.
func (w *world) agreeable(email string) id.Contact {
	w.t.Helper()
	c := w.contactAt(email, "", "")
	yes := true
	for _, co := range []id.Company{w.acme, w.bolt} {
		for _, ch := range []Channel{Email, Phone} {
			w.record(Entry{Contact: c, Action: Grant, Company: co, Channel: ch, Types: []string{letter, promo}, Topics: []string{"sexual-health"}, Tracking: &yes, Own: true})
		}
	}
	return c
}

// saying is a no, or something like it, and how the journal keeps it. Hash and At are filled in.
type saying struct {
	name string
	say  func(w *world, c id.Contact, email string)
	want []No
	yes  bool // it is a yes, too, which an older database does not have
}

func sayings() []saying {
	no := false
	record := func(e Entry) func(*world, id.Contact, string) {
		return func(w *world, c id.Contact, _ string) {
			w.t.Helper()
			e := e
			e.Contact = c
			if e.Company != 0 {
				e.Company = map[id.Company]id.Company{1: w.acme, 2: w.bolt}[e.Company]
			}
			w.record(e)
		}
	}
	suppress := func(b Block) func(*world, id.Contact, string) {
		return func(w *world, _ id.Contact, email string) {
			w.t.Helper()
			w.suppress(b, email)
		}
	}
	return []saying{
		{"a type is withdrawn", record(Entry{Action: Withdraw, Company: 1, Channel: Email, Types: []string{letter}, How: ByPage, Own: true}),
			[]No{{Action: Withdraw, Company: "acme", Channel: Email, Types: []string{letter}, How: ByPage}}, false},
		{"types are withdrawn by phone", record(Entry{Action: Withdraw, Company: 2, Channel: Phone, Types: []string{promo, letter}, How: ByPhone}),
			[]No{{Action: Withdraw, Company: "bolt", Channel: Phone, Types: []string{letter, promo}, How: ByPhone}}, false},
		{"a company is withdrawn from", record(Entry{Action: Withdraw, Company: 1, How: ByAPI}), []No{{Action: Withdraw, Company: "acme", How: ByAPI}}, false},
		{"a channel is withdrawn", record(Entry{Action: Withdraw, Channel: Email, How: ByEmail}), []No{{Action: Withdraw, Channel: Email, How: ByEmail}}, false},
		{"everything is withdrawn", record(Entry{Action: Withdraw, How: ByImport}), []No{{Action: Withdraw, How: ByImport}}, false},
		{"an explicit consent is withdrawn", record(Entry{Action: Withdraw, Topics: []string{"sexual-health"}, How: ByPage}),
			[]No{{Action: Withdraw, Topics: []string{"sexual-health"}, How: ByPage}}, false},
		{"a type and tracking are withdrawn", record(Entry{Action: Withdraw, Company: 1, Channel: Email, Types: []string{letter}, Tracking: &no, How: ByForm}),
			[]No{{Action: Withdraw, Company: "acme", Channel: Email, Types: []string{letter}, Tracking: true, How: ByForm}}, false},
		{"a company is objected to", record(Entry{Action: Object, Company: 2, Channel: Email, How: ByPost}), []No{{Action: Object, Company: "bolt", Channel: Email, How: ByPost}}, false},
		{"everything is objected to", record(Entry{Action: Object, How: ByPage}), []No{{Action: Object, How: ByPage}}, false},
		{"a restriction", record(Entry{Action: Restrict, How: ByPhone}), []No{{Action: Restrict, How: ByPhone}}, false},
		{"tracking is withdrawn", record(Entry{Action: Grant, Company: 1, Channel: Email, Tracking: &no, How: ByPage}),
			[]No{{Action: Grant, Company: "acme", Channel: Email, Tracking: true, How: ByPage}}, false},
		{"a yes takes tracking back", record(Entry{Action: Grant, Company: 1, Channel: Email, Types: []string{letter}, Tracking: &no, How: ByForm, Own: true}),
			[]No{{Action: Grant, Company: "acme", Channel: Email, Tracking: true, How: ByForm}}, true},
		{"an item is withdrawn", func(w *world, c id.Contact, _ string) {
			w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme, Channel: Email, Item: "paper-1", How: ByPage})
		}, []No{{Action: Withdraw, Company: "acme", Channel: Email, Item: "paper-1", How: ByPage}}, false},
		{"a bounce", suppress(BlockBounced), []No{{Action: Suppress, Block: BlockBounced, How: byBounce}}, false},
		{"a complaint", suppress(BlockComplained), []No{{Action: Suppress, Block: BlockComplained, How: byComplaint}}, false},
		{"a child", suppress(BlockUnderAge), []No{{Action: Suppress, Block: BlockUnderAge, How: byAge}}, false},
		{"a list of noes", suppress(BlockObjected), []No{{Action: Suppress, Block: BlockObjected, How: bySuppression}}, false},
		{"several blocks", suppress(BlockBounced | BlockWithdrawn | BlockRestricted), []No{
			{Action: Suppress, Block: BlockWithdrawn, How: bySuppression}, {Action: Suppress, Block: BlockRestricted, How: bySuppression}, {Action: Suppress, Block: BlockBounced, How: byBounce}}, false},
		{"a late no", func(w *world, c id.Contact, _ string) {
			w.record(Entry{Contact: c, Action: Object, Company: w.acme, How: ByPost, Captured: schema.At(w.clock.Add(-time.Hour))})
		}, []No{{Action: Object, Company: "acme", How: ByPost}}, false},
		{"a no that loses against a later yes", func(w *world, c id.Contact, _ string) {
			w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme, Channel: Email, Types: []string{letter}, How: ByPost, Captured: 1})
		}, []No{{Action: Withdraw, Company: "acme", Channel: Email, Types: []string{letter}, How: ByPost}}, false},
		{"nothing, by a yes", record(Entry{Action: Grant, Company: 1, Channel: Email, Types: []string{letter}, Own: true}), nil, false},
		{"nothing, by a request", record(Entry{Action: Request, Company: 1, Channel: Email, Types: []string{letter}}), nil, false},
		{"nothing, by a lift", record(Entry{Action: Lift}), nil, false},
		{"nothing, by a no that the journal has", record(Entry{Action: Object, Journaled: true}), nil, false},
		{"nothing, by what is served", func(w *world, c id.Contact, _ string) {
			w.tx(func(tx *schema.Tx) error {
				_, err := w.l.Lapse(w.ctx, tx, c, w.acme, Email, []string{letter}, "test")
				if err != nil {
					return err
				}
				return w.l.Served(w.ctx, tx, c, w.acme, Email, "paper-1", "test")
			})
		}, nil, false},
	}
}

// Every kind of no reaches the journal, with the time that the ledger has, and the journal is enough
// to bring an older database to where the newer one was.
func TestS26EveryNoIsJournaledAndCanBeReplayed(t *testing.T) {
	eachPair(t, func(t *testing.T, now, restored *world) {
		d := now.journaled()
		for i, k := range sayings() {
			t.Run(k.name, func(t *testing.T) {
				now.t, restored.t = t, t
				email := fmt.Sprintf("case%d@example.org", i)
				restored.clock = now.clock
				var people [2]id.Contact
				for i, w := range []*world{now, restored} {
					people[i] = w.agreeable(email)
					w.record(Entry{Contact: people[i], Action: Grant, Company: w.acme, Channel: Email, Item: "paper-1", Own: true})
				}
				who, again := people[0], people[1]
				if got := d.take(); len(got) > 0 {
					t.Fatalf("a yes was kept: %+v", got)
				}
				before, err := now.l.History(t.Context(), now.db, who)
				now.ok(err)
				k.say(now, who, email)
				restored.clock = now.clock
				rows, err := now.l.History(t.Context(), now.db, who)
				now.ok(err)
				got := d.take()
				want := slices.Clone(k.want)
				for i := range want {
					want[i].Hash, want[i].At = Hash(testKey, email), rows[len(before)+i].Captured
				}
				if !reflect.DeepEqual(got, want) && len(got)+len(want) > 0 {
					t.Fatalf("got  %+v\nwant %+v", got, want)
				}
				was := now.standing(who)
				now.apply(got...)
				after, err := now.l.History(t.Context(), now.db, who)
				now.ok(err)
				if is := now.standing(who); is != was || len(after) != len(rows) {
					t.Errorf("replayed where it is there already:\n%swas\n%s%s", is, was, show(after))
				}
				if len(want) == 0 {
					return
				}
				given := regexp.MustCompile(`since \S+ changed \S+`)
				for range 2 {
					restored.apply(got...)
					is := restored.standing(again)
					if k.yes {
						is, was = given.ReplaceAllString(is, ""), given.ReplaceAllString(was, "")
					}
					if is != was {
						t.Errorf("replayed into an older database:\n%swant\n%s", is, was)
					}
				}
				their, err := restored.l.History(t.Context(), restored.db, again)
				now.ok(err)
				if len(their) != len(before)+len(want) {
					t.Errorf("replayed twice: %s", show(their))
				}
				for i, r := range their[len(before):] {
					if r.Actor != "journal" || r.Captured != want[i].At || r.How != want[i].How {
						t.Errorf("recorded as %+v", r)
					}
				}
			})
		}
		now.t, restored.t = t, t
		now.clean()
		restored.clean()
	})
}

func TestS26AddressesThatAreNotHeldAreJournaled(t *testing.T) {
	eachPair(t, func(t *testing.T, now, restored *world) {
		d := now.journaled()
		held := now.contactAt("held@example.org", "", "")
		now.suppress(BlockComplained|BlockUnderAge, "Away@Example.org", "held@example.org", "away@example.org")
		at := schema.At(now.clock)
		hash := func(email string) []byte { return Hash(testKey, email) }
		got := d.take()
		slices.SortFunc(got, func(a, b No) int { return int(a.Block - b.Block) })
		want := []No{
			{Hash: hash("held@example.org"), Action: Suppress, Block: BlockComplained, How: byComplaint, At: at},
			{Hash: hash("away@example.org"), Action: Suppress, Block: BlockComplained, How: byComplaint, At: at},
			{Hash: hash("held@example.org"), Action: Suppress, Block: BlockUnderAge, How: byAge, At: at},
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
		now.apply(got...)
		if rows, err := now.l.History(t.Context(), now.db, held); err != nil || len(rows) != 2 {
			t.Errorf("%v, %v", rows, err)
		}
		for range 2 {
			restored.apply(got...)
			if m := restored.suppressed("away@example.org", "held@example.org"); m["away@example.org"] != BlockComplained || m["held@example.org"] != BlockComplained {
				t.Errorf("got %v", m)
			}
		}
		// Neither the list itself nor what it does to a new contact is told again.
		now.suppress(BlockUnderAge, "away@example.org")
		now.contactAt("away@example.org", "", "")
		if got := d.take(); len(got) > 0 {
			t.Errorf("kept %+v", got)
		}
	})
}

func TestS26AnErasureIsJournaled(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		d := w.journaled()
		for _, leave := range []Block{BlockErased, 0, BlockUnderAge} {
			c := w.contactAt("gone@example.org", "", "")
			w.erase(c, leave)
			how := byErasure
			if leave == BlockUnderAge {
				how = byAge
			}
			want := []No{{Hash: Hash(testKey, "gone@example.org"), Action: Erase, Block: leave, How: how, At: schema.At(w.clock)}}
			if got := d.take(); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		}
		// A contact that nobody registered is erased and told, too; its creation by a clock that is ahead
		// does not make the erasure another one's.
		ahead := schema.At(w.clock.Add(time.Minute))
		var c id.Contact
		w.tx(func(tx *schema.Tx) error {
			return tx.Get(w.ctx, &c, `INSERT INTO contacts (email, created_at, updated_at) VALUES ('stray@example.org', ?, 1) RETURNING id`, ahead)
		})
		w.erase(c, BlockErased)
		if got := d.take(); len(got) != 1 || got[0].At != ahead || !slices.Equal(got[0].Hash, Hash(testKey, "stray@example.org")) {
			t.Errorf("got %+v", got)
		}
		if m := w.suppressed("stray@example.org"); len(m) != 1 {
			t.Errorf("got %v", m)
		}
	})
}

// erase deletes a contact as whoever erases it does.
func (w *world) erase(c id.Contact, leave Block) {
	w.t.Helper()
	w.tx(func(tx *schema.Tx) error {
		if err := w.l.Forget(w.ctx, tx, c, leave); err != nil {
			return err
		}
		_, err := tx.Exec(w.ctx, `DELETE FROM contacts WHERE id = ?`, c)
		return err
	})
}

func (w *world) readdress(c id.Contact, email string) error {
	return w.db.Tx(w.ctx, func(tx *schema.Tx) error {
		if _, err := tx.Exec(w.ctx, `UPDATE contacts SET email = ? WHERE id = ?`, email, c); err != nil {
			return err
		}
		return w.l.Readdress(w.ctx, tx, c, email)
	})
}

func TestS26ANewAddressInheritsAndTellsTheJournal(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		d := w.journaled()
		c := w.contactAt("old@example.org", "", "")
		w.grant(c, w.acme, letter, promo)
		w.ok(w.readdress(c, "plain@example.org"))
		if got := d.take(); len(got) > 0 {
			t.Errorf("kept %+v", got)
		}
		w.apply(No{Hash: Hash(testKey, "new@example.org"), Action: Withdraw, Company: "acme", Types: []string{promo}, How: ByPage, At: schema.At(w.clock)})
		w.ok(w.readdress(c, "new@example.org"))
		w.want(c, mail(w.acme, letter), "")
		w.want(c, mail(w.acme, promo), Withdrawn)
		w.record(Entry{Contact: c, Action: Object})
		d.take()
		w.ok(w.readdress(c, "last@example.org"))
		want := []No{{Hash: Hash(testKey, "last@example.org"), Action: Suppress, Block: BlockObjected, How: bySuppression, At: schema.At(w.clock)}}
		got := d.take()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		was := w.count(`SELECT count(*) FROM consent_ledger`)
		w.apply(got...)
		if n := w.count(`SELECT count(*) FROM consent_ledger`); n != was {
			t.Errorf("%d rows, were %d", n, was)
		}
		w.clean()
	})
}

func (w *world) count(query string, args ...any) (n int) {
	w.t.Helper()
	w.ok(w.db.Get(w.ctx, &n, query, args...))
	return n
}

var errDisk = errors.New("disk full")

// What the journal cannot keep is not recorded, and whoever said it gets an error.
func TestS26WithoutTheJournalNoNoIsTaken(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		d := w.journaled()
		c := w.agreeable("held@example.org")
		w.suppress(BlockObjected, "away@example.org")
		was, rows, list := w.standing(c), w.count(`SELECT count(*) FROM consent_ledger`), w.count(`SELECT count(*) FROM suppressions`)
		d.fail = errDisk
		no := false
		for name, say := range map[string]func(tx *schema.Tx) error{
			"record": func(tx *schema.Tx) error {
				_, err := w.l.Record(w.ctx, tx, Entry{Contact: c, Action: Withdraw, How: ByPage})
				return err
			},
			"record many": func(tx *schema.Tx) error {
				_, err := w.l.RecordMany(w.ctx, tx, []Entry{{Contact: c, Action: Restrict, How: ByPage}, Untrack(c, w.acme, ByPage)})
				return err
			},
			"enrol": func(tx *schema.Tx) error {
				var n id.Contact
				if err := tx.Get(w.ctx, &n, `INSERT INTO contacts (email, created_at, updated_at) VALUES ('new@example.org', 1, 1) RETURNING id`); err != nil {
					return err
				}
				_, err := w.l.Enrol(w.ctx, tx, []Contact{{n, "new@example.org"}}, []Entry{{Contact: n, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Tracking: &no, Notice: "v1", How: ByImport}})
				return err
			},
			"suppress a held address": func(tx *schema.Tx) error { return w.l.Suppress(w.ctx, tx, "held@example.org", BlockBounced) },
			"suppress another":        func(tx *schema.Tx) error { return w.l.Suppress(w.ctx, tx, "other@example.org", BlockBounced) },
			"forget":                  func(tx *schema.Tx) error { return w.l.Forget(w.ctx, tx, c, BlockErased) },
		} {
			if err := w.db.Tx(w.ctx, say); !errors.Is(err, errDisk) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if is := w.standing(c); is != was || w.count(`SELECT count(*) FROM consent_ledger`) != rows || w.count(`SELECT count(*) FROM suppressions`) != list {
			t.Errorf("something was recorded:\n%s", is)
		}
		// What is no refusal, or comes from the journal, does not need it.
		w.grant(c, w.acme, letter)
		w.record(Entry{Contact: c, Action: Object, Company: w.bolt, Journaled: true})
		w.apply(No{Hash: Hash(testKey, "held@example.org"), Action: Object, How: ByPage, At: schema.At(w.clock)})
		w.contactAt("away@example.org", "", "")
		d.fail = nil
		w.record(Entry{Contact: c, Action: Object})
		d.fail = errDisk
		if err := w.readdress(c, "elsewhere@example.org"); !errors.Is(err, errDisk) {
			t.Errorf("readdress: got %v", err)
		}
	})
}

func TestTheJournalIsToldOncePerBatch(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		d := w.journaled()
		const many = 2*batch + 10
		var contacts []Contact
		var yeses, noes []Entry
		var emails []string
		w.tx(func(tx *schema.Tx) error {
			for i := range many {
				c := Contact{id.Contact(100 + i), fmt.Sprintf("many%d@example.org", i)}
				contacts = append(contacts, c)
				no := i%2 == 0
				tracking := !no
				yeses = append(yeses, Entry{Contact: c.ID, Action: Grant, Company: w.acme, Channel: Email, Types: []string{letter}, Tracking: &tracking, Notice: "v1", How: ByImport})
				noes = append(noes, Entry{Contact: c.ID, Action: Withdraw, Company: w.acme, How: ByImport})
				emails = append(emails, c.Email, fmt.Sprintf("away%d@example.org", i))
				if _, err := tx.Exec(w.ctx, `INSERT INTO contacts (id, email, created_at, updated_at) VALUES (?, ?, 1, 1)`, c.ID, c.Email); err != nil {
					return err
				}
			}
			_, err := w.l.Enrol(w.ctx, tx, contacts, yeses)
			return err
		})
		if len(d.batches) != 3 || len(d.take()) != many/2 {
			t.Error("enrol does not tell the journal of each batch once")
		}
		w.tx(func(tx *schema.Tx) error {
			_, err := w.l.RecordMany(w.ctx, tx, noes)
			return err
		})
		if len(d.batches) != 3 || len(d.take()) != many {
			t.Error("record does not tell the journal of each batch once")
		}
		w.suppress(BlockBounced, emails...)
		if len(d.batches) != 5 || len(d.take()) != 2*many {
			t.Error("suppress does not tell the journal of each batch once")
		}
		if n := w.count(`SELECT count(*) FROM suppressions`); n != 2*many {
			t.Errorf("%d are suppressed", n)
		}
	})
}

func TestANoAfterTheNewestYesIsJournaledAsTheLedgerHasIt(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		d := w.journaled()
		c := w.contactAt("ahead@example.org", "", "")
		w.clock = w.clock.Add(2 * time.Minute) // a node whose clock is ahead
		w.grant(c, w.acme, letter)
		yes := schema.At(w.clock.Add(-time.Second))
		w.clock = w.clock.Add(-2 * time.Minute)
		w.record(Entry{Contact: c, Action: Withdraw, Company: w.acme})
		if got := d.take(); len(got) != 1 || got[0].At != yes {
			t.Errorf("got %+v, want %s", got, yes)
		}
		w.want(c, mail(w.acme, letter), Withdrawn)
	})
}
