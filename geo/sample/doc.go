// Package sample makes a small region database for tests and for the demo. It covers the networks set
// aside for documentation (RFC 5737, RFC 3849), which belong to nobody, so that no test and no demo
// ever names a real person's address.
package sample
