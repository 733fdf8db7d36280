package compose

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"html"
	"maps"

	"beckon/tracker/token"
)

// filling is the work on one recipient's copy.
type filling struct {
	t    *Template
	r    *Recipient
	mode linkMode
	env  env
	seen [2]uint32 // the ops written, by part: text, HTML

	urls        string // every address of this copy, one after the other
	unsubscribe string
	preferences string
	beacon      string
	honeypot    string
	links       []string // by position

	mac     hash.Hash
	sum     [sha256.Size]byte
	scratch []byte
	ends    []int
}

// filling begins a copy: it checks the recipient and signs the addresses.
func (t *Template) filling(r *Recipient) (*filling, error) {
	fail := func(what string) (*filling, error) {
		return nil, fmt.Errorf("compose: %w: %s", ErrRecipient, what)
	}
	if err := checkAddress(r.Email); err != nil {
		return nil, err
	}
	switch {
	case r.Mode != Identified && r.Mode != Anonymous:
		return fail("the mode is neither identified nor anonymous")
	case r.Message < 0 || r.Message == 0 && !t.test:
		return fail("there is no message to unsubscribe from")
	case r.Date.IsZero():
		return fail("there is no date")
	}
	f := t.spare.Get().(*filling)
	f.r, f.mode, f.seen = r, t.linkMode(r), [2]uint32{}
	f.env = env{fields: r.Fields, consts: t.consts}
	if err := f.sign(); err != nil {
		f.release()
		return nil, err
	}
	return f, nil
}

func (f *filling) release() {
	f.r, f.env, f.urls = nil, env{}, ""
	f.t.spare.Put(f)
}

// linkMode decides what becomes of links and beacon. Only an identified copy gets any of its own.
func (t *Template) linkMode(r *Recipient) linkMode {
	switch {
	case t.tracking == TrackOff || r.Plain:
		return linksPlain
	case r.Mode == Identified:
		return linksOwn
	case t.tracking == TrackStrict:
		return linksPlain
	}
	return linksShared
}

// sign makes all addresses of the copy in one go.
func (f *filling) sign() error {
	t := f.t
	b, ends := f.scratch[:0], f.ends[:0]
	var err error
	add := func(k token.Token, url string) {
		if err == nil {
			k.Message = f.r.Message
			b, err = t.appendAddress(b, k, url)
			ends = append(ends, len(b))
		}
	}
	add(token.Token{Kind: token.Unsubscribe}, "")
	add(token.Token{Kind: token.Preferences}, "")
	if f.mode == linksOwn {
		add(token.Token{Kind: token.Beacon}, "")
		for _, l := range t.links {
			add(token.Token{Kind: token.Click, Link: l.Position}, l.URL)
		}
		if t.honeypot != "" {
			add(token.Token{Kind: token.Click}, t.honeypot)
		}
	}
	f.scratch, f.ends = b, ends
	if err != nil {
		return err
	}
	f.urls = string(b)
	f.unsubscribe, f.preferences = f.urls[:ends[0]], f.urls[ends[0]:ends[1]]
	f.links, f.honeypot = f.links[:0], ""
	switch f.mode {
	case linksOwn:
		f.beacon = f.urls[ends[1]:ends[2]]
		for i := range t.links {
			f.links = append(f.links, f.urls[ends[i+2]:ends[i+3]])
		}
		if t.honeypot != "" {
			f.honeypot = f.urls[ends[len(ends)-2]:]
		}
	case linksShared:
		f.beacon, f.honeypot = t.beacon, t.sharedPot
		f.links = append(f.links, t.shared...)
	}
	return nil
}

// vars are the variables of a part that is rendered whole; the rendering may change them.
func (f *filling) vars() map[string]any {
	v := maps.Clone(f.env.bindings())
	v["citation"] = len(f.r.Cite) > 0
	v["ask_tracking"] = f.asks()
	v["footer"], v["unsubscribe_url"], v["preferences_url"] = true, true, true
	return v
}

func (f *filling) asks() bool { return f.r.Mode == Anonymous && f.t.tracking != TrackOff }

// op writes one piece that differs from copy to copy.
func (f *filling) op(w *sink, o *op, asHTML bool) error {
	part := 0
	if asHTML {
		part = 1
	}
	f.seen[part] |= 1 << o.kind
	switch o.kind {
	case opText:
		w.write(o.s)
	case opValue:
		s, err := o.out.text(&f.env)
		if err != nil {
			return err
		}
		w.write(s)
	case opLink:
		if f.mode == linksPlain {
			w.write(o.s)
		} else {
			w.write(f.links[o.n-1])
		}
	case opUnsubscribe:
		w.write(f.unsubscribe)
	case opPreferences:
		w.write(f.preferences)
	case opWhy:
		why := oneLine(f.r.Why)
		switch {
		case why == "":
			why = f.t.blocks.why(asHTML)
		case asHTML:
			why = html.EscapeString(why)
		}
		w.write(why)
	case opCitation:
		s, err := f.t.blocks.citation(f.r.Cite, asHTML)
		if err != nil {
			return err
		}
		if s != "" {
			w.write(o.s + s)
		}
	case opAsk:
		if f.asks() {
			w.write(o.s + f.t.blocks.ask(f.preferences, asHTML))
		}
	case opBeacon:
		if f.mode != linksPlain {
			w.write(beaconHTML(f.beacon))
		}
	case opHoneypot:
		if f.mode != linksPlain {
			w.write(honeypotHTML(f.honeypot))
		}
	}
	return nil
}

func beaconHTML(url string) string { return `<img src="` + url + beaconEnd }

func honeypotHTML(url string) string {
	if url == "" {
		return ""
	}
	return `<a href="` + url + potEnd
}

// subject is good until the next part is written.
func (f *filling) subject() ([]byte, error) {
	subject, err := f.part(f.scratch[:0], f.t.subject, false)
	f.scratch = subject
	return bytes.TrimSpace(subject), err
}

// slot writes one slot of the frame.
func (f *filling) slot(dst []byte, s slot) ([]byte, error) {
	switch s {
	case slotDate:
		return appendDate(dst, f.r.Date), nil
	case slotMessageID:
		return f.appendMessageID(dst), nil
	case slotTo:
		return appendMailbox(dst, oneLine(f.r.Name), f.r.Email, len("To: ")), nil
	case slotSubject:
		subject, err := f.subject()
		return appendUnstructured(dst, string(subject), len("Subject: ")), err
	case slotUnsubscribe:
		dst = append(append(dst, '<'), f.unsubscribe...)
		return append(append(dst, '>'), f.t.mailTo...), nil
	case slotText:
		return f.part(dst, f.t.text, true)
	case slotHTML:
		return f.part(dst, f.t.html, true)
	}
	return dst, nil
}

func (f *filling) part(dst []byte, p *part, qp bool) ([]byte, error) {
	w := &sink{dst: dst, qp: qp}
	err := p.write(w, f)
	return w.dst, err
}

// complete is the last look at a finished copy: whatever the template did, both parts must name the
// sources and hold the footer with its two choices.
func (f *filling) complete() error {
	need := uint32(1<<opFooter | 1<<opUnsubscribe | 1<<opPreferences)
	if len(f.r.Cite) > 0 {
		need |= 1 << opCitation
	}
	for part, name := range []string{"text", "HTML"} {
		if f.seen[part]&need != need {
			return fmt.Errorf("compose: %w: the %s part has no footer or no citation", ErrIncomplete, name)
		}
	}
	return nil
}
