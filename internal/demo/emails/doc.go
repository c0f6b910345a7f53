/*
Package emails is the demo of the email service: customers move house, orders come in,
and each order's mail must carry the customer's data as it was when the order came.

feeder.go makes customers and orders up, demo.go reads everything back for the audit.

complete.go and completefeeder.go are the same for the whole service, where each order leads to
one mail or one note.
*/
package emails
