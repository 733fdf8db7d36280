// Package compose makes whole mails from a campaign's template: once per campaign what can be done
// once, and per recipient only what differs.
//
// Compile reads the template, refuses what must not go out, with field, line and remedy, and prepares
// a Template. Template.Fill makes one recipient's message, RFC 5322 with CRLF, ready to be signed
// and sent. Template.Parts shows the bodies, Template.Check reads a finished message as a stranger
// would.
//
// # What an author may write
//
// Liquid (github.com/osteele/liquid), without include and with limits on time, turns and size. A
// value is whatever the recipient's Fields hold; it is escaped for the place it stands in: HTML,
// attribute, comment, CSS, text, header. Besides: {{ sender.name }}, postal_address, privacy_url,
// privacy_email, complaint_url and domain, {{ campaign.type }}, date and year, which are the same for
// everybody; {{ unsubscribe_url }} and {{ preferences_url }}, as an href or as text; and the blocks
// {{ citation }}, {{ footer }} and {{ ask_tracking }}, between tags. A citation and a footer that
// were not placed go before the last </body>, or to the end. A link with data-track="no" is left
// alone, one with data-utm="no" gets no UTM parameters, and data-label says what a link is called in
// the figures.
//
// # What a caller may rely on
//
//   - Every byte of the HTML outside of a tracked link's href and of what is inserted (preheader,
//     citation, footer, invitation, beacon, hidden link) is the author's. Tracked are the http and https
//     hrefs of a, area and VML elements, those in conditional comments included, and in a text part of
//     the author's its http and https addresses. A tracked link's token opens to the author's exact
//     bytes, entities decoded and white space removed as a browser would.
//   - The campaign's UTM parameters go into those same links, in copies with plain links too, as one
//     insertion before the fragment; a parameter that the author gave stays theirs.
//   - The hidden link, a honeypot for scanners, is at position 0 and in no list of links. It has no
//     text, no part of a mail but the HTML has it, and no copy with plain links.
//   - No address that a mail links to or fetches holds contact data: such a template is refused, and no
//     value, whatever it is, can make a tag, an attribute, a comment's end or a CSS url().
//   - A copy that is not identified holds no address of its own but unsubscribe and preferences. Beacon
//     and links of all such copies of a campaign are the same.
//   - A message that Fill returns names every source it was told to cite, and has the footer with both
//     choices and the postal address, in the HTML and in the text part.
//   - Bodies are quoted-printable, lines have at most 76 characters but for addresses in headers;
//     header values are folded and encoded (RFC 2047), and nothing that a person, a company or an
//     author is called makes another header field. To keeps an address as it is: whether one in UTF-8
//     can be sent to (SMTPUTF8) is the sender's business.
//   - List-Unsubscribe and List-Unsubscribe-Post are those of RFC 8058, https first; List-Id is RFC 2919;
//     Message-ID is the same whenever the message is composed again; Feedback-ID is the same for the
//     whole campaign. There is no User-Agent.
//
// # How
//
// Liquid is blanked out of the source, byte for byte, before the HTML is tokenised, so that places in
// the one are places in the other. Source and edits become ops: text, values, links, blocks. Without
// control flow the ops are cut into stretches that are encoded ahead and slots between them. With
// control flow a part is rendered by Liquid for each recipient; that its tags are still those that
// were checked follows from the rule that a block begins and ends in the same stretch: both between
// tags, or both in the same tag, attribute, style or comment.
package compose
