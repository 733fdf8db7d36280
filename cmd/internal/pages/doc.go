// Package pages serves what a recipient sees: unsubscribe, preferences, the double opt-in
// confirmation, the subscription form and the wording of a notice. The pages are plain HTML with
// their style inside, need no JavaScript and no cookie, and make no further request to anybody.
//
// What a caller may rely on:
//
//   - Only POST changes anything. GET and HEAD show a page with a button, so a scanner that follows
//     the links of a mail neither unsubscribes nor confirms anybody.
//   - A one-click POST (RFC 8058) to /u/{token} answers 200 without redirect, cookie or log-in, and
//     the same again when it is repeated. It ends the communication type the mail was of, for that
//     company and by email: that is the list named by the mail's List-Id. A mail that reached the
//     person through a data source's list was never agreed to, so there the same POST is an
//     objection to the company's email as a whole. Both are what the page says beforehand.
//   - A mail's own link can only lower permissions, and shows the address masked: whoever a mail was
//     forwarded to can neither agree to something on the person's behalf nor learn who they are.
//     What would raise a permission becomes a request, confirmed by a link mailed to the address.
//   - The answer of the subscription form is the same whether an address is known or not, and what
//     an unconfirmed form says never touches a contact that is held already.
//   - No page stores an address of the network or a user agent, except that the evidence of a form
//     sign-up keeps the network the form came from (/24, /48). The form's limiter knows networks
//     only as hashes under a key that dies with the process, and those for a minute.
//   - Every answer forbids scripts, foreign resources, framing, caching, indexing and a Referer, so
//     no token leaves through the browser. (One exception by option: /subscribe may be framed by
//     the origins the operator names.)
//
// Cross-site request forgery: there is no cookie, no session and no other ambient authority, so a
// foreign page has nothing of the visitor's to abuse. The authority of every changing POST is the
// signed token in its path, which a foreign site cannot know; a second token in the form would
// prove nothing more, and RFC 8058 forbids asking for one. /subscribe needs no authority, since it
// grants nothing: it sends a mail with a link, under the limits of that form. Framing is refused so
// that nobody can be lured into pressing a button.
package pages
