package consent

import (
	"errors"
	"testing"
)

func TestS3TheCatalogueThatShips(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		for kind, want := range map[string]int{KindType: 8, KindChannel: 3, KindTopic: 10} {
			if got := len(w.cat.Entries(kind)); got != want {
				t.Errorf("%d of %s, want %d", got, kind, want)
			}
		}
		for _, e := range w.cat.Entries(KindTopic) {
			if e.Special != (e.Slug == "sexual-health") {
				t.Errorf("%s: special %v", e.Slug, e.Special)
			}
		}
		m, err := w.cat.Mask(KindType, []string{promo, letter})
		w.ok(err)
		if got := w.cat.Slugs(KindType, m); !equal(got, []string{letter, promo}) {
			t.Errorf("got %v", got)
		}
		if m, err := w.cat.Mask(KindType, nil); m != 0 || err != nil {
			t.Errorf("nothing gives %d, %v", m, err)
		}
		var slug *ErrUnknownSlug
		if _, err := w.cat.Mask(KindTopic, []string{letter}); !errors.As(err, &slug) || slug.Kind != KindTopic {
			t.Errorf("got %v", err)
		}
		if w.cat.Name(KindChannel, "post") != "Direct Mail" || w.cat.Name(KindChannel, "fax") != "fax" {
			t.Error("names")
		}
		t.Run("seeding again keeps what an operator changed", func(t *testing.T) {
			w.t = t
			w.exec(`DELETE FROM catalogue WHERE slug = 'transport'`)
			w.exec(`UPDATE catalogue SET name = 'Bulletin' WHERE slug = 'newsletter'`)
			w.ok(Seed(w.ctx, w.db))
			c, err := LoadCatalogue(w.ctx, w.db)
			w.ok(err)
			if len(c.Entries(KindTopic)) != 9 || c.Name(KindType, letter) != "Bulletin" {
				t.Error("it did not")
			}
		})
	})
}

func TestS5ANoticeNeverChanges(t *testing.T) {
	eachDatabase(t, func(t *testing.T, w *world) {
		n := NewNotices(w.db, w.l.now)
		first, err := n.Add(w.ctx, Notice{Version: "v2", Language: "de", Text: "Dürfen wir?"})
		w.ok(err)
		if len(first.Hash) != 64 || first.CreatedAt == 0 {
			t.Errorf("got %+v", first)
		}
		again, err := n.Add(w.ctx, Notice{Version: "v2", Language: "de", Text: "Dürfen wir?"})
		if err != nil || again != first {
			t.Errorf("again: %+v, %v", again, err)
		}
		for _, v := range []Notice{{Version: "v2", Language: "de", Text: "Wir dürfen."}, {Version: "v2", Language: "en", Text: "Dürfen wir?"}} {
			if _, err := n.Add(w.ctx, v); !errors.Is(err, ErrExists) {
				t.Errorf("%+v: %v", v, err)
			}
		}
		for _, v := range []Notice{{}, {Version: "v3", Language: "en"}, {Version: "v3", Text: "x"}} {
			if _, err := n.Add(w.ctx, v); !errors.Is(err, ErrEntry) {
				t.Errorf("%+v: %v", v, err)
			}
		}
		if _, err := n.Get(w.ctx, "v9"); !errors.Is(err, ErrUnknownNotice) {
			t.Errorf("got %v", err)
		}
		list, err := n.List(w.ctx)
		w.ok(err)
		if len(list) != 2 {
			t.Errorf("got %+v", list)
		}
	})
}
