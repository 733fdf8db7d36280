package compose

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// slot is a stretch of the message that differs from copy to copy.
type slot uint8

const (
	slotNone slot = iota
	slotDate
	slotMessageID
	slotSubject
	slotTo
	slotUnsubscribe
	slotText
	slotHTML
	slots
)

// frame is the message around what differs: fixed stretches, each followed by a slot.
type frame []struct {
	fixed []byte
	slot  slot
}

// marker stands for a slot while the frame is built. Nothing else in a header of ours looks like it.
func (s slot) marker() string { return fmt.Sprintf("@@beckon-%d@@", s) }

// The boundary cannot occur in a body: in quoted-printable an = is followed by hexadecimal digits or
// by the end of the line.
const boundary = "=_beckon_alternative"

// newFrame lets go-mail lay the message out, and cuts it at the slots.
func newFrame(from, replyTo, listID, feedbackID string) (frame, error) {
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithBoundary(boundary), gomail.WithEncoding(gomail.EncodingQP))
	set := func(name, value string) { m.SetGenHeader(gomail.Header(name), value) }
	set("Content-Type", `multipart/alternative; boundary="`+boundary+`"`)
	set("Date", slotDate.marker())
	set("Message-ID", slotMessageID.marker())
	set("Subject", slotSubject.marker())
	set("To", slotTo.marker())
	set("List-Unsubscribe", slotUnsubscribe.marker())
	set("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
	// Values that may be folded or encoded are put in afterwards, so that it is done once.
	ready := map[string]string{"From": from, "List-Id": listID, "Feedback-ID": feedbackID}
	if replyTo != "" {
		ready["Reply-To"] = replyTo
	}
	for name := range ready {
		set(name, "@@"+name+"@@")
	}
	m.SetBodyString(gomail.TypeTextPlain, slotText.marker())
	m.AddAlternativeString(gomail.TypeTextHTML, slotHTML.marker())
	var out bytes.Buffer
	if _, err := m.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("compose: lay out the message: %w", err)
	}
	text := out.String()
	for name, value := range ready {
		text = strings.Replace(text, "@@"+name+"@@", value, 1)
	}
	return cutFrame(text)
}

func cutFrame(text string) (frame, error) {
	var f frame
	for {
		first, at := slotNone, len(text)
		for s := slotNone + 1; s < slots; s++ {
			if i := strings.Index(text, s.marker()); i >= 0 && i < at {
				first, at = s, i
			}
		}
		f = append(f, struct {
			fixed []byte
			slot  slot
		}{[]byte(text[:at]), first})
		if first == slotNone {
			break
		}
		text = text[at+len(first.marker()):]
	}
	if len(f) != int(slots) {
		return nil, errors.New("compose: lay out the message: a slot is missing")
	}
	return f, nil
}

// listID is the same for all mails of a type from a company (RFC 2919).
func listID(c Company, typeName, typeSlug string) string {
	label := "List-Id: "
	b := appendPhrase(nil, oneLine(c.Name+": "+typeName), len(label))
	return string(b) + "\r\n <" + typeSlug + "." + c.Domain + ">"
}

// unsubscribeMail is the second way out that List-Unsubscribe offers.
func unsubscribeMail(c Company, typeSlug string) string {
	if c.PrivacyEmail == "" {
		return ""
	}
	return ",\r\n <mailto:" + url.PathEscape(c.PrivacyEmail) + "?subject=" + url.PathEscape("unsubscribe "+typeSlug) + ">"
}

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// appendMessageID appends an identifier that is the same whenever the message is composed, and that
// tells nobody else which message it is. A copy without a message, as tests have, gets one from
// its time and address.
func (f *filling) appendMessageID(dst []byte) []byte {
	mac := f.mac
	mac.Reset()
	b := binary.BigEndian.AppendUint64(f.scratch[:0], uint64(f.t.campaign))
	b = binary.BigEndian.AppendUint64(b, uint64(f.r.Message))
	if f.r.Message == 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(f.r.Date.UnixNano()))
		b = append(b, f.r.Email...)
	}
	mac.Write(b)
	f.scratch = b
	sum := mac.Sum(f.sum[:0])
	dst = append(dst, '<')
	dst = idEncoding.AppendEncode(dst, sum[:20])
	dst = append(dst, '@')
	dst = append(dst, f.t.domain...)
	return append(dst, '>')
}

func appendDate(dst []byte, at time.Time) []byte { return at.AppendFormat(dst, time.RFC1123Z) }
