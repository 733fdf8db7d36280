package report

// Rate is a share, and of what.
type Rate struct {
	Count Number   `json:"count"`
	Base  int64    `json:"base"`
	Of    string   `json:"of"`
	Share *float64 `json:"share"` // null without a base, or where the count is suppressed
}

// Rates are the shares of a campaign's identified messages that were opened and clicked, by people
// or by programs that hide them. There are none of anonymous messages: their hits belong to nobody,
// so that nobody can say how many messages they came from.
type Rates struct {
	Opened  Rate `json:"opened"`
	Clicked Rate `json:"clicked"`
}

// Rates returns the rates of figures, as far as the figures tell them.
func (s *Stats) Rates() Rates {
	of := func(n Number) Rate {
		r := Rate{Count: n, Base: s.Base.Identified, Of: "identified messages sent"}
		if !n.Hidden && r.Base > 0 {
			share := float64(n.N) / float64(r.Base)
			r.Share = &share
		}
		return r
	}
	return Rates{of(s.Opens.Unique), of(s.Clicks.Unique)}
}
