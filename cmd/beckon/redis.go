package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// embeddedFile tells the command line where the Redis inside a running `serve` is.
const embeddedFile = "redis"

// startRedis starts the Redis of a one-machine installation, on loopback and behind a password,
// and writes its address into the data directory. It keeps nothing on disk: counts are rebuilt from
// the durable totals at start.
func startRedis(c *Config) (url string, stop func(), err error) {
	m := miniredis.NewMiniRedis()
	password := rand.Text()
	m.RequireAuth(password)
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return "", nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	url = fmt.Sprintf("redis://:%s@%s/0", password, m.Addr())
	path := filepath.Join(c.Data, embeddedFile)
	if err := os.WriteFile(path, []byte(url+"\n"), 0o600); err != nil {
		m.Close()
		return "", nil, fmt.Errorf("tell the command line where the embedded Redis is: %w", err)
	}
	return url, func() {
		m.Close()
		_ = os.Remove(path)
	}, nil
}

// runningRedis is the address of the Redis inside a running `serve`, or empty.
func runningRedis(c *Config) (string, error) {
	b, err := os.ReadFile(filepath.Join(c.Data, embeddedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(b)), err
}

// dialRedis returns a client of one server, or of a cluster when several addresses are given. It
// fails only for an address that is not understood; a server that is down is met later, and waited
// for only briefly: nothing that a recipient waits for depends on it.
func dialRedis(addresses string) (redis.UniversalClient, error) {
	list := fields(addresses)
	if len(list) == 0 {
		return nil, errors.New("BECKON_REDIS: no address")
	}
	var all []string
	var first *redis.Options
	for _, a := range list {
		o, err := redis.ParseURL(a)
		if err != nil {
			return nil, fmt.Errorf("BECKON_REDIS: want redis://[:password@]host:port[/db]: the address is not understood")
		}
		if first == nil {
			first = o
		}
		all = append(all, o.Addr)
	}
	u := &redis.UniversalOptions{
		Addrs: all, DB: first.DB, Username: first.Username, Password: first.Password, TLSConfig: first.TLSConfig,
		DialTimeout: time.Second, ReadTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second, MaxRetries: 1,
	}
	return redis.NewUniversalClient(u), nil
}

// reachRedis waits up to a second for an answer.
func reachRedis(ctx context.Context, r redis.UniversalClient) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := r.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis does not answer: %w", err)
	}
	return nil
}
