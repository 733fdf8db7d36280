package doctor

import (
	"context"
	"fmt"
	"time"
)

// Level says how a finding is.
type Level string

// The levels, the worst last.
const (
	OK      Level = "ok"
	Warning Level = "warning" // works, and should be changed
	Problem Level = "problem" // mail, links or records of consent suffer
)

// Finding is one thing that was looked at.
type Finding struct {
	Area    string `json:"area"`    // configuration, storage, relay, domain, web, …
	Subject string `json:"subject"` // which one: a relay, a domain, a directory
	Check   string `json:"check"`   // what of it: spf, dkim, certificate, …
	Level   Level  `json:"level"`
	Message string `json:"message"`          // what was found
	Remedy  string `json:"remedy,omitempty"` // what to change
	Record  string `json:"record,omitempty"` // the line to publish in DNS
}

// Check is one look at the world.
type Check struct {
	Area, Subject string
	Run           func(ctx context.Context, tell func(Finding))
}

// Examine runs the checks side by side, each for no longer than limit, and returns what they found in the
// order of the checks.
func Examine(ctx context.Context, limit time.Duration, checks []Check) []Finding {
	results := make([]chan []Finding, len(checks))
	for i, c := range checks {
		results[i] = make(chan []Finding, 1)
		go func() { results[i] <- c.run(ctx, limit) }()
	}
	var all []Finding
	for _, r := range results {
		all = append(all, <-r...)
	}
	return all
}

// run collects what a check tells. One that does not end when its time is over is left to itself.
func (c Check) run(ctx context.Context, limit time.Duration) []Finding {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	told, ended := make(chan Finding), make(chan string, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				ended <- fmt.Sprintf("the check itself failed: %v", p)
				return
			}
			ended <- ""
		}()
		c.Run(ctx, func(f Finding) {
			f.Area, f.Subject = c.Area, c.Subject
			select {
			case told <- f:
			case <-ctx.Done():
				select { // what was found just before the end counts while somebody listens
				case told <- f:
				case <-time.After(grace):
				}
			}
		})
	}()
	var all []Finding
	var late <-chan time.Time
	done := ctx.Done()
	for {
		select {
		case f := <-told:
			all = append(all, f)
		case failed := <-ended:
			if failed != "" {
				all = append(all, Finding{Area: c.Area, Subject: c.Subject, Check: "check", Level: Problem, Message: failed, Remedy: "report this as a fault of Beckon"})
			}
			return all
		case <-done:
			done, late = nil, time.After(grace)
		case <-late:
			return append(all, Finding{Area: c.Area, Subject: c.Subject, Check: "check", Level: Problem, Message: fmt.Sprintf("did not end within %s", limit),
				Remedy: "see that the network and the name servers of this machine answer, then run doctor again"})
		}
	}
}

// grace is how long a check may take to notice that its time is over.
const grace = time.Second

// Worst is the worst level among the findings.
func Worst(all []Finding) Level {
	worst := OK
	for _, f := range all {
		if f.Level == Problem || f.Level == Warning && worst == OK {
			worst = f.Level
		}
	}
	return worst
}
