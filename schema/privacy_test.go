package schema_test

import (
	"slices"
	"strings"
	"testing"

	"beckon/schema"
	"beckon/schema/servertest"
)

// TestS16S18NoTableHasRoomForMoreThanThePoliciesSay: what a hit leaves behind is a region, a client
// family, a family of systems and a class of devices. No table has room for an address of the network,
// a user agent, a device's identifier, a referrer or coordinates.
func TestS16S18NoTableHasRoomForMoreThanThePoliciesSay(t *testing.T) {
	servertest.Databases(t, func(t *testing.T, db *schema.DB) {
		query := `SELECT m.name || '.' || p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table' ORDER BY 1`
		if db.Dialect() == schema.Postgres {
			query = `SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1`
		}
		var columns, ofEvents []string
		if err := db.Select(t.Context(), &columns, query); err != nil {
			t.Fatal(err)
		}
		for _, c := range columns {
			table, name, _ := strings.Cut(c, ".")
			if table == "events" {
				ofEvents = append(ofEvents, name)
			}
			for _, word := range strings.Split(name, "_") {
				if slices.Contains([]string{"ip", "ipaddr", "remote", "agent", "ua", "useragent", "lat", "latitude", "lon", "lng", "longitude", "referer", "referrer", "cookie", "fingerprint", "imei", "session"}, word) {
					t.Errorf("%s: the policies do not speak of it", c)
				}
			}
		}
		slices.Sort(ofEvents)
		want := []string{"at", "campaign", "client", "contact", "device", "id", "kind", "link", "message", "node", "os", "reason", "region", "seq", "verdict"}
		if !slices.Equal(ofEvents, want) {
			t.Errorf("an event holds %q, want %q", ofEvents, want)
		}
	})
}
