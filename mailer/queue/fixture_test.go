package queue_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
)

// stage is a database with one campaign. Instead of the consent gate, a contact's job title is the
// reason why nothing may be sent to them, and their topics are their tracking epoch: the real gate is
// tested where it lives and in package mailer.
type stage struct {
	*schema.DB
	t        testing.TB
	campaign id.Campaign
	clock    *clock
	rate     float64
	domain   string // of the sender
	hours    func(time.Time) (bool, time.Time)
	size     int // bytes of a message's body
	broken   map[id.Contact]bool
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newStage(t testing.TB, db *schema.DB, contacts int) *stage {
	t.Helper()
	s := &stage{DB: db, t: t, clock: &clock{at: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)}}
	s.exec(`INSERT INTO companies (slug, name, created_at) VALUES ('acme', 'ACME', 1)`)
	s.contacts(1, contacts)
	s.campaign = s.newCampaign()
	return s
}

func (s *stage) contacts(from, to int) {
	s.t.Helper()
	for ; from <= to; from += 1000 {
		n := min(1000, to-from+1)
		var args []any
		for i := range n {
			args = append(args, from+i, address(from+i))
		}
		s.exec(`INSERT INTO contacts (id, email, created_at, updated_at) VALUES `+strings.ReplaceAll(schema.Rows(n, 2), "?,?", "?,?,1,1"), args...)
	}
}

func (s *stage) newCampaign() id.Campaign {
	s.t.Helper()
	var c id.Campaign
	err := s.Tx(context.Background(), func(tx *schema.Tx) error {
		return tx.Get(context.Background(), &c, `INSERT INTO campaigns (name, company, type, subject, sender, html, audience, tracking, status, created_at, launched_at)
			SELECT 'c', min(id), 'newsletter', 's', 'news@acme.example', '', '{}', 'consented', 'sending', 1, ? FROM companies RETURNING id`, schema.At(s.clock.now()))
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *stage) exec(statement string, args ...any) {
	s.t.Helper()
	if _, err := s.Exec(context.Background(), statement, args...); err != nil {
		s.t.Fatal(err)
	}
}

const (
	reasonOf = `COALESCE((SELECT g.job_title FROM contacts g WHERE g.id = %s), 'not-found')`
	epochOf  = `COALESCE((SELECT g.topics FROM contacts g WHERE g.id = m.contact), 0)`
)

func everybody(via id.Source) queue.Part {
	return queue.Part{Via: via, Member: consent.Fragment{SQL: "1 = 1"}, Allowed: consent.Fragment{SQL: "c.job_title = ?", Args: []any{""}}}
}

// build makes everybody whom the gate allows a recipient.
func (s *stage) build() {
	s.t.Helper()
	err := queue.Build(s.t.Context(), s.DB, func() (queue.BuildSpec, error) {
		return queue.BuildSpec{Campaign: s.campaign, Parts: []queue.Part{everybody(0)}}, nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.exec(`UPDATE campaigns SET built = ? WHERE id = ?`, true, s.campaign)
}

// Sending makes the stage the sender's book.
func (s *stage) Sending(ctx context.Context) ([]queue.Campaign, error) {
	var rows []struct {
		ID       id.Campaign `db:"id"`
		Launched schema.Time `db:"launched_at"`
		Note     string      `db:"status_note"`
	}
	if err := s.Select(ctx, &rows, `SELECT id, launched_at, status_note FROM campaigns WHERE status = 'sending' AND built ORDER BY id`); err != nil {
		return nil, err
	}
	var all []queue.Campaign
	for _, r := range rows {
		refusal := fmt.Sprintf(reasonOf, "m.contact")
		all = append(all, queue.Campaign{ID: r.ID, Launched: r.Launched, Rate: s.rate, Domain: s.domain, Open: s.hours, Note: r.Note, Filler: s, Gates: func() (queue.Gates, error) {
			return queue.Gates{
				Allowed: consent.Fragment{SQL: refusal + ` = ?`, Args: []any{""}},
				Refusal: consent.Fragment{SQL: refusal},
				Epoch:   consent.Fragment{SQL: epochOf},
				Cited:   consent.Fragment{SQL: `CASE WHEN m.via = ? THEN '' ELSE '|' || CAST(m.via AS TEXT) || '|77|' END`, Args: []any{0}},
			}, nil
		}})
	}
	return all, nil
}

func (s *stage) Load(ctx context.Context, tx *schema.Tx, ms []queue.Claimed) error {
	args := make([]any, len(ms))
	for i, m := range ms {
		args[i] = m.Contact
	}
	var rows []struct {
		ID    id.Contact `db:"id"`
		Email string     `db:"email"`
	}
	if err := tx.Select(ctx, &rows, `SELECT id, email FROM contacts WHERE id IN (`+schema.List(len(ms))+`)`, args...); err != nil {
		return err
	}
	email := map[id.Contact]string{}
	for _, r := range rows {
		email[r.ID] = r.Email
	}
	for i := range ms {
		ms[i].To, ms[i].ReturnPath = email[ms[i].Contact], "bounces@acme.example"
		if via := ms[i].Via; via != 0 && !slices.Equal(ms[i].Cited, []id.Source{via, 77}) {
			ms[i].Problem = "wrong-citation"
		}
	}
	return nil
}

func (s *stage) Fill(_ context.Context, dst []byte, m queue.Claimed) ([]byte, error) {
	if s.broken[m.Contact] {
		return dst, fmt.Errorf("no template for %d", m.Contact)
	}
	dst = fmt.Appendf(dst, "From: news@acme.example\r\nTo: %s\r\nSubject: hello\r\nMessage-ID: <%d@acme.example>\r\n\r\n", m.To, m.Message)
	for n := 0; n < max(s.size, 1); n += 72 {
		dst = append(dst, "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiu.\r\n"...)
	}
	return dst, nil
}

// quick are options under which nothing waits long.
func (s *stage) quick() queue.Options {
	return queue.Options{
		Poll: 5 * time.Millisecond, Redial: 5 * time.Millisecond, Grace: 2 * time.Second, DialTimeout: 10 * time.Second,
		CommandTimeout: 10 * time.Second, DataTimeout: 10 * time.Second, Batch: 16, Now: s.clock.now,
		Backoff: func(int) time.Duration { return time.Hour },
	}
}

// start runs a sender until the test ends or stop is called, which waits for it.
func (s *stage) start(relays []*queue.Relay, o queue.Options) (sender *queue.Sender, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	sender = queue.NewSender(s.DB, s, relays, o)
	done := make(chan error, 1)
	go func() { done <- sender.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("the sender ended with %v", err)
		}
	})
	s.t.Cleanup(stop)
	return sender, stop
}

func (s *stage) counts() queue.Counts {
	s.t.Helper()
	n, err := queue.Count(context.Background(), s.DB, s.campaign)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// until waits until what is true, and fails with the counts as they are if it does not come true.
func (s *stage) until(what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("%s did not come about; campaign %s, messages %+v", what, s.status(), s.counts())
		}
	}
}

func (s *stage) untilFinished() {
	s.t.Helper()
	s.until("the end of the campaign", func() bool { return s.status() == "finished" })
}

func (s *stage) status() string {
	s.t.Helper()
	var status string
	if err := s.Get(context.Background(), &status, `SELECT status FROM campaigns WHERE id = ?`, s.campaign); err != nil {
		s.t.Fatal(err)
	}
	return status
}

func (s *stage) note() string {
	s.t.Helper()
	var note string
	if err := s.Get(context.Background(), &note, `SELECT status_note FROM campaigns WHERE id = ?`, s.campaign); err != nil {
		s.t.Fatal(err)
	}
	return note
}

// row is a message as it is stored.
type row struct {
	Status   queue.Status `db:"status"`
	Reason   string       `db:"reason"`
	Code     int          `db:"smtp_code"`
	Reply    string       `db:"smtp_reply"`
	Mode     string       `db:"mode"`
	Epoch    int64        `db:"epoch"`
	Cited    string       `db:"cited"`
	Attempts int          `db:"attempts"`
	Lease    string       `db:"lease"`
	SentAt   schema.Time  `db:"sent_at"`
	NextAt   schema.Time  `db:"next_at"`
}

func (s *stage) message(contact int) row {
	s.t.Helper()
	var r row
	err := s.Get(context.Background(), &r, `SELECT status, reason, smtp_code, smtp_reply, mode, epoch, cited, attempts, lease, sent_at, next_at FROM messages WHERE campaign = ? AND contact = ?`, s.campaign, contact)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}
