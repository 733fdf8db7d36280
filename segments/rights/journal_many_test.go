package rights

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"beckon/schema/servertest"
)

// full has a value in every field that a caller sets.
func full() Refusal {
	return Refusal{At: said, Kind: "grant", Hash: []byte("0123456789abcdef"), Company: "acme", Channel: "email", Types: []string{"newsletter", "promotional-offer"},
		Topics: []string{"sexual-health"}, Item: strings.Repeat("heat-pumps", 10), Scope: "tracking", How: "under-13", Block: "under-13"}
}

func TestManyRefusalsCostOneWrite(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, "a", JournalOptions{})
	writes, put := 0, j.put
	j.put = func(f *os.File, b []byte) error {
		writes++
		return put(f, b)
	}
	var many []Refusal
	for n := 1; n <= 500; n++ {
		many = append(many, refusal(n))
	}
	if err := errors.Join(j.AppendMany(t.Context(), many), j.AppendMany(t.Context(), nil)); err != nil {
		t.Fatal(err)
	}
	if writes != 1 {
		t.Errorf("%d writes", writes)
	}
	appendAll(t, j, 501, 501)
	list, damage := content(t, dir, "a")
	inOrder(t, list, 501)
	for i, r := range list {
		if number(r) != i+1 {
			t.Fatalf("refusal %d is number %d", number(r), i+1)
		}
	}
	if len(damage) > 0 {
		t.Error(damage)
	}
}

// Whoever waits meanwhile shares the next write, groups and single ones alike, and a group stays
// together.
func TestGroupsShareWritesWithOthers(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, "a", JournalOptions{})
	writes, put := 0, j.put
	first, free := make(chan struct{}), make(chan struct{})
	j.put = func(f *os.File, b []byte) error {
		if writes++; writes == 1 {
			close(first)
			<-free
		}
		return put(f, b)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := j.Append(t.Context(), refusal(1)); err != nil {
			t.Error(err)
		}
	})
	<-first
	for g := range 20 {
		wg.Go(func() {
			var err error
			if n := 10 + 10*g; g%2 == 0 {
				err = j.AppendMany(t.Context(), []Refusal{refusal(n), refusal(n + 1), refusal(n + 2)})
			} else {
				err = j.Append(t.Context(), refusal(n))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	for queued := 0; queued < 20; {
		j.mu.Lock()
		queued = len(j.queue)
		j.mu.Unlock()
		runtime.Gosched()
	}
	close(free)
	wg.Wait()
	if writes != 2 {
		t.Errorf("%d writes for what waited at once", writes)
	}
	list, _ := content(t, dir, "a")
	inOrder(t, list, 41)
	at := map[int]int{}
	for i, r := range list {
		at[number(r)] = i
	}
	for n := 10; n < 210; n += 20 {
		if at[n+1] != at[n]+1 || at[n+2] != at[n]+2 {
			t.Errorf("group %d was torn apart: %v", n, numbers(list))
		}
	}
}

func TestOneUnfitRefusalKeepsItsGroupOut(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, "a", JournalOptions{})
	bad := refusal(2)
	bad.Kind = ""
	if err := j.AppendMany(t.Context(), []Refusal{refusal(1), bad, refusal(3)}); !errors.Is(err, ErrRefusal) {
		t.Errorf("got %v", err)
	}
	if list, _ := content(t, dir, "a"); len(list) != 0 {
		t.Errorf("%d are there", len(list))
	}
	for name, change := range map[string]func(*Refusal){
		"an address as topic": func(r *Refusal) { r.Topics = []string{"jo@example.org"} },
		"too many topics":     func(r *Refusal) { r.Topics = strings.Split(strings.Repeat("t ", 65), " ") },
		"an address as item":  func(r *Refusal) { r.Item = "jo@example.org" },
		"text as how":         func(r *Refusal) { r.How = "by a letter of May" },
		"text as block":       func(r *Refusal) { r.Block = "Bounced!" },
	} {
		r := full()
		change(&r)
		if err := j.AppendMany(t.Context(), []Refusal{r}); !errors.Is(err, ErrRefusal) || strings.Contains(err.Error(), "@") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestEveryFieldOfARefusalIsReplayed(t *testing.T) {
	db := servertest.SQLite(t)
	j := openJournal(t, t.TempDir(), "a", JournalOptions{})
	want := full()
	if err := j.Append(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	want.Node, want.Seq = "a", 1
	for i, v := 0, reflect.ValueOf(want); i < v.NumField(); i++ {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "Message" { // it has a hash
			t.Errorf("the test leaves out %s", name)
		}
	}
	var got []Refusal
	if _, err := j.Replay(t.Context(), db, func(_ context.Context, r Refusal) error { got = append(got, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// A line that an earlier version wrote is read as it was meant, and written as it is there.
func TestLinesOfEarlierVersionsStayReadable(t *testing.T) {
	for _, body := range []string{
		`{"at":"2026-05-04T12:00:00.000007Z","kind":"withdraw","message":"msg_7","scope":"type","node":"a","seq":1}`,
		`{"at":"2026-05-04T12:00:00.000009Z","kind":"object","hash":"MDEyMzQ1Njc4OWFiY2RlZg==","company":"acme","channel":"email","types":["newsletter"],"node":"b","seq":2}`,
	} {
		line := fmt.Sprintf("%d %s %s", len(body), sumOf([]byte(body)), body)
		r, _, err := parseLine([]byte(line))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if again, _, err := appendLine(nil, &r); err != nil || string(again) != line+"\n" {
			t.Errorf("%s became %s, %v", body, again, err)
		}
	}
}
