package id

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrMalformed is wrapped by every failure to read an identifier.
var ErrMalformed = errors.New("malformed identifier")

// The kinds of identifier. Zero means "none" for every one of them.
type (
	Company  int64
	Source   int64
	Contact  int64
	Subject  int64 // a contact in the consent ledger; random, so that the ledger names nobody
	Import   int64
	Segment  int64
	Campaign int64
	Message  int64 // one recipient's copy of a campaign
	Request  int64 // a double opt-in waiting for its confirmation
	Event    int64
)

func (i Company) String() string  { return format("co", int64(i)) }
func (i Source) String() string   { return format("src", int64(i)) }
func (i Contact) String() string  { return format("ct", int64(i)) }
func (i Import) String() string   { return format("imp", int64(i)) }
func (i Segment) String() string  { return format("seg", int64(i)) }
func (i Campaign) String() string { return format("cmp", int64(i)) }
func (i Message) String() string  { return format("msg", int64(i)) }
func (i Request) String() string  { return format("req", int64(i)) }
func (i Event) String() string    { return format("ev", int64(i)) }

func (i Company) MarshalText() ([]byte, error)  { return []byte(i.String()), nil }
func (i Source) MarshalText() ([]byte, error)   { return []byte(i.String()), nil }
func (i Contact) MarshalText() ([]byte, error)  { return []byte(i.String()), nil }
func (i Import) MarshalText() ([]byte, error)   { return []byte(i.String()), nil }
func (i Segment) MarshalText() ([]byte, error)  { return []byte(i.String()), nil }
func (i Campaign) MarshalText() ([]byte, error) { return []byte(i.String()), nil }
func (i Message) MarshalText() ([]byte, error)  { return []byte(i.String()), nil }
func (i Request) MarshalText() ([]byte, error)  { return []byte(i.String()), nil }
func (i Event) MarshalText() ([]byte, error)    { return []byte(i.String()), nil }

func (i *Company) UnmarshalText(b []byte) error  { return parse("co", b, (*int64)(i)) }
func (i *Source) UnmarshalText(b []byte) error   { return parse("src", b, (*int64)(i)) }
func (i *Contact) UnmarshalText(b []byte) error  { return parse("ct", b, (*int64)(i)) }
func (i *Import) UnmarshalText(b []byte) error   { return parse("imp", b, (*int64)(i)) }
func (i *Segment) UnmarshalText(b []byte) error  { return parse("seg", b, (*int64)(i)) }
func (i *Campaign) UnmarshalText(b []byte) error { return parse("cmp", b, (*int64)(i)) }
func (i *Message) UnmarshalText(b []byte) error  { return parse("msg", b, (*int64)(i)) }
func (i *Request) UnmarshalText(b []byte) error  { return parse("req", b, (*int64)(i)) }
func (i *Event) UnmarshalText(b []byte) error    { return parse("ev", b, (*int64)(i)) }

// Parse reads the text form of any identifier kind of this package:
//
//	c, err := id.Parse[id.Contact]("ct_1z")
func Parse[T any, P interface {
	*T
	UnmarshalText([]byte) error
}](s string) (T, error) {
	var v T
	err := P(&v).UnmarshalText([]byte(s))
	return v, err
}

func format(prefix string, n int64) string {
	return prefix + "_" + strconv.FormatInt(n, 36)
}

func parse(prefix string, b []byte, n *int64) error {
	digits, ok := strings.CutPrefix(string(b), prefix+"_")
	if !ok {
		return fmt.Errorf("id: %w: want %s_…", ErrMalformed, prefix)
	}
	v, err := strconv.ParseInt(digits, 36, 64)
	if err != nil || v <= 0 || strconv.FormatInt(v, 36) != digits {
		return fmt.Errorf("id: %w: want %s_ and a number", ErrMalformed, prefix)
	}
	*n = v
	return nil
}
