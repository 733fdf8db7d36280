package demo

// Result is what a run of the demo came to; its JSON is what `beckon demo --json` prints.
type Result struct {
	Contacts  Contacts   `json:"contacts"`
	Campaigns []Campaign `json:"campaigns"`
	Segment   Segment    `json:"segment"`
	Checks    []Check    `json:"checks"`
}

// OK reports whether every check held.
func (r *Result) OK() bool {
	for _, c := range r.Checks {
		if !c.OK {
			return false
		}
	}
	return len(r.Checks) > 0
}

// Contacts counts people. Someone can be opted in and sourced.
type Contacts struct {
	Total   int `json:"total"`
	OptedIn int `json:"opted_in"` // to email of the demo's company
	Sourced int `json:"sourced"`  // with at least one origin at a provider
}

// Campaign is one campaign's figures, as the API gives them to an administrator.
type Campaign struct {
	ID       string         `json:"id"`
	Name     string         `json:"name"`
	Audience string         `json:"audience"`
	Messages map[string]int `json:"messages"`
	Cited    int            `json:"cited"` // caught messages that cite a data source
	Opens    Hits           `json:"opens"`
	Clicks   Hits           `json:"clicks"`
	Regions  []Region       `json:"regions"`
	LeftOut  map[string]int `json:"left_out"` // before launch, by reason
}

// Hits are opens or clicks: Total = Person + Machine + Unverifiable + Anonymous.
type Hits struct {
	Total        int `json:"total"`
	Unique       int `json:"unique"`
	Person       int `json:"person"`
	Machine      int `json:"machine"`
	Unverifiable int `json:"unverifiable"`
	Anonymous    int `json:"anonymous"`
}

// Region counts the hits of one region that were not machines'.
type Region struct {
	Region string `json:"region"`
	Opens  int    `json:"opens"`
	Clicks int    `json:"clicks"`
}

// Segment is the analyst's segment and its export.
type Segment struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Count      int    `json:"count"`
	ExportRows int    `json:"export_rows"`
}

// Check is one promise of the product held against what was stored and caught.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}
