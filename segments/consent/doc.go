// Package consent keeps the append-only record of what each contact agreed to, and answers one
// question from it: may we do this to them now?
//
// It owns the catalogue, the notices, the ledger, the state derived from it, and the suppressed
// addresses. No other package names its tables: single contacts are asked about with Gate.Ask, sets
// with the SQL fragments of Gate, and the two give the same answer.
//
// What a caller may rely on:
//
//   - Silence is a no. A contact without a subject row, an entry that is not readable, a request
//     that was not confirmed, an unknown channel, type or topic: all refuse.
//   - A no stands until the person's own confirmed act (Entry.Own) lifts it, and then only for what
//     that act names. An import records a yes over a no, and does not apply it.
//   - A no that comes late (its Captured lies in the past) loses only against a yes to the same
//     thing that was given after it.
//   - Each yes to tracking opens an epoch, each no closes it, and no epoch is ever opened again: a
//     message sent under a closed one stays anonymous for good.
//   - The ledger holds no address and no free text. Each row carries an HMAC over itself and the
//     subject's previous row (HMAC-SHA-256, RFC 2104; subkeys by HKDF, RFC 5869), and the database
//     refuses to change or delete it. The derived state can be rebuilt from it at will.
//   - Evidence lies apart, under a salt whose hash is in the ledger: erasing it leaves the ledger
//     whole and says nothing about what was erased.
//   - Forgetting a contact deletes the only way from the ledger to the person and leaves at most a
//     keyed hash of the address.
package consent
