package servertest

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"beckon/schema"
)

// Databases runs the test once on a fresh SQLite file and once on a fresh PostgreSQL database,
// both migrated.
func Databases(t *testing.T, test func(t *testing.T, db *schema.DB)) {
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite returns a fresh migrated database in a file of the test's own.
func SQLite(t testing.TB) *schema.DB {
	t.Helper()
	return open(t, "sqlite:"+filepath.Join(t.TempDir(), "beckon.db"))
}

// Postgres returns a fresh migrated PostgreSQL database.
func Postgres(t testing.TB) *schema.DB {
	t.Helper()
	return open(t, PostgresDSN(t))
}

func open(t testing.TB, dsn string) *schema.DB {
	t.Helper()
	db, err := schema.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// PostgresDSN returns the address of a fresh, empty PostgreSQL database that is dropped after the test.
func PostgresDSN(t testing.TB) string {
	t.Helper()
	server, err := postgresServer()
	if err != nil {
		missing(t, err)
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("BECKON_TEST_POSTGRES is not a URL: %v", err)
	}
	name := "beckon_test_" + strings.ToLower(rand.Text()[:12])
	admin := func(ctx context.Context, statement string) error {
		db, err := schema.Open(ctx, server)
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = db.Exec(ctx, statement)
		return err
	}
	if err := admin(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("create a test database: %v", err)
	}
	t.Cleanup(func() {
		if err := admin(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the test database: %v", err)
		}
	})
	u.Path = "/" + name
	return u.String()
}

func missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("in CI no server test may be skipped: %v", err)
	}
	t.Skip(err)
}

var postgresServer = sync.OnceValues(func() (string, error) {
	if dsn := os.Getenv("BECKON_TEST_POSTGRES"); dsn != "" {
		return dsn, nil
	}
	bin, err := postgresPrograms()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "beckon-pg-")
	if err != nil {
		return "", err
	}
	cred, err := unprivileged(dir)
	if err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "beckon", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	initdb.SysProcAttr, initdb.Dir = cred, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	dsn := fmt.Sprintf("postgres://beckon@127.0.0.1:%d/postgres?sslmode=disable", port)
	err = daemon(dir, "QUIT", cred, func(ctx context.Context) error {
		db, err := schema.Open(ctx, dsn)
		if err == nil {
			db.Close()
		}
		return err
	}, filepath.Join(bin, "postgres"), "-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(port), "-k", "",
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=200", "-c", "shared_buffers=128MB")
	return dsn, err
})

// Redis is a running Redis server. A throw-away one can be stopped and started again, which loses
// what it held, as a Redis without persistence does.
type Redis struct {
	URL  string
	port int
	args []string
	stop func()
}

// NewRedis returns an empty Redis server.
func NewRedis(t testing.TB) *Redis {
	t.Helper()
	if u := os.Getenv("BECKON_TEST_REDIS"); u != "" {
		if err := flush(u); err != nil {
			t.Fatalf("BECKON_TEST_REDIS: %v", err)
		}
		return &Redis{URL: u}
	}
	return ThrowAwayRedis(t)
}

// ThrowAwayRedis returns a server of the test's own, whatever the environment names, for tests
// that stop it.
func ThrowAwayRedis(t testing.TB) *Redis {
	t.Helper()
	return throwAwayRedis(t)
}

func throwAwayRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		missing(t, fmt.Errorf("needs Redis: set BECKON_TEST_REDIS or install redis-server: %w", err))
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	r := &Redis{URL: fmt.Sprintf("redis://127.0.0.1:%d/0", port), port: port, args: args}
	r.Start(t)
	t.Cleanup(r.Stop)
	return r
}

// Start starts the server again on its port after Stop.
func (r *Redis) Start(t testing.TB) {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "beckon-redis-")
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", r.port)
	stop, err := daemonStop(dir, "KILL", nil, func(ctx context.Context) error { return ping(ctx, addr) },
		append([]string{program, "--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", dir}, r.args...)...)
	if err != nil {
		t.Fatal(err)
	}
	r.stop = stop
}

// Stop kills the server at once.
func (r *Redis) Stop() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

func ping(ctx context.Context, addr string) error {
	return redisCommand(ctx, addr, "PING")
}

func flush(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return err
	}
	return redisCommand(context.Background(), u.Host, "FLUSHALL")
}

func redisCommand(ctx context.Context, addr, command string) error {
	answer, err := redisAnswer(ctx, addr, command)
	if err == nil && !strings.HasPrefix(answer, "+") {
		err = fmt.Errorf("redis answered %q to %s", answer, command)
	}
	return err
}

// redisAnswer returns the first kilobytes of what a server answers to a command, as they come.
func redisAnswer(ctx context.Context, addr, command string) (string, error) {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return "", err
	}
	answer := make([]byte, 4096)
	n, err := io.ReadAtLeast(conn, answer, 3)
	return string(answer[:n]), err
}

func postgresPrograms() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			if _, err := os.Stat(filepath.Join(filepath.Dir(p), "postgres")); err == nil {
				return filepath.Dir(p), nil
			}
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", fmt.Errorf("needs PostgreSQL: set BECKON_TEST_POSTGRES or install initdb and postgres")
	}
	sort.Strings(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// unprivileged hands dir to the user nobody if we are root, which PostgreSQL refuses to run as.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("needs an unprivileged user to run PostgreSQL as: %w", err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// The shell holds our pipe: when this process ends, however it ends, it stops the server and
// removes its folder. A shell starts background commands with SIGQUIT ignored: PostgreSQL takes it
// back, for its immediate shutdown, and Redis has to be killed.
const leash = `signal=$1; shift; "$@" >server.log 2>&1 & pid=$!; cat >/dev/null; kill -$signal $pid 2>/dev/null; wait $pid 2>/dev/null; rm -rf "$PWD"`

// running keeps the leashes of servers that live as long as the process: a pipe that nothing refers
// to is closed by the garbage collector.
var running []func()

func daemon(dir, signal string, cred *syscall.SysProcAttr, ready func(context.Context) error, argv ...string) error {
	stop, err := daemonStop(dir, signal, cred, ready, argv...)
	running = append(running, stop)
	return err
}

func daemonStop(dir, signal string, cred *syscall.SysProcAttr, ready func(context.Context) error, argv ...string) (func(), error) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", leash, "sh", signal}, argv...)...)
	cmd.Dir = dir
	if cred == nil {
		cred = &syscall.SysProcAttr{}
	}
	cred.Setpgid = true // a Ctrl-C at the tests must not reach the server before the leash does
	cmd.SysProcAttr = cred
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() {
		pipe.Close()
		_ = cmd.Wait()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err = ready(ctx); err == nil {
			return stop, nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(dir, "server.log"))
			stop()
			return nil, fmt.Errorf("%s did not come up: %w: %s", filepath.Base(argv[0]), err, log)
		case <-tick.C:
		}
	}
}
