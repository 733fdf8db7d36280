package demo

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Someone is an invented contact.
type Someone struct {
	Email, Name, Company, Country, Phone, JobTitle string
	Kind                                           string // subscriber kind as a provider states it
	Topics                                         []string

	// What the sign-up form recorded; Types empty means that the person is not on the form's list.
	Types    []string
	Tracking bool
	Channel  string

	Acts Part // what they do with the mail they get
}

// Part is how a simulated recipient behaves.
type Part string

// The parts.
const (
	Silent  Part = "silent"       // never opens
	Opener  Part = "opens"        // a person who looks at the pictures
	Clicker Part = "clicks"       // a person who opens and clicks
	Scanner Part = "link scanner" // a gateway that fetches every link on arrival
	Apple   Part = "Apple proxy"  // Mail Privacy Protection fetches the pictures, the person may never look
	Gmail   Part = "Gmail proxy"  // a person behind Google's image proxy
	DNT     Part = "do not track" // a person whose browser says DNT: 1
	Leaver  Part = "unsubscribes" // a person who leaves halfway
)

// machine reports whether a program acts as soon as the mail has arrived.
func (p Part) machine() bool { return p == Scanner }

// Cast is everybody the demo knows of.
type Cast struct {
	First, Second []Someone // the lists of the two providers; some people are in both
	Form          []Someone // the sign-up form's list; some of them are in the providers' lists too
}

// Size says how many people there are.
type Size struct {
	Providers int // distinct people on the two providers' lists together
	Form      int // people on the form's list
}

// leavers is how many people unsubscribe halfway. They are on the form's list and late on the first
// provider's, so that the second campaign has not reached them when they leave.
const leavers = 5

// NewCast invents the people. The same seed and size give the same people.
func NewCast(seed uint64, size Size) *Cast {
	r := rand.New(rand.NewPCG(seed, 0xbec0))
	both := size.Providers / 10
	c := &Cast{}
	for i := range size.Providers {
		p := someone(r, i, "sourced")
		switch {
		case i < both:
			c.First, c.Second = append(c.First, p), append(c.Second, p)
		case i%2 == 0:
			c.First = append(c.First, p)
		default:
			c.Second = append(c.Second, p)
		}
	}
	alsoOnForm := size.Form / 20
	for i := range size.Form {
		var p Someone
		if i < alsoOnForm {
			p = c.First[i*len(c.First)/alsoOnForm]
		} else {
			p = someone(r, i, "form")
		}
		p.Kind = ""
		signUp(r, &p)
		if i < alsoOnForm && i >= alsoOnForm-leavers {
			p.Types, p.Topics, p.Channel, p.Tracking, p.Acts = []string{"newsletter"}, []string{"compliance"}, "email", true, Leaver
		}
		c.Form = append(c.Form, p)
	}
	return c
}

var (
	firstNames = strings.Fields("Ada Aoife Bram Chloé Dafydd Elif Femi Greta Hamish Ines Jonas Kwame Léa Mairi Nadia Owen Priya Quentin Rosa Sven Tomasz Una Viktor Wanjiru Xenia Yusuf Zoë")
	lastNames  = strings.Fields("Abara Bauer Campbell Davies Evans Fischer García Hughes Ito Jensen Kelly Lefèvre Macleod Novak O'Brien Patel Quinn Rossi Schäfer Taylor Ueda Vaughan Walsh Young Ziegler")
	trades     = strings.Fields("Timber Optics Logistics Dairy Robotics Harbour Print Textiles Energy Foods Steel Media Clinic Rail Software")
	titles     = []string{"Head of Procurement", "Facilities Manager", "Chief Engineer", "Compliance Officer", "Marketing Lead", "Data Protection Officer", "Operations Director"}
	topics     = []string{"public-sector", "grants-funding", "compliance", "engineering-information", "facilities-management", "hospital-management", "social-care", "transport"}
	types      = []string{"newsletter", "product-updates", "whitepaper-intelligence", "exhibition-event", "video-podcast-webinar", "promotional-offer"}
	dialling   = map[string]string{"GB": "+44 1632 96", "IE": "+353 20 91", "DE": "+49 30 23", "FR": "+33 1 99", "NL": "+31 85 00", "US": "+1 202 555 0"}
)

func someone(r *rand.Rand, i int, group string) Someone {
	first, last := pick(r, firstNames), pick(r, lastNames)
	trade := pick(r, trades)
	country := pick(r, []string{"GB", "GB", "GB", "GB", "GB", "IE", "DE", "FR", "NL", "US"})
	p := Someone{
		Name:     first + " " + last,
		Company:  last + " " + trade,
		Country:  country,
		Phone:    fmt.Sprintf("%s%04d", dialling[country], r.IntN(10000)),
		JobTitle: pick(r, titles),
		Kind:     pick(r, []string{"corporate", "corporate", "corporate", "corporate", "corporate", "corporate", "corporate", "individual", "individual", ""}),
		Acts:     pick(r, []Part{Silent, Silent, Silent, Silent, Opener, Opener, Opener, Clicker, Clicker, Clicker, Scanner, Apple, Apple, Gmail, Gmail, DNT}),
	}
	p.Email = strings.ToLower(fmt.Sprintf("%s.%s.%s%d@%s.example", ascii(first), ascii(last), group[:1], i, ascii(trade)))
	for range r.IntN(3) {
		p.Topics = add(p.Topics, pick(r, topics))
	}
	return p
}

func signUp(r *rand.Rand, p *Someone) {
	p.Channel = "email"
	p.Types = []string{"newsletter"}
	switch r.IntN(12) {
	case 0:
		p.Types = []string{"promotional-offer"} // a yes to something else
	case 1:
		p.Channel = "phone"
	case 2, 3, 4, 5:
		p.Types = add(p.Types, pick(r, types))
	}
	p.Tracking = r.IntN(10) < 6
	for range 1 + r.IntN(2) {
		p.Topics = add(p.Topics, pick(r, topics))
	}
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func add(list []string, s string) []string {
	for _, v := range list {
		if v == s {
			return list
		}
	}
	return append(list[:len(list):len(list)], s)
}

// ascii drops what an unquoted address cannot hold without SMTPUTF8.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case 'é', 'è', 'ë':
			return 'e'
		case 'í':
			return 'i'
		case 'ä':
			return 'a'
		}
		if r > 127 || r == '\'' {
			return -1
		}
		return r
	}, s)
}
