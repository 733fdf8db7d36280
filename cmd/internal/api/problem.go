package api

import (
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"
)

// Problem is an answer that says what was wrong and what to do (RFC 9457). It is an error, so that
// a handler returns it as such.
type Problem struct {
	Type   string       `json:"type"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Detail string       `json:"detail,omitempty"`
	Errors []FieldError `json:"errors,omitempty"`

	header map[string]string
}

// FieldError is what is wrong with one field of a request.
type FieldError struct {
	Field   string `json:"field"` // as in audience.segment or rules[1].field
	Message string `json:"message"`
}

func (p *Problem) Error() string { return "api: " + p.Title }

// kind is a sort of problem that a client can branch on: its type never changes.
type kind struct {
	name   string
	status int
	title  string
}

// The kinds of problem there are; the OpenAPI document lists the same.
var (
	malformed    = kind{"malformed", http.StatusBadRequest, "The request cannot be read"}
	unknownField = kind{"unknown-field", http.StatusBadRequest, "The request has a field that is not known here"}
	invalid      = kind{"invalid", http.StatusBadRequest, "The request has fields that cannot be accepted"}
	unauthorized = kind{"unauthorized", http.StatusUnauthorized, "A valid token is required"}
	forbidden    = kind{"forbidden", http.StatusForbidden, "The token's role does not allow this"}
	noGround     = kind{"no-ground", http.StatusForbidden, "Personal data is handed out on a recorded ground only"}
	notFound     = kind{"not-found", http.StatusNotFound, "There is no such thing"}
	badMethod    = kind{"method-not-allowed", http.StatusMethodNotAllowed, "This address does not take this method"}
	conflict     = kind{"conflict", http.StatusConflict, "The request does not fit the present state"}
	standingNo   = kind{"standing-no", http.StatusConflict, "This person said no"}
	notReady     = kind{"campaign-not-ready", http.StatusConflict, "The campaign cannot be launched yet"}
	tooLarge     = kind{"too-large", http.StatusRequestEntityTooLarge, "The request body is too large"}
	badMedia     = kind{"unsupported-media-type", http.StatusUnsupportedMediaType, "The request body is of a type that is not taken here"}
	tooMany      = kind{"too-many-requests", http.StatusTooManyRequests, "Too many requests"}
	internal     = kind{"internal", http.StatusInternalServerError, "Something went wrong on our side"}
	notBuilt     = kind{"not-available", http.StatusNotImplemented, "This installation cannot do that"}
	relayFailed  = kind{"relay-failed", http.StatusBadGateway, "The relay did not take the mail"}
	unavailable  = kind{"unavailable", http.StatusServiceUnavailable, "The service cannot answer right now"}
	diskFull     = kind{"insufficient-storage", http.StatusInsufficientStorage, "There is no room to keep the upload"}
)

var kinds = []kind{malformed, unknownField, invalid, unauthorized, forbidden, noGround, notFound, badMethod, conflict, standingNo, notReady,
	tooLarge, badMedia, tooMany, internal, notBuilt, relayFailed, unavailable, diskFull}

func (k kind) uri() string { return "urn:problem-type:beckon:" + k.name }

// problem makes a problem of the kind. The detail is for a person to read; it must hold neither
// an address nor a token.
func (k kind) problem(detail string, errors ...FieldError) *Problem {
	return &Problem{Type: k.uri(), Title: k.title, Status: k.status, Detail: detail, Errors: errors}
}

// with adds a header to the answer.
func (p *Problem) with(name, value string) *Problem {
	if p.header == nil {
		p.header = map[string]string{}
	}
	p.header[name] = value
	return p
}

// write sends the problem as the answer.
func (p *Problem) write(c echo.Context) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	header := c.Response().Header()
	header.Del(echo.HeaderContentDisposition) // of a download that came to nothing
	header.Set(echo.HeaderContentType, "application/problem+json")
	for name, value := range p.header {
		header.Set(name, value)
	}
	if c.Request().Method == http.MethodHead {
		return c.NoContent(p.Status)
	}
	return c.Blob(p.Status, "application/problem+json", body)
}
