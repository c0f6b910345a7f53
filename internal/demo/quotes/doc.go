/*
Package quotes is the demo of notification against state transfer: a customer service whose
customers change all the time, and which is down for a while, now and then. supplier.go is
the service and the port that calls it, feeder.go asks for quotes, demo.go audits.
*/
package quotes
