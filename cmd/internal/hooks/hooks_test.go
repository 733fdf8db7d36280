package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"beckon/mailer/bounce"

	"github.com/labstack/echo/v4"
)

// provider is a hook that says what the test wants it to.
type provider struct {
	way     bounce.Way
	err     error
	settled int
}

func (p *provider) Way() bounce.Way                   { return p.way }
func (p *provider) Stamp(dst []byte, _ string) []byte { return dst }

func (p *provider) Read(_ context.Context, _ http.Header, body []byte) ([]bounce.Notice, func(), error) {
	if p.err != nil {
		return nil, nil, p.err
	}
	return []bounce.Notice{{Local: string(body)}, {Local: "second"}}, func() { p.settled++ }, nil
}

// taker fails for a notice that it is told of.
type taker struct {
	took  []string
	fails string
}

func (t *taker) Notice(_ context.Context, way bounce.Way, n bounce.Notice) error {
	if n.Local == t.fails {
		return errors.New("the database went away")
	}
	t.took = append(t.took, string(way)+" "+n.Local)
	return nil
}

func TestWhatANotificationIsAnswered(t *testing.T) {
	for _, c := range []struct {
		name   string
		way    bounce.Way
		err    error
		fails  string
		status int
	}{
		{"taken", bounce.BySES, nil, "", 200},
		{"forged", bounce.BySES, bounce.ErrForged, "", 403},
		{"without the password", bounce.ByPostmark, bounce.ErrForged, "", 401},
		{"signed long ago", bounce.ByMailgun, bounce.ErrStale, "", 403},
		{"signed and unreadable", bounce.BySendGrid, bounce.ErrUnreadable, "", 400},
		{"not to be verified now", bounce.BySES, fmt.Errorf("%w: no route", bounce.ErrUnavailable), "", 503},
		{"no database", bounce.ByMailgun, nil, "first", 503},
		{"no database half way", bounce.ByMailgun, nil, "second", 503},
	} {
		p, in := &provider{way: c.way, err: c.err}, &taker{fails: c.fails}
		e := echo.New()
		(&Hooks{Providers: []bounce.Hook{p}, Intake: in, Log: slog.New(slog.DiscardHandler)}).Register(e)
		post := func(way bounce.Way, body string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequest("POST", "/hooks/"+string(way), strings.NewReader(body)))
			return w
		}
		w := post(c.way, "first")
		if w.Code != c.status || (w.Code == 503) != (w.Header().Get("Retry-After") != "") || (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("%s: %d, %v", c.name, w.Code, w.Header())
		}
		if (p.settled == 1) != (c.status == 200) || c.err != nil && len(in.took) != 0 || c.status == 200 && len(in.took) != 2 {
			t.Errorf("%s: took %q, settled %d times", c.name, in.took, p.settled)
		}
		if w := post("unheard-of", "first"); w.Code != 404 {
			t.Errorf("a provider that is not configured: %d", w.Code)
		}
		if w := post(c.way, strings.Repeat("x", bounce.MaxNotification+1)); w.Code != 413 || len(in.took) > 2 {
			t.Errorf("a large body: %d", w.Code)
		}
	}
}
