// Package counter keeps the live counts of campaigns in Redis, equal to the durable totals of
// tracker/event.
//
// What a caller may rely on:
//
//   - All that Redis holds of a campaign is one hash, {c:ID}. It is there whole or not at all,
//     whatever is evicted or expires, and a Redis Cluster can keep it where it likes.
//   - Each node's units arrive as a chain: a push is added only if the one before it is there, and
//     is told from its own repetition. A push that a client repeats after a time-out, or that the
//     server meets late, therefore counts once.
//   - A link that is missing (Redis flushed, restarted empty, failed over with writes lost, or down
//     for a while) makes the hash unreadable at once, and it is set from the durable totals. A
//     reader gets the right counts or none, never counts that are known to be wrong.
//   - Setting the totals never overwrites what came after they were read, whichever nodes push
//     meanwhile: who sets them has marked the hash before reading, and a hash that is not complete
//     takes no push.
//   - Redis that is slow or gone costs its callers a short time-out once in a while, not at every
//     call. Run finds out when it is back and what it missed.
//
// Nothing here leads to a person: the hash has sums per verdict, link, region and hour.
package counter
