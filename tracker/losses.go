package tracker

import (
	"sync"
	"time"
)

// losses lets the first of many reports through and holds back those that follow on its heels.
type losses struct {
	mu     sync.Mutex
	next   time.Time
	silent int // held back since the last report
}

// every is the time between two reports.
const every = 10 * time.Second

// report says whether to report a loss now, and how many that makes since the last report.
func (l *losses) report(now time.Time) (count int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent++
	if now.Before(l.next) {
		return 0, false
	}
	count, l.silent, l.next = l.silent, 0, now.Add(every)
	return count, true
}

// lost counts a hit that was answered without being recorded and, now and then, says so aloud.
func (h *Handler) lost(reason loss, err error, now time.Time) {
	h.Metrics.lost(reason)
	if count, ok := h.losses.report(now); ok {
		h.Log.Error("hits were answered but not recorded: look at the disk that holds the spool", "reason", string(reason), "hits", count, "error", err)
	}
}
