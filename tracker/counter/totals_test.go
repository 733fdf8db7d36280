package counter

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"beckon/schema/id"
	"beckon/schema/servertest"
	"beckon/tracker/event"

	"github.com/alicebob/miniredis/v2"
	"pgregory.net/rapid"
)

func TestCountersRebuiltAreCountersLive(t *testing.T) {
	db := servertest.SQLite(t)
	url := servertest.NewRedis(t).URL
	var next id.Campaign
	rapid.Check(t, func(rt *rapid.T) {
		next += 2
		campaigns := []id.Campaign{next, next + 1}
		rigs := []*rig{newRig(t, db, url), newRig(t, db, url)}
		nodes := []*node{{t: t, db: db, name: fmt.Sprint("a", next)}, {t: t, db: db, name: fmt.Sprint("b", next)}}
		var sent []event.Delta
		lost := false
		for range rapid.IntRange(1, 15).Draw(rt, "steps") {
			i, k := rapid.IntRange(0, 1).Draw(rt, "node"), rapid.SampledFrom(campaigns).Draw(rt, "campaign")
			switch rapid.SampledFrom([]string{"push", "push", "push", "lose", "repeat", "flush", "scripts", "rebuild", "mark"}).Draw(rt, "step") {
			case "push":
				d := nodes[i].commit(k)
				rigs[i].push(d)
				sent = append(sent, d)
			case "lose":
				nodes[i].commit(k)
				lost = true
			case "repeat":
				if len(sent) > 0 {
					rigs[i].push(rapid.SampledFrom(sent).Draw(rt, "which"))
				}
			case "flush":
				rigs[i].do("DEL", key(k))
			case "scripts":
				rigs[i].do("SCRIPT", "FLUSH")
			case "rebuild":
				if err := rigs[i].Rebuild(t.Context(), k); err != nil {
					rt.Fatal(err)
				}
			case "mark":
				if err := rigs[i].mark(t.Context(), k, "dead"); err != nil {
					rt.Fatal(err)
				}
			}
			for _, k := range campaigns { // right or none, unless a push is still to come
				live, err := rigs[0].Read(t.Context(), k)
				if errors.Is(err, ErrAbsent) {
					continue
				}
				durable, derr := Durable(t.Context(), db, k)
				if err != nil || derr != nil || (!lost && !live.Equal(durable)) {
					rt.Fatalf("live %v, durable %v, %v %v", live, durable, err, derr)
				}
			}
		}
		for i := range nodes {
			for _, k := range campaigns {
				rigs[i].push(nodes[i].commit(k))
			}
		}
		for _, k := range campaigns {
			live, err := rigs[0].Read(t.Context(), k)
			if err != nil {
				rt.Fatal(err)
			}
			if err := rigs[1].Rebuild(t.Context(), k); err != nil {
				rt.Fatal(err)
			}
			rebuilt, err := rigs[0].Read(t.Context(), k)
			if err != nil || !live.Equal(rebuilt) {
				rt.Fatalf("live %v, rebuilt %v, %v", live, rebuilt, err)
			}
		}
		if t.Failed() {
			rt.FailNow()
		}
	})
}

func TestFieldsReadBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Totals{}
		want.Add(event.Cell{
			Hour: noon.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "hour")) * time.Hour), Kind: rapid.SampledFrom([]event.Kind{event.Open, event.Click}).Draw(t, "kind"),
			Link: rapid.IntRange(0, 200).Draw(t, "link"), Region: rapid.String().Draw(t, "region"),
			Verdict: rapid.SampledFrom([]event.Verdict{event.Person, event.Machine, event.Unverifiable, event.Anonymous, event.AnonymousMachine, event.Private}).Draw(t, "verdict"),
		}, 1)
		for f := range want {
			if got, err := ParseField(f.String()); err != nil || got != f {
				t.Fatalf("%+v is written %q and read %+v, %v", f, f.String(), got, err)
			}
		}
	})
}

func FuzzParseField(f *testing.F) {
	for _, s := range []string{"t/o/p", "l/c/a/3", "r/o/d/", "r/c/u/GB-ENG", "h/o/m/494832", "l/c/a/03", "x/o/p/1", "@ok"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, err := ParseField(s); err == nil && got.String() != s {
			t.Fatalf("%q reads as %+v, which is written %q", s, got, got.String())
		}
	})
}

func BenchmarkPush(b *testing.B) {
	for name, url := range map[string]func() string{
		"redis":    func() string { return servertest.NewRedis(b).URL },
		"embedded": func() string { return "redis://" + miniredis.RunT(b).Addr() },
	} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, servertest.SQLite(b), url())
			d := (&node{t: b, db: r.db, name: "a"}).commit(1)
			d.Cells = map[event.Cell]int64{}
			for l := range 20 { // as of a batch of a busy campaign
				d.Cells[event.Cell{Hour: noon, Kind: event.Click, Link: 1 + l, Verdict: event.Person, Region: fmt.Sprint("R", l%12)}] = 3
				d.Cells[event.Cell{Hour: noon, Kind: event.Open, Verdict: event.Person, Region: fmt.Sprint("R", l)}] = 5
			}
			r.push(d)
			b.ResetTimer()
			for range b.N {
				d.Prev, d.Seq = d.Seq, d.Seq+500
				r.push(d)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pushes/s")
		})
	}
}
