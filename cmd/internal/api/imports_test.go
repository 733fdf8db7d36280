package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"testing"

	"beckon/schema"
	"beckon/schema/servertest"
	"beckon/segments"
)

// part is a field of a form; the one named file is sent as a file.
type part struct{ name, value string }

func (w *world) upload(parts ...part) reply {
	w.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, p := range parts {
		if p.name == "file" {
			f, err := form.CreateFormFile(p.name, "contacts.csv")
			if err != nil {
				w.t.Fatal(err)
			}
			_, _ = f.Write([]byte(p.value))
			continue
		}
		if err := form.WriteField(p.name, p.value); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		w.t.Fatal(err)
	}
	return w.send("POST", "/imports", http.Header{"Authorization": {"Bearer " + w.token[Marketer]}, "Content-Type": {form.FormDataContentType()}}, &body)
}

// work runs the import worker until nothing is left to do.
func (w *world) work() error {
	cleaned := false
	return w.worker.round(w.t.Context(), &cleaned)
}

// woken says how often the worker was told of work.
func (w *world) woken() int32 { return w.ImportRunner.(*woken).n.Load() }

// files counts what lies in the folder for uploads.
func (w *world) files() int {
	w.t.Helper()
	entries, err := os.ReadDir(w.Uploads.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(entries)
}

type imported struct {
	ID, Status, Problem, Rejects                        string
	Source                                              *string
	Rows, Created, Updated, Skipped, Rejected, Mailable int
	Reasons                                             map[string]int
}

func TestAnImportFromUploadToRejects(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		w := newWorld(t, db)
		w.furnish()
		file := "Email Address;name\njo@example.org;Jo\nnot an address;Nobody\nJO@example.org;Jo again\n"
		var queued, done imported
		got := w.upload(part{"source", "datahouse"}, part{"mapping", `{"email":"Email Address","subscriber_kind":{"value":"corporate"}}`}, part{"file", file})
		got.into(t, http.StatusAccepted, &queued)
		if queued.Status != "queued" || *queued.Source != "datahouse" || got.header.Get("Location") != "/api/v1/imports/"+queued.ID {
			t.Errorf("got %s", got.body)
		}
		if w.woken() != 1 || w.files() != 1 {
			t.Errorf("woken %d times for %d files", w.woken(), w.files())
		}
		if err := w.work(); err != nil {
			t.Fatal(err)
		}
		w.call(Marketer, "GET", "/imports/"+queued.ID, nil).into(t, http.StatusOK, &done)
		if done.Status != "finished" || done.Rows != 3 || done.Created != 1 || done.Skipped != 1 || done.Rejected != 1 {
			t.Errorf("got %+v", done)
		}
		rejects := w.call(Marketer, "GET", strings.TrimPrefix(done.Rejects, Prefix), nil)
		lines := strings.Split(strings.TrimSpace(string(rejects.body)), "\n")
		if rejects.status != http.StatusOK || len(lines) != 3 || !strings.HasPrefix(lines[1], "3,email,") || strings.Contains(string(rejects.body), "not an address;") {
			t.Errorf("rejects: %d %q", rejects.status, lines)
		}
		if cd := rejects.header.Get("Content-Disposition"); !strings.Contains(cd, done.ID+"-rejects.csv") {
			t.Errorf("saved as %q", cd)
		}
		if w.files() != 0 {
			t.Error("the file outlived its import")
		}
		w.call(Marketer, "GET", "/imports/imp_zz", nil).is(t, notFound)
		w.call(Marketer, "GET", "/imports/imp_zz/rejects.csv", nil).is(t, notFound)
	})
}

func TestUploadsThatCannotBeImportedLeaveNothing(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t), func(d *Deps) { d.MaxUpload = 10 << 10 })
	w.furnish()
	file := part{"file", "email\njo@example.org\n"}
	for _, c := range []struct {
		name  string
		parts []part
		kind  kind
		field string
	}{
		{"no file", []part{{"as", "withdrawn"}}, invalid, "file"},
		{"an empty file", []part{{"file", ""}}, invalid, "file"},
		{"a file without addresses", []part{{"file", "name\nJo\n"}}, invalid, "email"},
		{"an unknown source", []part{file, {"source", "nobody"}}, invalid, "source"},
		{"an unknown no", []part{file, {"as", "bored"}}, invalid, "as"},
		{"an unknown field", []part{file, {"sauce", "datahouse"}}, unknownField, "sauce"},
		{"the file twice", []part{file, file}, invalid, "file"},
		{"a mapping that is not JSON", []part{file, {"mapping", "email=Email"}}, malformed, "mapping"},
		{"a mapping of what is no field", []part{file, {"mapping", `{"shoe":"Size"}`}}, invalid, "mapping.shoe"},
		{"more than the limit", []part{{"file", "email\n" + strings.Repeat("jo@example.org\n", 1000)}}, tooLarge, ""},
		{"a field beyond measure", []part{file, {"mapping", strings.Repeat(" ", maxField) + "{}"}}, tooLarge, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			limit := w.MaxUpload
			if c.name == "a field beyond measure" {
				w.MaxUpload = 1 << 20
			}
			defer func() { w.MaxUpload = limit }()
			var fields []string
			if c.field != "" {
				fields = []string{c.field}
			}
			w.upload(c.parts...).is(t, c.kind, fields...)
		})
	}
	t.Run("a body that is no form", func(t *testing.T) {
		w.call(Marketer, "POST", "/imports", `{"file":"email"}`).is(t, badMedia)
		header := http.Header{"Authorization": {"Bearer " + w.token[Marketer]}, "Content-Type": {"multipart/form-data"}}
		w.send("POST", "/imports", header, strings.NewReader("x")).is(t, malformed)
		header.Set("Content-Type", "multipart/form-data; boundary=b")
		w.send("POST", "/imports", header, strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nemail\n")).is(t, malformed)
	})
	if left, err := w.Imports.Unfinished(t.Context(), "here"); err != nil || len(left) != 0 || w.files() != 0 || w.woken() != 0 {
		t.Errorf("left: %v in the database, %d files, woken %d times, %v", left, w.files(), w.woken(), err)
	}
}

func TestTheWorkerGoesOnAfterARestart(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.furnish()
	var first, lost, foreign imported
	w.upload(part{"file", "email\njo@example.org\n"}).into(t, http.StatusAccepted, &first)
	w.upload(part{"file", "email\nal@example.org\n"}).into(t, http.StatusAccepted, &lost)
	if err := os.Remove(w.Uploads.dir + "/" + lost.ID + suffix); err != nil {
		t.Fatal(err)
	}
	elsewhere, err := w.Imports.Create(t.Context(), segments.NewImport{Node: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"receiving-1" + suffix, "imp_zz" + suffix, "note.txt"} {
		if err := os.WriteFile(w.Uploads.dir+"/"+name, []byte("email\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenUploads(w.Uploads.dir); err != nil { // as a process that starts does
		t.Fatal(err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	cleaned := true
	if err := w.worker.round(stopped, &cleaned); !errors.Is(err, context.Canceled) {
		t.Errorf("a worker that was stopped says %v", err)
	}
	if err := w.work(); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{first.ID: "finished", lost.ID: "failed", elsewhere.ID.String(): "queued"} {
		w.call(Marketer, "GET", "/imports/"+id, nil).into(t, http.StatusOK, &foreign)
		if foreign.Status != want || (want == "failed") != strings.Contains(foreign.Problem, "send it again") {
			t.Errorf("%s: %+v", id, foreign)
		}
	}
	if w.files() != 1 {
		t.Errorf("%d files are left, want the note alone", w.files())
	}
}

func TestTheWorkerRunsUntilToldToStop(t *testing.T) {
	w := newWorld(t, servertest.SQLite(t))
	w.ImportRunner = w.worker
	ctx, cancel := context.WithCancel(t.Context())
	ended, stopped := make(chan segments.Import), make(chan error)
	w.worker.Ended = func(i segments.Import) { ended <- i }
	go func() { stopped <- w.worker.Run(ctx) }()
	for i := range 3 {
		var up imported
		w.upload(part{"file", fmt.Sprintf("email\njo%d@example.org\n", i)}).into(t, http.StatusAccepted, &up)
		if got := <-ended; got.ID.String() != up.ID || got.Status != "finished" || w.files() != 0 {
			t.Errorf("got %+v with %d files left", got, w.files())
		}
	}
	cancel()
	if err := <-stopped; err != nil {
		t.Errorf("got %v", err)
	}
}
