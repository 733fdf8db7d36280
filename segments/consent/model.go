package consent

import (
	"errors"
	"slices"

	"beckon/schema"
	"beckon/schema/id"
)

// all is the mask of every type or topic, those of later catalogues included.
const all int64 = 1<<63 - 1

// place names one state row. A zero company or an empty channel stands for those that have no row
// of their own; such rows hold refusals only.
type place struct {
	company id.Company
	channel Channel
}

// wishes is one row of consent_state.
type wishes struct {
	granted, refused        int64 // types
	explicit, refusedTopics int64 // topics
	grantedAt, changedAt    schema.Time
	notice                  string
	dirty                   bool
	since                   []schema.Time // by type: when the person's own yes was given; filled by a replay only
}

// trail is one row of consent_tracking. One that is neither open nor refused, and has an epoch,
// is a consent that a block interrupts.
type trail struct {
	epoch         int64
	open, refused bool
	changedAt     schema.Time
	dirty         bool
	since         schema.Time // when the person's own yes was given; filled by a replay only
}

// model is what the ledger of one contact amounts to. Folding the rows of the ledger through apply,
// in order, gives what is stored: that is how a state is rebuilt, and a late no is judged.
type model struct {
	blocks   Block
	state    map[place]*wishes
	tracks   map[id.Company]*trail
	items    map[wanted]*oneOff
	replayed bool

	// Filled by a replay only.
	blocked map[Block]schema.Time  // when each block was imposed
	denied  map[wanted]schema.Time // when items, whether asked for or not, were refused
	lent    Block                  // what comes back when no item is open any more
}

func newModel() *model {
	return &model{state: map[place]*wishes{}, tracks: map[id.Company]*trail{}, items: map[wanted]*oneOff{}}
}

// lifted are the blocks that the person's own yes ends.
const lifted = noes | BlockBounced

// act is an entry or row in the terms of the model.
type act struct {
	action   Action
	company  id.Company
	channel  Channel
	named    bool // types or topics are; else, and without an item, all are meant
	types    int64
	topics   int64
	tracking int // -1 no, 0 nothing said, 1 yes
	item     string
	notice   string
	how      How
	captured schema.Time // zero: after everything on record
	own      bool
	strict   bool // a yes over a no is an error instead of a row that is not applied

	// Filled by apply, of a grant: what of it took effect.
	gave  int64 // types
	gives bool  // consent to tracking
}

// errReplay asks for the contact's history: the act is older than what is in force, or undoes a block.
var errReplay = errors.New("consent: needs the history")

// apply changes the model as the act says and returns the outcome. On an error nothing is changed.
func (m *model) apply(a *act) (string, error) {
	before := m.blocks
	if a.captured == 0 {
		panic("consent: an act without a time")
	}
	var outcome string
	var err error
	switch a.action {
	case Request:
		return Pending, nil
	case Grant:
		outcome, err = m.grant(a)
	case Withdraw, Object:
		outcome, err = m.refuse(a)
	case Restrict:
		m.block(blockOf(a), a.captured)
		outcome = Applied
	case Lift:
		outcome, err = m.lift(a)
	}
	if err != nil {
		return "", err
	}
	m.interrupt(before)
	return outcome, nil
}

// blockOf returns the block that an act puts on the whole contact, or zero.
func blockOf(a *act) Block {
	switch {
	case a.action == Restrict && a.how == byBounce:
		return BlockBounced
	case a.action == Restrict && a.how == byAge:
		return BlockUnderAge
	case a.action == Restrict:
		return BlockRestricted
	case !a.everything():
		return 0
	case a.action == Object && a.how == byComplaint:
		return BlockComplained
	case a.action == Object:
		return BlockObjected
	case a.action == Withdraw && a.how == byErasure:
		return BlockErased
	case a.action == Withdraw && !a.how.lapse():
		return BlockWithdrawn
	}
	return 0
}

func (a *act) everything() bool {
	return a.company == 0 && a.channel == "" && !a.named && a.item == ""
}

func (m *model) block(b Block, at schema.Time) {
	m.blocks |= b
	if m.replayed && b != 0 {
		m.blocked[b] = max(m.blocked[b], at)
	}
}

// interrupt keeps what holds between blocks and tracking: a block closes every epoch, and the end
// of the last block opens a new one wherever the consent still stands.
func (m *model) interrupt(before Block) {
	for _, t := range m.tracks {
		switch {
		case m.blocks != 0 && t.open:
			t.open, t.dirty = false, true
		case m.blocks == 0 && before != 0 && !t.open && t.consents():
			t.open, t.dirty = true, true
			t.epoch++
		}
	}
}

func (m *model) lift(a *act) (string, error) {
	if m.blocks&BlockRestricted == 0 {
		return Applied, nil
	}
	if !m.replayed {
		return "", errReplay
	}
	if a.captured < m.blocked[BlockRestricted] {
		return Older, nil
	}
	m.blocks &^= BlockRestricted
	return Applied, nil
}

// grant applies a yes. What of it is older than the row it touches is left; over a standing no it
// holds only if it is the person's own act.
func (m *model) grant(a *act) (string, error) {
	p := place{a.company, a.channel}
	k := wanted{p, a.item}
	if a.item != "" && !m.replayed {
		return "", errReplay
	}
	w, t := m.wishesAt(p), m.trailAt(a.company)
	if a.tracking < 0 && t.consents() && a.captured < t.changedAt && !m.replayed {
		return "", errReplay
	}
	fresh := a.types|a.topics != 0 && a.captured >= w.changedAt
	freshTrack := a.tracking > 0 && a.captured >= t.changedAt
	untrack := a.tracking < 0 && !(t.consents() && a.captured < t.since)
	var o *oneOff
	freshItem := false
	if a.item != "" {
		o = m.itemAt(k)
		freshItem = a.captured >= o.changedAt
	}
	if !fresh && !freshTrack && !untrack && !freshItem {
		return Older, nil
	}
	standing := m.blocks & (lifted | BlockUnderAge)
	if a.own && standing&BlockUnderAge == 0 && (a.types != 0 && fresh || freshItem) {
		if standing&BlockBounced != 0 && !m.replayed {
			return "", errReplay
		}
		if standing&BlockBounced == 0 || a.captured >= m.blocked[BlockBounced] {
			standing = 0
		}
	}
	types, topics, track, item := a.types, a.topics, freshTrack, freshItem
	if !a.own {
		types, topics = types&^w.refused, topics&^w.refusedTopics
		track, item = track && !t.refused, item && !o.refused
	}
	if standing != 0 {
		types, topics, track, item = 0, 0, false, false
	}
	short := fresh && (types != a.types || topics != a.topics) || track != freshTrack || item != freshItem
	if short && a.strict && !a.own {
		return "", ErrNotOwnAct
	}
	done := false
	a.gave, a.gives = 0, track
	if fresh && types|topics != 0 {
		done, a.gave = true, types
		if a.types != 0 && a.own {
			m.blocks &^= lifted
			m.lent = 0
		}
		m.state[p] = w
		w.granted |= types
		w.refused &^= types
		w.explicit |= topics
		w.refusedTopics &^= topics
		w.changedAt, w.dirty = a.captured, true
		if types != 0 {
			w.grantedAt, w.notice = a.captured, a.notice
			if a.own && m.replayed {
				w.remember(types, a.captured)
			}
		}
	}
	if item {
		done = true
		m.grantItem(k, o, a)
	}
	if track || untrack {
		done = true
		m.tracks[a.company] = t
		t.changedAt, t.dirty = max(t.changedAt, a.captured), true
	}
	switch {
	case untrack:
		t.open, t.refused = false, true
	case track && !t.open:
		t.open, t.refused = m.blocks == 0, false
		t.epoch++
	}
	if track && a.own {
		t.since = a.captured
	}
	switch {
	case !done:
		return Refused, nil
	case short:
		return Partly, nil
	}
	return Applied, nil
}

// refuse applies a withdrawal or objection to every row that it concerns. It loses only against the
// person's own yes to the same thing that was given after it.
func (m *model) refuse(a *act) (string, error) {
	types, topics := a.types, a.topics
	everything := !a.named && a.item == ""
	if everything {
		types, topics = all, all
	}
	kinds, items := a.named || everything, a.item != "" || everything
	lapse := a.how.lapse()
	if items && !m.replayed && m.touchesItem(a) {
		return "", errReplay
	}
	wide := place{a.company, a.channel}
	type touch struct {
		p place
		w *wishes
	}
	var touched []touch
	for p, w := range m.state {
		if kinds && (a.company == 0 || a.company == p.company) && (a.channel == "" || a.channel == p.channel) {
			if a.captured < w.grantedAt && w.granted&types != 0 && !m.replayed {
				return "", errReplay
			}
			touched = append(touched, touch{p, w})
		}
	}
	whole := types == all && !lapse && (a.channel == "" || a.channel == Email) || a.tracking < 0
	for c, t := range m.tracks {
		if whole && (a.company == 0 || a.company == c) && a.captured < t.changedAt && t.consents() && !m.replayed {
			return "", errReplay
		}
	}
	if m.state[wide] == nil && !lapse && kinds {
		m.state[wide] = m.wishesAt(wide)
		touched = append(touched, touch{wide, m.state[wide]})
	}
	done, later, waiting := len(touched) == 0 && a.item == "", false, false
	if items {
		var ended bool
		waiting, ended = m.refuseItems(a)
		done = done || a.item != "" && ended
	}
	var last []id.Company // whose last type of mail this took
	for _, t := range touched {
		kept := t.w.later(a.captured)
		lost := kept & types
		later = later || kept != 0
		if lost != 0 && lost == types && topics == 0 {
			continue
		}
		done = true
		had := t.w.granted != 0
		t.w.no(types&^lost, topics, a.captured, lapse)
		if had && t.w.granted == 0 && t.p.channel == Email {
			last = append(last, t.p.company)
		}
	}
	switch b := blockOf(a); {
	case b == 0 || later:
	case waiting:
		m.lent |= b
	default:
		m.block(b, a.captured)
	}
	m.giveBack()
	if m.refuseTracking(a, whole, last) {
		done = true
	}
	if !done {
		return Older, nil
	}
	return Applied, nil
}

// refuseTracking ends tracking where the act says so, where it refuses all mail, and where it took
// the last type of mail.
func (m *model) refuseTracking(a *act, whole bool, last []id.Company) (changed bool) {
	no := func(c id.Company, t *trail, gone bool) {
		if t.consents() && a.captured < t.since && !gone || t.refused && a.captured <= t.changedAt {
			return
		}
		m.tracks[c], changed = t, true
		t.open, t.refused, t.dirty = false, true, true
		t.changedAt = max(t.changedAt, a.captured)
	}
	for c, t := range m.tracks {
		if gone := slices.Contains(last, c); gone || whole && (a.company == 0 || a.company == c) {
			no(c, t, gone)
		}
	}
	if whole && m.tracks[a.company] == nil {
		no(a.company, m.trailAt(a.company), false)
	}
	return changed
}

// wishesAt returns the row of a place; a new one starts from the refusals that were meant for it
// before it existed, and is not yet part of the model.
func (m *model) wishesAt(p place) *wishes {
	if w := m.state[p]; w != nil {
		return w
	}
	n := &wishes{}
	for _, q := range [...]place{{0, ""}, {0, p.channel}, {p.company, ""}} {
		if w := m.state[q]; w != nil {
			n.refused |= w.refused
			n.refusedTopics |= w.refusedTopics
			n.changedAt = max(n.changedAt, w.changedAt)
		}
	}
	return n
}

func (m *model) trailAt(c id.Company) *trail {
	if t := m.tracks[c]; t != nil {
		return t
	}
	n := &trail{}
	if t := m.tracks[0]; t != nil {
		n.refused, n.changedAt = t.refused, t.changedAt
	}
	return n
}

// consents reports whether a yes to tracking stands, blocked or not.
func (t *trail) consents() bool { return !t.refused && t.epoch > 0 }

// newest returns the time of the newest act in force.
func (m *model) newest() schema.Time {
	var at schema.Time
	for _, w := range m.state {
		at = max(at, w.changedAt)
	}
	for _, t := range m.tracks {
		at = max(at, t.changedAt)
	}
	for _, o := range m.items {
		at = max(at, o.changedAt)
	}
	for _, b := range m.blocked {
		at = max(at, b)
	}
	for _, no := range m.denied {
		at = max(at, no)
	}
	return at
}

func (w *wishes) no(types, topics int64, at schema.Time, lapse bool) {
	w.granted &^= types
	w.explicit &^= topics
	if !lapse {
		w.refused |= types
		w.refusedTopics |= topics
	}
	if w.granted == 0 {
		if !lapse {
			w.refusedTopics |= w.explicit
		}
		w.grantedAt, w.notice, w.explicit = 0, "", 0
	}
	w.changedAt, w.dirty = max(w.changedAt, at), true
}

// later returns the types in force to which the person said yes after t, by an act of their own.
func (w *wishes) later(t schema.Time) int64 {
	if t >= w.grantedAt {
		return 0
	}
	var mask int64
	for bit, at := range w.since {
		if at > t {
			mask |= w.granted & (1 << bit)
		}
	}
	return mask
}

func (w *wishes) remember(types int64, at schema.Time) {
	if w.since == nil {
		w.since = make([]schema.Time, 63)
	}
	for bit := range w.since {
		if types&(1<<bit) != 0 {
			w.since[bit] = at
		}
	}
}
