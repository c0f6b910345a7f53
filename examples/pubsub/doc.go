/*
Package pubsub lets several services subscribe to one topic, each as a group of its own: at
its own pace, from its own position.

	order-placed -+-> order-mails     -> mails
	              +-> order-analytics -> revenue
	              +-> order-stock     -> stock
	              +-> order-archive   -> archive   (subscribes later, reads from the beginning)

The publisher knows none of them. What a subscriber that comes late, or is away for long, still
finds depends on how the topic forgets: see the README.
*/
package pubsub
