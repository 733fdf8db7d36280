package rights

import "slices"

// Basis is the lawful basis of a processing activity (GDPR Art. 6): the same six, in the same words,
// as the grounds on which data is handed out.
type Basis = Ground

// Right is what people may ask of whoever holds their data.
type Right string

// The rights. Withdrawal is that of a consent; a complaint may also go to the authority at once.
const (
	Access        Right = "access"        // GDPR Art. 15
	Rectification Right = "rectification" // Art. 16
	Erasure       Right = "erasure"       // Art. 17
	Restriction   Right = "restriction"   // Art. 18
	Portability   Right = "portability"   // Art. 20
	Objection     Right = "objection"     // Art. 21
	Withdrawal    Right = "withdrawal"    // Art. 7(3)
	Complaint     Right = "complaint"     // Art. 77; UK DPA 2018 s. 164A
)

// Rights are all rights, in the order in which they are listed everywhere.
var Rights = []Right{Access, Rectification, Erasure, Restriction, Portability, Objection, Withdrawal, Complaint}

// rightsOf follows Articles 15 to 21. Where data is held because a law or a public task says so, it
// is not erased on request (Art. 17(3)(b)); portability goes with consent and contract (Art. 20(1)).
// Consent has the objection too: what we do on consent is direct marketing, to which anybody may
// object at any time (Art. 21(2)).
var rightsOf = map[Basis][]Right{
	Consent:             {Access, Rectification, Erasure, Restriction, Portability, Objection, Withdrawal, Complaint},
	Contract:            {Access, Rectification, Erasure, Restriction, Portability, Complaint},
	LegalObligation:     {Access, Rectification, Restriction, Complaint},
	VitalInterests:      {Access, Rectification, Erasure, Restriction, Complaint},
	PublicFunction:      {Access, Rectification, Restriction, Objection, Complaint},
	LegitimateInterests: {Access, Rectification, Erasure, Restriction, Objection, Complaint},
}

// RightsOf returns the rights that people have in what is done on a basis, in the order of Rights;
// none for what is no basis.
func RightsOf(b Basis) []Right { return slices.Clone(rightsOf[b]) }

// Union returns every right that one of the bases gives: what somebody may ask who is in several
// groups of data subjects, of the data of one of them or another.
func Union(bases ...Basis) []Right {
	var all []Right
	for _, r := range Rights {
		if slices.ContainsFunc(bases, func(b Basis) bool { return slices.Contains(rightsOf[b], r) }) {
			all = append(all, r)
		}
	}
	return all
}
