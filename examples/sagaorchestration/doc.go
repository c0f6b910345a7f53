/*
Package sagaorchestration runs an order over three services that share nothing but topics. One
orchestrator knows the steps: stock is reserved and money charged, at the same time; then the
order is shipped. What fails, or is not answered in time, is undone in reverse.

	orders -> order-saga -> stock-commands, payment-commands, shipping-commands
	              ^                                   |
	              +-- stock-events, payment-events, shipping-events <- inventory, payment, shipping

saga.go is the orchestrator, services.go the three services and who else listens.
*/
package sagaorchestration
