package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"beckon/cmd/internal/demo"
)

// TestS26ARestoredDatabaseHearsTheNoesSince: somebody unsubscribes, yesterday's database is restored,
// and the no stands before anything is sent.
func TestS26ARestoredDatabaseHearsTheNoesSince(t *testing.T) {
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
	n := &node{t: t, base: "http://" + listen, env: []string{asBeckon + "=1", "BECKON_LISTEN=" + listen, "BECKON_DATA=" + data, "BECKON_SMTP=smtp://" + catcher.Addr() + "?tls=none"}}
	c := exec.Command(os.Args[0], "token", "create", "--role", "admin", "--name", "test")
	c.Env = append(os.Environ(), n.env...)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	n.token = strings.TrimSpace(string(out))
	n.start()
	defer func() { n.kill() }()
	n.campaign(6)

	files := []string{data + "/beckon.db", data + "/beckon.db-wal"}
	n.kill()
	yesterday := map[string][]byte{}
	for _, f := range files {
		if yesterday[f], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	n.start()
	mail := catcher.All()[0]
	link := regexp.MustCompile(`<(http[^>]+/u/[^>]+)>`).FindStringSubmatch(mail.Header.Get("List-Unsubscribe"))[1]
	resp, err := http.Post(link, "application/x-www-form-urlencoded", strings.NewReader("List-Unsubscribe=One-Click"))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	resp.Body.Close()
	count := func() int {
		var v struct{ Count int }
		n.call("GET", "/segments/seg_1/count", "", nil, &v)
		return v.Count
	}
	if got := count(); got != 5 {
		t.Fatalf("%d are in the segment after one has left", got)
	}
	rows := func() int {
		var v struct{ Items []struct{ ID string } }
		n.call("GET", "/contacts?email="+mail.To, "", nil, &v)
		var ledger struct{ Items []struct{ Action string } }
		n.call("GET", "/contacts/"+v.Items[0].ID+"/consent", "", nil, &ledger)
		noes := 0
		for _, e := range ledger.Items {
			if e.Action == "withdraw" {
				noes++
			}
		}
		return noes
	}
	if got := rows(); got != 1 {
		t.Errorf("the ledger holds the no %d times", got)
	}

	n.kill()
	for _, f := range files {
		if err := os.WriteFile(f, yesterday[f], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Remove(data + "/beckon.db-shm")
	n.start() // ready means that the journal has been replayed
	if got := count(); got != 5 {
		t.Errorf("%d are in the segment after the restore", got)
	}
	if got := rows(); got != 1 {
		t.Errorf("after the restore the ledger holds the no %d times", got)
	}
}
