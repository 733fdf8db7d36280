package bot_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"net/netip"
	"os"
	"testing"

	"beckon/tracker/bot"
)

var update = flag.Bool("update", false, "rewrite the verdicts in testdata/verdicts.json")

const verdictsFile = "testdata/verdicts.json"

// request is a request as somebody really sends it, with what must be made of it.
type request struct {
	About   string            `json:"about"`
	Kind    string            `json:"kind"`
	Method  string            `json:"method,omitempty"` // GET if empty
	Headers map[string]string `json:"headers"`
	Addr    string            `json:"addr,omitempty"`
	Want    want              `json:"want"`
}

type want struct {
	Verdict  string `json:"verdict"`
	Reason   string `json:"reason"`
	NoRegion bool   `json:"no_region,omitempty"`
	Private  bool   `json:"private,omitempty"`
	Client   string `json:"client,omitempty"`
	OS       string `json:"os,omitempty"`
	Device   string `json:"device,omitempty"`
}

// The table fixes the verdicts: a new list of crawlers or networks must not change them unseen.
func TestVerdictsOfRealRequests(t *testing.T) {
	b, err := os.ReadFile(verdictsFile)
	if err != nil {
		t.Fatal(err)
	}
	var requests []request
	if err := json.Unmarshal(b, &requests); err != nil {
		t.Fatal(err)
	}
	if len(requests) < 60 {
		t.Errorf("%d requests, want at least 60", len(requests))
	}
	for i := range requests {
		r := &requests[i]
		got := want(judge(t, r))
		if *update {
			r.Want = got
		} else if got != r.Want {
			t.Errorf("%s (%s):\n got  %+v\n want %+v", r.About, r.Kind, got, r.Want)
		}
	}
	if *update {
		out, err := os.Create(verdictsFile)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(requests); err != nil {
			t.Fatal(err)
		}
	}
}

func judge(t *testing.T, r *request) bot.Judgement {
	h := http.Header{}
	for name, value := range r.Headers {
		h.Set(name, value)
	}
	var addr netip.Addr
	if r.Addr != "" {
		var err error
		if addr, err = netip.ParseAddr(r.Addr); err != nil {
			t.Fatal(err)
		}
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	return bot.Judge(r.Kind, method, h, addr)
}
