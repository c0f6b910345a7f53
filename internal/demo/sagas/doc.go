/*
Package sagas are the demos of both sagas: orders at random, some of which cannot be paid,
shipped or served from stock. The audit adds up what each service says that it has done and
undone: for each order it must be all or nothing, and what the customer was told.
*/
package sagas
