package segments

import "strconv"

// defaultK is the smallest group that is shown to an analyst.
const defaultK = 5

// Figure is a number that may be held back: then it is null, with suppressed set.
type Figure struct {
	N          *int64 `json:"n"`
	Suppressed bool   `json:"suppressed,omitempty"`
}

func figure(n int64) Figure { return Figure{N: &n} }

// Text is the figure as people read it: the number, or "< 5" for one that is held back.
func (f Figure) Text(k int64) string {
	if f.N == nil {
		return "< " + strconv.FormatInt(max(k, 2), 10)
	}
	return strconv.FormatInt(*f.N, 10)
}

// hidePartition says which groups must be held back when each member of the total is in exactly one of
// them and the total is known: those under k, and as many of the next larger ones as it takes for
// those held back to hold k members together, so that the total less the rest gives none away.
func hidePartition(groups map[string]int64, k int64) map[string]bool {
	hidden := map[string]bool{}
	sum := int64(0)
	for key, n := range groups {
		if n > 0 && n < k {
			hidden[key] = true
			sum += n
		}
	}
	for len(hidden) > 0 && (sum < k || len(hidden) < 2) {
		next, found := "", false
		for key, n := range groups {
			if n > 0 && !hidden[key] && (!found || n < groups[next] || n == groups[next] && key < next) {
				next, found = key, true
			}
		}
		if !found {
			break
		}
		hidden[next] = true
		sum += groups[next]
	}
	return hidden
}

// hideOverlap says which groups must be held back when a member may be in any number of them: those
// under k, and those that leave fewer than k of the total outside.
func hideOverlap(groups map[string]int64, total, k int64) map[string]bool {
	hidden := map[string]bool{}
	for key, n := range groups {
		if n > 0 && (n < k || total-n > 0 && total-n < k) {
			hidden[key] = true
		}
	}
	return hidden
}
