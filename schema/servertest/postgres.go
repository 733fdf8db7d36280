package servertest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"beckon/schema"
)

// PostgresServer is a PostgreSQL server of a test's own, for tests that stop it or let it hang. What
// was committed outlives a stop.
type PostgresServer struct {
	DSN  string // of a database that is empty at first
	bin  string
	data string
	port int
	stop func()
}

// ThrowAwayPostgres returns a running server, whatever the environment names. It is removed after the test.
func ThrowAwayPostgres(t testing.TB) *PostgresServer {
	t.Helper()
	bin, err := postgresPrograms()
	if err != nil {
		missing(t, err)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir := serverFolder(t)
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &PostgresServer{DSN: fmt.Sprintf("postgres://beckon@127.0.0.1:%d/postgres?sslmode=disable", port), bin: bin, data: filepath.Join(dir, "data"), port: port}
	cred, err := unprivileged(dir)
	if err != nil {
		t.Fatal(err)
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", p.data, "-U", "beckon", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = cred, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	p.Start(t)
	t.Cleanup(func() {
		p.Signal(t, syscall.SIGCONT)
		p.Stop()
	})
	return p
}

func serverFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "beckon-pg-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Start starts the server again on its port after Stop.
func (p *PostgresServer) Start(t testing.TB) {
	t.Helper()
	dir := serverFolder(t)
	cred, err := unprivileged(dir)
	if err != nil {
		t.Fatal(err)
	}
	p.stop, err = daemonStop(dir, "QUIT", cred, func(ctx context.Context) error {
		db, err := schema.Open(ctx, p.DSN)
		if err == nil {
			db.Close()
		}
		return err
	}, filepath.Join(p.bin, "postgres"), "-D", p.data, "-p", strconv.Itoa(p.port), "-k", "",
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=100", "-c", "shared_buffers=128MB")
	if err != nil {
		t.Fatal(err)
	}
}

// Stop ends the server at once, as `pg_ctl stop -m immediate` does.
func (p *PostgresServer) Stop() {
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
}

// Signal sends a signal to the server and all its processes: SIGSTOP makes it hang until SIGCONT.
func (p *PostgresServer) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if p.stop == nil {
		return
	}
	b, err := os.ReadFile(filepath.Join(p.data, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := bytes.Cut(b, []byte("\n"))
	master, err := strconv.Atoi(string(first))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(master, s); err != nil { // first, so that it starts no more
		t.Fatal(err)
	}
	for _, pid := range children(master) {
		_ = syscall.Kill(pid, s) // it may have ended by now
	}
}

// children lists the processes that a process has started, where /proc tells it.
func children(of int) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		var pid, parent int
		var state string
		rest := b[bytes.LastIndexByte(b, ')')+1:] // a name may hold anything
		if _, err := fmt.Sscan(string(rest), &state, &parent); err == nil && parent == of {
			if pid, err = strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
