package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"syscall"

	"beckon/mailer"
	"beckon/schema/id"
	"beckon/segments"
	"beckon/segments/consent"
	"beckon/segments/rights"

	"github.com/labstack/echo/v4"
)

// meaning says which problem an error of a domain package is.
type meaning struct {
	err    error
	kind   kind
	detail string
	field  string // the field of the request that is at fault, if it is always the same
}

// meanings is the one place where errors of the domain become answers. What is not here is ours to
// mend and is answered as internal, without a word of what happened.
var meanings = []meaning{
	{segments.ErrNotFound, notFound, "Nothing has the identifier or slug in this address.", ""},
	{consent.ErrNotOwnAct, standingNo, "A refusal of this person stands, and only the person can lift it: start a request (action request), which mails a link to confirm.", ""},
	{consent.ErrFuture, invalid, "Nothing was recorded.", "captured_at"},
	{consent.ErrUnknownNotice, invalid, "Nothing was recorded. Store the wording that was shown with POST /notices and name its version.", "notice"},
	{consent.ErrUnknownCompany, invalid, "Nothing was recorded.", "company"},
	{consent.ErrExists, conflict, "A notice of this version exists with another text or language; another wording needs another version.", "version"},
	{consent.ErrAddress, invalid, "Nothing was stored.", "email"},
	{rights.ErrGround, noGround, "Name one of consent, contract, legal-obligation, vital-interests, public-function and legitimate-interests in ?ground=. It is written to the audit log.", "ground"},
	{rights.ErrNoContact, notFound, "Nothing has the identifier in this address.", ""},
	{rights.ErrNoRequest, notFound, "There is no such request.", ""},
	{rights.ErrSettled, conflict, "The request is closed, and stays as it was answered.", ""},
	{rights.ErrNoHold, notFound, "There is no such hold, or it was released before.", ""},
	{rights.ErrNoExtension, notFound, "There is no such extension, or it is over.", ""},
	{rights.ErrHeld, conflict, "A legal hold stands: nothing was erased.", ""},
	{ErrUnknownToken, notFound, "There is no such token.", ""},
	{ErrTokenName, invalid, "The token cannot have this name.", "name"},
	{ErrRole, invalid, "There is no such role.", "role"},
	{id.ErrMalformed, notFound, "Nothing has this identifier.", ""},
	{syscall.ENOSPC, diskFull, "The disk is full; nothing was stored. Make room and send the file again.", ""},
	{context.DeadlineExceeded, unavailable, "The answer took too long; nothing is known to be wrong with the request. Try again.", ""},
	{context.Canceled, unavailable, "The request was given up before it was answered.", ""},
}

// problemOf says what to answer to an error.
func problemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if e, ok := errors.AsType[*segments.Invalid](err); ok {
		return invalid.problem("The fields named say what to do; nothing was stored or changed.", fieldErrors(e.Fields)...)
	}
	if e, ok := errors.AsType[*rights.Invalid](err); ok {
		var fields []FieldError
		for _, f := range e.Fields {
			fields = append(fields, FieldError(f))
		}
		return invalid.problem("The fields named say what to do; nothing was stored or changed.", fields...)
	}
	if e, ok := errors.AsType[*consent.ErrUnknownSlug](err); ok {
		field := map[string]string{consent.KindType: "types", consent.KindTopic: "topics"}[e.Kind]
		return invalid.problem("Nothing was stored.", FieldError{cmp.Or(field, e.Kind), fmt.Sprintf("%q is not in the catalogue: GET /catalogue lists what is", e.Slug)})
	}
	if e, ok := errors.AsType[*mailer.Refused](err); ok {
		return notReady.problem("Nothing was sent. GET /campaigns/{id}/check tells the same problems.", fieldErrors(e.Problems)...)
	}
	if e, ok := errors.AsType[*mailer.StatusError](err); ok {
		return conflict.problem(fmt.Sprintf("A campaign that is %s cannot be %s.", e.Status, e.Want))
	}
	if errors.Is(err, consent.ErrEntry) {
		return invalid.problem("Nothing was recorded: " + last(err) + ".")
	}
	for _, m := range meanings {
		if errors.Is(err, m.err) {
			p := m.kind.problem(m.detail)
			if m.field != "" {
				p.Errors = []FieldError{{m.field, last(err)}}
			}
			return p
		}
	}
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		return fromEcho(e)
	}
	return internal.problem("The request was fine, the service was not. It was logged.")
}

func fieldErrors(list []segments.FieldError) []FieldError {
	out := make([]FieldError, len(list))
	for i, f := range list {
		out[i] = FieldError(f)
	}
	return out
}

// fromEcho translates what the router itself refuses.
func fromEcho(e *echo.HTTPError) *Problem {
	for _, k := range []kind{malformed, notFound, badMethod, tooLarge, badMedia, unavailable} {
		if k.status == e.Code {
			return k.problem("")
		}
	}
	return internal.problem("")
}
