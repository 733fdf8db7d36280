// Package doctor looks at what an installation needs from the world outside of it for its mail to arrive: the
// records of its sender domains, its relays, its public address.
//
// What a caller may rely on:
//
//   - Nothing is changed anywhere and no mail is sent: DNS is asked, a relay is offered MAIL FROM and RSET, pages
//     are fetched with GET.
//   - Examine runs all checks side by side and returns when each has ended or its time is over. A check that
//     panics or hangs is a finding, and takes nothing from the others.
//   - Every finding says what was looked at and how it is; one that is not in order says what to change, and for a
//     record of DNS the whole line to publish.
//   - No finding holds a password, a key or a person's address.
//
// Standards: RFC 7208 (SPF: one record, at most ten lookups, two void ones), RFC 6376 and 8301 (DKIM), RFC 7489
// (DMARC; the organisational domain is that of publicsuffix.org), RFC 7505 (null MX), RFC 5321.
package doctor
