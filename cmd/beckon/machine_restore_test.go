package main

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"beckon/schema/id"
)

// saved is a backup, with what the test knew when it was made.
type saved struct {
	path      string
	truth     *model
	segments  []*segment
	wishes    map[*wish]bool // that were used
	delivered int            // how many mails
	campaigns int            // how many were launched
	events    int64          // the newest
}

// doBackup backs the database up while the service runs, in the worlds in which it is put back: that
// takes longer than everything else.
func (w *world) doBackup() {
	if !w.mortal || w.restored || w.saved != nil && w.n("again", 4) > 0 {
		return
	}
	s := &saved{path: filepath.Join(filepath.Dir(w.conf.Data), fmt.Sprintf("backup-%d", w.tally.steps)), truth: w.truth.clone(),
		segments: append([]*segment{}, w.segments...), wishes: map[*wish]bool{}, delivered: len(w.delivered), campaigns: len(w.campaigns), events: w.events}
	for _, v := range w.wishes {
		s.wishes[v] = v.used
	}
	_, err := backup(w.ctx, w.conf, s.path)
	w.ok(err)
	w.saved = s
	w.did("backup")
}

// doRestore puts the backup in the place of the database, as the command does, whose clock is the
// real one: the world's is behind it until then, and is set by it afterwards. So it is done once.
func (w *world) doRestore() {
	s := w.saved
	if s == nil || w.restored || !w.now().Before(time.Now()) {
		return
	}
	w.halt()
	w.ok(idle(w.ctx, w.conf))
	_, err := loadBackup(w.ctx, w.conf, s.path, true)
	w.ok(err)
	w.ok(settleRestored(w.ctx, w.conf, slog.New(slog.NewTextHandler(&w.shouts, &slog.HandlerOptions{Level: slog.LevelError})), io.Discard))
	w.clock.Store(time.Now().Add(time.Second).UnixMicro())
	w.start()
	since := len(w.truth.noes) - len(s.truth.noes)
	w.truth, w.segments, w.restored = w.truth.restored(s.truth), s.segments, true
	for _, v := range w.wishes {
		used, known := s.wishes[v]
		v.used, v.lost = used, !known
	}
	for _, d := range w.delivered[s.delivered:] {
		d.lost = true
	}
	for i, c := range w.campaigns {
		c.running = false // paused
		c.lost = i >= s.campaigns
	}
	w.judgeRestored(s)
	w.did("restore")
	if since > 0 {
		w.did("restore over a no")
	}
}

// judgeRestored drains what the spool still has, which the restored database may have forgotten, and
// holds every event against who is followed.
func (w *world) judgeRestored(s *saved) {
	w.ok(w.app.running.drain.Flush(w.ctx))
	w.waiting = nil
	var rows []struct {
		ID       id.Event    `db:"id"`
		Campaign id.Campaign `db:"campaign"`
		Email    string      `db:"email"`
	}
	w.ok(w.app.db.Select(w.ctx, &rows, `SELECT e.id, e.campaign, c.email FROM events e JOIN contacts c ON c.id = e.contact WHERE e.id > ? ORDER BY e.id`, s.events))
	for _, r := range rows {
		tied := false
		for _, d := range w.delivered {
			tied = tied || d.campaign.num == r.Campaign && d.to == r.Email && w.followed(d)
		}
		if !tied {
			w.Fatalf("after the restore %s is tied to an event of %s; %s", r.Email, r.Campaign, w.tell(w.truth.people[r.Email]))
		}
		w.did("event after a restore")
	}
	w.ok(w.app.db.Get(w.ctx, &w.events, `SELECT COALESCE(MAX(id), 0) FROM events`))
	w.ok(w.app.db.Get(w.ctx, &w.counted, `SELECT COALESCE(CAST(SUM(n) AS BIGINT), 0) FROM counts`))
}
