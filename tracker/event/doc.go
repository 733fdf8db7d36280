// Package event keeps what happened to mails that were sent: first in the node's own spool, from
// which a hit is answered, then in the database, where it is judged and counted.
//
// What a caller may rely on:
//
//   - When Spool.Append returns without an error, the hit is on disk. It is counted exactly once,
//     whatever is killed afterwards: Drain moves the node's place in its spool in the transaction
//     that writes, and takes nothing up to that place again.
//   - The database is not in the way of Append. While it is slow or gone the spool grows, up to its
//     bound, and is drained later, in order.
//   - A hit of an identified token is stored and counted only while the gate says that the tracking
//     epoch of that very message is open; otherwise nothing of it is stored at all. The gate is asked
//     in the statement that writes.
//   - An anonymous hit is never a row: it is one unit in an hourly cell of counts. The spool keeps it
//     by the hour and without its client. A hit under DNT or GPC is one unit of its campaign's hour,
//     without link and region.
//   - counts, count_heads, the firsts (messages.opened_at, message_links) and the events of a batch
//     change in one transaction. A burst that is found late moves its earlier hits from one verdict
//     to the other in all of them.
//   - No address and no user agent of a client can be stored: Hit has no field for them.
//   - The counts outlive the events: DeleteContact and Remove remove events and leave the counts.
//
// Timing verdicts follow design §7: a hit less than two seconds after its message was sent, or hits
// on three links of one message (or on all of them) within two seconds, are a machine's.
package event
