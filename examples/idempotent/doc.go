/*
Package idempotent books payments once each, though their producer sends some of them again:

	payments -> Deduplicate by event id -> ledger (Book) -> bookings
	                                         |
	                                         +-> repeats

What comes again soon is dropped by its id, which is remembered for a window. What comes again
later is known by its number: the ledger is behind the number that it expects.
*/
package idempotent
