package main

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"beckon/mailer"
	"beckon/mailer/queue"
	"beckon/schema"
	"beckon/segments/consent"
	"beckon/segments/rights"
	"beckon/tracker/event"
	"beckon/tracker/token"

	"github.com/spf13/cobra"
)

func restoreCommand() *cobra.Command {
	conf := &Config{}
	var replace, inPlace bool
	cmd := &cobra.Command{Use: "restore FILE", Short: "Put a backup in the place of the database, and hear the noes since", Args: cobra.MaximumNArgs(1),
		Long: `Put a backup in the place of the database. Stop the service first, on every node.

What was refused or erased since the backup was made is applied again from the refusals journal, and
nothing is sent before that. Who may have been mailed since is listed as unknown: campaigns that were
under way are paused, scheduled ones are drafts again. New ids go on where no earlier one can have been.

With --in-place nothing is loaded: it does all of the rest for a database that was put back by other
means (a copied file, a snapshot, pg_restore), and goes on with a restore that was cut short.`}
	conf.flags(cmd.Flags())
	cmd.Flags().BoolVar(&replace, "replace", false, "the database may hold something: it is replaced, and gone")
	cmd.Flags().BoolVar(&inPlace, "in-place", false, "load nothing: the database was put back by other means, or a restore was cut short")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if inPlace == (len(args) == 1) {
			return errors.New("name the file of a backup, or --in-place for a database that was put back by other means")
		}
		if err := conf.finish(); err != nil {
			return err
		}
		ctx, out := cmd.Context(), cmd.OutOrStdout()
		if err := idle(ctx, conf); err != nil {
			return err
		}
		if !inPlace {
			m, err := loadBackup(ctx, conf, args[0], replace)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "The database is the one of %s.\n", m.At.Format(time.RFC3339))
		}
		if err := settleRestored(ctx, conf, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn})), out); err != nil {
			return fmt.Errorf("the restore is not finished: put this right and run `beckon restore --in-place`; until then nothing is sent: %w", err)
		}
		return nil
	}
	return cmd
}

// idle makes sure that no process works on the installation.
func idle(ctx context.Context, conf *Config) error {
	if err := os.MkdirAll(conf.Data, 0o700); err != nil {
		return fmt.Errorf("BECKON_DATA: %w", err)
	}
	spool, err := event.OpenSpool(filepath.Join(conf.Data, "spool"), event.Options{})
	if errors.Is(err, event.ErrLocked) {
		return errors.New("the service is running: stop it first, on every node")
	}
	if err != nil {
		return err
	}
	if err := spool.Close(); err != nil {
		return err
	}
	if err := schema.Unused(ctx, conf.Database); err != nil {
		return fmt.Errorf("BECKON_DATABASE: %w", err)
	}
	return nil
}

// loadBackup puts the database of a backup in the place of the one there is, marked as not settled yet.
func loadBackup(ctx context.Context, conf *Config, path string, replace bool) (m manifest, err error) {
	dir, err := unpackDir(conf)
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(dir)
	dump := filepath.Join(dir, dumpName)
	if m, err = unpack(path, func(m manifest) error { return acceptable(conf, m) }, dump); err != nil {
		return m, err
	}
	err = schema.Restore(ctx, conf.Database, dump, replace, markRestoring)
	if errors.Is(err, schema.ErrNotEmpty) && !replace {
		err = fmt.Errorf("%w: with --replace it is replaced, and what it holds is gone (`beckon backup` keeps it)", err)
	}
	return m, err
}

// unpackDir is where a dump lies while it is loaded. One that a process which died left there is a
// copy of everybody's data, and goes.
func unpackDir(conf *Config) (string, error) {
	dir := filepath.Join(conf.Data, "restoring")
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("BECKON_DATA: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("BECKON_DATA: %w", err)
	}
	return dir, nil
}

// acceptable says why a backup cannot be restored into this installation.
func acceptable(conf *Config, m manifest) error {
	dialect := schema.Postgres
	if strings.HasPrefix(conf.Database, "sqlite:") {
		dialect = schema.SQLite
	}
	if m.Dialect != dialect {
		return fmt.Errorf("the backup is of a database of the kind %s, and BECKON_DATABASE names one of the kind %s: a backup goes into the kind that it came from", m.Dialect, dialect)
	}
	if m.Schema > schema.Latest(dialect) {
		return fmt.Errorf("the backup is of version %d of the tables, and this program knows them up to %d: restore it with the program that wrote it (%s), or a newer one", m.Schema, schema.Latest(dialect), m.Program)
	}
	prints, err := keyPrints(conf)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(m.Keys)) {
		switch print, held := prints[name]; {
		case !held:
			return fmt.Errorf("the backup belongs to a key that is not here (%s): put it into place first, in the data directory or the environment", strings.TrimPrefix(name, "fingerprint of "))
		case print != m.Keys[name]:
			return fmt.Errorf("the backup belongs to other keys (%s): put those that belong to it into place first, in the data directory or the environment", strings.TrimPrefix(name, "fingerprint of "))
		}
	}
	return nil
}

// keyPrints are the fingerprints of the keys of this installation, by their names in the settings.
// Unlike loadSecrets it makes none.
func keyPrints(conf *Config) (map[string]string, error) {
	read := func(env, configured, file string) (string, error) {
		if configured != "" {
			return configured, nil
		}
		b, err := os.ReadFile(filepath.Join(conf.Data, file))
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("%s: there is no key here: put the file %s that belongs to the backup into %s first", env, file, conf.Data)
		}
		return strings.TrimSpace(string(b)), err
	}
	signing, err := read("BECKON_KEYS", conf.Keys, "keys")
	if err != nil {
		return nil, err
	}
	ring, err := token.ParseKeys(signing)
	if err != nil {
		return nil, fmt.Errorf("BECKON_KEYS: %w", err)
	}
	text, err := read("BECKON_HASH_KEY", conf.HashKey, "hash-key")
	if err != nil {
		return nil, err
	}
	hash, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, errors.New("BECKON_HASH_KEY: is not base64")
	}
	prints := map[string]string{"fingerprint of BECKON_HASH_KEY": fingerprint(hash)}
	for _, print := range ring.Fingerprints() {
		name, sum, _ := strings.Cut(print, ":")
		prints["fingerprint of signing key "+name] = sum
	}
	return prints, nil
}

// restoring is the setting that keeps everybody from sending until a restore is finished.
const restoring = "restoring"

func markRestoring(ctx context.Context, tx *schema.Tx) error {
	_, err := tx.Exec(ctx, `INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, restoring, time.Now().UTC().Format(time.RFC3339))
	return err
}

// restoreFinished fails while a restore was begun and not finished.
func (a *app) restoreFinished(ctx context.Context) error {
	var since string
	switch err := a.db.Get(ctx, &since, `SELECT value FROM settings WHERE name = ?`, restoring); {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("ask whether a restore is under way: %w", err)
	}
	return fmt.Errorf("a restore was begun at %s and not finished: run `beckon restore --in-place`", since)
}

// idsSince is from when on ids are reckoned after a restore.
var idsSince = time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC)

// freshIDs is a number that no id handed out before an instant can have: microseconds since 2020. A
// fixed step ahead of the restored ids would do once; but when the same backup, or an older one, is
// restored again, it leads to where ids went on after the first time. Ten digits of an id, seven bytes
// of a token, and good for as long as fewer than a million ids a second are taken.
func freshIDs(at time.Time) int64 { return at.Sub(idsSince).Microseconds() }

// restored is what a restore found and did.
type restored struct {
	doubt   mailer.Doubt
	noes    map[rights.Kind]int
	nobodys int // of the noes: said with the link of a mail that is not known any more
	lost    []consent.Finding
}

// settleRestored brings a database that was put back up to date with what is known outside it. Until
// it returns without an error nobody sends.
func settleRestored(ctx context.Context, conf *Config, log *slog.Logger, out io.Writer) error {
	a, err := open(ctx, conf, log, time.Now, true)
	if err != nil {
		return err
	}
	defer a.close()
	if err := a.db.Tx(ctx, func(tx *schema.Tx) error { return markRestoring(ctx, tx) }); err != nil {
		return err
	}
	at := a.now()
	if err := a.db.SkipIDsTo(ctx, freshIDs(at)); err != nil {
		return err
	}
	r := restored{noes: map[rights.Kind]int{}}
	if r.doubt, err = mailer.AfterRestore(ctx, a.db, schema.At(at)); err != nil {
		return err
	}
	r.tellMailer(out)
	if _, err := a.faces(); err != nil { // what applies refusals is part of it
		return err
	}
	_, err = a.running.refusals.journal.Replay(ctx, a.db, func(ctx context.Context, said rights.Refusal) error {
		if err := a.applyRefusal(ctx, said); err != nil {
			return err
		}
		r.noes[said.Kind]++
		if said.Message != 0 {
			if _, err := queue.Lookup(ctx, a.db, said.Message); errors.Is(err, queue.ErrNoMessage) {
				r.nobodys++
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	r.tellNoes(out)
	if err != nil {
		return err
	}
	if r.lost, err = a.ledger.AcceptRestore(ctx, a.headsPath()); err != nil {
		return err
	}
	if conf.Redis != "" {
		if err := a.counter.Rebuild(ctx); err != nil {
			log.Warn("the counts in Redis are not those of the database yet: run `beckon counters rebuild`", "err", err.Error())
		}
	}
	err = a.db.Tx(ctx, func(tx *schema.Tx) error {
		if err := a.audit.Write(ctx, tx, rights.Entry{Actor: operator, Action: "database.restore", Detail: r.summary()}); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM settings WHERE name = ?`, restoring)
		return err
	})
	if err == nil {
		r.tellRest(out)
	}
	return err
}

const tellMost = 10

func (r *restored) tellMailer(out io.Writer) {
	for _, k := range r.doubt.Campaigns {
		switch {
		case k.Was == k.Now:
			fmt.Fprintf(out, "Campaign %s (%s) is %s: %d messages are unknown now.\n", k.ID, k.Name, k.Now, k.Messages)
		default:
			fmt.Fprintf(out, "Campaign %s (%s) was %s and is %s: %d messages are unknown now.\n", k.ID, k.Name, k.Was, k.Now, k.Messages)
		}
	}
	fmt.Fprintf(out, "%d messages may have been sent after the backup was made. They are listed as unknown; decide on them with resolve-unknown.\n", r.doubt.Messages)
	if r.doubt.Drafts > 0 {
		fmt.Fprintf(out, "%d drafts may have been launched since: their notes say so.\n", r.doubt.Drafts)
	}
}

func (r *restored) tellNoes(out io.Writer) {
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(r.noes)) {
		fmt.Fprintf(out, "Applied from the refusals journal: %d × %s.\n", r.noes[kind], kind)
		total += r.noes[kind]
	}
	if total == 0 {
		fmt.Fprintln(out, "The refusals journal holds nothing that the database has not.")
	}
	if r.nobodys > 0 {
		fmt.Fprintf(out, "%d of them came with links of mails that were sent after the backup was made: from the link alone nobody can tell whose they are.\n", r.nobodys)
	}
}

func (r *restored) tellRest(out io.Writer) {
	if len(r.lost) > 0 {
		fmt.Fprintln(out, "Recorded in the consent ledger after the backup was made, and lost (the old checkpoint is kept beside the new one):")
		for _, f := range r.lost[:min(len(r.lost), tellMost)] {
			fmt.Fprintf(out, "  %s\n", f)
		}
		if more := len(r.lost) - tellMost; more > 0 {
			fmt.Fprintf(out, "  and %d more\n", more)
		}
	}
	fmt.Fprintln(out, "Look at once at the API tokens: those revoked after the backup was made are valid again, and those made since are not.")
	fmt.Fprintln(out, "The restore is finished: the service may be started.")
}

// summary is for the audit log.
func (r *restored) summary() string {
	var noes []string
	for _, kind := range slices.Sorted(maps.Keys(r.noes)) {
		noes = append(noes, fmt.Sprintf("%d %s", r.noes[kind], kind))
	}
	return fmt.Sprintf("unknown messages: %d, campaigns changed: %d, applied from the refusals journal: %s", r.doubt.Messages, len(r.doubt.Campaigns), strings.Join(noes, ", "))
}
