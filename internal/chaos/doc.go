/*
Package chaos kills processors and brokers of a real Kafka while they work, and checks
from outside that nothing was lost, doubled or overtaken. Its checker shares no code
with the product: it reads the topics with a client of its own.

The tests need a real Kafka and take minutes:

	LIMPET_KAFKA=1 go test -run TestRealKafka ./internal/chaos

LIMPET_CHAOS_ORDERS sets how many orders go through (200 000 by default), and
LIMPET_CHAOS_SEED repeats the random moments of a run.
*/
package chaos
