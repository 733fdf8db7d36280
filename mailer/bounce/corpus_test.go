package bounce

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// labelled gives the messages to judge and what each is: those of the corpus that BECKON_CORPUS
// points at, else our own fixtures.
func labelled(t *testing.T) (messages map[string][]byte, truth map[string]Class) {
	truth = map[string]Class{}
	dir := os.Getenv("BECKON_CORPUS")
	if dir == "" {
		b, err := os.ReadFile("testdata/verdicts.json")
		if err != nil {
			t.Fatal(err)
		}
		var golden map[string]Report
		if err := json.Unmarshal(b, &golden); err != nil {
			t.Fatal(err)
		}
		for name, rep := range golden {
			truth[name] = rep.Class
		}
		return fixtures(t), truth
	}
	b, err := os.ReadFile("testdata/corpus.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] != "#" {
			truth[f[0]] = Class(f[1])
		}
	}
	messages = map[string][]byte{}
	for name := range truth {
		raw, err := os.ReadFile(filepath.Join(dir, "bounces", name+".eml"))
		if err != nil {
			t.Fatal(err)
		}
		messages[name] = raw
	}
	return messages, truth
}

func TestCorpusGetsTheRightClass(t *testing.T) {
	messages, truth := labelled(t)
	right, of := map[Class]int{}, map[Class]int{}
	total := 0
	for _, name := range slices.Sorted(maps.Keys(messages)) {
		rep, err := Read(bytes.NewReader(messages[name]))
		check(t, rep, err)
		of[truth[name]]++
		if rep.Class == truth[name] {
			right[truth[name]]++
			total++
			continue
		}
		t.Logf("%s is %s, got %s: %s (%s)", name, truth[name], rep.Class, rep.Reason, rep.Diagnostic)
		if rep.Class == Hard || rep.Class == Complaint {
			t.Errorf("%s would suppress an address that lives", name)
		}
	}
	for _, c := range classes {
		t.Logf("%-10s %d of %d", c, right[c], of[c])
	}
	if total*100 < 95*len(messages) {
		t.Errorf("%d of %d right", total, len(messages))
	}
}
