package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
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

	stderr   io.Writer       // default that of the test
	prepare  func(*exec.Cmd) // before it is started; may be nil
	patience time.Duration   // of until; default a minute
}

func (n *node) start() {
	n.t.Helper()
	n.process = exec.Command(os.Args[0], "serve")
	n.process.Env = append(os.Environ(), n.env...)
	n.process.Stderr = os.Stderr
	if n.stderr != nil {
		n.process.Stderr = n.stderr
	}
	if n.prepare != nil {
		n.prepare(n.process)
	}
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
	deadline := time.After(cmp.Or(n.patience, time.Minute))
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
