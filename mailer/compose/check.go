package compose

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
)

// once are the header fields that a finished mail has exactly one of.
var once = []string{"From", "To", "Subject", "Date", "Message-Id", "Mime-Version", "Content-Type",
	"List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-Id"}

// Check reads a finished message as a mail program would, and says what it lacks: a header, a source
// that must be named, one of the two choices, the postal address, in either part. Fill cannot return
// such a message; Check is for what has passed through other hands, and for test mails.
func (t *Template) Check(message []byte, r Recipient) error {
	lacks := func(what string) error { return fmt.Errorf("compose: %w: %s", ErrIncomplete, what) }
	m, err := mail.ReadMessage(bytes.NewReader(message))
	if err != nil {
		return lacks("readable headers")
	}
	for _, name := range once {
		if n := len(m.Header[name]); n != 1 || strings.TrimSpace(m.Header[name][0]) == "" {
			return lacks(fmt.Sprintf("%s stands there %d times", name, n))
		}
	}
	unsubscribe, isHTTPS := strings.CutPrefix(m.Header.Get("List-Unsubscribe"), "<"+t.base+"/u/")
	if !isHTTPS || !strings.Contains(unsubscribe, ">") || m.Header.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
		return lacks("a one-click List-Unsubscribe")
	}
	text, htmlText, err := bodies(m)
	if err != nil {
		return lacks("two readable parts")
	}
	for _, part := range []struct {
		name, text string
		escape     func(string) string
	}{{"text", text, func(s string) string { return s }}, {"HTML", htmlText, html.EscapeString}} {
		for _, choice := range []string{"Unsubscribe", t.base + "/u/", "Preferences", t.base + "/p/"} {
			if !strings.Contains(part.text, choice) {
				return lacks("a choice in the " + part.name + " part")
			}
		}
		address, _, _ := strings.Cut(t.blocks.company.PostalAddress, "\n")
		if !strings.Contains(part.text, part.escape(strings.TrimSpace(address))) {
			return lacks("the postal address in the " + part.name + " part")
		}
		for _, c := range r.Cite {
			for _, s := range []string{oneLine(c.Name), c.PrivacyURL, c.TransparencyURL} {
				if !strings.Contains(part.text, part.escape(s)) {
					return lacks("a source in the " + part.name + " part")
				}
			}
		}
	}
	return nil
}

// bodies decodes the two parts.
func bodies(m *mail.Message) (text, html string, err error) {
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		return "", "", fmt.Errorf("compose: content type: %w", err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	var out []string
	for _, want := range []string{"text/plain", "text/html"} {
		p, err := parts.NextRawPart()
		if err != nil {
			return "", "", err
		}
		if kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type")); err != nil || kind != want {
			return "", "", fmt.Errorf("compose: want %s", want)
		}
		b, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			return "", "", err
		}
		out = append(out, strings.ReplaceAll(string(b), "\r\n", "\n"))
	}
	return out[0], out[1], nil
}
