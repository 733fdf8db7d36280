package main

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"beckon/schema"

	"github.com/redis/go-redis/v9"
)

// TestS23AfterAnErasureTheStoresHoldNothing: name, address and phone number of somebody who was mailed,
// clicked, wrote to us and was erased are in no file of the installation, no table and no Redis key:
// not in free pages and the write-ahead log of SQLite, not in spool, journal or uploads either.
func TestS23AfterAnErasureTheStoresHoldNothing(t *testing.T) {
	storages(t, func(t *testing.T, on demoStorage) {
		h := newPremises(t, on, "")
		const email, name, phone = "zebulon.quixote@erasure.example", "Zebulon Quixote-Unforgettable", "+441632960777"
		needles := []string{email, name, phone, "zebulon", "unforgettable", "1632960777"}
		campaign := h.launch(8) // among others, so that the mail is tracked at all
		h.untilStatus(campaign, "finished")
		file := h.write("email,name,phone,country,consent_company,consent_channel,consent_types,consent_tracking,consent_notice,consent_how,consent_at\n" +
			email + "," + name + "," + phone + ",GB,acme,email,newsletter,yes,v1,form,2026-01-02T03:04:05Z\n")
		h.must("import", file)
		campaign, to := h.again("seg_1")
		if len(to) != 9 {
			t.Fatalf("mailed to %d", len(to))
		}
		mail := h.mail(campaign, email)
		for _, kind := range []string{"o", "c"} {
			resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Get(h.link(mail, kind))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		who := h.contact(email)
		h.post("/requests", `{"kind":"complaint","channel":"phone","contact":"`+who+`","detail":"`+name+` called from `+phone+`"}`, nil)
		h.until("the hits are events", func() bool { return h.number(`SELECT count(*) FROM events`) == 2 })
		if found := h.search(t, on, needles); len(found) == 0 {
			t.Fatal("the search does not find who is held: it looks in the wrong places")
		}
		h.call("POST", "/contacts/"+who+"/erase", "application/json", strings.NewReader(`{}`), nil)
		var found []string
		h.until("nothing is found", func() bool { found = h.search(t, on, needles); return len(found) == 0 })
		h.kill() // and what a crash leaves behind holds no more
		h.start()
		h.until("nothing is found after a crash", func() bool { found = h.search(t, on, needles); return len(found) == 0 })
		if n := h.number(`SELECT count(*) FROM suppressions`); n != 1 {
			t.Errorf("%d addresses are kept out by hash, want the one", n)
		}
		if t.Failed() {
			t.Log(found)
		}
	})
}

// search looks for texts, whatever their case, in every file, table and Redis key.
func (h *premises) search(t *testing.T, on demoStorage, needles []string) (found []string) {
	t.Helper()
	hit := func(where string, b []byte) {
		b = bytes.ToLower(b)
		for _, n := range needles {
			if bytes.Contains(b, []byte(strings.ToLower(n))) {
				found = append(found, where+": "+n)
			}
		}
	}
	err := filepath.WalkDir(h.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // files come and go
		}
		b, err := os.ReadFile(path)
		if err == nil {
			hit(filepath.Base(path), b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.db(func(db *schema.DB) {
		if db.Dialect() != schema.Postgres {
			return
		}
		var tables []string
		if err := db.Select(t.Context(), &tables, `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`); err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			var rows []string
			if err := db.Select(t.Context(), &rows, `SELECT CAST(x AS TEXT) FROM "`+table+`" x`); err != nil {
				t.Fatal(err)
			}
			hit(table, []byte(strings.Join(rows, "\n")))
		}
	})
	address := on.redis
	if address == "" {
		if address, err = runningRedis(&Config{Data: h.data}); err != nil {
			t.Fatal(err)
		}
	}
	o, err := redis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	r := redis.NewClient(o)
	defer r.Close()
	ctx := context.Background()
	keys, err := r.Keys(ctx, "*").Result()
	if err != nil || len(keys) == 0 {
		t.Fatalf("Redis has %d keys: %v", len(keys), err)
	}
	for _, k := range keys {
		all, _ := r.HGetAll(ctx, k).Result()
		text, _ := r.Get(ctx, k).Result()
		hit("redis", []byte(k+text))
		for f, v := range all {
			hit("redis", []byte(f+" "+v))
		}
	}
	return found
}
