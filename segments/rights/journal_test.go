package rights

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
)

var said = schema.At(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))

// refusal returns the n-th no of a test; every third is an erasure by hash.
func refusal(n int) Refusal {
	r := Refusal{At: said + schema.Time(n), Kind: Withdraw, Message: id.Message(n), Scope: "type"}
	if n%3 == 0 {
		r = Refusal{At: said + schema.Time(n), Kind: Erase, Hash: fmt.Appendf(nil, "%016d", n)}
	}
	return r
}

// number is the n of a refusal.
func number(r Refusal) int { return int(r.At - said) }

func openJournal(t testing.TB, dir, node string, o JournalOptions) *Journal {
	t.Helper()
	j, err := OpenJournal(dir, node, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func appendAll(t testing.TB, j *Journal, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		if err := j.Append(context.Background(), refusal(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// content returns the refusals of a node's file, and what else is in it.
func content(t testing.TB, dir, node string) (list []Refusal, damage []error) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, node+journalEnd))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := newScan(f, 0, 1<<40)
	for {
		e, err := s.next()
		if err != nil {
			return list, damage
		}
		if e.err != nil {
			damage = append(damage, e.err)
		} else {
			list = append(list, e.refusal)
		}
	}
}

func numbers(list []Refusal) []int {
	var ns []int
	for _, r := range list {
		ns = append(ns, number(r))
	}
	return ns
}

// inOrder fails unless the file holds 1 … n, each numbered so.
func inOrder(t testing.TB, list []Refusal, n int) {
	t.Helper()
	if len(list) != n {
		t.Fatalf("%d refusals are there, want %d: %v", len(list), n, numbers(list))
	}
	for i, r := range list {
		if r.Seq != int64(i+1) {
			t.Fatalf("refusal %d has number %d", i+1, r.Seq)
		}
	}
}

func TestMain(m *testing.M) {
	if dir := os.Getenv("BECKON_RIGHTS_CHILD"); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child appends refusals until it is killed, or BECKON_RIGHTS_LAST is reached, and prints the number
// of each that Append took.
func child(dir string) error {
	first, err1 := strconv.Atoi(os.Getenv("BECKON_RIGHTS_FIRST"))
	last, err2 := strconv.Atoi(os.Getenv("BECKON_RIGHTS_LAST"))
	j, err := OpenJournal(dir, "a", JournalOptions{})
	if err = errors.Join(err1, err2, err); err != nil {
		return err
	}
	var n atomic.Int64
	n.Store(int64(first) - 1)
	done := make(chan error)
	for range 8 {
		go func() {
			for {
				i := int(n.Add(1))
				if i > last {
					done <- nil
					return
				}
				if err := j.Append(context.Background(), refusal(i)); err != nil {
					done <- err
					return
				}
				os.Stdout.WriteString(strconv.Itoa(i) + "\n")
			}
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

// run starts a child and returns what it acknowledged; after so many it is killed, if not zero.
func run(t *testing.T, dir string, first, last, kill int) (answered []int) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "BECKON_RIGHTS_CHILD="+dir, "BECKON_RIGHTS_FIRST="+strconv.Itoa(first), "BECKON_RIGHTS_LAST="+strconv.Itoa(last))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Error(lines.Text())
			break
		}
		if answered = append(answered, n); len(answered) == kill {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); (err != nil) != (kill != 0) {
		t.Errorf("the child ended with %v", err)
	}
	return answered
}

func TestNoAcknowledgedRefusalIsLostOverKills(t *testing.T) {
	dir := t.TempDir()
	want := map[int]bool{}
	for round := range 4 {
		first := 1 + round*1_000_000
		for _, n := range run(t, dir, first, first+999_999, 40+30*round) {
			want[n] = true
		}
	}
	openJournal(t, dir, "a", JournalOptions{})
	list, _ := content(t, dir, "a")
	inOrder(t, list, len(list))
	for _, r := range list {
		delete(want, number(r))
	}
	if len(want) != 0 {
		t.Fatalf("%d acknowledged refusals are lost", len(want))
	}
	t.Logf("%d refusals are there", len(list))
}

func TestTwoProcessesAppendAtOnce(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for p := range 2 {
		wg.Go(func() { run(t, dir, 1+p*200, 200+p*200, 0) })
	}
	wg.Wait()
	list, damage := content(t, dir, "a")
	inOrder(t, list, 400)
	seen := map[int]bool{}
	for _, r := range list {
		seen[number(r)] = true
	}
	if len(seen) != 400 || len(damage) != 0 {
		t.Fatalf("%d different ones, damage %v", len(seen), damage)
	}
}

func TestManyCallersShareWrites(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, "a", JournalOptions{})
	var writes int
	put := j.put
	j.put = func(f *os.File, b []byte) error {
		writes++
		return put(f, b)
	}
	var wg sync.WaitGroup
	for n := 1; n <= 300; n++ {
		wg.Go(func() {
			if err := j.Append(t.Context(), refusal(n)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list, _ := content(t, dir, "a")
	inOrder(t, list, 300)
	t.Logf("%d writes", writes)
}

func TestTornWritesAreSkippedAndReported(t *testing.T) {
	for name, tail := range map[string]string{
		"half a line":             "\n120 0011223344556677 {\"at\":\"2026-",
		"zeros where data was":    strings.Repeat("\x00", 300),
		"a line longer than any":  strings.Repeat("x", 3*lineMax),
		"a wrong checksum":        "\n2 0011223344556677 {}\n",
		"a length and no more":    "17",
		"several pieces of lines": "\nfoo\nbar\n1 2 3\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := openJournal(t, dir, "a", JournalOptions{})
			appendAll(t, j, 1, 2)
			f, err := os.OpenFile(filepath.Join(dir, "a.journal"), os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(tail); err != nil {
				t.Fatal(err)
			}
			f.Close()
			var reported []error
			again := openJournal(t, dir, "a", JournalOptions{Report: func(err error) { reported = append(reported, err) }})
			if len(reported) == 0 {
				t.Error("nothing was reported")
			}
			appendAll(t, again, 3, 4)
			appendAll(t, j, 5, 5) // it does not know yet what the other wrote
			list, damage := content(t, dir, "a")
			inOrder(t, list, 5)
			if len(damage) == 0 {
				t.Error("the damage is gone")
			}
		})
	}
}

func TestAFullDiskIsAnErrorAndHurtsNothingElse(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, "a", JournalOptions{})
	appendAll(t, j, 1, 3)
	put := j.put
	for part := range 5 {
		j.put = func(f *os.File, b []byte) error {
			if _, err := f.Write(b[:len(b)*part/5]); err != nil {
				t.Error(err)
			}
			return syscall.ENOSPC
		}
		if err := j.Append(t.Context(), refusal(100)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("got %v", err)
		}
	}
	j.put = func(f *os.File, b []byte) error { // written, not synced
		if _, err := f.Write(b); err != nil {
			t.Error(err)
		}
		return syscall.EIO
	}
	if err := j.Append(t.Context(), refusal(101)); !errors.Is(err, syscall.EIO) {
		t.Fatalf("got %v", err)
	}
	j.put = put
	appendAll(t, j, 4, 5)
	list, _ := content(t, dir, "a")
	inOrder(t, list, 6)
	if got := fmt.Sprint(numbers(list)); got != "[1 2 3 101 4 5]" {
		t.Errorf("got %s", got)
	}
}

func TestAFileTakenAwayIsNotWrittenTo(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, "a", JournalOptions{})
	appendAll(t, j, 1, 2)
	path := filepath.Join(dir, "a.journal")
	if err := os.Rename(path, path+retiredEnd); err != nil {
		t.Fatal(err)
	}
	appendAll(t, j, 3, 3)
	list, _ := content(t, dir, "a")
	inOrder(t, list, 1)
	if err := os.WriteFile(path, []byte("something else\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	j.file.Close()
	j.file = nil
	if err := j.Append(t.Context(), refusal(4)); err == nil || !strings.Contains(err.Error(), "restore it") {
		t.Errorf("appended to something else: %v", err)
	}
}

func TestAClosedJournalRefuses(t *testing.T) {
	j := openJournal(t, t.TempDir(), "a", JournalOptions{})
	if err := errors.Join(j.Close(), j.Close()); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(t.Context(), refusal(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestTheJournalKeepsNeitherAddressesNorText(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir, "a", JournalOptions{})
	for name, change := range map[string]func(*Refusal){
		"an address as scope":       func(r *Refusal) { r.Scope = "jo@example.org" },
		"an address as company":     func(r *Refusal) { r.Company = "jo@example.org" },
		"an address among types":    func(r *Refusal) { r.Types = []string{"newsletter", "jo@example.org"} },
		"text as kind":              func(r *Refusal) { r.Kind = "please stop" },
		"no kind":                   func(r *Refusal) { r.Kind = "" },
		"an address as hash":        func(r *Refusal) { r.Message, r.Hash = 0, []byte("jo@example.org") },
		"no time":                   func(r *Refusal) { r.At = 0 },
		"nobody":                    func(r *Refusal) { r.Message = 0 },
		"a mail tied to an address": func(r *Refusal) { r.Hash = make([]byte, 16) },
		"more types than there are": func(r *Refusal) { r.Types = strings.Split(strings.Repeat("t ", 65), " ") },
	} {
		r := refusal(1)
		change(&r)
		if err := j.Append(t.Context(), r); !errors.Is(err, ErrRefusal) {
			t.Errorf("%s: got %v", name, err)
		} else if strings.Contains(err.Error(), "@") {
			t.Errorf("%s: the error tells it: %v", name, err)
		}
	}
	if list, _ := content(t, dir, "a"); len(list) != 0 {
		t.Errorf("%d are there", len(list))
	}
	if _, err := OpenJournal(dir, "../b", JournalOptions{}); err == nil {
		t.Error("a node has a path for a name")
	}
}

func FuzzParseLine(f *testing.F) {
	r := refusal(3)
	r.Node, r.Seq, r.Types, r.Company = "a", 7, []string{"newsletter"}, "acme"
	line, _, err := appendLine(nil, &r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.TrimSuffix(line, []byte("\n")))
	f.Add([]byte("2 " + sumOf([]byte("{}")) + " {}"))
	all := full()
	all.Node, all.Seq = "a", 8
	if line, _, err = appendLine(nil, &all); err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.TrimSuffix(line, []byte("\n")))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, sum, err := parseLine(line)
		if err != nil {
			if !errors.Is(err, errDamage) && !errors.Is(err, errForeign) {
				t.Fatalf("got %v", err)
			}
			return
		}
		again, _, err := appendLine(nil, &r)
		if err != nil || len(again) > lineMax {
			t.Fatalf("%d bytes, %v", len(again), err)
		}
		if back, _, err := parseLine(bytes.TrimSuffix(again, []byte("\n"))); err != nil || fmt.Sprint(back) != fmt.Sprint(r) || sum == "" {
			t.Fatalf("%v became %v, %v", r, back, err)
		}
	})
}
