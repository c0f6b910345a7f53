/*
Package shop is the demo of CQRS: orders are placed and cancelled, two projectors make read
models, and a customer looks now and then whether his own order is in one of them: once at
once, and once with a token, when it must be there. feeder.go writes, customer.go asks,
demo.go audits.
*/
package shop
