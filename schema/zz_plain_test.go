package schema_test

import (
	"net/url"
	"testing"

	"beckon/schema"
	"beckon/schema/servertest"
)

func TestZZPlain(t *testing.T) {
	mk := func(n string) string {
		dsn := servertest.PostgresDSN(t)
		db := open(t, dsn)
		u, _ := url.Parse(dsn)
		name := u.Path[1:]
		for _, q := range []string{`CREATE ROLE plain_` + n + ` LOGIN PASSWORD 'x'`, `ALTER DATABASE ` + name + ` OWNER TO plain_` + n, `CREATE SCHEMA AUTHORIZATION plain_` + n} {
			if _, err := db.Exec(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		closed(t, db)
		u.User = url.UserPassword("plain_"+n, "x")
		return u.String()
	}
	a, b := mk("a"), mk("b")
	_ = b
	db := migrated(t, a)
	set(t, db, "a", odd)
	f := backup(t, db)
	closed(t, db)
	if err := schema.Restore(t.Context(), a, f, true); err != nil {
		t.Fatal(err)
	}
	if got := setting(t, open(t, a), "a"); got != odd {
		t.Fatal(got)
	}
	t.Log(schema.Restore(t.Context(), b, f, false))
}
