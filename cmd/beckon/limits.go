package main

import (
	"errors"
	"fmt"

	"beckon/mailer/queue"
)

// limits are those of sending that hold for every campaign.
func (c *Config) limits() (domains queue.DomainRates, warmups queue.Warmups, err error) {
	domains, wrong := queue.ParseDomainRates(c.DomainRates)
	if wrong != nil {
		err = fmt.Errorf("BECKON_DOMAIN_RATES: %w", wrong)
	}
	if warmups, wrong = queue.ParseWarmups(c.Warmup); wrong != nil {
		err = errors.Join(err, fmt.Errorf("BECKON_WARMUP: %w", wrong))
	}
	return domains, warmups, err
}
