package bounce

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments/consent"
	"beckon/tracker/token"
)

// Way is how a report came to us.
type Way string

// The ways. A provider's own is its name.
const (
	BySMTP     Way = "smtp"
	ByMailbox  Way = "mailbox"
	BySES      Way = "ses"
	BySendGrid Way = "sendgrid"
	ByMailgun  Way = "mailgun"
	ByPostmark Way = "postmark"
)

// Unproven is counted in place of a class for what is not proven to be about a message of ours.
const Unproven Class = "unproven"

// Inbox takes what a person has to look at.
type Inbox interface {
	// OptOut takes a letter in which somebody asks not to be written to: words are theirs. It is in
	// nobody's name (zero) if the sender is not held, for every company if company is zero.
	OptOut(ctx context.Context, tx *schema.Tx, who id.Contact, company id.Company, words string) error
}

// Options are what an Intake works with. All but the last three are required.
type Options struct {
	DB     *schema.DB
	Paths  *Paths
	Keys   *token.Keyring // opens unsubscribe links
	Ledger *consent.Ledger
	Inbox  Inbox

	Now   func() time.Time
	Log   *slog.Logger
	Count func(Class, Way) // told of everything that came, nil: nobody is
}

// Intake is the one place where a report has consequences. See the package comment for which.
type Intake struct{ o Options }

// NewIntake returns an intake. It is safe for concurrent use.
func NewIntake(o Options) *Intake {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Count == nil {
		o.Count = func(Class, Way) {}
	}
	return &Intake{o}
}

// claim is a report about a message that it was proven to be about.
type claim struct {
	way     Way
	message id.Message // zero: a letter from a person that names none
	report  Report
	optOut  string // class Other: what a person wrote who wants no more mail
	from    string // who says to have written it
}

// Letter takes a message that was delivered to these envelope recipients; without any, those that it
// names itself count, which prove as much. The error is the database's: nothing has happened, and the
// letter is to be given again. Whatever else is the matter with it, it is settled.
func (in *Intake) Letter(ctx context.Context, way Way, to []string, raw []byte) error {
	_, err := in.letter(ctx, way, to, raw)
	return err
}

// letter is Letter; it returns what the letter is, too.
func (in *Intake) letter(ctx context.Context, way Way, to []string, raw []byte) (Class, error) {
	rep, err := Read(bytes.NewReader(raw))
	if errors.Is(err, ErrEmpty) {
		in.o.Count(Other, way)
		return Other, nil
	}
	c := claim{way: way, report: rep}
	if rep.Class == Other {
		c.optOut, c.from = optOut(raw)
	}
	var about []id.Message
	if len(to) == 0 {
		to = rep.To
	}
	for _, a := range to {
		if m, ok := in.o.Paths.Open(a); ok {
			about = append(about, m)
		}
	}
	if len(about) == 0 && rep.Class == Complaint {
		if m, ok := in.unsubscribeLink(rep.Original.ListUnsubscribe); ok {
			about = append(about, m)
		}
	}
	if len(about) == 0 {
		if c.optOut == "" || way != ByMailbox {
			return rep.Class, in.unproven(rep.Class, way)
		}
		about = []id.Message{0}
	}
	for _, m := range about {
		c.message = m
		if err := in.take(ctx, c); err != nil {
			return rep.Class, err
		}
	}
	return rep.Class, nil
}

// Notice is what a provider says about one message, which its hook has verified.
type Notice struct {
	Report Report
	Local  string // the local part of the return path that the provider gives back
	Path   string // or the whole return path
	Link   string // or the List-Unsubscribe field
	OptOut string // what a person wrote who wants no more mail
}

// Notice takes a provider's word, like Letter.
func (in *Intake) Notice(ctx context.Context, way Way, n Notice) error {
	m, ok := in.o.Paths.OpenLocal(n.Local)
	if !ok {
		m, ok = in.o.Paths.Open(n.Path)
	}
	if !ok {
		m, ok = in.unsubscribeLink(n.Link)
	}
	if !ok {
		return in.unproven(n.Report.Class, way)
	}
	return in.take(ctx, claim{way: way, message: m, report: n.Report, optOut: n.OptOut})
}

func (in *Intake) unproven(c Class, way Way) error {
	in.o.Count(Unproven, way)
	in.o.Log.Info("bounce: a report that proves nothing was left aside", "class", string(c), "way", string(way))
	return nil
}

// unsubscribeLink finds a link of ours in a List-Unsubscribe field, and the message that it was in.
func (in *Intake) unsubscribeLink(field string) (id.Message, bool) {
	for _, part := range strings.Split(field, ",") {
		_, text, ok := strings.Cut(strings.Trim(part, " \t<>"), "/u/")
		if !ok {
			continue
		}
		if t, err := in.o.Keys.Open(token.Unsubscribe, text); err == nil && t.Message != 0 && !t.Test {
			return t.Message, true
		}
	}
	return 0, false
}

// take acts on a claim in one transaction, once.
func (in *Intake) take(ctx context.Context, c claim) error {
	in.o.Count(c.report.Class, c.way)
	row, ok := c.row(schema.At(in.o.Now()))
	if !ok {
		return nil
	}
	var sent int64
	if row.Class == Complaint {
		var err error
		if sent, err = in.sentBefore(ctx, c.message); err != nil {
			return err
		}
	}
	err := in.o.DB.Tx(ctx, func(tx *schema.Tx) error { return in.act(ctx, tx, c, row, sent) })
	if errors.Is(err, queue.ErrNoMessage) { // of a backup that was not restored, or of another installation with the same keys
		in.o.Log.Info("bounce: a report about a message that is not held was left aside", "class", string(row.Class), "way", string(c.way))
		return nil
	}
	if err != nil {
		return fmt.Errorf("bounce: take a report: %w", err)
	}
	return nil
}

// row is what is kept of a report.
type row struct {
	Message    id.Message
	Class      Class
	Status     string
	Code       int
	Diagnostic string
	Way        Way
	At         schema.Time
	Key        string
}

// optedOut is the class under which a complaint is kept that asks for no more than to be left out.
const optedOut Class = "opt-out"

// row says what is to be kept, and false for what has no consequences.
func (c *claim) row(at schema.Time) (row, bool) {
	r := row{c.message, c.report.Class, c.report.Status, c.report.Code, redact(c.report.Diagnostic, c.report.Recipient), c.way, at, ""}
	detail := ""
	switch {
	case r.Class == AutoReply, r.Class == Other && c.optOut == "", c.message == 0 && c.optOut == "":
		return r, false
	case r.Class == Soft && strings.HasPrefix(c.report.Reason, stillTried):
		return r, false
	case r.Class == Complaint && strings.HasPrefix(c.report.FeedbackType, string(optedOut)):
		r.Class = optedOut
	case r.Class == Soft, r.Class == Sender, r.Class == Other:
		detail = c.report.MessageID
		if detail == "" {
			detail = fmt.Sprint(r.Status, r.Code, r.Diagnostic, c.optOut)
		}
	}
	sum := sha256.Sum256([]byte(detail))
	r.Key = string(r.Class) + ":" + c.message.String()
	if detail != "" {
		r.Key += ":" + hex.EncodeToString(sum[:16])
	}
	return r, true
}
