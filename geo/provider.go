package geo

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// Provider is a maker of region databases that Updater can fetch from: GeoLite2 or DBIP.
type Provider interface {
	// String names the maker in messages. It never contains the licence key.
	String() string
	// offers lists the files that would do, best first; a later one is tried when an earlier one does
	// not exist.
	offers(u *Updater) ([]offer, error)
}

// offer is one file to fetch.
type offer struct {
	url      string
	checksum string // where its SHA-256 is published; empty: nowhere
	user     string
	password string
	kind     string // what the database in it calls itself
	unpack   func(dst io.Writer, src io.Reader, limit int64) error
}

// GeoLite2 fetches from MaxMind by the documented permalinks. It needs an account, which is free at
// https://www.maxmind.com/en/geolite2/signup; paid editions of regions work alike.
type GeoLite2 struct {
	AccountID  string
	LicenseKey string `json:"-"`
	Edition    string // empty: GeoLite2-City
}

func (g GeoLite2) String() string   { return "MaxMind" }
func (g GeoLite2) GoString() string { return "geo.GeoLite2{…}" }

func (g GeoLite2) offers(u *Updater) ([]offer, error) {
	account, key, edition := strings.TrimSpace(g.AccountID), strings.TrimSpace(g.LicenseKey), g.Edition
	if edition == "" {
		edition = "GeoLite2-City"
	}
	if account == "" || key == "" {
		return nil, fmt.Errorf("%w: both are needed; an account is free at https://www.maxmind.com/en/geolite2/signup, or use DB-IP, which needs none", ErrCredentials)
	}
	if strings.Trim(account, "0123456789") != "" {
		return nil, fmt.Errorf("%w: the account id is a number; the licence key is the long one", ErrCredentials)
	}
	if strings.Trim(edition, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return nil, errors.New("the edition is a name such as GeoLite2-City")
	}
	from := strings.TrimSuffix(or(u.MaxMindURL, "https://download.maxmind.com"), "/") + "/geoip/databases/" + url.PathEscape(edition) + "/download?suffix=tar.gz"
	return []offer{{
		url: from, checksum: from + ".sha256", user: account, password: key, kind: edition,
		unpack: func(dst io.Writer, src io.Reader, limit int64) error {
			return untar(dst, src, edition+".mmdb", limit)
		},
	}}, nil
}

// DBIP fetches DB-IP's free city database, which needs no account. A month's file appears some time
// after the month has begun, so last month's is taken until then.
//
// Its subdivisions carry names and no codes: with it, regions are countries.
type DBIP struct{}

func (DBIP) String() string { return "DB-IP" }

func (DBIP) offers(u *Updater) ([]offer, error) {
	now := u.now().UTC()
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	var list []offer
	for _, m := range []time.Time{month, month.AddDate(0, -1, 0)} {
		list = append(list, offer{
			url:    strings.TrimSuffix(or(u.DBIPURL, "https://download.db-ip.com"), "/") + "/free/dbip-city-lite-" + m.Format("2006-01") + ".mmdb.gz",
			kind:   "DBIP-City-Lite",
			unpack: gunzip,
		})
	}
	return list, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
