// Package queue keeps one row per recipient and campaign, and takes each of them to an SMTP relay
// at most once.
//
// What a caller may rely on:
//
//   - A contact has at most one message in a campaign, whatever number of audience parts they are in.
//   - The consent gate is asked in the statement that turns a message from queued to sending, so a no
//     holds from the next message on. Whom it refuses is skipped, with the reason.
//   - One connection has one message under way. After a crash that is how many can be unknown per
//     connection; everything else is sent or not sent, and the row says which.
//   - sent is written after the relay's final 2xx alone. unknown begins when the dot that ends the
//     message may have left and no answer was read; it is never tried again by itself.
//   - Whatever fails before that dot, and every 4xx, is tried again with growing pauses; every 5xx is
//     final. A relay that cannot be reached costs no attempt: nothing is claimed without a connection.
//   - Several relays share the work by weight, and take over from one that is down or silent. A domain,
//     a campaign outside its hours or a sender at its day's allowance that has to wait holds up no other.
//   - A run of refusals that are the sender's fault (550 5.7.x) pauses the campaign and suppresses nobody.
//   - No address is stored in a reply, logged or part of an error.
//
// Any number of processes may send from one PostgreSQL database: each leases messages in batches, and
// claims only what it leases. Standards: RFC 5321, 2920 (pipelining), 3463 (status codes), 6531
// (SMTPUTF8), 6376 (DKIM), 8058.
package queue
