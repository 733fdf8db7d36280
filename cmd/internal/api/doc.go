// Package api is the JSON API of Beckon under /api/v1, its OpenAPI 3 document, and the addresses
// that tell whether the service is well.
//
// Handlers translate and decide nothing: rules, SQL and the gate are the domain packages'. What a
// caller of the API may rely on:
//
//   - Every call names its roles, in one table (routes.go) and in the document; a token of another
//     role gets 403. Tokens are bearer tokens (RFC 6750), kept as SHA-256 hashes.
//   - A failure is application/problem+json (RFC 9457) with a stable type, what to do, and the
//     fields at fault; errors.go is the one place where errors become statuses. A failed call stored
//     nothing, and a download that breaks off ends in a broken connection, not in a short file.
//   - Nothing is silently ignored: unknown fields, unknown query parameters, fields named twice and
//     text after the JSON value are refused by name and place.
//   - A call on personal data is in the audit log, a disclosure before its first byte; identified
//     exports need a ground out of [rights.Grounds]. Analysts see aggregates and pseudonyms.
//   - No address, token or request body is logged, and a panic tells the client nothing.
//   - The document is what the tests hold every request and answer to.
package api
