package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// load is what a run of requests came to.
type load struct {
	Hits    int           `json:"hits"`
	Failed  int           `json:"failed"` // answered neither 200 nor 302, or not at all
	PerSec  float64       `json:"hits_per_second"`
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	Slowest time.Duration `json:"slowest_ns"`
}

// drive sends the requests over and over on the given number of kept-open connections, each with one
// request under way, until the time is over. It writes and reads HTTP/1.1 by hand: on the same cores
// as the server, a client that does more than it must would measure itself.
func drive(ctx context.Context, addr string, requests [][]byte, connections int, d time.Duration) (load, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	times := make([][]time.Duration, connections)
	failed := make([]int, connections)
	errs := make([]error, connections)
	var wg sync.WaitGroup
	begun := time.Now()
	for i := range connections {
		wg.Go(func() { times[i], failed[i], errs[i] = connection(ctx, addr, requests, i*7919) })
	}
	wg.Wait()
	took := time.Since(begun)
	var l load
	for i := range connections {
		if errs[i] != nil {
			return l, fmt.Errorf("bench: connection %d: %w", i+1, errs[i])
		}
		l.Failed += failed[i]
	}
	all := slices.Concat(times...)
	if len(all) == 0 {
		return l, fmt.Errorf("bench: %s answered nothing", addr)
	}
	slices.Sort(all)
	l.Hits = len(all)
	l.PerSec = float64(l.Hits) / took.Seconds()
	l.P50, l.P99, l.Slowest = all[len(all)/2], all[len(all)*99/100], all[len(all)-1]
	return l, nil
}

func connection(ctx context.Context, addr string, requests [][]byte, from int) (times []time.Duration, failed int, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 4096)
	times = make([]time.Duration, 0, 1<<12)
	for n := from; ctx.Err() == nil; n++ {
		begun := time.Now()
		if _, err := conn.Write(requests[n%len(requests)]); err != nil {
			return times, failed, err
		}
		status, err := answer(r)
		if err != nil {
			return times, failed, err
		}
		if status != 200 && status != 302 {
			failed++
			continue
		}
		times = append(times, time.Since(begun))
	}
	return times, failed, nil
}

// answer reads one response with a Content-Length, or with no body, and returns its status.
func answer(r *bufio.Reader) (status int, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, fmt.Errorf("not HTTP: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, err
	}
	length := 0
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && len(name) == 14 && strings.EqualFold(string(name), "Content-Length") {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
	_, err = io.CopyN(io.Discard, r, int64(length))
	return status, err
}
