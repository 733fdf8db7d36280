// Package id holds the typed identifiers of Beckon, so that a contact cannot be passed where a
// campaign is meant.
//
// In the database an identifier is a 64-bit integer and zero is "none". Outside (JSON, URLs of the
// API) it is opaque text with a prefix that names its kind, for example ct_1z; reading a text of
// another kind, or one that this package would not have written, is an error.
package id
