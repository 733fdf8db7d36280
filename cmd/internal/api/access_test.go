package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/servertest"
)

// who may make which call, held apart from routes.go on purpose: a change of one is noticed here.
var mayCall = map[string]string{ // role letters: a admin, m marketer, n analyst, p privacy
	"GET /catalogue":                       "amnp",
	"GET /companies":                       "amnp",
	"POST /companies":                      "am",
	"GET /companies/:slug":                 "amnp",
	"PATCH /companies/:slug":               "am",
	"GET /notices":                         "amnp",
	"POST /notices":                        "amp",
	"GET /notices/:version":                "amnp",
	"GET /sources":                         "amnp",
	"POST /sources":                        "am",
	"GET /sources/:slug":                   "amnp",
	"POST /sources/:slug/recall":           "amp",
	"GET /contacts":                        "amp",
	"POST /contacts":                       "amp",
	"GET /contacts/:id":                    "amp",
	"PATCH /contacts/:id":                  "amp",
	"DELETE /contacts/:id":                 "ap",
	"POST /contacts/:id/consent":           "amp",
	"GET /contacts/:id/consent":            "amp",
	"GET /contacts/:id/timeline":           "amp",
	"GET /contacts/:id/export":             "amp",
	"POST /contacts/:id/erase":             "ap",
	"GET /contacts/:id/receipt":            "amp",
	"GET /contacts/:id/groups":             "amp",
	"PUT /contacts/:id/groups/:group":      "amp",
	"DELETE /contacts/:id/groups/:group":   "amp",
	"GET /requests":                        "amp",
	"POST /requests":                       "amp",
	"GET /requests/:id":                    "amp",
	"POST /requests/:id/acknowledge":       "amp",
	"POST /requests/:id/extend":            "ap",
	"POST /requests/:id/close":             "ap",
	"GET /retention":                       "ap",
	"PUT /retention/:purpose":              "ap",
	"POST /retention/run":                  "ap",
	"GET /retention/extensions":            "ap",
	"POST /retention/extensions":           "ap",
	"DELETE /retention/extensions/:id":     "ap",
	"GET /holds":                           "ap",
	"POST /holds":                          "ap",
	"DELETE /holds/:id":                    "ap",
	"GET /register":                        "ap",
	"GET /notices/yes-rates":               "amnp",
	"GET /campaigns/:id/links":             "amn",
	"PATCH /campaigns/:id/links/:position": "am",
	"POST /imports":                        "am",
	"GET /imports/:id":                     "am",
	"GET /imports/:id/rejects.csv":         "am",
	"GET /segments":                        "amn",
	"POST /segments":                       "am",
	"GET /segments/:id":                    "amn",
	"GET /segments/:id/count":              "amn",
	"GET /segments/:id/report":             "amn",
	"GET /segments/:id/export.csv":         "amn",
	"GET /segments/:id/export.jsonl":       "amn",
	"GET /segments/:id/export.xlsx":        "amn",
	"GET /campaigns":                       "amn",
	"POST /campaigns":                      "am",
	"GET /campaigns/:id":                   "am",
	"GET /campaigns/:id/check":             "am",
	"GET /campaigns/:id/delivery":          "am",
	"GET /campaigns/:id/messages":          "am",
	"GET /campaigns/:id/stats":             "amn",
	"GET /campaigns/:id/stats.csv":         "amn",
	"POST /campaigns/:id/launch":           "am",
	"POST /campaigns/:id/pause":            "am",
	"POST /campaigns/:id/resume":           "am",
	"POST /campaigns/:id/cancel":           "am",
	"GET /campaigns/:id/preview":           "am",
	"POST /campaigns/:id/test":             "am",
	"POST /campaigns/:id/resolve-unknown":  "am",
	"GET /tokens":                          "a",
	"POST /tokens":                         "a",
	"DELETE /tokens/:id":                   "a",
	"GET /audit":                           "ap",
}

var letters = map[Role]string{Admin: "a", Marketer: "m", Analyst: "n", Privacy: "p"}

func TestS29EachRoleMayDoWhatItsDutiesNeedAndNoMore(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	for _, r := range routes {
		if r.public {
			continue
		}
		name := r.method + " " + r.path
		allowed, known := mayCall[name]
		if !known {
			t.Errorf("%s: say here who may call it", name)
			continue
		}
		path := strings.NewReplacer(":id", "nothing", ":slug", "nothing", ":version", "nothing").Replace(r.path)
		for _, role := range Roles {
			got := w.call(role, r.method, path+"?what=ever", nil) // refused by all who may call
			if may := got.status != http.StatusForbidden; may != strings.Contains(allowed, letters[role]) {
				t.Errorf("%s: %s got %d", name, role, got.status)
			}
		}
		if got := w.send(r.method, path, http.Header{}, nil); got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s without a token: got %d", name, got.status)
		}
	}
	if len(mayCall) != len(slices.DeleteFunc(slices.Clone(routes), func(r route) bool { return r.public })) {
		t.Error("the table here names calls that do not exist")
	}
}

func TestTokensOpenUntilTheyAreRevoked(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		var made struct{ ID, Token string }
		w.call(Admin, "POST", "/tokens", map[string]string{"name": "crm", "role": "analyst"}).into(t, http.StatusCreated, &made)
		as := http.Header{"Authorization": {"bearer " + made.Token}}
		if got := w.send("GET", "/audit", as, nil); got.status != http.StatusForbidden {
			t.Errorf("an analyst's new token got %d", got.status)
		}
		var all items
		got := w.call(Admin, "GET", "/tokens", nil)
		got.into(t, http.StatusOK, &all)
		if len(all.Items) != len(Roles)+1 || strings.Contains(string(got.body), made.Token) {
			t.Errorf("got %s", got.body)
		}
		for range 2 {
			if got := w.call(Admin, "DELETE", "/tokens/"+made.ID, nil); got.status != http.StatusNoContent {
				t.Fatalf("revoke: %d %s", got.status, got.body)
			}
		}
		w.send("GET", "/audit", as, nil).is(t, unauthorized)
		w.call(Admin, "DELETE", "/tokens/tok_zz", nil).is(t, notFound)
	})
}

func TestARevocationElsewhereBitesWithinASecond(t *testing.T) {
	db := servertest.SQLite(t)
	w := newWorld(t, db)
	here, elsewhere := w.Tokens, NewTokens(db, w.clock.now)
	plain, token, err := here.create(t.Context(), "crm", Marketer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := here.Lookup(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	if err := elsewhere.Revoke(t.Context(), token.ID); err != nil {
		t.Fatal(err)
	}
	w.clock.move(time.Second)
	if _, err := here.Lookup(t.Context(), plain); !errors.Is(err, ErrUnknownToken) {
		t.Errorf("got %v", err)
	}
}

func TestTheTokenItselfIsNotKept(t *testing.T) {
	db := servertest.SQLite(t)
	plain, err := NewTokens(db, time.Now).Create(t.Context(), "crm", Admin)
	if err != nil {
		t.Fatal(err)
	}
	var hash []byte
	if err := db.Get(t.Context(), &hash, `SELECT hash FROM api_tokens`); err != nil || len(hash) != 32 || strings.Contains(plain, string(hash)) {
		t.Errorf("kept %x of %d bytes, %v", hash, len(hash), err)
	}
}

func TestTokensNeedARoleAndAName(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	for _, c := range []struct {
		name, body string
		field      string
	}{
		{"no role", `{"name":"crm"}`, "role"},
		{"an unknown role", `{"name":"crm","role":"root"}`, "role"},
		{"no name", `{"role":"admin"}`, "name"},
		{"a name with a line break", `{"name":"a\nb","role":"admin"}`, "name"},
		{"a name of blanks", `{"name":"  ","role":"admin"}`, "name"},
	} {
		t.Run(c.name, func(t *testing.T) { w.call(Admin, "POST", "/tokens", c.body).is(t, invalid, c.field) })
	}
}

func TestWhoeverKeepsSendingBadTokensIsToldToWait(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	bad := http.Header{"Authorization": {"Bearer nonsense"}}
	for range badTokensAtOnce {
		w.send("GET", "/audit", bad, nil).is(t, unauthorized)
	}
	got := w.send("GET", "/audit", bad, nil)
	got.is(t, tooMany)
	if got.header.Get("Retry-After") == "" {
		t.Error("the answer does not say how long to wait")
	}
	if got := w.call(Admin, "GET", "/audit", nil); got.status != http.StatusOK {
		t.Errorf("a good token from the same address got %d", got.status)
	}
	w.clock.move(5 * time.Second)
	w.send("GET", "/audit", bad, nil).is(t, unauthorized)
}

func TestWhatWasDoneIsInTheAuditLogPageByPage(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	for _, name := range []string{"one", "two", "three"} {
		w.call(Admin, "POST", "/tokens", map[string]string{"name": name, "role": "analyst"}).into(t, http.StatusCreated, nil)
	}
	var objects []string
	path := "/audit?limit=2&action=token.create"
	for range 2 {
		var p items
		w.call(Privacy, "GET", path, nil).into(t, http.StatusOK, &p)
		for _, i := range p.Items {
			objects = append(objects, i["object"].(string))
		}
		if p.Next == nil {
			break
		}
		path = "/audit?limit=2&action=token.create&cursor=" + *p.Next
	}
	if want := []string{"tok_7", "tok_6", "tok_5"}; !slices.Equal(objects, want) {
		t.Errorf("got %q, want %q", objects, want)
	}
	for _, query := range []string{"limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=YWZ0ZXI6"} {
		w.call(Privacy, "GET", "/audit?"+query, nil).is(t, invalid, query[:strings.IndexByte(query, '=')])
	}
}

func TestReadinessNamesWhatIsDownAndKeepsTheReasonToTheLog(t *testing.T) {
	down := errors.New("redis: no route to 10.0.0.7")
	w := newWorld(t, servertest.SQLite(t), func(d *Deps) {
		d.Checks = []Check{{"database", d.DB.Ping}, {"redis", func(context.Context) error { return down }}}
	})
	got := w.send("GET", "/readyz", http.Header{}, nil)
	if want := `{"status":"not ready","checks":[{"name":"database","ok":true},{"name":"redis","ok":false}]}`; got.status != 503 || strings.TrimSpace(string(got.body)) != want {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if !strings.Contains(w.log.String(), "10.0.0.7") {
		t.Error("the log does not say why")
	}
	down = nil
	for _, path := range []string{"/healthz", "/readyz"} {
		for _, method := range []string{"GET", "HEAD"} {
			if got := w.send(method, path, http.Header{}, nil); got.status != http.StatusOK {
				t.Errorf("%s %s: %d", method, path, got.status)
			}
		}
	}
	metrics := w.send("GET", "/metrics", http.Header{}, nil)
	if !strings.Contains(string(metrics.body), `beckon_api_calls_total{method="GET",route="/readyz",status="503"} 1`) {
		t.Errorf("got %s", metrics.body)
	}
}
