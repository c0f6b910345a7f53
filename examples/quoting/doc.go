/*
Package quoting makes insurance quotes, which need a part of what the customer service knows
of a customer, in two ways.

By notification, a thin event says that a customer has changed, and the reader calls the
customer service back:

	customer-changed -> ask-customer -> (a port calls the service) -> customer-answers -> risks
	quote-requests -----------------------------------------------------------> join -> quotes

By event-carried state transfer, the event has all that quoting needs, and nobody is asked:

	customer-risks (table) --+
	quote-requests ----------+-> join -> quotes
*/
package quoting
