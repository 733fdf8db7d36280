package rights

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"beckon/schema"
	"beckon/schema/id"
)

// Kind says what somebody refused or asked for.
type Kind string

// The kinds in use. The journal keeps any other word, too: whoever applies refusals knows them.
const (
	Withdraw Kind = "withdraw"
	Object   Kind = "object"
	Restrict Kind = "restrict"
	Suppress Kind = "suppress"
	Erase    Kind = "erase"
)

// Refusal is a no, or an erasure, as the journal keeps it: when, whose, and how far it reaches, in
// words of the installation. It has no room for an address or for free text.
type Refusal struct {
	At   schema.Time `json:"at"` // when it was said
	Kind Kind        `json:"kind"`
	// Whose it is: the keyed hash of the address, or the mail whose link was used. One of them and
	// never both, so that once the contact is erased nothing here ties a mail to an address.
	Hash    []byte     `json:"hash,omitempty"`
	Message id.Message `json:"message,omitzero"`
	// How far it reaches, as whoever applies it understands it. Empty: every one.
	Company string   `json:"company,omitempty"` // slug
	Channel string   `json:"channel,omitempty"` // slug
	Types   []string `json:"types,omitempty"`   // slugs of communication types
	Topics  []string `json:"topics,omitempty"`  // slugs
	Item    string   `json:"item,omitempty"`    // slug of one thing that was asked for
	Scope   string   `json:"scope,omitempty"`   // a word, such as company or everything
	// How it was said, and what it leaves behind: words of whoever applies it.
	How   string `json:"how,omitempty"`
	Block string `json:"block,omitempty"`
	// Who took it, and its number there; Append gives both.
	Node string `json:"node"`
	Seq  int64  `json:"seq"`
}

// ErrRefusal is wrapped when a refusal lacks what it needs, or holds what the journal must not.
var ErrRefusal = errors.New("refusal not fit for the journal")

const (
	lineMax = 16 << 10 // a longer line is damage
	typeMax = 64       // types, or topics: as many as a mask holds
	sumSize = 8        // bytes of SHA-256
)

var (
	word     = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	itemForm = regexp.MustCompile(`^[a-z0-9-]{1,100}$`) // longer than a word: titles become slugs
)

// check tells what is wrong with a refusal, without repeating what it holds.
func (r *Refusal) check() error {
	bad := func(what string) error { return fmt.Errorf("rights: %w: %s", ErrRefusal, what) }
	switch {
	case r.At <= 0:
		return bad("it says not when")
	case !word.MatchString(string(r.Kind)):
		return bad("its kind is not a word")
	case (len(r.Hash) == 0) == (r.Message == 0), r.Message < 0:
		return bad("it needs an address hash or a message, one of them")
	case r.Message == 0 && (len(r.Hash) < 16 || len(r.Hash) > 32):
		return bad("its hash has a length that no address hash has")
	case len(r.Types) > typeMax || len(r.Topics) > typeMax:
		return bad("it names too many types or topics")
	case r.Item != "" && !itemForm.MatchString(r.Item):
		return bad("its item is not a slug")
	}
	for _, s := range slices.Concat([]string{r.Company, r.Channel, r.Scope, r.How, r.Block}, r.Types, r.Topics) {
		if s != "" && !word.MatchString(s) {
			return bad("company, channel, types, topics, scope, how and block are slugs")
		}
	}
	return nil
}

// appendLine adds the line of a refusal: the length of its JSON, the checksum of that, and the
// JSON, which has no line break in it.
func appendLine(b []byte, r *Refusal) ([]byte, string, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return b, "", fmt.Errorf("rights: %w: %w", ErrRefusal, err)
	}
	sum := sumOf(body)
	return append(fmt.Appendf(b, "%d %s ", len(body), sum), append(body, '\n')...), sum, nil
}

func sumOf(body []byte) string {
	h := sha256.Sum256(body)
	return hex.EncodeToString(h[:sumSize])
}

var (
	errDamage  = errors.New("not a whole refusal")                 // no answer was given for it, or the disk lost it
	errTorn    = fmt.Errorf("the last one is torn: %w", errDamage) // or being written
	errForeign = errors.New("a refusal that cannot be understood") // whole, and somebody relies on it
)

// parseLine reads a line without its line break. The error wraps errDamage or errForeign.
func parseLine(line []byte) (r Refusal, sum string, err error) {
	size, rest, _ := bytes.Cut(line, []byte(" "))
	check, body, _ := bytes.Cut(rest, []byte(" "))
	n, err := strconv.Atoi(string(size))
	if sum = string(check); err != nil || n != len(body) || sum != sumOf(body) {
		return Refusal{}, "", errDamage
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields() // a newer version may mean something by it
	if err := d.Decode(&r); err != nil {
		return Refusal{}, sum, fmt.Errorf("%w: written by a newer version?", errForeign)
	}
	if err := r.check(); err != nil {
		return Refusal{}, sum, fmt.Errorf("%w: %w", errForeign, err)
	}
	if !word.MatchString(r.Node) || r.Seq < 1 {
		return Refusal{}, sum, fmt.Errorf("%w: no node or number", errForeign)
	}
	return r, sum, nil
}

// headLine is the first line of a file: what it is, its identity, and who writes it.
func headLine(journal, node string) string {
	return "beckon refusals 1 " + journal + " " + node + "\n"
}

var headForm = regexp.MustCompile(`^beckon refusals 1 ([a-z0-9]{16}) ([a-z0-9][a-z0-9_-]{0,63})\n$`)

func parseHead(line []byte) (journal, node string, ok bool) {
	m := headForm.FindSubmatch(line)
	if m == nil {
		return "", "", false
	}
	return string(m[1]), string(m[2]), true
}
