package tracker

import (
	"sync"
	"time"
)

// losses reports the first of many losses at once, and those that follow on its heels together, so that
// the reports add up to all of them.
type losses struct {
	mu     sync.Mutex
	next   time.Time
	silent int  // held back since the last report
	due    bool // what is held back is going to be reported without another loss
}

// every is the time between two reports.
const every = 10 * time.Second

// report counts a loss and tells how many that makes since the last report, now or after a while.
// Nobody waits for tell but the one whose loss is reported.
func (l *losses) report(now time.Time, tell func(count int)) {
	l.mu.Lock()
	l.silent++
	count := 0
	switch wait := l.next.Sub(now); {
	case wait <= 0:
		count = l.take(now)
	case !l.due:
		l.due = true
		time.AfterFunc(min(wait, every), func() {
			l.mu.Lock()
			l.due = false
			count := l.take(now.Add(wait))
			l.mu.Unlock()
			if count > 0 {
				tell(count)
			}
		})
	}
	l.mu.Unlock()
	if count > 0 {
		tell(count)
	}
}

func (l *losses) take(now time.Time) int {
	count := l.silent
	l.silent, l.next = 0, now.Add(every)
	return count
}

// lost counts a hit that was answered without being recorded and, now and then, says so aloud.
func (h *Handler) lost(reason loss, err error, now time.Time) {
	h.Metrics.lost(reason)
	h.losses.report(now, func(count int) {
		h.Log.Error("hits were answered but not recorded: look at the disk that holds the spool", "reason", string(reason), "hits", count, "error", err)
	})
}
