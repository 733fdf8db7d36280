package main

import (
	"syscall"
	"testing"
	"time"

	"beckon/schema/servertest"
	"beckon/tracker"
)

// TestR1R5PostgresUnderLoad: PostgreSQL is gone, or there and silent, in the middle of the load. Nobody
// who opens a mail notices, and what they did is counted when it is back.
func TestR1R5PostgresUnderLoad(t *testing.T) {
	alongside(t)
	for _, c := range []struct {
		name      string
		cut, mend func(*servertest.PostgresServer, *testing.T)
	}{
		{"stopped", func(p *servertest.PostgresServer, _ *testing.T) { p.Stop() }, func(p *servertest.PostgresServer, t *testing.T) { p.Start(t) }},
		{"hung", func(p *servertest.PostgresServer, t *testing.T) { p.Signal(t, syscall.SIGSTOP) },
			func(p *servertest.PostgresServer, t *testing.T) { p.Signal(t, syscall.SIGCONT) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			alongside(t)
			p := servertest.ThrowAwayPostgres(t)
			clients := sized(16, 256)
			o := newOutage(t, demoStorage{p.DSN, servertest.ThrowAwayRedis(t).URL}, clients*sized(6, 40))
			tr := o.traffic(clients)
			o.goOn(tr, sized(time.Second, 10*time.Second))
			tr.mark("during")
			c.cut(p, t)
			o.goOn(tr, sized(3*time.Second, 30*time.Second))
			waiting := o.metric("beckon_spool_backlog")
			c.mend(p, t)
			tr.mark("after")
			o.goOn(tr, sized(time.Second, 10*time.Second))
			o.outlived(tr)
			if waiting <= 0 {
				t.Errorf("%d hits waited in the spool: the database was never away", waiting)
			}
			if slow := tr.slowest(); slow > tracker.DefaultWait && fullLoad { // short, beside other tests, time says nothing
				t.Errorf("an answer took %s", slow)
			}
		})
	}
}
