package mailer_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"beckon/mailer"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/segments/consent"
)

// BenchmarkCampaign sends b.N letters of about 24 kB, from the launch to the end of the campaign: the
// real gate, composition per recipient, half of them identified, into a sink in this process.
// BENCH_CONNECTIONS sets how many are open.
func BenchmarkCampaign(b *testing.B) {
	w := newWorld(b, servertest.SQLite(b))
	for from := 0; from < b.N; from += 500 {
		w.crowd(from, min(500, b.N-from))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.ok(err)
	defer l.Close()
	go sink(l)
	relays, err := queue.ParseRelays("smtp://" + l.Addr().String())
	w.ok(err)
	connections, _ := strconv.Atoi(os.Getenv("BENCH_CONNECTIONS"))
	w.options.Relays, w.options.Now = relays, time.Now
	w.options.Sender = queue.Options{Connections: connections, Alone: true}
	m := mailer.New(w.options)
	d := w.draft(w.everybody())
	d.HTML = strings.Replace(d.HTML, "{{ citation }}", strings.Repeat("<p>Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod.</p>\n", 150)+"{{ citation }}", 1)
	c := w.create(m, d)
	w.run(m)
	b.ResetTimer()
	_, err = m.Launch(b.Context(), c.ID)
	w.ok(err)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if k, err := m.Get(b.Context(), c.ID); err != nil {
			b.Fatal(err)
		} else if k.Status == mailer.Finished {
			break
		}
		<-tick.C
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	if s := w.status(m, c.ID); s.Messages[queue.Sent] != int64(b.N) {
		b.Fatalf("messages: %+v", s.Counts)
	}
}

// crowd makes n opted-in contacts, every second one with tracking.
func (w *world) crowd(from, n int) {
	ctx, yes := w.t.Context(), true
	w.ok(w.Tx(ctx, func(tx *schema.Tx) error {
		var emails []any
		for i := range n {
			emails = append(emails, fmt.Sprintf("p%d@example.org", from+i))
		}
		var ids []id.Contact
		err := tx.Select(ctx, &ids, `INSERT INTO contacts (email, name, country, own_at, created_at, updated_at) VALUES `+
			strings.ReplaceAll(schema.Rows(n, 1), "?", "?, 'Pat', 'GB', 1, 1, 1")+` RETURNING id`, emails...)
		if err != nil {
			return err
		}
		var people []consent.Contact
		var entries []consent.Entry
		for i, c := range ids {
			people = append(people, consent.Contact{ID: c, Email: emails[i].(string)})
			e := consent.Entry{Contact: c, Action: consent.Grant, Company: w.acme.ID, Channel: consent.Email, Types: []string{"newsletter"}, Notice: "v1", How: consent.ByImport}
			if i%2 == 0 {
				e.Tracking = &yes
			}
			entries = append(entries, e)
		}
		if err := w.ledger.Register(ctx, tx, people); err != nil {
			return err
		}
		_, err = w.ledger.RecordMany(ctx, tx, entries)
		return err
	}))
}

// sink is the least that SMTP asks of a server.
func sink(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			in := bufio.NewReaderSize(c, 64<<10)
			say := func(s string) { io.WriteString(c, s+"\r\n") }
			say("220 sink")
			for {
				line, err := in.ReadSlice('\n')
				if err != nil {
					return
				}
				switch {
				case bytes.HasPrefix(line, []byte("EHLO")):
					say("250-sink\r\n250-PIPELINING\r\n250 8BITMIME")
				case bytes.HasPrefix(line, []byte("DATA")):
					say("354 go on")
					for string(line) != ".\r\n" {
						if line, err = in.ReadSlice('\n'); err != nil {
							return
						}
					}
					say("250 taken")
				default:
					say("250 ok")
				}
			}
		}()
	}
}
