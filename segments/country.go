package segments

import (
	"strings"
	"sync"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// countryCode returns the ISO 3166-1 code for what a person or another program writes: the code of
// two or three letters, or the English name. Blank stays blank.
func countryCode(v string) (string, bool) {
	v = strings.TrimSpace(v)
	if v == "" {
		return "", true
	}
	if len(v) == 2 || len(v) == 3 {
		if r, err := language.ParseRegion(v); err == nil && r.IsCountry() && v[0] > '9' {
			r = r.Canonicalize()
			return r.String(), true
		}
	}
	code, ok := countryNames()[strings.ToLower(v)]
	return code, ok
}

var countryNames = sync.OnceValue(func() map[string]string {
	names := map[string]string{
		"england": "GB", "scotland": "GB", "wales": "GB", "northern ireland": "GB", "great britain": "GB", "britain": "GB",
		"united states of america": "US", "republic of ireland": "IE", "the netherlands": "NL", "holland": "NL",
		"czech republic": "CZ", "turkey": "TR", "russian federation": "RU", "hong kong": "HK", "macau": "MO",
	}
	english := display.English.Regions()
	for a := byte('A'); a <= 'Z'; a++ {
		for b := byte('A'); b <= 'Z'; b++ {
			code := string([]byte{a, b})
			if r, err := language.ParseRegion(code); err == nil && r.IsCountry() && r.Canonicalize().String() == code {
				if name := english.Name(r); name != "" {
					names[strings.ToLower(name)] = code
				}
			}
		}
	}
	return names
})
