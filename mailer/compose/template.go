package compose

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/mail"
	"sync"

	"beckon/schema/id"
	"beckon/tracker/token"
)

// Template is a compiled campaign mail. It is safe for concurrent use.
type Template struct {
	keys     *token.Keyring
	base     string
	campaign id.Campaign
	tracking string
	test     bool
	domain   string

	frame   frame
	subject *part
	html    *part
	text    *part

	blocks blocks
	consts map[string]any
	mailTo string // the rest of List-Unsubscribe

	links  []Link
	shared []string // the addresses that are the same for everybody, by position
	beacon string

	honeypot  string // where the hidden link leads; empty: there is none
	sharedPot string // its address that is the same for everybody

	fields []string
	spare  sync.Pool // *filling
}

// Links lists the tracked links in order of their position.
func (t *Template) Links() []Link { return t.links }

// Fields lists the variables that the template reads from a recipient's Fields, first names only.
func (t *Template) Fields() []string { return t.fields }

// finish prepares what does not depend on the recipient.
func (t *Template) finish(spec *Spec, from, replyTo *mail.Address) error {
	col := func(name string) int { return len(name) + 2 }
	sender := string(appendMailbox(nil, from.Name, from.Address, col("From")))
	reply := ""
	if replyTo != nil {
		reply = string(appendMailbox(nil, replyTo.Name, replyTo.Address, col("Reply-To")))
	}
	slug := spec.Company.Slug
	if slug == "" {
		slug = spec.Company.Domain
	}
	var err error
	t.frame, err = newFrame(sender, reply, listID(spec.Company, spec.TypeName, spec.TypeSlug),
		fmt.Sprintf("%d:%s:%s", int64(spec.Campaign), spec.TypeSlug, slug))
	if err != nil {
		return err
	}
	t.mailTo = unsubscribeMail(spec.Company, spec.TypeSlug)
	key := t.keys.Derive("message-id")
	t.spare.New = func() any { return &filling{t: t, mac: hmac.New(sha256.New, key)} }
	return nil
}

// address makes one public link.
func (t *Template) appendAddress(dst []byte, k token.Token, url string) ([]byte, error) {
	k.Campaign, k.Test, k.URL = t.campaign, t.test, url
	path := map[token.Kind]string{token.Beacon: "/o/", token.Click: "/c/", token.Unsubscribe: "/u/", token.Preferences: "/p/"}[k.Kind]
	dst = append(append(dst, t.base...), path...)
	dst, err := t.keys.AppendSign(dst, k)
	if err != nil {
		return dst, fmt.Errorf("compose: %w", err)
	}
	if k.Kind == token.Beacon {
		dst = append(dst, ".gif"...)
	}
	return dst, nil
}

// Errors that Fill returns for a recipient that nothing may be sent to as it is.
var (
	ErrRecipient  = errors.New("the recipient is incomplete")
	ErrIncomplete = errors.New("the mail lacks something it must have")
)

// Fill appends r's whole message to dst: RFC 5322, lines end in CRLF, ASCII except for an address
// that is not. What it returns names every source in r.Cite and offers both choices, in both parts;
// if it cannot, it fails and returns dst unchanged.
func (t *Template) Fill(dst []byte, r Recipient) ([]byte, error) {
	f, err := t.filling(&r)
	if err != nil {
		return dst, err
	}
	defer f.release()
	out := dst
	for i := range t.frame {
		piece := &t.frame[i]
		out = append(out, piece.fixed...)
		if out, err = f.slot(out, piece.slot); err != nil {
			return dst, err
		}
	}
	if err := f.complete(); err != nil {
		return dst, err
	}
	return out, nil
}

// Subject returns r's subject as it reads, for previews.
func (t *Template) Subject(r Recipient) (string, error) {
	f, err := t.filling(&r)
	if err != nil {
		return "", err
	}
	defer f.release()
	subject, err := f.subject()
	return string(subject), err
}

// Parts returns r's message bodies, for previews; lines end in LF.
func (t *Template) Parts(r Recipient) (html, text string, err error) {
	f, err := t.filling(&r)
	if err != nil {
		return "", "", err
	}
	defer f.release()
	h, err := f.part(nil, t.html, false)
	if err != nil {
		return "", "", err
	}
	x, err := f.part(nil, t.text, false)
	if err != nil {
		return "", "", err
	}
	return string(h), string(x), f.complete()
}
