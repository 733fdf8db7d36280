package main

import (
	"encoding/json"
	"strings"
	"testing"

	"beckon/cmd/internal/demo"
	"beckon/schema/servertest"
)

// small is enough people for every part of the demo to happen.
var small = demo.Size{Providers: 240, Form: 360}

// stage plays a small demo and stops its service at the end of the test.
func stage(t *testing.T, on demoStorage) (*theatre, *demo.Play) {
	t.Helper()
	d, err := startDemo(t.Context(), "127.0.0.1:0", t.TempDir(), demo.Length, on)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.stop(nil); err != nil {
			t.Error(err)
		}
	})
	play, err := d.play(t.Context(), small, func(string, int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	return d, play
}

// TestTheMainJob plays everything from import to export through the API, over real HTTP and SMTP.
func TestTheMainJob(t *testing.T) {
	for name, on := range map[string]func() demoStorage{
		"embedded":             func() demoStorage { return demoStorage{} },
		"PostgreSQL and Redis": func() demoStorage { return demoStorage{servertest.PostgresDSN(t), servertest.NewRedis(t).URL} },
	} {
		t.Run(name, func(t *testing.T) {
			_, play := stage(t, on())
			r := play.Result()
			for _, c := range r.Checks {
				if !c.OK {
					t.Errorf("%s: %s", c.Name, c.Detail)
				}
			}
			if len(r.Checks) != 7 || len(r.Campaigns) != 2 || r.Segment.Count == 0 || r.Segment.Count != r.Segment.ExportRows {
				t.Errorf("%d checks, %d campaigns, segment %+v", len(r.Checks), len(r.Campaigns), r.Segment)
			}
			for _, c := range r.Campaigns {
				if c.Messages["sent"] == 0 || c.Cited == 0 || c.Opens.Total == 0 || c.Clicks.Total == 0 || len(c.Regions) < 4 {
					t.Errorf("%s: %+v", c.Name, c)
				}
			}
			b, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			for _, field := range []string{`"contacts":{"total":`, `"opted_in":`, `"sourced":`, `"campaigns":[{`, `"audience":`, `"messages":{`, `"cited":`, `"opens":{`, `"clicks":{`, `"regions":[`, `"segment":{`, `"export_rows":`, `"checks":[{"name":`, `"detail":`} {
				if !strings.Contains(string(b), field) {
					t.Errorf("the JSON has no %s", field)
				}
			}
		})
	}
}

// TestEachCheckCanFail breaks every promise on purpose and sees its check fail.
func TestEachCheckCanFail(t *testing.T) {
	d, play := stage(t, demoStorage{})
	ctx := t.Context()
	db, evidence := d.app.db, play.Evidence()
	exec := func(query string, args ...any) {
		t.Helper()
		if n, err := db.Exec(ctx, query, args...); err != nil || n == 0 {
			t.Fatalf("%s: %d rows, %v", query, n, err)
		}
	}
	one := func(dest any, query string, args ...any) {
		t.Helper()
		if err := db.Get(ctx, dest, query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	mail := evidence.Mail
	change := func(find func(*demo.Caught) bool, to func(demo.Caught) *demo.Caught) {
		t.Helper()
		evidence.Mail = append([]*demo.Caught(nil), mail...)
		for i, m := range evidence.Mail {
			if find(m) {
				evidence.Mail[i] = to(*m)
				return
			}
		}
		t.Fatal("no mail to change")
	}
	var message, contact int64
	var email string
	for _, broken := range []struct {
		name, promise string
		do, undo      func()
	}{
		{"an anonymous message becomes identified", "no yes, no track",
			func() {
				one(&message, `SELECT MIN(id) FROM messages WHERE mode = 'anonymous'`)
				exec(`UPDATE messages SET mode = 'identified' WHERE id = ?`, message)
			}, func() { exec(`UPDATE messages SET mode = 'anonymous' WHERE id = ?`, message) }},
		{"an anonymous mail has a link of its own", "no yes, no track",
			func() {
				one(&email, `SELECT c.email FROM contacts c JOIN messages m ON m.contact = c.id WHERE m.mode = 'anonymous' AND m.via = 0 ORDER BY m.id LIMIT 1`)
				change(func(m *demo.Caught) bool { return m.To == email && strings.Contains(m.HTML, "/c/") }, func(m demo.Caught) *demo.Caught {
					m.HTML = strings.ReplaceAll(m.HTML, "/c/", "/c/x")
					return &m
				})
			}, func() { evidence.Mail = mail }},
		{"an event is tied to somebody who did not agree", "no yes, no track",
			func() {
				one(&contact, `SELECT contact FROM messages WHERE mode = 'anonymous' ORDER BY id LIMIT 1`)
				exec(`INSERT INTO events (campaign, message, contact, kind, at, verdict, reason, node, seq) SELECT campaign, id, contact, 'open', sent_at, 'person', 'x', 'x', 0 FROM messages WHERE contact = ? LIMIT 1`, contact)
			}, func() { exec(`DELETE FROM events WHERE node = 'x'`) }},
		{"the export holds somebody without an opt-in", "no yes, no segment",
			func() {
				one(&email, `SELECT c.email FROM contacts c JOIN messages m ON m.contact = c.id WHERE m.via > 0 AND m.mode = 'anonymous' AND c.own_at = 0 ORDER BY m.id LIMIT 1`)
				evidence.Export[0] = append([]string{email}, evidence.Export[0]...)
			}, func() { evidence.Export[0] = evidence.Export[0][1:] }},
		{"a row of the export is missing", "no yes, no segment",
			func() { evidence.Export = evidence.Export[:len(evidence.Export)-1] }, func() { evidence.Export = evidence.Export[:len(evidence.Export)+1] }},
		{"a text part does not cite", "third-party data is always cited",
			func() {
				change(func(m *demo.Caught) bool { return strings.Contains(m.Text, "https://fairlist.example/") }, func(m demo.Caught) *demo.Caught {
					m.Text = strings.ReplaceAll(m.Text, "https://fairlist.example/", "https://elsewhere.example/")
					return &m
				})
			}, func() { evidence.Mail = mail }},
		{"an HTML part does not name the source", "third-party data is always cited",
			func() {
				change(func(m *demo.Caught) bool { return strings.Contains(m.HTML, "Fairlist Business Data") }, func(m demo.Caught) *demo.Caught {
					m.HTML = strings.ReplaceAll(m.HTML, "Fairlist Business Data", "a partner")
					return &m
				})
			}, func() { evidence.Mail = mail }},
		{"who left is sent one more", "no stays no, at once",
			func() {
				more := *mail[0]
				more.To = play.Leavers()[0]
				evidence.Mail = append(append([]*demo.Caught(nil), mail...), &more)
			}, func() { evidence.Mail = mail }},
		{"counted hits are lost", "what was answered is kept",
			func() { exec(`UPDATE counts SET n = n - 1 WHERE verdict = 'anonymous'`) }, func() { exec(`UPDATE counts SET n = n + 1 WHERE verdict = 'anonymous'`) }},
		{"somebody gets a campaign twice", "nobody is mailed twice, and nobody is lost in silence",
			func() { evidence.Mail = append(append([]*demo.Caught(nil), mail...), mail[len(mail)-1]) }, func() { evidence.Mail = mail }},
		{"a message reads sent and never arrived", "nobody is mailed twice, and nobody is lost in silence",
			func() { evidence.Mail = mail[:len(mail)-1] }, func() { evidence.Mail = mail }},
		{"a message is forgotten in the queue", "nobody is mailed twice, and nobody is lost in silence",
			func() {
				one(&message, `SELECT MIN(id) FROM messages WHERE status = 'skipped'`)
				exec(`UPDATE messages SET status = 'queued' WHERE id = ?`, message)
			}, func() { exec(`UPDATE messages SET status = 'skipped' WHERE id = ?`, message) }},
		{"a machine's hit passes for a person's", "counts are honest",
			func() {
				exec(`UPDATE events SET verdict = 'person' WHERE id = (SELECT MIN(id) FROM events WHERE verdict = 'machine')`)
			},
			func() {
				exec(`UPDATE events SET verdict = 'machine' WHERE id = (SELECT MIN(id) FROM events WHERE reason LIKE 'robot%')`)
			}},
	} {
		t.Run(broken.name, func(t *testing.T) {
			broken.do()
			verdict := map[string]demo.Check{}
			for _, c := range play.Checks(ctx) {
				verdict[c.Name] = c
			}
			if c, known := verdict[broken.promise]; !known || c.OK {
				t.Errorf("%q holds: %s", broken.promise, c.Detail)
			}
			broken.undo()
			for _, c := range play.Checks(ctx) {
				if !c.OK {
					t.Fatalf("mended, and still %q is broken: %s", c.Name, c.Detail)
				}
			}
		})
	}
}

// TestCountsSurviveALostRedis: what Redis forgets comes back from the durable totals.
func TestCountsSurviveALostRedis(t *testing.T) {
	d, _ := stage(t, demoStorage{})
	if err := d.app.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := d.app.verifyCounts(t.Context()); err == nil {
		t.Fatal("an empty Redis agrees with the totals")
	}
	if err := d.app.counter.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.app.verifyCounts(t.Context()); err != nil {
		t.Fatal(err)
	}
}
