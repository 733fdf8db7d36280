package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"beckon/schema/servertest"
)

// TestR1R2KilledAtFullLoad: `serve` is killed with SIGKILL again and again, each time in the middle of
// as many hits as it can answer. All that were answered are counted, none twice, and Redis holds what
// the durable totals hold.
func TestR1R2KilledAtFullLoad(t *testing.T) {
	alongside(t)
	t.Run("embedded", func(t *testing.T) {
		alongside(t)
		killAtFullLoad(t, demoStorage{})
	})
	t.Run("servers", func(t *testing.T) {
		alongside(t)
		killAtFullLoad(t, demoStorage{servertest.PostgresDSN(t), servertest.ThrowAwayRedis(t).URL})
	})
}

func killAtFullLoad(t *testing.T, on demoStorage) {
	kills, clients := sized(2, 20), connections()
	o := newOutage(t, on, clients*sized(6, 40))
	tr := o.traffic(clients)
	for range kills {
		o.goOn(tr, sized(300*time.Millisecond, time.Second)+rand.N(500*time.Millisecond))
		o.kill()
		tr.mark("killed")
		o.start()
		tr.mark("up again")
	}
	o.goOn(tr, sized(300*time.Millisecond, time.Second))
	tr.end()
	tr.tell(t)
	o.settle()
	t.Logf("%d kills at %d connections; since the last start %d hits were answered without being kept", kills, clients, o.metric("beckon_tracker_losses_total"))
	o.account(tr.sums(), 0)
	if n := tr.refused(); n > 0 {
		t.Errorf("%d answers were errors", n)
	}
	// A kill leaves a connection without an answer once, and before it is up again once more at most.
	if n := tr.broken(); n > int64(2*clients*kills) {
		t.Errorf("%d requests had no answer", n)
	}
}
