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
//   - A one-off request (Entry.Item) is consent to one thing from one company by one channel, and ends
//     when that is served ([Ledger.Served]). It allows no type, no segment and no tracking, and what the
//     person's own request lifts of a no to everything is back when nothing is left to serve.
//   - What was served or recalled ends without a refusal: whoever may grant it may grant it again. A
//     recall ends what nothing but its own imports brought ([Ledger.EndGrants]).
//   - Each yes to tracking opens an epoch, each no closes it, and no epoch is ever opened again: a
//     message sent under a closed one stays anonymous for good.
//   - The ledger holds no address and no free text. Each row carries an HMAC over itself and the
//     subject's previous row (HMAC-SHA-256, RFC 2104; subkeys by HKDF, RFC 5869), and the database
//     refuses to change or delete it. The derived state can be rebuilt from it at will.
//   - A checkpoint ([Ledger.Checkpoint]), a file that lies apart and is sealed under the hash key, holds
//     the newest row of every chain. With it Verify finds what the database alone cannot show: a chain
//     that was cut off or taken out with all that told of it, and a database older than its checkpoint.
//     None is overwritten by one that knows less, but by an operator's word ([Ledger.AcceptRestore]).
//   - Every no, and every erasure, is in the refusals journal (LedgerOptions.Journal) before the
//     transaction that records it commits; where the journal cannot keep it, it is not recorded, and
//     whoever said it gets an error. It is kept by keyed hash and in slugs, with the time that the
//     ledger has. What is no person's no is not kept: what was served, lapsed or recalled.
//   - A no of the journal is applied ([Ledger.Apply]) as what it was when it was: where the database has
//     it nothing changes, and where the address is not held it waits, and is the contact's own before
//     anything else is recorded for it. An import of an old yes stays without effect.
//   - Each yes names the notice that was shown, with its hash. [Ledger.Wordings] counts what became of
//     each wording, [Ledger.Outdated] who consented under one that is not in use any more, and
//     [Ledger.Receipt] tells a person everything they were asked and said, after ISO/IEC TS 27560.
//   - Evidence lies apart, under a salt whose hash is in the ledger: erasing it leaves the ledger
//     whole and says nothing about what was erased.
//   - What somebody refused outlives their data, where that ends because its time is over ([Ledger.Outlive]).
//   - Forgetting a contact deletes the only way from the ledger to the person and leaves at most a
//     keyed hash of the address. The journal makes an older database forget it, too.
package consent
