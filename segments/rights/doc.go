// Package rights looks after what people may ask of us about their data, and after the record of
// what we did with it. So far it holds the audit log and the refusals journal.
//
// What a caller may rely on in the audit log:
//
//   - An entry says who did what to which identifier, and why where a ground is asked for. It never
//     holds an address: Write refuses one.
//   - The log is append-only: the database itself refuses to change or delete an entry.
//   - An entry written in a transaction is there if and only if what it tells of happened.
//   - A disclosure of personal data has a ground out of Grounds, the list that the published
//     policies give.
//
// The journal keeps every no and every erasure outside the database, so that it holds while the
// database is down, and after an old one was restored:
//
//   - A refusal that Append returned nil for is on disk, whatever happens to the process then.
//   - It says whose it is by keyed hash or by message, and how far it reaches in slugs. An address
//     or free text has no place in it: Append refuses what is not a word.
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
