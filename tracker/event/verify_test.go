package event

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"beckon/schema"
	"beckon/schema/id"
	"beckon/schema/servertest"
)

func TestVerifyFindsWhatDiffers(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		seed(t, db, 2, 4)
		r := newRig(t, db)
		r.hits(hit(1, 1001), hit(1, 1002), click1(1001, 1, 0), hit(1, 0))
		if err := Verify(t.Context(), db, 0); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ what, break_, mend string }{
			{"a unit too many", `UPDATE counts SET n = n + 1 WHERE kind = 'click'`, `UPDATE counts SET n = n - 1 WHERE kind = 'click'`},
			{"an event without a unit", `UPDATE counts SET n = n - 1 WHERE kind = 'click'`, `UPDATE counts SET n = n + 1 WHERE kind = 'click'`},
			{"a verdict changed alone", `UPDATE events SET verdict = 'machine' WHERE kind = 'click'`, `UPDATE events SET verdict = 'person' WHERE kind = 'click'`},
		} {
			execute(t, db, c.break_)
			var m *MismatchError
			if err := Verify(t.Context(), db, 0); !errors.Is(err, ErrMismatch) || !errors.As(err, &m) || len(m.Cells) == 0 || m.Cells[0].Kind != Click {
				t.Errorf("%s: got %v", c.what, err)
			}
			execute(t, db, c.mend)
		}
		execute(t, db, `UPDATE counts SET n = n + 1 WHERE verdict = 'anonymous'`)
		if err := Verify(t.Context(), db, 0); err != nil {
			t.Errorf("anonymous units have no events to be held against: %v", err)
		}
	})
}

func TestErasureRemovesTheEventsAndLeavesTheCounts(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		seed(t, db, 2, 4)
		r := newRig(t, db)
		r.hits(hit(1, 1001), hit(1, 1002), click1(1001, 1, 0), click1(2001, 1, 0), click1(1002, 1, 0))
		before := totals(t, db)
		if got, err := Of(t.Context(), db, 1, 0, 10); err != nil || len(got) != 3 || got[0].Message != 2001 {
			t.Fatalf("%+v, %v", got, err)
		}
		appendHit(t, r.spool, hit(1, 1001)) // still in the spool
		err := db.Tx(t.Context(), func(tx *schema.Tx) error {
			if err := DeleteContact(t.Context(), tx, 1); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), `UPDATE messages SET contact = NULL WHERE contact = 1`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		r.totals(before)
		for query, want := range map[string]string{
			`SELECT contact || ' ' || kind FROM events ORDER BY id`:      "2 open\n2 click",
			`SELECT CAST(contact AS TEXT) FROM contact_regions`:          "2",
			`SELECT message || ' ' || link FROM message_links`:           "1002 1",
			`SELECT CAST(id AS TEXT) FROM messages WHERE opened_at <> 0`: "1002",
		} {
			if got := r.text(query); got != want {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
		if region, _, err := RegionOf(t.Context(), db, 1); err != nil || region != "" {
			t.Errorf("region %q, %v", region, err)
		}
		execute(t, db, `UPDATE counts SET n = 0`)
		if err := Verify(t.Context(), db, 0); !errors.Is(err, ErrMismatch) {
			t.Errorf("more events than counted are never in order: %v", err)
		}
	})
}

// sweep removes what is older than kept, and sees that there were n such rows.
func sweep(t *testing.T, db *schema.DB, kept schema.Time,
	aged func(context.Context, schema.Querier, schema.Time, int64, int) ([]struct {
		ID      int64
		Contact id.Contact
		Company id.Company
	}, error), remove func(context.Context, *schema.Tx, []int64) (bool, error), n int) {
	t.Helper()
	rows, err := aged(t.Context(), db, kept, 0, 10)
	if err != nil || len(rows) != n {
		t.Fatalf("%+v, %v", rows, err)
	}
	var ids []int64
	for _, r := range rows {
		if r.Contact == 0 {
			t.Errorf("row %d tells of nobody", r.ID)
		}
		ids = append(ids, r.ID)
	}
	err = db.Tx(t.Context(), func(tx *schema.Tx) error {
		more, err := remove(t.Context(), tx, ids)
		if more {
			t.Error("more is left")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := aged(t.Context(), db, kept, 0, 10); err != nil || len(rows) != 0 {
		t.Errorf("left: %+v, %v", rows, err)
	}
}

func TestRetentionRemovesOldEventsAndLeavesTheCounts(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		seed(t, db, 2, 4)
		r := newRig(t, db)
		r.hits(click1(1001, 1, 0), click1(1002, 1, time.Hour))
		before := totals(t, db)
		kept := day.Add(30 * time.Minute)
		sweep(t, db, kept, Aged, Remove, 1)
		sweep(t, db, kept, AgedRegions, RemoveRegions, 1)
		if err := Verify(t.Context(), db, kept); err != nil {
			t.Error(err)
		}
		if err := Verify(t.Context(), db, 0); !errors.Is(err, ErrMismatch) {
			t.Errorf("got %v", err)
		}
		execute(t, db, `DELETE FROM events`)
		if err := Verify(t.Context(), db, kept); !errors.Is(err, ErrMismatch) {
			t.Errorf("an event that ought to be kept is missing: got %v", err)
		}
		if got := totals(t, db); len(got) != len(before) {
			t.Errorf("counts are %v, were %v", got, before)
		}
		if got := r.text(`SELECT CAST(contact AS TEXT) FROM contact_regions`); got != "2" {
			t.Errorf("regions of %q", got)
		}
	})
}

func TestAHitThatIsDrainedWhileItsContactIsErasedLeavesNothing(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		seed(t, db, 1, 4)
		r := newRig(t, db)
		r.hits(hit(1, 1001))
		for range 20 {
			appendHit(t, r.spool, click1(1001, 1, 0))
		}
		drained := make(chan error, 1)
		err := db.Tx(t.Context(), func(tx *schema.Tx) error {
			if err := DeleteContact(t.Context(), tx, 1); err != nil {
				return err
			}
			go func() { drained <- r.drain.Flush(t.Context()) }()
			_, err := tx.Exec(t.Context(), `UPDATE messages SET contact = NULL WHERE contact = 1`)
			return err
		})
		if err := errors.Join(err, <-drained); err != nil {
			t.Fatal(err)
		}
		if got := r.text(`SELECT CAST(contact AS TEXT) FROM events UNION ALL SELECT CAST(contact AS TEXT) FROM contact_regions UNION ALL SELECT CAST(message AS TEXT) FROM message_links`); got != "" {
			t.Errorf("left: %s", got)
		}
		r.totals(map[string]int{"open 0 person GB-ENG": 1})
	})
}

func TestEveryStatementIsUnderstood(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		st := reflect.ValueOf(newStatements(db.Dialect(), fakeGate{})).Elem()
		for i := range st.NumField() {
			if f := st.Field(i); f.Kind() == reflect.String && f.String() != "" {
				if err := db.Prepare(t.Context(), f.String()); err != nil {
					t.Errorf("%s: %v\n%s", st.Type().Field(i).Name, err, f.String())
				}
			}
		}
	})
}

// TestNoStatementOfADrainReadsAWholeTable: a batch must cost the same with a million events as with one.
func TestNoStatementOfADrainReadsAWholeTable(t *testing.T) {
	db := servertest.SQLite(t)
	st := reflect.ValueOf(newStatements(db.Dialect(), fakeGate{})).Elem()
	for i := range st.NumField() {
		if st.Field(i).Kind() != reflect.String || st.Field(i).String() == "" {
			continue
		}
		query := st.Field(i).String()
		args := make([]any, strings.Count(query, "?"))
		for k := range args {
			args[k] = "[]"
		}
		var plan []struct {
			ID, Parent, Notused int
			Detail              string
		}
		if err := db.Select(t.Context(), &plan, "EXPLAIN QUERY PLAN "+query, args...); err != nil {
			t.Fatal(err)
		}
		for _, step := range plan {
			if strings.HasPrefix(step.Detail, "SCAN") && !strings.Contains(step.Detail, "json_each") && !strings.Contains(step.Detail, "VIRTUAL TABLE") {
				t.Errorf("%s: %s", st.Type().Field(i).Name, step.Detail)
			}
		}
		if strings.Contains(fmt.Sprint(plan), "events_by_message") {
			t.Errorf("%s reads all events of a message: %v", st.Type().Field(i).Name, plan)
		}
	}
}
