// Package bounce reads a message that came back and says what it is: a delivery failure and whose
// fault it was, a complaint, an automatic reply, or something else. [Intake] then does what follows.
//
// What a caller may rely on:
//
//   - Read never panics, whatever the bytes. It reads at most 10 MB, 12 levels of nesting and 256
//     parts; of a message beyond that, or broken anywhere, it reads what it can.
//   - [Hard] is said only where the report says that the address cannot receive mail: no such
//     mailbox or domain, disabled, moved. What is unclear, temporary, or a full mailbox is [Soft].
//   - A refusal for policy, reputation, authentication, content, size or protocol (5.7.x and its
//     kin) is [Sender]: our fault. It never suppresses the address.
//   - Where a report names several recipients (an alias, a forward), the mildest class wins: Soft,
//     then Sender, then Hard. One dead mailbox behind an alias does not make the alias dead.
//   - [Report.Diagnostic] and [Report.Reason] hold no address.
//
// What a caller must do: a report is a claim by a stranger. Anybody can write one, with any
// recipient in it, so nothing that Read returns proves anything, and [Report.Recipient] alone
// suppresses nobody. Before acting, the caller finds the message by a token of its own that it can
// authenticate: the local part of the VERP return path to which the report was delivered
// (the envelope recipient, else one of [Report.To]), or for complaints the signed token in
// [Original].ListUnsubscribe. The contact is the one the token names; Recipient is for display
// and logs of the mailbox owner only.
//
// Intake is such a caller. What it may be relied on for:
//
//   - It acts on what is proven: by the return path ([Paths]), for complaints by the unsubscribe link
//     in the returned mail, and for a provider's notification, which its [Hook] has verified, by what
//     the provider gives back of either. Anything else is counted and left aside.
//   - One report has its consequences once, in one transaction, whatever the way it comes and however
//     often: a dead address and a complaint once per message.
//   - Hard: the message failed, and the address is suppressed. Soft: noted; the fifth campaign in a row
//     within 30 days suppresses. Sender: noted; the fifth in a row pauses the campaign. Complaint: an
//     objection to the company's mail, and the address is suppressed; at 0.3 % of what was delivered,
//     and at least three, the campaign pauses, and what paused it does not count again. A feedback
//     report that asks to be left out is the objection alone. An automatic reply and a report that a
//     message is only late are nothing.
//   - A letter from a person who wants no more mail goes to people ([Inbox]); nothing is done by itself.
//   - Every no is recorded in the ledger, whose journal keeps it outside the database too.
//   - Of an erased contact a report is noted without words.
//
// Classes of complaint reports (RFC 5965): abuse, fraud, opt-out and opt-out-list are [Complaint],
// for each is a person's no; auth-failure (RFC 6591), not-spam, virus and other are [Other]:
// nothing was refused, and a message that fails authentication is often not ours at all.
//
// Formats: RFC 3464 status reports in RFC 6522 multipart/report or anywhere else, RFC 3463 and RFC
// 5248 status codes, RFC 5321 reply codes, RFC 5965 feedback reports, RFC 3834 automatic replies,
// Amazon SNS notifications, and by a table of phrases the home-made formats of Exim, qmail, Exchange,
// Domino, OpenSMTPD, Gmail, Yahoo and others.
package bounce
