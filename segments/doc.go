// Package segments knows who the contacts are: the companies that send, the data sources contacts
// come from, the contacts with every origin they have, the import that reads them from files, and
// the segments cut from them by rules.
//
// What a caller may rely on:
//
//   - A contact is one address, compared as [consent.NormaliseEmail] writes it. Creating and
//     importing merge into it: they fill blanks and never overwrite.
//   - A contact is registered with the consent ledger in the transaction that creates it, so that a
//     suppressed address is blocked from its first instant on.
//   - A segment holds opted-in contacts only, whatever its rule says: the gate's fragment stands
//     beside every compiled rule, and no function of this package gives the one without the other.
//   - Rules are bound SQL. Nothing an operator writes becomes part of a statement's text.
//   - An import loses no row in silence: each one is created, updated, skipped or rejected, the
//     last two with line number and reason. A resumed import goes on at the row where it stopped.
//   - Whose time is over is told by one function for each purpose (the Due functions of [Contacts]). What
//     is left of a contact that was de-identified has another identifier, is in no segment, and cannot
//     be mailed.
//   - What is wrong with an input is an *[Invalid], which names every field and its remedy.
//
// CSV is read after RFC 4180, with the mess that real files add to it (see [Importer]).
package segments
