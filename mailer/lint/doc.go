// Package lint reads a campaign's mail before it is launched and says what its readers, or their mail
// programs, will not like. Nothing it finds stands in the way of a launch: what must not go out is
// refused by package compose.
//
// What a caller may rely on:
//
//   - Check never fails, whatever it is given, needs neither network nor database, and takes time in
//     proportion to the size of the mail.
//   - A warning says where, what and what to do. There are at most 100 of them; the same thing at several
//     places is one warning that names the first lines.
//   - What an author wrote is judged, not what Beckon makes of it: the target of a link is the author's,
//     whether or not a redirect will lead there. Sizes and the subject are those of a finished message.
//
// # What is measured
//
// Gmail shows about the first 102 kB of a message's HTML and hides the rest, the footer with it, behind
// “View entire message”. It publishes no rule; tests by senders (github.com/hteumeuleu/email-bugs issue
// 41, spamresource.com of January 2022) put the limit near 102 × 1024 bytes. Measured here is the HTML part
// after decoding, in UTF-8, with Beckon's links, blocks and beacon. The size on the wire, quoted-printable,
// is told beside it, since some readers of those tests hold that it counts.
//
// A mail is “all pictures” when it has fewer than 40 letters and digits between its tags for each of up to four
// pictures, 160 for four and more. A Liquid output counts as ten; a picture with a side of at most 50 pixels, an
// icon, does not count.
//
// A link “shows another domain” when its text, or a word in it that begins with http:// or www., names a
// host whose registrable domain (publicsuffix.org) is not that of its target. A bare name such as acme.com
// counts if it is all of the text and ends in a known top-level domain; asp.net does, node.js does not.
package lint
