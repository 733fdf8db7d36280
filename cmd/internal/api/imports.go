package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"strings"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/segments"

	"github.com/labstack/echo/v4"
)

// maxField is how much of a form field beside the file is read.
const maxField = 64 << 10

// importView is an import as callers see it: sources by slug, the node left out.
type importView struct {
	ID         id.Import        `json:"id"`
	Source     *string          `json:"source"`
	As         *string          `json:"as"`
	Mapping    segments.Mapping `json:"mapping"`
	Status     string           `json:"status"`
	Problem    string           `json:"problem"`
	Rows       int64            `json:"rows"`
	Created    int64            `json:"created"`
	Updated    int64            `json:"updated"`
	Skipped    int64            `json:"skipped"`
	Rejected   int64            `json:"rejected"`
	Mailable   int64            `json:"mailable"`
	Reasons    map[string]int64 `json:"reasons"`
	Rejects    string           `json:"rejects"`
	CreatedAt  schema.Time      `json:"created_at"`
	FinishedAt schema.Time      `json:"finished_at"`
}

func (a *API) viewImport(ctx context.Context, i segments.Import) (importView, error) {
	v := importView{i.ID, nil, nil, i.Mapping, i.Status, i.Problem, i.Rows, i.Created, i.Updated, i.Skipped, i.Rejected, i.Mailable,
		i.Reasons, Prefix + "/imports/" + i.ID.String() + "/rejects.csv", i.CreatedAt, i.FinishedAt}
	if v.Mapping == nil {
		v.Mapping = segments.Mapping{}
	}
	if i.As != "" {
		v.As = &i.As
	}
	if i.Source != 0 {
		src, err := a.Sources.ByID(ctx, i.Source)
		if err != nil {
			return importView{}, err
		}
		v.Source = &src.Slug
	}
	return v, nil
}

func (a *API) getImport(c echo.Context, _ Token) error {
	which, err := pathID[id.Import](c)
	if err != nil {
		return err
	}
	got, err := a.Imports.Get(c.Request().Context(), which)
	if err != nil {
		return err
	}
	v, err := a.viewImport(c.Request().Context(), got)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, v)
}

// getRejects streams which rows were not taken and why; what stood in them is not kept.
func (a *API) getRejects(c echo.Context, _ Token) error {
	which, err := pathID[id.Import](c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, err := a.Imports.Get(ctx, which); err != nil {
		return err
	}
	download(c, "text/csv; charset=utf-8", which.String()+"-rejects.csv")
	return a.Imports.WriteRejects(ctx, which, c.Response())
}

// download sets the headers of a file that is about to be streamed.
func download(c echo.Context, media, name string) {
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, media)
	h.Set(echo.HeaderContentDisposition, mime.FormatMediaType("attachment", map[string]string{"filename": name}))
}

// createImport takes a file of contacts to disk, as it comes, refuses what is no such file, and
// leaves the rest to the import worker.
func (a *API) createImport(c echo.Context, by Token) error {
	ctx := c.Request().Context()
	if media, _, _ := mime.ParseMediaType(c.Request().Header.Get("Content-Type")); media != "multipart/form-data" {
		return badMedia.problem("Send the file as multipart/form-data in the field file.").with("Accept", "multipart/form-data")
	}
	c.Request().Body = http.MaxBytesReader(c.Response(), c.Request().Body, a.MaxUpload)
	form, err := a.readForm(c.Request())
	if err != nil {
		return err
	}
	if form.file == "" {
		return invalid.problem("Nothing was stored.", FieldError{"file", "is missing: send the file of contacts in this field"})
	}
	var made segments.Import
	err = a.Uploads.keep(form.file, func(f *os.File) (id.Import, error) {
		n, err := a.newImport(ctx, form)
		if err != nil {
			return 0, err
		}
		if err := a.ImportRunner.Check(ctx, f, n); err != nil {
			return 0, err
		}
		made, err = a.Imports.Create(ctx, n)
		return made.ID, err
	})
	if err != nil {
		return err
	}
	if err := a.record(c, nil, by, "import.create", made.ID.String(), strings.TrimSpace(form.source+" "+form.as)); err != nil {
		return err
	}
	a.ImportRunner.Wake()
	v, err := a.viewImport(ctx, made)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, Prefix+"/imports/"+made.ID.String())
	return c.JSON(http.StatusAccepted, v)
}

// upload is the form that an import is created from.
type upload struct {
	source, as, mapping string
	file                string // name of the file as received
}

func (a *API) newImport(ctx context.Context, f upload) (segments.NewImport, error) {
	n := segments.NewImport{As: f.as, Node: a.Node}
	if f.mapping != "" {
		if err := decodeJSON([]byte(f.mapping), &n.Mapping); err != nil {
			if p, ok := errors.AsType[*Problem](err); ok && p.Errors == nil {
				p.Errors = []FieldError{{"mapping", "must be a JSON object of our fields, each with a column of the file or a {\"value\": …}"}}
			} else if ok {
				for i := range p.Errors {
					p.Errors[i].Field = "mapping." + p.Errors[i].Field
				}
			}
			return n, err
		}
	}
	if f.source != "" {
		src, err := a.Sources.BySlug(ctx, f.source)
		if errors.Is(err, segments.ErrNotFound) {
			return n, invalid.problem("Nothing was stored.", FieldError{"source", "is not a known source: create it first, or leave it out for contacts of our own"})
		}
		if err != nil {
			return n, err
		}
		n.Source = src.ID
	}
	return n, nil
}

// readForm reads the parts in the order in which they come, the file straight to disk.
func (a *API) readForm(r *http.Request) (form upload, err error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return form, malformed.problem("The form cannot be read: its Content-Type names no boundary.")
	}
	defer func() {
		if err != nil && form.file != "" {
			err = errors.Join(err, a.Uploads.drop(form.file))
		}
	}()
	fields := map[string]*string{"source": &form.source, "as": &form.as, "mapping": &form.mapping}
	seen := map[string]bool{}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return form, nil
		}
		if err != nil {
			return form, readProblem(err)
		}
		name := part.FormName()
		if seen[name] {
			return form, invalid.problem("Nothing was stored.", FieldError{name, "is there twice; send it once"})
		}
		seen[name] = true
		switch value := fields[name]; {
		case name == "file":
			from := &sender{r: part}
			if form.file, err = a.Uploads.receive(from); from.err != nil {
				return form, readProblem(from.err)
			} else if err != nil {
				return form, err
			}
		case value == nil:
			return form, unknownField.problem(fmt.Sprintf("Form field %s is not known here; nothing was stored.", name), FieldError{name, "is not known here"})
		default:
			if *value, err = readField(part); err != nil {
				return form, err
			}
		}
	}
}

func readField(part *multipart.Part) (string, error) {
	b, err := io.ReadAll(io.LimitReader(part, maxField+1))
	if err != nil {
		return "", readProblem(err)
	}
	if len(b) > maxField {
		return "", tooLarge.problem(fmt.Sprintf("The form field %s is larger than %s.", part.FormName(), size(maxField)))
	}
	return strings.TrimSpace(string(b)), nil
}

// sender reads what a client sends and remembers how that failed, to tell it from a disk that fails.
type sender struct {
	r   io.Reader
	err error
}

func (s *sender) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
