package api

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"beckon/schema/id"
)

// Uploads keeps uploaded files of contacts until their import has ended. The folder belongs to one
// node and to one process of it at a time.
type Uploads struct {
	dir string

	// Held for reading while a file and its import come into being, which takes two steps, and for
	// writing by whoever concludes from the one that the other is missing.
	mu sync.RWMutex
}

// OpenUploads returns the folder for uploads, which it makes if need be. Files that a process that
// died had only half received are removed.
func OpenUploads(dir string) (*Uploads, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("api: folder for uploads: %w", err)
	}
	u := &Uploads{dir: dir}
	half, err := filepath.Glob(filepath.Join(dir, receiving+"*"+suffix))
	if err != nil {
		return nil, fmt.Errorf("api: folder for uploads: %w", err)
	}
	for _, name := range half {
		if err := u.drop(name); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// receiving begins the name of a file that has no import yet.
const receiving = "receiving-"

const suffix = ".upload"

func (u *Uploads) path(imp id.Import) string { return filepath.Join(u.dir, imp.String()+suffix) }

// receive writes r to a file of its own and returns its name once all of it is on disk. On an
// error there is no file.
func (u *Uploads) receive(r io.Reader) (name string, err error) {
	f, err := os.CreateTemp(u.dir, receiving+"*"+suffix)
	if err != nil {
		return "", fmt.Errorf("api: keep upload: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := io.Copy(f, r); err != nil {
		return "", fmt.Errorf("api: keep upload: %w", err)
	}
	if err := f.Sync(); err != nil {
		return "", fmt.Errorf("api: keep upload: %w", err)
	}
	return f.Name(), f.Close()
}

// keep makes a received file the file of the import that create makes after a look at it. If create
// fails the file goes; if the file cannot be given its name, the worker ends the import as failed.
func (u *Uploads) keep(name string, create func(*os.File) (id.Import, error)) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("api: open upload: %w", err)
	}
	defer f.Close()
	u.mu.RLock()
	defer u.mu.RUnlock()
	imp, err := create(f)
	if err != nil {
		return errors.Join(err, u.drop(name))
	}
	if err := os.Rename(name, u.path(imp)); err != nil {
		return errors.Join(fmt.Errorf("api: keep upload: %w", err), u.drop(name))
	}
	return u.sync()
}

// sync makes the names in the folder as lasting as the files.
func (u *Uploads) sync() error {
	d, err := os.Open(u.dir)
	if err != nil {
		return fmt.Errorf("api: keep upload: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("api: keep upload: %w", err)
	}
	return nil
}

// open opens the file of an import; fs.ErrNotExist when it is not here.
func (u *Uploads) open(imp id.Import) (*os.File, error) {
	return os.Open(u.path(imp))
}

func (u *Uploads) remove(imp id.Import) error {
	if err := os.Remove(u.path(imp)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("api: remove upload: %w", err)
	}
	return nil
}

// clean removes what a process that died left behind: the files of imports that wanted does not
// name. Those without an import may be on their way in.
func (u *Uploads) clean(wanted map[id.Import]bool) error {
	entries, err := os.ReadDir(u.dir)
	if err != nil {
		return fmt.Errorf("api: folder for uploads: %w", err)
	}
	for _, e := range entries {
		name, ours := strings.CutSuffix(e.Name(), suffix)
		imp, err := id.Parse[id.Import](name)
		if !ours || strings.HasPrefix(name, receiving) || err == nil && wanted[imp] {
			continue
		}
		if err := os.Remove(filepath.Join(u.dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("api: remove upload: %w", err)
		}
	}
	return nil
}

// drop removes a received file that no import came of.
func (u *Uploads) drop(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("api: remove upload: %w", err)
	}
	return nil
}
