// Package rights looks after what people may ask of us about their data, and after the record of
// what we did with it.
//
// So far it holds that record, the audit log. What a caller may rely on:
//
//   - An entry says who did what to which identifier, and why where a ground is asked for. It never
//     holds an address: Write refuses one.
//   - The log is append-only: the database itself refuses to change or delete an entry.
//   - An entry written in a transaction is there if and only if what it tells of happened.
//   - A disclosure of personal data has a ground out of Grounds, the list that the published
//     policies give.
package rights
