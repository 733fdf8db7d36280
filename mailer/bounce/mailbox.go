package bounce

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// handledFolder is where a mailbox keeps the reports that were taken.
const handledFolder = "Beckon"

const (
	mailboxEvery = time.Minute
	mailboxRound = 10 * time.Minute // the longest that one look at a mailbox may take
)

// Mailbox takes the reports that lie in a mailbox, by IMAP.
//
// Each minute it reads what is unseen. A report is taken, and then moved to the folder Beckon, which it
// makes; where the server cannot move in one step it is marked as seen. What a person wrote stays as
// it is, unseen, for people to read. A message that cannot be read is flagged, marked as seen and left.
// A crash in between does no harm: a report that is taken twice changes nothing.
type Mailbox struct {
	in       *Intake
	address  string
	host     string
	user     string
	password string
	folder   string
	plain    bool
	tls      *tls.Config

	every    time.Duration
	validity uint32            // of the numbers in left
	left     map[imap.UID]bool // unseen messages that are not for us
}

// OpenMailbox reads imaps://user:password@host:port/folder. Nothing is connected before Run.
func OpenMailbox(address string, in *Intake) (*Mailbox, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errMailbox // the cause would quote the password
	}
	if err := CheckMailbox(u); err != nil {
		return nil, err
	}
	m := &Mailbox{in: in, address: u.Host, host: u.Hostname(), user: u.User.Username(), folder: strings.Trim(u.Path, "/"), plain: u.Scheme == "imap", every: mailboxEvery}
	m.password, _ = u.User.Password()
	if m.folder == "" {
		m.folder = "INBOX"
	}
	if u.Port() == "" {
		m.address = net.JoinHostPort(m.host, map[bool]string{true: "143", false: "993"}[m.plain])
	}
	return m, nil
}

var errMailbox = errors.New("want imaps://user:password@host:port/INBOX; imap:// on loopback alone")

// CheckMailbox says whether an address is one that OpenMailbox takes.
func CheckMailbox(u *url.URL) error {
	_, hasPassword := u.User.Password()
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	if u.Hostname() == "" || !hasPassword || u.RawQuery != "" || u.Scheme != "imaps" && (u.Scheme != "imap" || !loopback) {
		return errMailbox
	}
	return nil
}

// Run looks into the mailbox each minute until ctx ends. What keeps it from that is logged, and tried
// again.
func (m *Mailbox) Run(ctx context.Context) error {
	tick := time.NewTicker(m.every)
	defer tick.Stop()
	for {
		if err := m.look(ctx); err != nil && ctx.Err() == nil {
			m.in.o.Log.Warn("bounce: the mailbox of returned mail waits", "err", err.Error())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look takes what is unseen now.
func (m *Mailbox) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, mailboxRound)
	defer cancel()
	c, err := m.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := c.Login(m.user, m.password).Wait(); err != nil {
		return fmt.Errorf("bounce: %s does not take user and password", m.address) // its words may hold an address
	}
	selected, err := c.Select(m.folder, nil).Wait()
	if err != nil {
		return fmt.Errorf("bounce: open folder %s at %s: %w", m.folder, m.address, err)
	}
	if m.left == nil || m.validity != selected.UIDValidity {
		m.left, m.validity = map[imap.UID]bool{}, selected.UIDValidity
	}
	found, err := c.UIDSearch(&imap.SearchCriteria{NotFlag: []imap.Flag{imap.FlagSeen, imap.FlagDeleted}}, nil).Wait()
	if err != nil {
		return fmt.Errorf("bounce: search %s: %w", m.address, err)
	}
	for _, uid := range found.AllUIDs() {
		if m.left[uid] {
			continue
		}
		if err := m.take(ctx, c, uid); err != nil {
			return err
		}
	}
	return c.Logout().Wait()
}

func (m *Mailbox) dial(ctx context.Context) (*imapclient.Client, error) {
	d := &net.Dialer{Timeout: 30 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", m.address)
	if err != nil {
		return nil, fmt.Errorf("bounce: reach %s: %w", m.address, err)
	}
	if m.plain {
		return imapclient.New(conn, nil), nil
	}
	config := &tls.Config{}
	if m.tls != nil {
		config = m.tls.Clone()
	}
	config.ServerName, config.NextProtos = m.host, []string{"imap"}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("bounce: reach %s: %w", m.address, err)
	}
	return imapclient.New(secure, nil), nil
}

// take settles one message. The error is the server's or the database's: the message is unseen still.
func (m *Mailbox) take(ctx context.Context, c *imapclient.Client, uid imap.UID) error {
	one := imap.UIDSetNum(uid)
	sizes, err := c.Fetch(one, &imap.FetchOptions{UID: true, RFC822Size: true}).Collect()
	if err != nil {
		return fmt.Errorf("bounce: read from %s: %w", m.address, err)
	}
	if len(sizes) == 0 {
		return nil // gone meanwhile
	}
	var raw []byte
	if sizes[0].RFC822Size <= MaxSize {
		body := &imap.FetchItemBodySection{Peek: true}
		got, err := c.Fetch(one, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{body}}).Collect()
		if err != nil {
			return fmt.Errorf("bounce: read from %s: %w", m.address, err)
		}
		if len(got) == 0 {
			return nil
		}
		raw = got[0].FindBodySection(body)
	}
	if len(raw) == 0 {
		m.in.o.Log.Warn("bounce: a message in the mailbox of returned mail cannot be read; it is flagged and left", "bytes", sizes[0].RFC822Size)
		return m.mark(c, one, imap.FlagSeen, imap.FlagFlagged)
	}
	class, err := m.in.letter(ctx, ByMailbox, nil, raw)
	if err != nil {
		return err
	}
	if class == Other {
		m.left[uid] = true
		return nil
	}
	return m.settle(c, one)
}

// settle puts a report away that was taken.
func (m *Mailbox) settle(c *imapclient.Client, one imap.UIDSet) error {
	if err := m.mark(c, one, imap.FlagSeen); err != nil || !c.Caps().Has(imap.CapMove) { // copying and deleting could lose it
		return err
	}
	if _, err := c.Move(one, handledFolder).Wait(); err == nil {
		return nil
	}
	if err := c.Create(handledFolder, nil).Wait(); err != nil {
		return nil // it may not: what is seen stays where it is
	}
	_, _ = c.Move(one, handledFolder).Wait()
	return nil
}

func (m *Mailbox) mark(c *imapclient.Client, one imap.UIDSet, flags ...imap.Flag) error {
	if err := c.Store(one, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: flags}, nil).Close(); err != nil {
		return fmt.Errorf("bounce: mark a message at %s: %w", m.address, err)
	}
	return nil
}
