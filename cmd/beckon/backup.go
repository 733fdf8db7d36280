package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"beckon/schema"
	"beckon/segments/rights"

	"github.com/spf13/cobra"
)

// A backup is one file: a tar of manifest.json and the dump of the database.
const (
	backupFormat = 1
	manifestName = "manifest.json"
	dumpName     = "database"
	manifestMax  = 1 << 20
)

// manifest says what a backup is, so that restore can refuse it before it touches anything.
type manifest struct {
	Format  int               `json:"format"`
	Program string            `json:"program"` // version that wrote it
	Schema  int64             `json:"schema"`  // newest migration in it
	Dialect schema.Dialect    `json:"dialect"`
	At      time.Time         `json:"at"`   // no later than what is in it
	Keys    map[string]string `json:"keys"` // fingerprints of the keys that belong to it, by their names in the settings
	Size    int64             `json:"size"` // of the dump, in bytes
	SHA256  string            `json:"sha256"`
}

func backupCommand() *cobra.Command {
	conf := &Config{}
	cmd := &cobra.Command{Use: "backup FILE", Short: "Write the database to one new file, while the service runs", Args: cobra.ExactArgs(1),
		Long: `Write the database to one new file, as it is at one instant, while the service runs.

Not in it, and to be kept elsewhere: the keys (BECKON_KEYS, BECKON_HASH_KEY, DKIM), without which the
backup is of no use, and which must not lie beside it; the refusals journal (BECKON_JOURNAL), which has
to be newer than the backup when it is restored; the spool; uploaded files that wait for their import.

It holds the personal data of everybody, also of those who are erased later: it is for its owner alone,
and not to be kept for longer than a month.`}
	conf.flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := conf.finish(); err != nil {
			return err
		}
		m, err := backup(cmd.Context(), conf, args[0])
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s holds the database as it was at %s (%s, version %d, %d bytes).\n", args[0], m.At.Format(time.RFC3339), m.Dialect, m.Schema, m.Size)
		fmt.Fprintln(cmd.OutOrStdout(), "It does not hold the keys, the refusals journal, the spool and the uploads. Keep the keys, apart from it: without them it cannot be restored.")
		return nil
	}
	return cmd
}

// backup writes a backup to a new file. The database stays as it is: it is not migrated.
func backup(ctx context.Context, conf *Config, path string) (m manifest, err error) {
	if _, err := os.Lstat(path); err == nil {
		return m, fmt.Errorf("%s exists: a backup overwrites nothing", path)
	}
	if file, lite := strings.CutPrefix(conf.Database, "sqlite:"); lite {
		if _, err := os.Stat(file); err != nil {
			return m, fmt.Errorf("BECKON_DATABASE: %w", err)
		}
	}
	db, err := schema.Open(ctx, conf.Database)
	if err != nil {
		return m, fmt.Errorf("BECKON_DATABASE: %w", err)
	}
	defer db.Close()
	temp, err := os.MkdirTemp(filepath.Dir(path), filepath.Base(path)+"-*.part")
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(temp)
	m = manifest{Format: backupFormat, Program: programVersion(), Dialect: db.Dialect(), At: time.Now().UTC()}
	if m.Schema, err = db.Version(ctx); err != nil {
		return m, err
	}
	dump := filepath.Join(temp, dumpName)
	if err := db.Backup(ctx, dump); err != nil {
		return m, err
	}
	if m.Keys, err = fingerprints(ctx, db); err != nil {
		return m, err
	}
	if m.Size, m.SHA256, err = sumFile(dump); err != nil {
		return m, err
	}
	packed := filepath.Join(temp, "backup")
	if err := pack(packed, m, dump); err != nil {
		return m, err
	}
	if err := schema.Publish(packed, path); err != nil {
		return m, err
	}
	if err := rights.NewAudit(db, time.Now).Write(ctx, nil, rights.Entry{Actor: operator, Action: "database.backup", Detail: m.SHA256}); err != nil {
		return m, fmt.Errorf("%s is written, but not told of in the audit log: %w", path, err)
	}
	return m, nil
}

func programVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return info.Main.Version
}

// fingerprints are those of the keys that a database was made with, by the names that claim gave them.
func fingerprints(ctx context.Context, db *schema.DB) (map[string]string, error) {
	var rows []struct {
		Name  string `db:"name"`
		Value string `db:"value"`
	}
	if err := db.Select(ctx, &rows, `SELECT name, value FROM settings WHERE name LIKE 'fingerprint of %'`); err != nil {
		return nil, fmt.Errorf("read the fingerprints of the keys: %w", err)
	}
	keys := map[string]string{}
	for _, r := range rows {
		keys[r.Name] = r.Value
	}
	return keys, nil
}

func sumFile(path string) (size int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return size, hex.EncodeToString(h.Sum(nil)), err
}

// pack writes manifest and dump to a file that is on disk when it returns.
func pack(path string, m manifest, dump string) error {
	head, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	in, err := os.Open(dump)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	w := tar.NewWriter(out)
	put := func(name string, size int64, r io.Reader) error {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: m.At, Format: tar.FormatPAX}); err != nil {
			return err
		}
		_, err := io.Copy(w, r)
		return err
	}
	if err := put(manifestName, int64(len(head)), strings.NewReader(string(head))); err != nil {
		return err
	}
	if err := put(dumpName, m.Size, in); err != nil {
		return err
	}
	return errors.Join(w.Close(), out.Sync())
}

// unpack reads a backup's manifest and, once accept has nothing against it, writes its dump to a new
// file.
func unpack(path string, accept func(manifest) error, to string) (m manifest, err error) {
	f, err := os.Open(path)
	if err != nil {
		return m, err
	}
	defer f.Close()
	broken := func(why error) error { return fmt.Errorf("%s is not a whole backup: %w", path, why) }
	r := tar.NewReader(f)
	head, err := r.Next()
	if err != nil || head.Name != manifestName {
		return m, broken(errors.Join(errors.New("it does not begin with a manifest, as the files do that `beckon backup` writes"), err))
	}
	b, err := io.ReadAll(io.LimitReader(r, manifestMax))
	if err != nil {
		return m, broken(err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, broken(fmt.Errorf("its manifest cannot be read: %w", err))
	}
	if m.Format != backupFormat {
		return m, fmt.Errorf("%s is of format %d, this program knows %d: restore it with the program that wrote it (%s)", path, m.Format, backupFormat, m.Program)
	}
	if err := accept(m); err != nil {
		return m, err
	}
	if head, err = r.Next(); err != nil || head.Name != dumpName {
		return m, broken(errors.Join(errors.New("there is no database in it"), err))
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return m, err
	}
	defer out.Close()
	h := sha256.New()
	switch n, err := io.Copy(io.MultiWriter(out, h), r); {
	case err != nil:
		return m, broken(err)
	case n != m.Size || hex.EncodeToString(h.Sum(nil)) != m.SHA256:
		return m, broken(errors.New("the database in it is not the one that was written"))
	}
	return m, out.Close()
}
