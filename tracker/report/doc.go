// Package report tells a campaign's figures.
//
// Guarantees: people, machines, the unverifiable and the anonymous are told apart, and total is
// their sum; every rate is shown with its base; figures come live from Redis, and from the durable
// totals (with which Redis is held equal) while Redis cannot be read; no figure leads to a person: for an
// analyst, in every export and in every anonymous cell a group of fewer than k is suppressed, together
// with as many others as are needed so that no total gives it away (suppress.go has the rules).
package report
