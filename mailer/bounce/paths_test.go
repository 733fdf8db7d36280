package bounce

import (
	"math"
	"strings"
	"testing"

	"beckon/schema/id"
	"beckon/tracker/token"

	"pgregory.net/rapid"
)

const (
	pathKeyA = "7:QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
	pathKeyB = "8:QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="
)

func pathRing(t testing.TB, keys string) *token.Keyring {
	t.Helper()
	r, err := token.ParseKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testPaths(t testing.TB, keys string) *Paths {
	return NewPaths("B.acme.example", pathRing(t, keys))
}

func TestAReturnPathOpensToItsMessage(t *testing.T) {
	p := testPaths(t, pathKeyA)
	rapid.Check(t, func(t *rapid.T) {
		m := id.Message(rapid.Int64Range(1, math.MaxInt64).Draw(t, "message"))
		made := p.Make(m)
		name, domain, _ := strings.Cut(made, "@")
		if len(name) > 64 || domain != "b.acme.example" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Fatalf("%q is no return path", made)
		}
		for _, written := range []string{made, strings.ToUpper(made), "<" + made + ">", strings.ToUpper(made[:9]) + made[9:]} {
			if got, ok := p.Open(written); !ok || got != m {
				t.Fatalf("%q opened to %d, %v, want %d", written, got, ok, m)
			}
		}
	})
}

func TestAForgedReturnPathOpensNothing(t *testing.T) {
	p := testPaths(t, pathKeyA+","+pathKeyB)
	rapid.Check(t, func(t *rapid.T) {
		name := p.Local(id.Message(rapid.Int64Range(1, math.MaxInt64).Draw(t, "message")))
		at := rapid.IntRange(0, len(name)-1).Draw(t, "at")
		other := rapid.SampledFrom([]byte("abcdefghijklmnopqrstuvwxyz234567")).Draw(t, "letter")
		if other == name[at] {
			return
		}
		if m, ok := p.OpenLocal(name[:at] + string(other) + name[at+1:]); ok || m != 0 {
			t.Fatalf("%q with %q at %d opened to %d", name, other, at, m)
		}
	})
	good := p.Local(41)
	for _, forged := range []string{"", "@", good, good + "@", good + "@evil.example", good + "@b.acme.example.evil.example", "b@b.acme.example",
		good + "a@b.acme.example", good[1:] + "@b.acme.example", good + "=@b.acme.example", good + "+x@b.acme.example", "bounces@b.acme.example",
		strings.Repeat("b", 200) + "@b.acme.example", good[:len(good)-1] + "@b.acme.example"} {
		if m, ok := p.Open(forged); ok || m != 0 {
			t.Errorf("%q opened to %d", forged, m)
		}
	}
	if m, ok := testPaths(t, strings.Replace(pathKeyB, "8:", "7:", 1)).Open(testPaths(t, pathKeyA).Make(41)); ok {
		t.Errorf("another key under the same id opened %d", m)
	}
	if m, ok := NewPaths("", pathRing(t, pathKeyA)).Open(good + "@"); ok {
		t.Errorf("without a domain an address opened to %d", m)
	}
}

func TestReturnPathsRotateWithTheKeys(t *testing.T) {
	old := testPaths(t, pathKeyA).Make(5)
	both := testPaths(t, pathKeyB+","+pathKeyA)
	if m, ok := both.Open(old); !ok || m != 5 {
		t.Errorf("a retired key no longer opens: %d, %v", m, ok)
	}
	if m, ok := testPaths(t, pathKeyB).Open(both.Make(5)); !ok || m != 5 {
		t.Errorf("the first key does not make: %d, %v", m, ok)
	}
	if m, ok := testPaths(t, pathKeyA).Open(both.Make(5)); ok {
		t.Errorf("an unknown key opened %d", m)
	}
}

// A return path may come back days after it was made, from an older version: this one must open.
func TestAReturnPathMadeLongAgoStillOpens(t *testing.T) {
	const sent = "baedyofdqaixjv7cl6f4b53vjii"
	if m, ok := testPaths(t, pathKeyA).OpenLocal(sent); !ok || m != 2567 {
		t.Errorf("opened %d, %v; it would be made %s today", m, ok, testPaths(t, pathKeyA).Local(2567))
	}
}

func FuzzPathsOpen(f *testing.F) {
	p := testPaths(f, pathKeyA+","+pathKeyB)
	f.Add(p.Local(1))
	f.Add(p.Local(math.MaxInt64))
	f.Add(strings.ToUpper(p.Local(300)))
	f.Add("b")
	f.Fuzz(func(t *testing.T, name string) {
		m, ok := p.OpenLocal(name)
		if !ok && m == 0 {
			return
		}
		if !ok || m <= 0 || local(p.keys[0], m) != strings.ToLower(name) && local(p.keys[1], m) != strings.ToLower(name) {
			t.Errorf("%q opened to %d, %v", name, m, ok)
		}
	})
}
