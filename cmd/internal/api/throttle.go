package api

import (
	"sync"
	"time"
)

// A client that keeps sending bad tokens is told to slow down after this many, of which one is
// forgiven each second. Good tokens are never held up, whoever else sends from the same address.
const (
	badTokensAtOnce  = 20
	badTokenForgiven = time.Second
	clientsWatched   = 10_000
)

// throttle counts failures per client, in memory alone and bounded.
type throttle struct {
	mu      sync.Mutex
	clients map[string]time.Time // when all of the client's failures will be forgiven
}

// add counts a failure and returns how long the client should wait, zero while it need not.
func (t *throttle) add(client string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clients == nil {
		t.clients = map[string]time.Time{}
	}
	if len(t.clients) >= clientsWatched {
		for k, free := range t.clients {
			if !free.After(now) {
				delete(t.clients, k)
			}
		}
		if len(t.clients) >= clientsWatched {
			clear(t.clients)
		}
	}
	free := t.clients[client]
	if free.Before(now) {
		free = now
	}
	free = free.Add(badTokenForgiven)
	if wait := free.Sub(now) - badTokensAtOnce*badTokenForgiven; wait > 0 {
		return wait
	}
	t.clients[client] = free
	return 0
}
