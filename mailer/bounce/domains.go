package bounce

import (
	"context"
	"fmt"
	"sort"

	"beckon/schema"
	"beckon/schema/id"
)

// Delivery says how the messages of a campaign to one domain fared.
type Delivery struct {
	Domain     string `json:"domain" db:"domain"`
	Recipients int64  `json:"recipients" db:"recipients"`
	Sent       int64  `json:"sent" db:"sent"` // taken by the relay, and not known to have bounced
	Deferred   int64  `json:"deferred" db:"deferred"`
	Failed     int64  `json:"failed" db:"failed"`         // refused by the relay, or given up
	Bounced    int64  `json:"bounced" db:"bounced"`       // came back: the address does not exist
	Complaints int64  `json:"complaints" db:"complaints"` // of those sent
}

// OtherDomains stands for every domain that too few recipients have, and for those of erased contacts.
const OtherDomains = "other"

// ByDomain tells how a campaign fared per domain of its recipients, those with most recipients first.
// Domains with fewer than k recipients are summed as OtherDomains, which stands last; where that would
// still be fewer than k, the smallest of the others joins it, so that no sum gives a small one away.
func ByDomain(ctx context.Context, q schema.Querier, c id.Campaign, k int64) ([]Delivery, error) {
	domain := `substr(p.email, instr(p.email, '@') + 1)`
	if q.Dialect() == schema.Postgres {
		domain = `split_part(p.email, '@', 2)`
	}
	all := []Delivery{}
	err := q.Select(ctx, &all, `SELECT d.domain, count(*) AS recipients, sum(CASE WHEN d.status = 'sent' THEN 1 ELSE 0 END) AS sent, sum(CASE WHEN d.status = 'deferred' THEN 1 ELSE 0 END) AS deferred,
		sum(CASE WHEN d.status = 'failed' AND d.reason <> 'bounced' THEN 1 ELSE 0 END) AS failed, sum(CASE WHEN d.status = 'failed' AND d.reason = 'bounced' THEN 1 ELSE 0 END) AS bounced,
		sum(d.complained) AS complaints FROM (SELECT COALESCE(`+domain+`, '') AS domain, m.status, m.reason, CASE WHEN r.id IS NULL THEN 0 ELSE 1 END AS complained
		FROM messages m LEFT JOIN contacts p ON p.id = m.contact LEFT JOIN returns r ON r.message = m.id AND r.class = 'complaint' WHERE m.campaign = ?) d GROUP BY d.domain`, c)
	if err != nil {
		return nil, fmt.Errorf("bounce: read the delivery of %s: %w", c, err)
	}
	return sumSmall(all, k), nil
}

func sumSmall(all []Delivery, k int64) []Delivery {
	sort.Slice(all, func(i, j int) bool {
		if all[i].Recipients != all[j].Recipients {
			return all[i].Recipients > all[j].Recipients
		}
		return all[i].Domain < all[j].Domain
	})
	shown, other := all[:0:0], Delivery{Domain: OtherDomains}
	for _, d := range all {
		if d.Recipients >= k && d.Domain != "" {
			shown = append(shown, d)
		} else {
			other.add(d)
		}
	}
	if other.Recipients == 0 {
		return append([]Delivery{}, shown...)
	}
	for other.Recipients < k && len(shown) > 0 {
		other.add(shown[len(shown)-1])
		shown = shown[:len(shown)-1]
	}
	return append(shown, other)
}

func (d *Delivery) add(o Delivery) {
	d.Recipients += o.Recipients
	d.Sent += o.Sent
	d.Deferred += o.Deferred
	d.Failed += o.Failed
	d.Bounced += o.Bounced
	d.Complaints += o.Complaints
}
