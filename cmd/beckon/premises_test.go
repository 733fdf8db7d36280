package main

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/cmd/internal/demo"
	"beckon/schema"
	"beckon/schema/servertest"
)

// premises is an installation in a process of its own that is backed up and restored.
type premises struct {
	*node
	catcher *demo.Catcher
	data    string
	dsn     string
	file    string // of the last backup
}

// storages runs a test embedded and on PostgreSQL and Redis.
func storages(t *testing.T, test func(t *testing.T, on demoStorage)) {
	t.Run("embedded", func(t *testing.T) { test(t, demoStorage{}) })
	t.Run("PostgreSQL and Redis", func(t *testing.T) { test(t, demoStorage{servertest.PostgresDSN(t), servertest.NewRedis(t).URL}) })
}

// newPremises starts a service; relay are parameters of the relay's address.
func newPremises(t *testing.T, on demoStorage, relay string) *premises {
	t.Helper()
	h := furnish(t, on, relay)
	h.start()
	t.Cleanup(func() { h.kill() })
	return h
}

// furnish makes an installation that is still to be started.
func furnish(t *testing.T, on demoStorage, relay string) *premises {
	t.Helper()
	catcher, err := demo.ListenCatcher("127.0.0.1:0", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { catcher.Close() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	l.Close()
	h := &premises{catcher: catcher, data: t.TempDir(), dsn: on.database}
	if h.dsn == "" {
		h.dsn = "sqlite:" + filepath.Join(h.data, "beckon.db")
	}
	h.node = &node{t: t, base: "http://" + listen, env: []string{asBeckon + "=1", "BECKON_LISTEN=" + listen, "BECKON_DATA=" + h.data, "BECKON_DATABASE=" + h.dsn,
		"BECKON_REDIS=" + on.redis, "BECKON_SMTP=smtp://" + catcher.Addr() + "?tls=none" + relay}}
	h.token = strings.TrimSpace(h.must("token", "create", "--role", "admin", "--name", "test"))
	return h
}

// command runs a command of the program and returns what it printed.
func (h *premises) command(args ...string) (string, error) {
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), h.env...)
	var out, told bytes.Buffer
	c.Stdout, c.Stderr = &out, &told
	err := c.Run()
	if err != nil {
		return out.String() + told.String(), err
	}
	return out.String(), nil
}

func (h *premises) must(args ...string) string {
	h.t.Helper()
	out, err := h.command(args...)
	if err != nil {
		h.t.Fatalf("beckon %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// backup is made while the service runs.
func (h *premises) backup() {
	h.t.Helper()
	h.file = filepath.Join(h.t.TempDir(), "backup.beckon")
	h.must("backup", h.file)
}

// restore stops the service as a crash does, restores the last backup, and starts it again.
func (h *premises) restore() (told string) {
	h.t.Helper()
	h.kill()
	told = h.must("restore", "--replace", h.file)
	h.start()
	return told
}

// db opens the database for a look.
func (h *premises) db(look func(db *schema.DB)) {
	h.t.Helper()
	db, err := schema.Open(h.t.Context(), h.dsn)
	if err != nil {
		h.t.Fatal(err)
	}
	defer db.Close()
	look(db)
}

func (h *premises) number(query string, args ...any) (n int64) {
	h.t.Helper()
	h.db(func(db *schema.DB) {
		if err := db.Get(h.t.Context(), &n, query, args...); err != nil {
			h.t.Fatal(err)
		}
	})
	return n
}

// contact finds a contact by its address; empty if it is not held.
func (h *premises) contact(email string) string {
	h.t.Helper()
	var v struct{ Items []struct{ ID string } }
	h.call("GET", "/contacts?email="+url.QueryEscape(email), "", nil, &v)
	if len(v.Items) == 0 {
		return ""
	}
	return v.Items[0].ID
}

func (h *premises) status(campaign string) (s struct {
	Status     string
	StatusNote string `json:"status_note"`
	Messages   map[string]int64
}) {
	h.t.Helper()
	h.call("GET", "/campaigns/"+campaign, "", nil, &s)
	return s
}

func (h *premises) untilStatus(campaign, status string) {
	h.t.Helper()
	h.until("the campaign is "+status, func() bool { return h.status(campaign).Status == status })
}

// again launches another campaign to everybody who may be mailed, waits for its end, and returns who got it.
func (h *premises) again(segment string) (campaign string, to []string) {
	h.t.Helper()
	var made struct{ ID string }
	h.post("/campaigns", `{"name":"again","company":"acme","type":"newsletter","subject":"Again","from":"ACME <news@acme.example>","audience":{"segment":"`+segment+`"},
		"html":"<p>Hello <a href=\"https://acme.example/one\">one</a></p>","tracking":"consented"}`, &made)
	h.post("/campaigns/"+made.ID+"/launch", "", nil)
	h.untilStatus(made.ID, "finished")
	return made.ID, h.got(made.ID)
}

// got lists who got a mail of a campaign, sorted; twice if twice.
func (h *premises) got(campaign string) (to []string) {
	for _, m := range h.catcher.All() {
		if m.Campaign() == campaign {
			to = append(to, m.To)
		}
	}
	slices.Sort(to)
	return to
}

// mail finds the mail of a campaign to an address.
func (h *premises) mail(campaign, to string) *demo.Caught {
	h.t.Helper()
	for _, m := range h.catcher.All() {
		if m.Campaign() == campaign && m.To == to {
			return m
		}
	}
	h.t.Fatalf("no mail of %s to %s", campaign, to)
	return nil
}

// link finds a public link of a mail by the letter of its kind.
func (h *premises) link(m *demo.Caught, kind string) string {
	h.t.Helper()
	found := regexp.MustCompile(regexp.QuoteMeta(h.base) + `/` + kind + `/[A-Za-z0-9_.-]+`).FindString(m.HTML)
	if found == "" {
		h.t.Fatalf("the mail to %s has no /%s/ link", m.To, kind)
	}
	return found
}

// submit sends a form to a public page.
func (h *premises) submit(link string, form url.Values) (status int, body string) {
	h.t.Helper()
	resp, err := http.PostForm(link, form)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (h *premises) unsubscribe(m *demo.Caught) {
	h.t.Helper()
	if status, body := h.submit(h.link(m, "u"), url.Values{"List-Unsubscribe": {"One-Click"}}); status != http.StatusOK {
		h.t.Fatalf("unsubscribe of %s: %d %s", m.To, status, body)
	}
}

// say records a choice through the API, as staff do.
func (h *premises) say(email, choice string) {
	h.t.Helper()
	h.post("/contacts/"+h.contact(email)+"/consent", choice, nil)
}

// write makes a file for a command.
func (h *premises) write(text string) string {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "file.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// imported brings people who agreed to the newsletter.
func (h *premises) imported(emails ...string) {
	h.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, _ := form.CreateFormFile("file", "people.csv")
	fmt.Fprintln(part, "email,consent_company,consent_channel,consent_types,consent_tracking,consent_notice,consent_how,consent_at")
	for _, e := range emails {
		fmt.Fprintf(part, "%s,acme,email,newsletter,yes,v1,form,2026-01-02T03:04:05Z\n", e)
	}
	form.Close()
	var made struct{ ID, Status string }
	h.call("POST", "/imports", form.FormDataContentType(), &body, &made)
	h.until("the import is finished", func() bool { h.call("GET", "/imports/"+made.ID, "", nil, &made); return made.Status == "finished" })
}

// byHand puts the database of the backup back without the command.
func (h *premises) byHand() {
	h.t.Helper()
	dump := filepath.Join(h.t.TempDir(), "dump")
	if _, err := unpack(h.file, func(manifest) error { return nil }, dump); err != nil {
		h.t.Fatal(err)
	}
	if err := schema.Restore(h.t.Context(), h.dsn, dump, true); err != nil {
		h.t.Fatal(err)
	}
}

// launchShut starts a service that must not send, launches a campaign there, sees that it does not
// leave, and stops the service.
func (h *premises) launchShut(why string) (campaign string) {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "log")
	log, err := os.Create(path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	h.process = exec.Command(os.Args[0], "serve")
	h.process.Env = append(os.Environ(), h.env...)
	h.process.Stderr = log
	if err := h.process.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.until("the service says why it must not send", func() bool {
		resp, err := http.Get(h.base + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		b, err := os.ReadFile(path)
		return err == nil && resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(b), why)
	})
	sent := len(h.catcher.All())
	var made struct{ ID string }
	h.post("/campaigns", `{"name":"shut","company":"acme","type":"newsletter","subject":"Shut","from":"ACME <news@acme.example>","audience":{"segment":"seg_1"},
		"html":"<p>Hello</p>","tracking":"consented"}`, &made)
	h.post("/campaigns/"+made.ID+"/launch", "", nil)
	h.until("the audience is complete", func() bool {
		return h.status(made.ID).Messages["queued"] == 5 || h.status(made.ID).Messages["queued"] == 6
	})
	h.kill()
	if now := len(h.catcher.All()); now != sent {
		h.t.Errorf("%d mails left", now-sent)
	}
	return made.ID
}
