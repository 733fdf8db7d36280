// Package mailer runs campaigns: one mail of one company, of one communication type, to one audience.
//
// What a caller may rely on:
//
//   - [Mailer.Launch] changes nothing as long as [Mailer.Check] finds a problem.
//   - Check asks the consent gate for every contact of the audience in one statement, with the very
//     fragments that building and sending use; its figures are what would be sent at that moment.
//   - A launched campaign goes on after a restart where it stopped, on any node.
//   - What a letter says about its recipient, and which sources it cites, is read in the transaction
//     that claims the message, after the gate allowed it.
//   - A letter that must cite a source, and cannot, is not sent.
//   - Fewer than k anonymous recipients get plain links and no beacon.
//
// Composition is mailer/compose, delivery is mailer/queue.
package mailer
