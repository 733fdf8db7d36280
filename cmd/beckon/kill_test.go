package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"beckon/cmd/internal/demo"
	"beckon/schema"
	"beckon/schema/servertest"
)

// asBeckon makes the test binary the program itself, in a process that can be killed.
const asBeckon = "BECKON_TEST_AS_BECKON"

func TestMain(m *testing.M) {
	if os.Getenv(asBeckon) != "" {
		main()
	}
	os.Exit(m.Run())
}

// node is `beckon serve` in a process of its own.
type node struct {
	t       *testing.T
	env     []string
	base    string
	token   string
	process *exec.Cmd
}

func (n *node) start() {
	n.t.Helper()
	n.process = exec.Command(os.Args[0], "serve")
	n.process.Env = append(os.Environ(), n.env...)
	n.process.Stderr = os.Stderr
	if err := n.process.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.until("the service is ready", func() bool {
		resp, err := http.Get(n.base + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (n *node) kill() {
	_ = n.process.Process.Kill()
	_ = n.process.Wait()
}

func (n *node) until(what string, done func() bool) {
	n.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			n.t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (n *node) call(method, path, kind string, body io.Reader, out any) {
	n.t.Helper()
	req, err := http.NewRequest(method, n.base+"/api/v1"+path, body)
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+n.token)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		n.t.Fatalf("%s %s: %s %s %v", method, path, resp.Status, b, err)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n *node) post(path, body string, out any) {
	n.t.Helper()
	n.call("POST", path, "application/json", strings.NewReader(body), out)
}

// campaign imports people who agreed to tracking, and to none, and sends them a mail with links.
func (n *node) campaign(people int) {
	n.t.Helper()
	id := n.launch(people)
	var state struct{ Status string }
	n.until("the campaign is finished", func() bool { n.call("GET", "/campaigns/"+id, "", nil, &state); return state.Status == "finished" })
}

// launch imports people and launches a campaign to them.
func (n *node) launch(people int) (campaign string) {
	n.t.Helper()
	n.post("/companies", `{"slug":"acme","name":"ACME","from_domain":"acme.example","privacy_email":"privacy@acme.example","postal_address":"1 High St","privacy_url":"https://acme.example/privacy"}`, nil)
	n.post("/notices", `{"version":"v1","language":"en","text":"ACME may write to me."}`, nil)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, _ := form.CreateFormFile("file", "people.csv")
	fmt.Fprintln(part, "email,consent_company,consent_channel,consent_types,consent_tracking,consent_notice,consent_how,consent_at")
	for i := range people {
		fmt.Fprintf(part, "p%d@people.example,acme,email,newsletter,%s,v1,form,2026-01-02T03:04:05Z\n", i, []string{"yes", "yes", "no"}[i%3])
	}
	form.Close()
	var made struct{ ID, Status string }
	n.call("POST", "/imports", form.FormDataContentType(), &body, &made)
	n.until("the import is finished", func() bool { n.call("GET", "/imports/"+made.ID, "", nil, &made); return made.Status == "finished" })
	n.post("/segments", `{"name":"all","company":"acme","rule":{"combinator":"and","rules":[]}}`, &made)
	n.post("/campaigns", `{"name":"c","company":"acme","type":"newsletter","subject":"Hello","from":"ACME <news@acme.example>","audience":{"segment":"`+made.ID+`"},
		"html":"<p>Hello <a href=\"https://acme.example/one\">one</a> <a href=\"https://acme.example/two\">two</a> <a href=\"https://acme.example/three\">three</a></p>","tracking":"consented"}`, &made)
	n.post("/campaigns/"+made.ID+"/launch", "", nil)
	return made.ID
}

// TestR1R2KilledUnderHits: `serve` is killed with SIGKILL again and again while it answers hits. All
// that were answered are counted, none twice, and Redis holds what the durable totals hold.
func TestR1R2KilledUnderHits(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { killUnderHits(t, demoStorage{}) })
	t.Run("PostgreSQL and Redis", func(t *testing.T) {
		killUnderHits(t, demoStorage{servertest.PostgresDSN(t), servertest.NewRedis(t).URL})
	})
}

func killUnderHits(t *testing.T, on demoStorage) {
	const people, kills, clients = 60, 4, 8
	catcher, err := demo.ListenCatcher("127.0.0.1:0", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer catcher.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	l.Close()
	data := t.TempDir()
	n := &node{t: t, base: "http://" + listen, env: []string{asBeckon + "=1", "BECKON_LISTEN=" + listen, "BECKON_DATA=" + data,
		"BECKON_DATABASE=" + on.database, "BECKON_REDIS=" + on.redis, "BECKON_SMTP=smtp://" + catcher.Addr() + "?tls=none"}}
	command := func(args ...string) (string, error) {
		c := exec.Command(os.Args[0], args...)
		c.Env = append(os.Environ(), n.env...)
		out, err := c.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if n.token, err = command("token", "create", "--role", "admin", "--name", "test"); err != nil {
		t.Fatalf("%v: %s", err, n.token)
	}
	n.start()
	defer func() { n.kill() }()
	n.campaign(people)
	var urls []string
	for _, m := range catcher.All() {
		urls = append(urls, regexp.MustCompile(regexp.QuoteMeta(n.base)+`/[oc]/[A-Za-z0-9_.-]+`).FindAllString(m.HTML, -1)...)
	}
	if len(urls) < people {
		t.Fatalf("%d mails hold %d beacons and links", len(catcher.All()), len(urls))
	}

	ctx, stop := context.WithCancel(t.Context())
	var answered atomic.Int64
	var wg sync.WaitGroup
	client := demo.NewClient()
	for range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				req, _ := http.NewRequest("GET", urls[rand.IntN(len(urls))], nil)
				req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0")
				resp, err := client.Do(req)
				if err != nil {
					continue // killed, or not up again
				}
				if _, err := io.Copy(io.Discard, resp.Body); err == nil && (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusFound) {
					answered.Add(1)
				}
				resp.Body.Close()
			}
		})
	}
	for range kills {
		before := answered.Load()
		n.until("hits are answered", func() bool { return answered.Load() > before+200 })
		n.kill()
		n.start()
	}
	stop()
	wg.Wait()

	n.until("the spool is drained and the counts agree", func() bool { _, err := command("counters", "verify"); return err == nil })
	dsn := on.database
	if dsn == "" {
		dsn = "sqlite:" + data + "/beckon.db"
	}
	db, err := schema.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var counted int64
	n.until("every answered hit is counted", func() bool {
		if err := db.Get(t.Context(), &counted, `SELECT COALESCE(SUM(n), 0) FROM counts`); err != nil {
			t.Fatal(err)
		}
		return counted >= answered.Load()
	})
	// A hit that was kept just before a kill may not have got its answer: at most one per client and kill.
	if more := counted - answered.Load(); more > clients*kills {
		t.Errorf("%d answered, %d counted: some are counted twice", answered.Load(), counted)
	}
	if out, err := command("counters", "verify"); err != nil {
		t.Errorf("counters verify: %v: %s", err, out)
	}
	t.Logf("%d hits answered over %d kills, %d counted", answered.Load(), kills, counted)
}
