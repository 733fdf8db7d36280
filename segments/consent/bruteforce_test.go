package consent

import (
	"fmt"
	"slices"
)

func against(rows []Row, company string, u Use) string {
	covers := func(r Row, s string, list []string) bool { return len(list) == 0 || slices.Contains(list, s) }
	own := func(r Row) bool {
		return r.Own && r.Action == Grant && r.Company == company && r.Channel == u.Channel && slices.Contains(r.Types, u.Type)
	}
	given := false
	for i, r := range rows {
		if r.Action == Grant && (r.Outcome == Applied || r.Outcome == Partly) && r.Company == company && r.Channel == u.Channel && slices.Contains(r.Types, u.Type) {
			given = true
		}
		switch {
		case r.Action == Restrict && r.How == byAge:
			return show(rows[i : i+1])
		case r.Action == Restrict && r.How == byBounce:
			if !slices.ContainsFunc(rows, func(o Row) bool {
				return o.Own && o.Action == Grant && len(o.Types)+len(o.Item) > 0 && o.Captured >= r.Captured
			}) {
				return show(rows[i : i+1])
			}
		case r.Action == Restrict:
			if !slices.ContainsFunc(rows[i:], func(o Row) bool { return o.Action == Lift && o.Outcome == Applied }) {
				return show(rows[i : i+1])
			}
		case r.Action != Withdraw && r.Action != Object, r.How.lapse(), r.Item != "" && len(r.Types)+len(r.Topics) == 0:
		case r.Company != "" && r.Company != company, r.Channel != "" && r.Channel != u.Channel:
		case len(r.Types) == 0 && len(r.Topics) > 0:
			if len(u.Topics) > 0 && !slices.ContainsFunc(rows, func(o Row) bool {
				return o.Own && o.Action == Grant && o.Company == company && o.Channel == u.Channel && len(o.Topics) > 0 && o.Captured >= r.Captured
			}) {
				return show(rows[i : i+1])
			}
		case covers(r, u.Type, r.Types):
			if !slices.ContainsFunc(rows, func(o Row) bool { return own(o) && o.Captured >= r.Captured }) {
				return show(rows[i : i+1])
			}
		}
	}
	if !given {
		return "nothing: no consent was given"
	}
	return ""
}

func againstItem(rows []Row, company string, u Use) string {
	var granted, own *Row
	for i := range rows {
		r := &rows[i]
		mine := r.Item == u.Item && r.Company == company && r.Channel == u.Channel
		switch {
		case r.Action == Grant && mine && (r.Outcome == Applied || r.Outcome == Partly):
			if granted = r; r.Own {
				own = r
			}
		case r.How.lapse() && mine:
			granted = nil
		}
	}
	if granted == nil {
		return "nothing: it was not asked for, or it was served"
	}
	for i, r := range rows {
		covers := (r.Company == "" || r.Company == company) && (r.Channel == "" || r.Channel == u.Channel)
		switch {
		case r.Action == Restrict && (r.How == byAge || r.How != byBounce &&
			!slices.ContainsFunc(rows[i:], func(o Row) bool { return o.Action == Lift && o.Outcome == Applied })):
			return show(rows[i : i+1])
		case r.Action == Restrict && r.How == byBounce && !slices.ContainsFunc(rows, func(o Row) bool {
			return o.Own && o.Action == Grant && len(o.Types)+len(o.Item) > 0 && o.Captured >= r.Captured
		}):
			return show(rows[i : i+1])
		case (r.Action == Withdraw || r.Action == Object) && !r.How.lapse() && covers && (r.Item == u.Item || len(r.Types)+len(r.Topics)+len(r.Item) == 0):
			if own == nil || own.Captured < r.Captured {
				return show(rows[i : i+1])
			}
		}
	}
	return ""
}

func againstTracking(rows []Row, company string) string {
	for i, r := range rows {
		no := r.Action == Grant && r.Company == company && r.Tracking != nil && !*r.Tracking ||
			(r.Action == Withdraw || r.Action == Object) && !r.How.lapse() && (r.Company == "" || r.Company == company) &&
				(r.Channel == "" || r.Channel == Email) && len(r.Types)+len(r.Topics)+len(r.Item) == 0
		if no && !slices.ContainsFunc(rows, func(o Row) bool {
			return o.Own && o.Company == company && o.Tracking != nil && *o.Tracking && o.Captured >= r.Captured
		}) {
			return show(rows[i : i+1])
		}
	}
	if !slices.ContainsFunc(rows, func(r Row) bool { return r.Action == Grant && r.Tracking != nil && *r.Tracking }) {
		return "nothing: no consent was given"
	}
	return ""
}

func virgin(rows []Row) bool {
	lapsed := func(g Row, after []Row) bool {
		return !slices.ContainsFunc(g.Types, func(t string) bool {
			return !slices.ContainsFunc(after, func(r Row) bool {
				return r.How.lapse() && r.Company == g.Company && r.Channel == g.Channel && slices.Contains(r.Types, t)
			})
		})
	}
	for i, r := range rows {
		if r.Action == Grant && (r.Outcome == Applied || r.Outcome == Partly) && !lapsed(r, rows[i:]) {
			return false
		}
	}
	return !slices.ContainsFunc(rows, func(r Row) bool {
		return (r.Action == Withdraw || r.Action == Object) && !r.How.lapse() && (r.Item == "" || len(r.Types)+len(r.Topics) > 0)
	})
}

func show(rows []Row) string {
	s := ""
	for _, r := range rows {
		tracking := ""
		if r.Tracking != nil {
			tracking = fmt.Sprint(*r.Tracking)
		}
		s += fmt.Sprintf("%d %s %s/%s %v %v %s tracking=%s how=%s own=%v captured=%s outcome=%s\n", r.Seq, r.Action, r.Company, r.Channel, r.Types, r.Topics, r.Item,
			tracking, r.How, r.Own, r.Captured.T().Format("15:04:05"), r.Outcome)
	}
	return s
}
