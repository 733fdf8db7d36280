// Package geo turns an IP address into a region: a country (ISO 3166-1) and, where it is known, its
// first subdivision (ISO 3166-2). It knows nothing finer; towns and coordinates in the database are
// read past and never leave the package.
//
// A lookup never fails. An address that is private, not in the database or not readable there, a
// damaged database and no database at all (a nil *DB) all give the unknown region. The database can be
// replaced while lookups run: each sees the old one or the new one, whole.
//
// Updater fetches a database from MaxMind (GeoLite2, with an account) or DB-IP (Lite, without one),
// checks it and puts it in place in one step, or changes nothing. DB-IP Lite names subdivisions
// without their ISO codes, so with it regions are countries. Both makers ask to be named wherever
// their data is shown.
package geo
