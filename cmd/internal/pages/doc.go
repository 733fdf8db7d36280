// Package pages serves what a recipient sees: unsubscribe, preferences, the double opt-in
// confirmation, the subscription form, the single-use links to a copy or the erasure of one's data,
// and the wording of a notice. The pages are plain HTML with their style inside, need no JavaScript
// and no cookie, and make no further request to anybody.
//
// What a caller may rely on:
//
//   - Only POST changes anything. GET and HEAD show a page with a button, so a scanner that follows
//     the links of a mail neither unsubscribes nor confirms anybody.
//   - A one-click POST (RFC 8058) to /u/{token} answers 200 without redirect, cookie or log-in, and
//     the same again when it is repeated. It ends the communication type the mail was of, for that
//     company and by email: that is the list named by the mail's List-Id. A mail that reached the
//     person through a data source's list was never agreed to, so there the same POST is an
//     objection to the company's email as a whole. Both are what the page says beforehand. A no that
//     stands already is not recorded again.
//   - A mail's own link can only lower permissions, and shows the address masked: whoever a mail was
//     forwarded to can neither agree to something on the person's behalf nor learn who they are.
//     What would raise a permission becomes a request, confirmed by a link mailed to the address; so
//     do a copy of one's data and its erasure (/m/{token}: 24 hours, once). A complaint is taken from
//     anybody who holds a mail.
//   - What is said of a mail that was asked for is the same whatever becomes of it, and whether the
//     limit for the address let it go or not.
//   - The answer of the subscription form is the same whether an address is known or not, and what
//     an unconfirmed form says never touches a contact that is held already.
//   - No page stores an address of the network or a user agent, except that the evidence of a form
//     sign-up keeps the network the form came from (/24, /48). The limiter knows networks only as
//     hashes under a key that dies with the process, and those for a minute.
//   - Every answer forbids scripts, foreign resources, framing, caching, indexing and a Referer, so
//     no token leaves through the browser. (One exception by option: /subscribe may be framed by
//     the origins the operator names.)
//
// Cross-site request forgery: there is no cookie, no session and no other ambient authority, so a
// foreign page has nothing of the visitor's to abuse. The authority of every changing POST is the
// signed token in its path, which a foreign site cannot know; a second token in the form would
// prove nothing more, and RFC 8058 forbids asking for one. A POST to /p, /m or /confirm of which the
// browser says that another site's page sent it (Sec-Fetch-Site, else Origin) is refused all the
// same; one to /u is not, since a webmail program may send it from its own page. /subscribe needs no
// authority, since it grants nothing: it sends a mail with a link, under the limits of that form.
// Framing is refused so that nobody can be lured into pressing a button.
//
// # A form on another site
//
// The form can be shown in a frame. The site must be among Options.Embed, or the browser refuses;
// embed=1 leaves out what a page has around the form, but never who asks and where to complain:
//
//	<iframe src="https://mail.example.org/subscribe?company=acme&amp;embed=1" title="Newsletter of Acme Ltd"
//	  style="width: 100%; height: 70rem; border: 0"></iframe>
//
// Or a site has a form of its own, which posts to the same address and leads to our page that says
// what is next. It names the version of the wording that stands beside it, and leaves nothing ticked
// beforehand; more boxes (type, channel, topic) and the fields name, company, country, phone and age
// are optional. The field website is the trap for machines: people do not see it and leave it empty.
//
//	<form method="post" action="https://mail.example.org/subscribe?company=acme">
//	  <input type="hidden" name="notice" value="acme-form-1">
//	  <label>Email address <input type="email" name="email" autocomplete="email" required></label>
//	  <label><input type="checkbox" name="type" value="newsletter"> Newsletter</label>
//	  <label><input type="checkbox" name="channel" value="email"> by email</label>
//	  <label><input type="checkbox" name="tracking" value="yes"> Acme Ltd may record which of its emails I open and which links I click</label>
//	  <p>I agree that Acme Ltd sends me what I ticked above. …</p>
//	  <div hidden><label>Leave this field empty <input name="website" tabindex="-1" autocomplete="off"></label></div>
//	  <button>Subscribe</button>
//	</form>
//
// Either way item=grants-guide-2026 in the address asks for that one thing, which is sent once and is
// no subscription; then nothing need be ticked. Both are under the same limits as the page itself.
package pages
