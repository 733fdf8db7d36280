package consent

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"beckon/schema/id"
)

func TestTheSealOfOldRowsStands(t *testing.T) {
	r := row{Subject: 7, Seq: 1, Action: Grant, Company: "acme", Channel: Email, Types: letter, Notice: "v1", NoticeHash: "ab", How: ByForm, Captured: 1, Recorded: 2, Actor: "x",
		Evidence: []byte{}, Outcome: Applied}
	const old = "01" + "0000000000000007" + "0000000000000001" + "056772616e74" + "0461636d65" + "05656d61696c" + "0a6e6577736c6574746572" + "00" + "00" + "027631" + "026162" + "04666f726d" +
		"0000000000000001" + "0000000000000000" + "0000000000000000" + "0000000000000002" + "0178" + "00" + "076170706c696564"
	if got := hex.EncodeToString(encode(nil, &r)); got != old {
		t.Errorf("encoded as\n%s, was\n%s", got, old)
	}
	r.Item = "p"
	if got := hex.EncodeToString(encode(nil, &r)); got != "02"+old[2:]+"0170" {
		t.Errorf("encoded as %s", got)
	}
}

func TestNoTwoRowsAreSealedAlike(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.SampledFrom([]string{"", "a", "aa", "a|a", "\x01a", "applied", "applied\x01a"})
		draw := func() row {
			return row{Subject: id.Subject(rapid.Int64Range(0, 1).Draw(rt, "subject")), Action: Action(text.Draw(rt, "action")), Types: text.Draw(rt, "types"), Topics: text.Draw(rt, "topics"),
				Tracking: text.Draw(rt, "tracking"), Item: text.Draw(rt, "item"), Notice: text.Draw(rt, "notice"), Actor: text.Draw(rt, "actor"),
				Evidence: []byte(text.Draw(rt, "evidence")), Outcome: text.Draw(rt, "outcome")}
		}
		a, b := draw(), draw()
		if rapid.Bool().Draw(rt, "nearly alike") {
			b = a
			for _, p := range []*string{&b.Item, &b.Outcome, &b.Actor} {
				*p = text.Draw(rt, "changed")
			}
		}
		if same := bytes.Equal(encode(nil, &a), encode(nil, &b)); same != reflect.DeepEqual(a, b) {
			rt.Fatalf("%+v and %+v are sealed alike: %v", a, b, same)
		}
	})
}
