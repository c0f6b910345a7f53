// Command rpcortable answers "is saving the RPC worth it?": the email service that joins
// orders with a local table of customers, beside the same service that asks a customer
// service over HTTP: one call an order, batched, and with a cache.
//
//	go run ./bench/rpcortable                       # about eight minutes
//	go run ./bench/rpcortable -rounds 1 -phase 2s   # a smoke test
//
// docs/rpc-or-table.md has the answer in words, and what each figure means.
//
// Broker (kfake), customer service and the email service in question are processes of
// their own; this one makes orders at fixed times (open loop), changes customers, reads
// the emails as a consumer does, and knows which version of a customer was the true one
// when an order was placed. All variants use the example's Compose, run exactly once, and
// commit at the same interval.
package main
