package rights_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"beckon/schema"
	"beckon/segments/rights"
)

func TestS8GroupsOfDataSubjectsAndTheUnionOfTheirRights(t *testing.T) {
	houses(t, func(h *house) {
		who, other := h.own(), h.own()
		if got, err := h.groups.Of(h.ctx, h.db, who); err != nil || len(got) != 0 || got == nil {
			h.Errorf("in no group: %v, %v", got, err)
		}
		add := func(group string, basis rights.Basis) {
			_, err := h.groups.Add(h.ctx, nil, who, group, basis)
			h.ok(err)
		}
		add(rights.GroupCustomer, rights.Contract)
		add("employee", rights.LegalObligation)
		h.now = h.now.Add(time.Hour)
		add(rights.GroupCandidate, rights.LegitimateInterests)
		_, err := h.groups.Add(h.ctx, nil, other, rights.GroupCustomer, rights.Contract)
		h.ok(err)
		got, err := h.groups.Of(h.ctx, h.db, who)
		h.ok(err)
		if want := []rights.Membership{
			{Contact: who, Group: "candidate", Basis: rights.LegitimateInterests, Since: schema.At(dawn.Add(time.Hour))},
			{Contact: who, Group: "customer", Basis: rights.Contract, Since: schema.At(dawn)},
			{Contact: who, Group: "employee", Basis: rights.LegalObligation, Since: schema.At(dawn)},
		}; !reflect.DeepEqual(got, want) {
			h.Errorf("groups %+v, want %+v", got, want)
		}
		// Access, rectification and restriction come with each; erasure and portability with the contract,
		// objection with legitimate interests, and withdrawal with none of the three.
		all, err := h.groups.Rights(h.ctx, h.db, who)
		h.ok(err)
		if want := []rights.Right{rights.Access, rights.Rectification, rights.Erasure, rights.Restriction, rights.Portability, rights.Objection, rights.Complaint}; !reflect.DeepEqual(all, want) {
			h.Errorf("rights %v, want %v", all, want)
		}
		all, err = h.groups.Rights(h.ctx, h.db, who, rights.Consent)
		h.ok(err)
		if !reflect.DeepEqual(all, rights.Rights) {
			h.Errorf("with a consent beside: %v", all)
		}
		add(rights.GroupCustomer, rights.LegalObligation) // said anew, on another footing
		h.ok(h.groups.Remove(h.ctx, nil, who, rights.GroupCandidate))
		h.ok(h.groups.Remove(h.ctx, nil, who, rights.GroupCandidate))
		all, err = h.groups.Rights(h.ctx, h.db, who)
		h.ok(err)
		if want := rights.RightsOf(rights.LegalObligation); !reflect.DeepEqual(all, want) {
			h.Errorf("after that: %v, want %v", all, want)
		}
		counts, err := h.groups.Counts(h.ctx, h.db)
		h.ok(err)
		if want := []rights.GroupCount{{"customer", rights.Contract, 1}, {"customer", rights.LegalObligation, 1}, {"employee", rights.LegalObligation, 1}}; !reflect.DeepEqual(counts, want) {
			h.Errorf("counted %v, want %v", counts, want)
		}
		for what, try := range map[string]func() (rights.Membership, error){
			"nobody":   func() (rights.Membership, error) { return h.groups.Add(h.ctx, nil, 0, "customer", rights.Contract) },
			"no group": func() (rights.Membership, error) { return h.groups.Add(h.ctx, nil, who, "", rights.Contract) },
			"no slug": func() (rights.Membership, error) {
				return h.groups.Add(h.ctx, nil, who, "Good Customers", rights.Contract)
			},
			"no basis":    func() (rights.Membership, error) { return h.groups.Add(h.ctx, nil, who, "customer", "") },
			"a non-basis": func() (rights.Membership, error) { return h.groups.Add(h.ctx, nil, who, "customer", "because") },
		} {
			var inv *rights.Invalid
			if _, err := try(); !errors.As(err, &inv) {
				h.Errorf("%s: %v", what, err)
			}
		}
	})
}
