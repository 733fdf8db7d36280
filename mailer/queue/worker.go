package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"beckon/schema"
)

// worker is one connection's worth of sending.
type worker struct {
	s    *Sender
	st   *station
	ctx  context.Context // ends when no new message is to be begun
	cut  context.Context // ends when connections are to be cut
	conn *conn
	buf  []byte
	last *outcome // not yet handed in
	turn bool     // was told to connect
}

// run goes around until the desk says stop: connect when there is work, take a message, hand in
// what became of it together with asking for the next.
func (w *worker) run() {
	defer func() {
		if w.conn != nil {
			w.conn.close()
		}
	}()
	for {
		what := wantTurn
		if w.conn != nil && w.pace() {
			what = wantClaim
		}
		switch r, ok := w.ask(what); {
		case !ok || r.stop:
			return
		case r.job != nil:
			w.last = w.send(r.job)
		default:
			w.turn = true
			w.connect(true)
		}
	}
}

// ask hands in the last outcome and waits for the answer. Meanwhile a connection without work is
// closed.
func (w *worker) ask(what want) (reply, bool) {
	r, ok := w.post(what)
	if !ok {
		return reply{}, false
	}
	var idle <-chan time.Time
	if w.conn != nil {
		t := time.NewTimer(w.s.opt.Idle)
		defer t.Stop()
		idle = t.C
	}
	for {
		select {
		case answer := <-r.reply:
			return answer, true
		case <-idle:
			w.conn.close()
			w.conn, idle = nil, nil
			r.idle.Store(true)
		case <-w.s.over:
			return reply{}, false
		}
	}
}

func (w *worker) post(what want) (*request, bool) {
	r := &request{out: w.last, want: what, turned: w.turn, reply: make(chan reply, 1), st: w.st}
	select {
	case w.s.requests <- r:
		w.last, w.turn = nil, false
		return r, true
	case <-w.s.over:
		return nil, false
	}
}

// connect opens a connection, and tells the campaigns how the relay is. Without patience it does not
// try a relay that is known to be down.
func (w *worker) connect(patient bool) {
	if down, _ := w.st.down(); w.conn != nil || down && !patient {
		return
	}
	c, news, err := w.st.open(w.ctx, w.cut, &w.s.opt)
	w.conn = c
	switch {
	case !news:
	case err == nil:
		w.s.note(w.cut, w.st.Relay, "")
	default:
		w.s.opt.Log.Warn("queue: relay cannot be used", "relay", w.st.Relay.String(), "err", err)
		w.s.note(w.cut, w.st.Relay, w.st.remedy(err))
	}
}

// pace waits for the relay's rate, with nothing left to hand in; false when sending is to stop.
func (w *worker) pace() bool {
	if w.st.limit == nil || w.st.limit.Allow() {
		return true
	}
	if w.last != nil {
		if _, ok := w.post(wantNothing); !ok {
			return false
		}
	}
	return w.st.limit.Wait(w.ctx) == nil
}

// send takes one claimed message to the relay.
func (w *worker) send(j *job) *outcome {
	o := &outcome{Claimed: j.Claimed}
	o.verdict = w.try(j)
	o.at = schema.At(w.s.opt.Now())
	if o.status == Deferred {
		launched := w.s.opt.Now().Add(-w.s.opt.MaxAge)
		if j.Attempt >= w.s.opt.MaxAttempts || j.Attempt > 1 && j.launched != 0 && j.launched.T().Before(launched) {
			o.status, o.reason = Failed, ReasonTimes
		} else {
			o.next = o.at.Add(w.s.opt.Backoff(j.Attempt))
		}
	}
	if w.conn != nil && w.conn.broken {
		w.conn = nil
	}
	return o
}

func (w *worker) try(j *job) verdict {
	if j.Problem != "" {
		return verdict{status: Failed, reason: j.Problem}
	}
	msg, err := w.compose(j)
	if err != nil {
		w.s.opt.Log.Error("queue: compose", "campaign", j.Campaign, "message", j.Message, "err", err)
		return verdict{status: Failed, reason: ReasonTemplate}
	}
	if w.conn != nil && !w.conn.alive() {
		w.conn = nil
	}
	for {
		if w.conn == nil {
			if w.connect(false); w.conn == nil {
				return verdict{status: Queued}
			}
		}
		v, err := w.conn.deliver(j.ReturnPath, j.To, msg, func() bool { return time.Now().Before(j.until) })
		switch {
		case errors.Is(err, errStale):
			w.conn = nil
		case err != nil:
			return verdict{status: Queued}
		default:
			return v
		}
	}
}

// compose writes and signs the message into the worker's buffer.
func (w *worker) compose(j *job) (msg []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if w.buf, err = j.filler.Fill(w.cut, w.buf[:0], j.Claimed); err != nil {
		return nil, err
	}
	if j.sign == nil {
		return w.buf, nil
	}
	return j.sign(w.buf)
}
