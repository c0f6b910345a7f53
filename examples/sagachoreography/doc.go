/*
Package sagachoreography runs an order with nobody in charge: each service reacts to the
events of the others, and tells what it has done itself.

	orders     OrderCreated  -> inventory  InventoryReserved | ReserveFailed
	inventory  InventoryReserved -> payment   PaymentProcessed | PaymentFailed
	payment    PaymentProcessed  -> shipping  OrderShipped | ShippingFailed
	                             -> billing   (invoice)    -> notifications (email)
	shipping   ShippingFailed    -> payment   PaymentRefunded
	payment    PaymentFailed | PaymentRefunded -> inventory InventoryReleased
	ReserveFailed | InventoryReleased -> orders OrderCancelled
	PaymentProcessed | OrderShipped   -> orders OrderPaid, OrderClosed

The last three lines are the compensation: each service undoes its own part when it hears that
a later one failed. Each topology could be a binary of its own.
*/
package sagachoreography
