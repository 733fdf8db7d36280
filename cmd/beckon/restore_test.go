package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/cmd/internal/demo"
	"beckon/schema"
)

// TestR3R4ACampaignGoesOnAfterTheBackup: half of it was sent when the backup was made, the rest after it.
func TestR3R4ACampaignGoesOnAfterTheBackup(t *testing.T) {
	storages(t, func(t *testing.T, on demoStorage) {
		h := newPremises(t, on, "&connections=1")
		const people = 30
		h.catcher.Hold(10)
		campaign := h.launch(people)
		h.until("a part is sent", func() bool { return h.status(campaign).Messages["sent"] == 10 })
		h.backup()
		h.catcher.Release()
		h.untilStatus(campaign, "finished")
		later, _ := h.again("seg_1")

		told := h.restore()
		if !strings.Contains(told, "was sending and is paused: 20 messages are unknown now") {
			t.Errorf("told: %s", told)
		}
		s := h.status(campaign)
		if s.Status != "paused" || s.Messages["unknown"] != 20 || s.Messages["sent"] != 10 || !strings.Contains(s.StatusNote, "restore") {
			t.Errorf("after the restore: %+v", s)
		}
		h.post("/campaigns/"+campaign+"/resume", "", nil)
		h.untilStatus(campaign, "finished")
		if got := h.got(campaign); len(got) != people || len(slices.Compact(got)) != people {
			t.Errorf("%d mails to %d people", len(got), len(slices.Compact(got)))
		}
		if s := h.status(campaign); s.Messages["unknown"] != 20 {
			t.Errorf("finished: %+v", s)
		}
		// The campaign that the backup does not know is gone, and its number is not given again.
		if next, _ := h.again("seg_1"); next == campaign || next == later {
			t.Errorf("a campaign has the number of another: %s", next)
		}
		h.post("/campaigns/"+campaign+"/resolve-unknown", `{"action":"resend"}`, nil)
		h.until("those are mailed whom the marketer wants to", func() bool { return h.status(campaign).Messages["sent"] == people })
	})
}

// TestS26LinksOfMailsThatAreLost: mails that went out after the backup carry numbers that the restored
// database has never heard of. They lead to nobody, whatever is sent from then on.
func TestS26LinksOfMailsThatAreLost(t *testing.T) {
	storages(t, func(t *testing.T, on demoStorage) {
		h := newPremises(t, on, "")
		first := h.launch(6)
		h.untilStatus(first, "finished")
		h.backup()
		h.imported("a@lost.example", "b@lost.example")
		lost, _ := h.again("seg_1")
		old := h.mail(lost, "p0@people.example")
		gone := h.mail(lost, "a@lost.example")
		for range 2 { // of the same backup: the second time ids must not go on where they did the first time
			h.restore()
			h.imported("c@new.example", "d@new.example")
			h.again("seg_1") // as many mails again: their numbers would be the same
			before := h.number(`SELECT count(*) FROM consent_ledger`)
			for _, m := range []*demo.Caught{old, gone, h.mail(lost, "b@lost.example")} {
				for _, kind := range []string{"u", "p"} {
					resp, err := http.Get(h.link(m, kind))
					if err != nil {
						t.Fatal(err)
					}
					body, _ := io.ReadAll(resp.Body)
					resp.Body.Close()
					if resp.StatusCode != http.StatusNotFound || strings.Contains(string(body), "example</") || !strings.Contains(string(body), "<h1>") {
						t.Errorf("/%s of a lost mail to %s: %d %s", kind, m.To, resp.StatusCode, body)
					}
				}
				if status, _ := h.submit(h.link(m, "u"), url.Values{"List-Unsubscribe": {"One-Click"}}); status != http.StatusNotFound {
					t.Errorf("unsubscribe of a lost mail: %d", status)
				}
				if status, _ := h.submit(h.link(m, "p"), url.Values{"do": {"object"}}); status != http.StatusNotFound {
					t.Errorf("objection with a lost mail: %d", status)
				}
				for _, kind := range []string{"o", "c"} {
					resp, err := demo.NewClient().Get(h.link(m, kind))
					if err != nil || resp.StatusCode != map[string]int{"o": http.StatusOK, "c": http.StatusFound}[kind] {
						t.Errorf("/%s of a lost mail: %v %v", kind, resp, err)
					}
					resp.Body.Close()
				}
			}
			if after := h.number(`SELECT count(*) FROM consent_ledger`); after != before {
				t.Errorf("links of lost mails wrote %d entries about somebody else", after-before)
			}
			h.kill()
			h.start() // what was hit is in the database
			if n := h.number(`SELECT count(*) FROM events`); n != 0 {
				t.Errorf("%d hits on lost mails are somebody else's events", n)
			}
			if _, got := h.again("seg_1"); len(got) != 8 {
				t.Errorf("after that a mail goes to %v", got)
			}
			h.imported("a@lost.example", "b@lost.example")
			lost, _ = h.again("seg_1")
			old, gone = h.mail(lost, "p0@people.example"), h.mail(lost, "a@lost.example")
		}
	})
}

// TestS26NothingIsSentBeforeARestoreIsFinished also holds for a database that was put back by hand: the
// checkpoint of the ledger tells.
func TestS26NothingIsSentBeforeARestoreIsFinished(t *testing.T) {
	storages(t, func(t *testing.T, on demoStorage) {
		h := newPremises(t, on, "")
		first := h.launch(6)
		h.untilStatus(first, "finished")
		h.backup()
		h.unsubscribe(h.mail(first, "p0@people.example"))
		h.kill()
		h.start() // the checkpoint knows the no
		h.kill()

		h.byHand()
		shut := h.launchShut("older than the checkpoint")
		if told := h.must("restore", "--in-place"); !strings.Contains(told, "lost") {
			t.Errorf("told: %s", told)
		}
		h.start()
		h.post("/campaigns/"+shut+"/resume", "", nil)
		h.untilStatus(shut, "finished")
		if got := h.got(shut); len(got) != 0 { // it was under way: the restore took it for an old one
			t.Errorf("a mail went to %v", got)
		}
		if _, got := h.again("seg_1"); len(got) != 5 {
			t.Errorf("a mail went to %v", got)
		}
		h.kill()

		h.must("restore", "--replace", h.file)
		h.db(func(db *schema.DB) { // as a restore that was killed leaves it
			if err := db.Tx(t.Context(), func(tx *schema.Tx) error { return markRestoring(t.Context(), tx) }); err != nil {
				t.Fatal(err)
			}
		})
		shut = h.launchShut("restore --in-place")
		h.must("restore", "--in-place")
		h.start()
		if _, got := h.again("seg_1"); len(got) != 5 {
			t.Errorf("a mail went to %v", got)
		}
		if got := h.got(shut); len(got) != 0 {
			t.Errorf("a mail went to %v", got)
		}
		var log struct {
			Items []struct{ Action, Detail string }
		}
		h.call("GET", "/audit?action=database.restore", "", nil, &log)
		if len(log.Items) != 2 || !strings.Contains(log.Items[0].Detail, "unknown messages: 5") {
			t.Errorf("audit log: %+v", log)
		}
	})
}

// TestR2CountsAfterARestore: what was hit after the backup is lost with the database, unless the node's
// spool still has it; all else is counted, once, and Redis has what the database has.
func TestR2CountsAfterARestore(t *testing.T) {
	storages(t, func(t *testing.T, on demoStorage) {
		h := newPremises(t, on, "")
		first := h.launch(6)
		h.untilStatus(first, "finished")
		quiet, _ := h.again("seg_1")
		open := func(campaign, who string) {
			t.Helper()
			req, _ := http.NewRequest("GET", h.link(h.mail(campaign, who), "o"), nil)
			req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0")
			resp, err := demo.NewClient().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		opens := func(campaign string) (n int64) {
			var v struct{ Opens struct{ Total int64 } }
			h.call("GET", "/campaigns/"+campaign+"/stats", "", nil, &v)
			return v.Opens.Total
		}
		agree := func() bool { _, err := h.command("counters", "verify"); return err == nil }
		for range 3 {
			open(first, "p0@people.example")
		}
		h.until("three are counted", func() bool { return opens(first) == 3 && agree() })
		h.backup()
		later, _ := h.again("seg_1")
		for range 4 {
			open(first, "p1@people.example")
			open(quiet, "p1@people.example")
			open(later, "p1@people.example")
		}
		h.until("all are counted", func() bool { return opens(first) == 7 && opens(quiet) == 4 && opens(later) == 4 && agree() })

		h.restore()
		h.until("the spool is drained", func() bool { return opens(first) == 7 && opens(quiet) == 4 && agree() })
		open(first, "p3@people.example")
		h.until("hits are counted as ever", func() bool { return opens(first) == 8 && agree() })

		h.kill() // on another machine there is no spool of old
		if err := os.RemoveAll(filepath.Join(h.data, "spool")); err != nil {
			t.Fatal(err)
		}
		h.must("restore", "--replace", h.file)
		h.start()
		h.until("nothing is counted that the database has not", func() bool { return opens(first) == 3 && opens(quiet) == 0 && agree() })
		open(quiet, "p3@people.example")
		h.until("hits are counted as ever", func() bool { return opens(first) == 3 && opens(quiet) == 1 && agree() })
	})
}

func TestABackupSaysWhatItIs(t *testing.T) {
	storages(t, func(t *testing.T, on demoStorage) {
		h := newPremises(t, on, "")
		h.untilStatus(h.launch(3), "finished")
		h.backup()
		info, err := os.Stat(h.file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		f, err := os.Open(h.file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := tar.NewReader(f)
		head, err := r.Next()
		if err != nil || head.Name != "manifest.json" {
			t.Fatalf("%v, %v", head, err)
		}
		var m manifest
		if err := json.NewDecoder(r).Decode(&m); err != nil {
			t.Fatal(err)
		}
		dialect := schema.SQLite
		if on.database != "" {
			dialect = schema.Postgres
		}
		if m.Format != 1 || m.Dialect != dialect || m.Schema != schema.Latest(dialect) || time.Since(m.At) > time.Minute || len(m.Keys) != 2 || m.Size == 0 {
			t.Errorf("%+v", m)
		}
		key, err := os.ReadFile(filepath.Join(h.data, "hash-key"))
		if err != nil {
			t.Fatal(err)
		}
		all, err := os.ReadFile(h.file)
		if err != nil || bytes.Contains(all, bytes.TrimSpace(key)) {
			t.Errorf("the backup holds a key, or cannot be read: %v", err)
		}
		if out, err := h.command("backup", h.file); err == nil || !strings.Contains(out, "overwrites nothing") {
			t.Errorf("the same file again: %v %s", err, out)
		}
		if rest, _ := filepath.Glob(h.file + "*.part"); len(rest) > 0 {
			t.Errorf("left over: %v", rest)
		}
	})
}

// TestARestoreThatCannotBeIsRefused before anything changes, with a word on what to do.
func TestARestoreThatCannotBeIsRefused(t *testing.T) {
	storages(t, func(t *testing.T, on demoStorage) {
		h := newPremises(t, on, "")
		h.untilStatus(h.launch(3), "finished")
		h.backup()
		if out, err := h.command("restore", "--replace", h.file); err == nil || !strings.Contains(out, "service is running: stop it first") {
			t.Errorf("while it runs: %v %s", err, out)
		}
		h.kill()
		original, err := os.ReadFile(h.file)
		if err != nil {
			t.Fatal(err)
		}
		// rewrite makes a backup with another manifest.
		rewrite := func(change func(*manifest)) string {
			dir := t.TempDir()
			m, err := unpack(h.file, func(manifest) error { return nil }, filepath.Join(dir, "dump"))
			if err != nil {
				t.Fatal(err)
			}
			change(&m)
			if err := pack(filepath.Join(dir, "changed"), m, filepath.Join(dir, "dump")); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "changed")
		}
		file := func(b []byte) string {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		flipped := bytes.Clone(original)
		flipped[len(flipped)*2/3] ^= 1
		elsewhere := t.TempDir()
		for _, c := range []struct {
			what string
			args []string
			want string
		}{
			{"no file", nil, "--in-place"},
			{"file and --in-place", []string{"--in-place", h.file}, "--in-place"},
			{"there is something", []string{h.file}, "--replace"},
			{"of another dialect", []string{"--replace", rewrite(func(m *manifest) { m.Dialect = "oracle" })}, "the kind that it came from"},
			{"of a newer format", []string{"--replace", rewrite(func(m *manifest) { m.Format = 2 })}, "restore it with the program that wrote it"},
			{"of newer tables", []string{"--replace", rewrite(func(m *manifest) { m.Schema = 1000 })}, "restore it with the program that wrote it"},
			{"of other keys", []string{"--replace", rewrite(func(m *manifest) { m.Keys["fingerprint of BECKON_HASH_KEY"] = "0123456789abcdef" })}, "other keys (BECKON_HASH_KEY)"},
			{"of a key that is not here", []string{"--replace", rewrite(func(m *manifest) { m.Keys["fingerprint of signing key 7"] = "0123456789abcdef" })}, "not here (signing key 7)"},
			{"no keys here", []string{"--replace", "--data", elsewhere, h.file}, "put the file keys that belongs to the backup"},
			{"no backup", []string{"--replace", file([]byte("something else"))}, "not a whole backup"},
			{"a bare dump", []string{"--replace", file([]byte("SQLite format 3\x00"))}, "not a whole backup"},
			{"cut", []string{"--replace", file(original[:len(original)/2])}, "not a whole backup"},
			{"damaged", []string{"--replace", file(flipped)}, "not a whole backup"},
			{"another database in it", []string{"--replace", rewrite(func(m *manifest) { m.SHA256 = strings.Repeat("0", 64) })}, "not a whole backup"},
		} {
			out, err := h.command(append([]string{"restore"}, c.args...)...)
			if err == nil || !strings.Contains(out, c.want) {
				t.Errorf("%s: %v %s", c.what, err, out)
			}
		}
		if made, _ := filepath.Glob(filepath.Join(elsewhere, "*key*")); len(made) > 0 {
			t.Errorf("keys were made: %v", made)
		}
		if left, _ := filepath.Glob(filepath.Join(h.data, "restoring*")); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
		h.start()
		if got := h.number(`SELECT count(*) FROM messages WHERE status = 'sent'`); got != 3 {
			t.Errorf("the database holds %d sent messages", got)
		}
		if got := h.number(`SELECT count(*) FROM settings WHERE name = 'restoring'`); got != 0 {
			t.Error("it is marked as being restored")
		}
	})
}

// TestImportsOfARestoredDatabase: one that was queued has lost its file by now, and a file may have lost
// its import.
func TestImportsOfARestoredDatabase(t *testing.T) {
	h := newPremises(t, demoStorage{}, "")
	h.launch(3)
	node, err := os.ReadFile(filepath.Join(h.data, "spool", "node"))
	if err != nil {
		t.Fatal(err)
	}
	h.backup()
	h.kill()
	h.must("restore", "--replace", h.file)
	h.db(func(db *schema.DB) { // as a backup has it that was made just after an upload
		_, err := db.Exec(t.Context(), `INSERT INTO imports (node, status, created_at) VALUES (?, 'queued', 1)`, strings.TrimSpace(string(node)))
		if err != nil {
			t.Fatal(err)
		}
	})
	orphan := filepath.Join(h.data, "uploads", "imp_zz.upload")
	if err := os.WriteFile(orphan, []byte("email\nsomebody@example.org\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.until("the import has failed", func() bool {
		return h.number(`SELECT count(*) FROM imports WHERE status = 'failed' AND problem LIKE 'the uploaded file is gone: send it again%'`) == 1
	})
	h.until("the file is gone", func() bool { _, err := os.Stat(orphan); return os.IsNotExist(err) })
}
