/*
Package payments is the demo of the idempotent consumer: a producer that sends a tenth of its
payments again, soon or late. The audit works out which ones are to be known by their ids and
which by their numbers, and books everything again.
*/
package payments
