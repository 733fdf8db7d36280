package rights_test

import (
	"slices"
	"strings"
	"testing"

	"beckon/segments/rights"
)

// TestS22TheRightsThatFollowFromEachBasis is the rights matrix: one line for each lawful basis, one
// column for each right.
func TestS22TheRightsThatFollowFromEachBasis(t *testing.T) {
	columns := []rights.Right{rights.Access, rights.Rectification, rights.Erasure, rights.Restriction, rights.Portability, rights.Objection, rights.Withdrawal, rights.Complaint}
	matrix := map[rights.Basis]string{
		//                            acc rec era res por obj wit com
		rights.Consent:             "yes yes yes yes yes yes yes yes",
		rights.Contract:            "yes yes yes yes yes no  no  yes",
		rights.LegalObligation:     "yes yes no  yes no  no  no  yes",
		rights.VitalInterests:      "yes yes yes yes no  no  no  yes",
		rights.PublicFunction:      "yes yes no  yes no  yes no  yes",
		rights.LegitimateInterests: "yes yes yes yes no  yes no  yes",
	}
	if !slices.Equal(columns, rights.Rights) {
		t.Fatalf("the rights are %v: the matrix has other columns", rights.Rights)
	}
	for _, basis := range rights.Grounds {
		line, ok := matrix[basis]
		if !ok {
			t.Fatalf("the matrix has no line for %s", basis)
		}
		for i, word := range strings.Fields(line) {
			if got := slices.Contains(rights.RightsOf(basis), columns[i]); got != (word == "yes") {
				t.Errorf("%s gives %s: %v", basis, columns[i], got)
			}
		}
	}
	if got := rights.RightsOf("because"); got != nil {
		t.Errorf("what is no basis gives %v", got)
	}
}

// TestS8WhoIsInSeveralGroupsHasTheRightsOfAll: a candidate who also gets the newsletter.
func TestS8WhoIsInSeveralGroupsHasTheRightsOfAll(t *testing.T) {
	for _, c := range []struct {
		bases []rights.Basis
		want  []rights.Right
	}{
		{nil, nil},
		{[]rights.Basis{rights.LegalObligation}, rights.RightsOf(rights.LegalObligation)},
		{[]rights.Basis{rights.LegalObligation, rights.Consent}, rights.RightsOf(rights.Consent)},
		{[]rights.Basis{rights.LegitimateInterests, rights.Contract}, []rights.Right{rights.Access, rights.Rectification, rights.Erasure, rights.Restriction, rights.Portability, rights.Objection, rights.Complaint}},
		{[]rights.Basis{"because"}, nil},
	} {
		if got := rights.Union(c.bases...); !slices.Equal(got, c.want) {
			t.Errorf("%v give %v, want %v", c.bases, got, c.want)
		}
	}
	got := rights.RightsOf(rights.Contract)
	got[0] = "changed"
	if rights.RightsOf(rights.Contract)[0] != rights.Access {
		t.Error("a caller can change the matrix")
	}
}
