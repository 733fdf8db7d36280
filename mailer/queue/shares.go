package queue

import (
	"slices"
	"time"
)

const (
	patience = 100 * time.Millisecond // a relay that is silent for longer holds no other back
	silence  = 5 * time.Second        // a relay that is silent for longer is out of use
	lead     = 4                      // messages by which a relay may be ahead of its share
)

// duty is what the desk keeps of a relay.
type duty struct {
	asked  time.Time // when a connection last asked for a message, or handed in what a relay said
	busy   time.Time // since when something is under way without a word
	flying int
	dials  int
	taken  float64 // messages, by weight
	able   bool    // was counted among those that wait for their share, when last looked at
}

// note takes down that one of the relay's connections turned to the desk.
func (st *station) note(r *request, now time.Time) {
	if r.turned {
		st.dials--
	}
	if r.out != nil {
		st.flying--
	}
	if r.want == wantClaim || r.out != nil && r.out.status != Queued {
		st.asked, st.busy = now, now
	}
}

func (st *station) share() float64 { return float64(max(1, st.Weight)) }

// limited reports whether it is the relay's rate that keeps it from asking.
func (st *station) limited() bool { return st.limit != nil && st.limit.Tokens() < 1 }

// outOfUse reports whether others have to stand in: the relay is down, or says nothing any more.
func (st *station) outOfUse(claims []*request, now time.Time) bool {
	if slices.ContainsFunc(claims, func(r *request) bool { return r.st == st }) {
		return false
	}
	under := st.flying+st.dials > 0
	if down, _ := st.down(); down {
		return st.flying == 0 || now.Sub(st.busy) > silence
	}
	return under && !st.limited() && now.Sub(st.busy) > silence
}

// standby reports whether the relays that only stand by have to stay out.
func (d *desk) standby(now time.Time) bool {
	for _, st := range d.stations {
		if !st.Standby && !st.outOfUse(d.claims, now) {
			return true
		}
	}
	return false
}

// eligible returns the connections that may have a message now, in the order in which they get one.
// Relays that state weights take shares by them: one that is ahead waits, but for no relay that is
// down, at its own rate or slow. Otherwise who asked first is first.
func (d *desk) eligible(now time.Time) []*request {
	closed := func(r *request) bool { return r.idle.Load() }
	for _, r := range d.claims {
		if closed(r) { // it has to connect first
			d.turns = append(d.turns, r)
		}
	}
	d.claims = slices.DeleteFunc(d.claims, closed)
	if len(d.claims) == 0 || len(d.stations) == 1 {
		return d.claims
	}
	open := d.claims
	if d.standby(now) {
		open = slices.DeleteFunc(slices.Clone(open), func(r *request) bool { return r.st.Standby })
	}
	if !slices.ContainsFunc(d.stations, func(st *station) bool { return st.Weight > 0 }) {
		return open
	}
	return d.inShares(open, now)
}

// inShares picks connections so that each relay's share grows with its weight.
func (d *desk) inShares(open []*request, now time.Time) []*request {
	waiting := map[*station][]*request{}
	for _, r := range open {
		waiting[r.st] = append(waiting[r.st], r)
	}
	d.muster(waiting, now)
	taken := map[*station]float64{}
	var order []*request
	for range open {
		var next *station
		least := -1.0 // of what any able relay has taken
		for _, st := range d.stations {
			if !st.able {
				continue
			}
			v := st.taken + taken[st]
			if least < 0 || v < least {
				least = v
			}
			if len(waiting[st]) > 0 && (next == nil || v < next.taken+taken[next]) {
				next = st
			}
		}
		if next == nil || (next.taken+taken[next]-least)*next.share() >= lead {
			break
		}
		order = append(order, waiting[next][0])
		waiting[next] = waiting[next][1:]
		taken[next] += 1 / next.share()
	}
	return order
}

// muster says which relays can take their share now. One that could not for a while is owed nothing.
func (d *desk) muster(waiting map[*station][]*request, now time.Time) {
	floor := -1.0
	var back []*station
	for _, st := range d.stations {
		able := len(waiting[st]) > 0 || !st.Standby && !st.limited() && now.Sub(st.asked) < patience
		switch {
		case able && !st.able:
			back = append(back, st)
		case able && (floor < 0 || st.taken < floor):
			floor = st.taken
		}
		st.able = able
	}
	for _, st := range back {
		st.taken = max(st.taken, floor)
	}
}

// serveWith hands a message to a connection that asked for one.
func (d *desk) serveWith(r *request, j *job) {
	r.st.flying++
	r.st.taken += 1 / r.st.share()
	r.reply <- reply{job: j}
}

// dialing reports whether a connection is being opened that others count on.
func (d *desk) dialing() bool {
	return slices.ContainsFunc(d.stations, func(st *station) bool {
		down, _ := st.down()
		return st.dials > 0 && !down && time.Since(st.busy) < 2*patience
	})
}

// grant lets connections be opened as far as there is work that no open one waits for. A relay that
// is down is tried by one connection at a time, which no other waits for.
func (d *desk) grant() {
	now := time.Now()
	need := -len(d.open)
	for _, a := range d.order {
		need += len(a.stock)
	}
	if need <= 0 && len(d.open) > 0 {
		return
	}
	for _, st := range d.stations {
		if down, _ := st.down(); !down && now.Sub(st.busy) < patience {
			need -= st.dials
		}
	}
	barred := d.standby(now)
	d.turns = slices.DeleteFunc(d.turns, func(r *request) bool {
		st := r.st
		switch down, _ := st.down(); {
		case st.Standby && barred:
			return false
		case down:
			if st.dials > 0 || need+len(d.open) <= 0 {
				return false
			}
		case need <= 0:
			return false
		default:
			need--
		}
		if st.flying+st.dials == 0 {
			st.busy = now
		}
		st.dials++
		r.reply <- reply{}
		return true
	})
}

// standbyLast puts relays that only stand by behind the others.
func standbyLast(relays []*Relay) []*Relay {
	all := slices.Clone(relays)
	slices.SortStableFunc(all, func(a, b *Relay) int {
		switch {
		case a.Standby == b.Standby:
			return 0
		case a.Standby:
			return 1
		}
		return -1
	})
	return all
}
