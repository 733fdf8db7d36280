package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"beckon/schema/id"
	"beckon/segments"
)

// ImportWorker runs the imports whose files are on this node, one after the other, the oldest
// first. After a restart it goes on with each where it stopped.
type ImportWorker struct {
	Importer *segments.Importer
	Imports  *segments.Imports
	Uploads  *Uploads
	Node     string
	Log      *slog.Logger
	Retry    time.Duration         // pause after a failure that is not the file's
	Ended    func(segments.Import) // told of each import that ended and whose file is gone; may be nil

	wake chan struct{}
}

// NewImportWorker returns a worker that is woken by Wake; its fields may be changed until Run.
func NewImportWorker(importer *segments.Importer, imports *segments.Imports, uploads *Uploads, node string) *ImportWorker {
	return &ImportWorker{Importer: importer, Imports: imports, Uploads: uploads, Node: node, Log: slog.Default(), Retry: 5 * time.Second,
		wake: make(chan struct{}, 1)}
}

// Wake says that there is an import to run. It never waits.
func (w *ImportWorker) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Check is the importer's.
func (w *ImportWorker) Check(ctx context.Context, r io.Reader, n segments.NewImport) error {
	return w.Importer.Check(ctx, r, n)
}

// Run works until ctx ends and then returns nil; what is under way goes on with the next Run.
func (w *ImportWorker) Run(ctx context.Context) error {
	cleaned := false
	for ctx.Err() == nil {
		err := w.round(ctx, &cleaned)
		if err != nil && ctx.Err() == nil {
			w.Log.Error("imports wait", "err", err.Error(), "retry", w.Retry)
			select {
			case <-ctx.Done():
			case <-w.wake:
			case <-time.After(w.Retry):
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-w.wake:
		}
	}
	return nil
}

// round runs all that there is to run.
func (w *ImportWorker) round(ctx context.Context, cleaned *bool) error {
	todo, err := w.list(ctx, cleaned)
	if err != nil {
		return err
	}
	for _, imp := range todo {
		if err := w.run(ctx, imp); err != nil {
			return err
		}
	}
	return nil
}

// list returns the imports to run, those without a file ended as failed, and files without an
// import removed once per Run.
func (w *ImportWorker) list(ctx context.Context, cleaned *bool) ([]id.Import, error) {
	w.Uploads.mu.Lock()
	defer w.Uploads.mu.Unlock()
	all, err := w.Imports.Unfinished(ctx, w.Node)
	if err != nil {
		return nil, err
	}
	var todo []id.Import
	wanted := map[id.Import]bool{}
	for _, imp := range all {
		f, err := w.Uploads.open(imp.ID)
		if errors.Is(err, fs.ErrNotExist) {
			if err := w.Imports.Fail(ctx, imp.ID, "the uploaded file is gone: send it again; rows that were read stay"); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("api: open upload: %w", err)
		}
		f.Close()
		todo, wanted[imp.ID] = append(todo, imp.ID), true
	}
	if !*cleaned {
		if err := w.Uploads.clean(wanted); err != nil {
			return nil, err
		}
		*cleaned = true
	}
	return todo, nil
}

// run brings one import to its end and removes its file. An error is one that may pass.
func (w *ImportWorker) run(ctx context.Context, which id.Import) error {
	f, err := w.Uploads.open(which)
	if err != nil {
		return fmt.Errorf("api: open upload: %w", err)
	}
	defer f.Close()
	_, err = w.Importer.Run(ctx, which, f, segments.Options{})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now, getErr := w.Imports.Get(ctx, which)
	if getErr != nil {
		return errors.Join(err, getErr)
	}
	if now.Status != segments.ImportFinished && now.Status != segments.ImportFailed {
		if err == nil {
			err = errors.New("api: an import neither ended nor failed")
		}
		return err
	}
	if err := w.Uploads.remove(which); err != nil {
		return err
	}
	if w.Ended != nil {
		w.Ended(now)
	}
	return nil
}
