/*
Package eventsourcing keeps bank accounts as their events: what happened is what is stored,
and the state is nothing but the fold of it.

	account-commands -> accounts (Decide, Evolve) -> account-events -> balances, histories
	                             |
	                             +-> account-rejections

Decide says which event a command leads to, Evolve what the state is after an event: both are
pure, and all that there is to test. past.go looks into the past, and into others that did
not happen.
*/
package eventsourcing
