// Package rights looks after what people may ask of us about their data, and after the record of
// what we did with it.
//
// Whoever holds something of a person is a Subject. What a caller may rely on in the Desk, which asks
// them all, and in the inbox:
//
//   - A copy is everything held, on one snapshot, each part with its purpose, its lawful basis and the
//     rights that follow (GDPR Art. 15 and 20). JSON and CSV hold the same cells. Names of staff and
//     what would lead to the rows that an erasure leaves are not in it.
//   - An erasure happens in one transaction or not at all. Its receipt says what was removed, and what
//     is kept, why and until when. A legal hold turns it into a restriction (Art. 17(3)).
//   - A link is used once, in time, for its own purpose, and by one of those who try at a time.
//   - A request has a due date by the calendar from the moment it is taken: a month (Art. 12(3)), two
//     working days for an opt-out by email or phone. It is put off once, in time and for a reason.
//     Public holidays are not known; a date is earlier for that, never later. Once closed it stays as
//     it is, but for what an erasure empties.
//
// Retention ends what is held for longer than its purpose allows. What a caller may rely on:
//
//   - Every purpose has a clock, a time, an action and a lawful basis (Rules). A rule keeps nothing for
//     more than three years; an Extension may, which says where it is written. What stands still is due
//     once its time is over, to the second, months being those of the calendar.
//   - A legal hold wins over every rule, and so does the person's own wish that their data be
//     restricted. A hold or an extension that was confirmed holds in a run under way, too.
//   - A dry run changes nothing and counts what a run would do. A run works in short transactions,
//     goes on where it was stopped, and writes to the audit log what it did: by contact, and by purpose
//     with the numbers.
//   - No stays no: what somebody refused is kept by keyed hash when their data goes.
//   - While a contact is in a group of data subjects it is held for that. Its rights are the union of
//     those of the groups and of whatever else it is held for.
//   - The Register is drawn up from what is in force; it names no contact and holds no credentials.
//
// What a caller may rely on in the audit log:
//
//   - An entry says who did what to which identifier, and why where a ground is asked for. It never
//     holds an address: Write refuses one.
//   - The log is append-only: the database itself refuses to change an entry, and to delete one within a year.
//   - An entry written in a transaction is there if and only if what it tells of happened.
//   - A disclosure of personal data has a ground out of Grounds, the list that the published
//     policies give.
//
// The journal keeps every no and every erasure outside the database, so that it holds while the
// database is down, and after an old one was restored:
//
//   - A refusal that Append or AppendMany returned nil for is on disk, whatever happens to the process
//     then. Many of them cost one wait for the disk, and so do those of several callers.
//   - It says whose it is by keyed hash or by message, and how far it reaches in slugs. An address
//     or free text has no place in it: what is not a word is refused.
//   - Replay applies whatever the database at hand has not seen. The database itself keeps how far
//     that is, so a restored one asks for more. A file that was replaced is applied from its start.
//   - A torn write, which nobody was answered for, is skipped and reported; what follows is read.
//   - What cannot be applied, cannot be understood or is lost is an error of every replay until it
//     is settled, while all else is applied. A Guard then stays closed, and nobody sends.
//
// The journal is a directory of one text file per node, NODE.journal: a line that identifies the
// file, then a line for each refusal, of length, checksum and JSON. Each file is appended to under a
// lock (NODE.lock), by processes of one machine; nodes that share the directory over a network never
// write to the same file. A file that went missing is told, since an unmounted disk looks like an
// empty journal. One that is out of use for good is renamed to end in .journal.retired and may be
// cut to its first line, once no backup older than its last refusal is kept: it is not replayed.
package rights
