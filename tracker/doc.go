// Package tracker answers the two links that a mail can be followed by: /o/{token}, the beacon, and
// /c/{token}, the tracked link.
//
// What a recipient may rely on:
//
//   - A valid link always works. The image or the redirect needs the signing keys and nothing else: the
//     database, Redis and the region database may be gone, the spool full or stuck. What could not be
//     recorded is counted and reported, and the answer is given all the same, after Handler.Wait at most.
//   - A link that was not signed by us leads nowhere: 404, no redirect, whatever else it carries.
//   - No cookie is set, nothing is kept of the request but what event.Hit holds, and the address is
//     dropped as soon as its region is known.
//
// And what the counts may rely on:
//
//   - A hit that was recorded was recorded before it was answered.
//   - HEAD requests, test mails and links that are not valid record nothing.
//   - A request under DNT or GPC is marked private and has no region.
//   - The address comes from the connection, or from X-Forwarded-For as far as proxies that the operator
//     trusts have written it. Nobody chooses their own region.
//
// The metrics have labels for kind, verdict and reason of loss, never for a campaign or a contact. The
// routes must stay out of every access log.
package tracker
