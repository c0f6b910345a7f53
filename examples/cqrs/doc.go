/*
Package cqrs separates what changes a shop (commands) from what asks it (queries).

	shop-commands -> shop (write side) -> shop-events -+-> customer-orders -> customer-summaries
	                                                   +-> product-sales   -> product-totals

The write side decides commands and makes events. Two projectors make a read model each from
the events, in an application of its own, at its own pace. A query is answered from a view of
a read model's topic; a token says how far the view must be for the asker to find his own
writes in it.
*/
package cqrs
