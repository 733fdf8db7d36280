package queue

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"beckon/segments/consent"
)

// ErrDomainRates is wrapped when a list of rates is not understood.
var ErrDomainRates = errors.New("rates of recipient domains not understood")

// DomainRates are the most messages per second that one sender hands over for each recipient domain.
// The zero value limits none.
type DomainRates struct {
	of   map[string]float64
	rest float64 // of each domain that is not named; zero: no limit
}

// ParseDomainRates reads gmail.com=20,yahoo.com=5,*=50, where * stands for each domain not named.
func ParseDomainRates(s string) (DomainRates, error) {
	d := DomainRates{of: map[string]float64{}}
	for one := range strings.SplitSeq(s, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		name, value, _ := strings.Cut(one, "=")
		rate, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(rate > 0 && rate <= 1e6) {
			return DomainRates{}, fmt.Errorf("queue: %w: %q gives no number of messages per second above 0; write for example gmail.com=20,*=50", ErrDomainRates, one)
		}
		if name = strings.TrimSpace(name); name == "*" {
			d.rest = rate
			continue
		}
		address, err := consent.NormaliseEmail("a@" + name)
		if err != nil {
			return DomainRates{}, fmt.Errorf("queue: %w: %q names no domain; write for example gmail.com=20,*=50", ErrDomainRates, one)
		}
		d.of[domainOf(address)] = rate
	}
	return d, nil
}

// rate is the limit of a domain; zero: none.
func (d DomainRates) rate(domain string) float64 {
	if r, ok := d.of[domain]; ok {
		return r
	}
	return d.rest
}

func (d DomainRates) none() bool { return len(d.of) == 0 && d.rest == 0 }

func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }
