package id_test

import (
	"encoding/json"
	"errors"
	"testing"

	"beckon/schema/id"

	"pgregory.net/rapid"
)

func TestTextFormReadsBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := id.Contact(rapid.Int64Range(1, 1<<62).Draw(t, "n"))
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got id.Contact
		if err := json.Unmarshal(b, &got); err != nil || got != want {
			t.Fatalf("%s read back as %d, %v", b, got, err)
		}
	})
}

func TestForeignTextIsRefused(t *testing.T) {
	for _, s := range []string{"", "ct_", "cmp_1", "ct_0", "ct_-1", "ct_01", "ct_1Z", "ct_+1", "ct_1 ", "1", "ct_zzzzzzzzzzzzzzzz"} {
		if got, err := id.Parse[id.Contact](s); !errors.Is(err, id.ErrMalformed) {
			t.Errorf("%q was read as %d, %v", s, got, err)
		}
	}
}
