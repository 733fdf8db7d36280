// Package schema opens Beckon's database, runs transactions on it and brings its tables to the
// current version. It speaks two dialects, SQLite (embedded, the default) and PostgreSQL (15 or
// later), and hides what differs between them and nothing else: the SQL itself lives with the
// package that owns the table (owners_test.go holds who owns which).
//
// What a caller may rely on:
//
//   - Statements are written with ? for parameters on both dialects.
//   - A transaction either commits as a whole or leaves nothing; on SQLite a commit is on disk
//     (WAL, synchronous=FULL) when Tx returns.
//   - On SQLite there is one writer; Tx and Exec queue for it, readers never wait for it. Keep a
//     transaction under 20 ms: hits and mail wait behind it.
//   - Instants are Time: microseconds since 1970 UTC, zero for "never"; no column for an instant is NULL.
//   - Deleted values are overwritten on SQLite (secure_delete).
//   - Errors never hold values of a statement.
//   - Backup waits for no writer and holds none up; Restore replaces a database as a whole or not at
//     all, and only while no other process has it open. On SQLite a file beside the database, named
//     after it with -lock at its end, is held by whoever has it open: SQLite's own locks hold a file,
//     and a restore puts another one in its place.
package schema
