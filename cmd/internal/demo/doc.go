// Package demo plays the whole job of Beckon through its public faces: it drives the JSON API as a
// marketer's program would, catches the mail over real SMTP, lets simulated recipients fetch what
// their mail links to over real HTTP, and then holds every promise of the product against what was
// stored and what was caught.
//
// Guarantees: nothing here writes to the database; the checks read stored rows and caught mail and
// do not ask the gate whose work they judge; a check that fails says what it saw. Everything is
// generated from a seed, so two runs of one version do the same things to the same people. All
// people, companies and networks are invented (RFC 2606 names, RFC 5737 and RFC 3849 addresses).
package demo
