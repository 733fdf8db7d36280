package geo

// Region is a country and, where it is known, its first subdivision. The zero Region is unknown.
type Region struct {
	Country     string // ISO 3166-1 alpha-2, such as GB; empty: unknown
	Subdivision string // the part of ISO 3166-2 after the country, such as ENG; empty: not known
}

// Unknown is how the zero Region is written.
const Unknown = "unknown"

// IsUnknown says that not even the country is known.
func (r Region) IsUnknown() bool { return r.Country == "" }

// String returns GB-ENG, or GB where only the country is known, or unknown.
func (r Region) String() string {
	switch {
	case r.Country == "":
		return Unknown
	case r.Subdivision == "":
		return r.Country
	}
	return r.Country + "-" + r.Subdivision
}

// newRegion takes codes from a database as far as they are codes: a region is stored and shown, so
// nothing else may pass for one.
func newRegion(country, subdivision string) Region {
	if len(country) != 2 || !code(country) {
		return Region{}
	}
	if len(subdivision) > 3 || !code(subdivision) {
		subdivision = ""
	}
	return Region{country, subdivision}
}

func code(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
